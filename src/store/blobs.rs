//! Blobs as files: the store as a [`Source`] and a [`Sink`] of content, and readers that check what they read.

use super::{Inner, Store, StoreError};
use crate::content::{BlobReader, ContentError, DOCUMENT_BYTES_MAX, Document, Sink, Source};
use crate::event::CancellationToken;
use crate::fsx::{Expected, Ingest};
use crate::oci::{Descriptor, Digest, Hasher};
use async_trait::async_trait;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use tokio::io::{AsyncReadExt, AsyncSeekExt, BufReader};

/// How much is written or hashed at a time, in bytes: much enough that changing threads costs nothing.
pub(super) const CHUNK_BYTES: usize = 1 << 20;
/// How much is read ahead for a reader of a blob, in bytes.
const READ_AHEAD_BYTES: usize = 256 << 10;

impl Store {
    /// Opens a blob for who reads it where that may block. The reader fails at the end when the bytes were not those of the
    /// digest.
    pub fn open_blob(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send>, StoreError> {
        Ok(Box::new(self.0.open_checked(descriptor, "an image")?))
    }
}

impl Inner {
    /// Size of a blob, if it is there.
    pub(super) fn blob_size(&self, digest: &Digest) -> Result<Option<u64>, StoreError> {
        let path = self.blob_path(digest);
        match std::fs::metadata(&path) {
            Ok(metadata) => Ok(metadata.is_file().then_some(metadata.len())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(StoreError::io("read", &path, e)),
        }
    }

    /// Whether a blob is there in its full length.
    pub(super) fn has_blob(&self, descriptor: &Descriptor) -> Result<bool, StoreError> {
        Ok(self.blob_size(&descriptor.digest)? == Some(descriptor.size))
    }

    /// Reads a manifest or an index; None when it is not there. Its digest is checked.
    pub(super) fn document(&self, digest: &Digest) -> Result<Option<(Vec<u8>, Document)>, StoreError> {
        let path = self.blob_path(digest);
        let bytes = match super::layout::read_limited(&path, DOCUMENT_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(StoreError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let found = Digest::of(&bytes);
        if found != *digest {
            return Err(StoreError::Damaged {
                path,
                reason: format!("the bytes are {found}"),
            });
        }
        let document = Document::parse(&bytes).map_err(|e| StoreError::document(&path, &e))?;
        Ok(Some((bytes, document)))
    }

    /// Writes a small blob that this program made, unless it is there.
    pub(super) fn put_bytes(&self, media_type: &str, bytes: &[u8]) -> Result<Descriptor, StoreError> {
        let descriptor = Descriptor::of(media_type, bytes);
        if !self.has_blob(&descriptor)? {
            let mut ingest = self.ingest(&descriptor.digest, Some(descriptor.size))?;
            ingest.write(bytes)?;
            ingest.commit()?;
        }
        Ok(descriptor)
    }

    /// Begins a blob.
    pub(super) fn ingest(&self, digest: &Digest, size: Option<u64>) -> Result<Ingest, StoreError> {
        self.sweep_once()?;
        let expected = Expected {
            sha256: digest.hex().to_owned(),
            size,
        };
        Ok(Ingest::create(&self.blobs_directory(), expected)?)
    }

    /// Opens a blob whose bytes are checked while they are read.
    pub(super) fn open_checked(&self, descriptor: &Descriptor, needed_by: &str) -> Result<Checked, StoreError> {
        let path = self.blob_path(&descriptor.digest);
        match File::open(&path) {
            Ok(file) => Ok(Checked {
                file,
                path,
                expected: descriptor.digest.clone(),
                hasher: Some(Hasher::default()),
            }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Err(StoreError::Missing {
                digest: descriptor.digest.clone(),
                needed_by: needed_by.to_owned(),
            }),
            Err(e) => Err(StoreError::io("open", &path, e)),
        }
    }
}

/// A reader of a blob that fails at the end when the bytes were not those of the digest. Its errors carry a
/// [`StoreError`], so that they can be told from those of whoever takes the bytes.
pub(super) struct Checked {
    file: File,
    path: PathBuf,
    expected: Digest,
    hasher: Option<Hasher>,
}

impl Read for Checked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self
            .file
            .read(buffer)
            .map_err(|e| io::Error::other(StoreError::io("read", &self.path, e)))?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buffer[..count]);
        }
        if count == 0
            && !buffer.is_empty()
            && let Some(found) = self.hasher.take().map(Hasher::finish)
            && found != self.expected
        {
            return Err(io::Error::other(StoreError::Damaged {
                path: self.path.clone(),
                reason: format!("the bytes are {found}"),
            }));
        }
        Ok(count)
    }
}

/// A reader or writer that fails once the user has cancelled.
pub(super) struct Stoppable<T> {
    pub(super) inner: T,
    pub(super) cancel: CancellationToken,
}

impl<T> Stoppable<T> {
    fn check(&self) -> io::Result<()> {
        if self.cancel.is_cancelled() {
            return Err(io::Error::other("cancelled"));
        }
        Ok(())
    }
}

impl<R: Read> Read for Stoppable<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.check()?;
        self.inner.read(buffer)
    }
}

impl<W: io::Write> io::Write for Stoppable<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.check()?;
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[async_trait]
impl Source for Store {
    async fn resolve(&self, name: &str) -> Result<Option<Descriptor>, ContentError> {
        let name = name.to_owned();
        self.blocking(move |inner| inner.view()?.resolve(&name))
            .await
            .map_err(|e| e.into_content("look a name up in the store"))
    }

    async fn size(&self, digest: &Digest) -> Result<Option<u64>, ContentError> {
        self.0
            .blob_size(digest)
            .map_err(|e| e.into_content("look a blob up in the store"))
    }

    async fn read(&self, digest: &Digest, offset: u64) -> Result<BlobReader, ContentError> {
        let path = self.0.blob_path(digest);
        let open = async {
            let mut file = tokio::fs::File::open(&path).await?;
            if offset > 0 {
                file.seek(io::SeekFrom::Start(offset)).await?;
            }
            io::Result::Ok(file)
        };
        match open.await {
            Ok(file) => Ok(Box::pin(BufReader::with_capacity(READ_AHEAD_BYTES, file))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Err(ContentError::Missing(digest.clone())),
            Err(e) => Err(StoreError::io("read", &path, e).into_content("read from the store")),
        }
    }

    async fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, ContentError> {
        let found = self.referrers_of(subject).await;
        found.map_err(|e| e.into_content("look for what is about an image in the store"))
    }
}

#[async_trait]
impl Sink for Store {
    async fn has(&self, descriptor: &Descriptor) -> Result<bool, ContentError> {
        self.0
            .has_blob(descriptor)
            .map_err(|e| e.into_content("look a blob up in the store"))
    }

    async fn put(&self, descriptor: &Descriptor, mut bytes: BlobReader) -> Result<(), ContentError> {
        let failed = |e: StoreError| e.into_content("write to the store");
        if self.has(descriptor).await? {
            return Ok(());
        }
        let (digest, size) = (descriptor.digest.clone(), descriptor.size);
        let begin = move |inner: &Inner| inner.ingest(&digest, Some(size));
        let mut ingest = self.blocking(begin).await.map_err(failed)?;
        let receive_failed = |source| ContentError::Failed {
            doing: format!("receive content {}", descriptor.digest),
            source: Box::new(source),
        };
        let (mut chunk, mut next) = (Vec::new(), Vec::new());
        fill(&mut bytes, &mut chunk).await.map_err(receive_failed)?;
        // One chunk is hashed and written while the next one comes.
        while !chunk.is_empty() {
            let write = self.blocking(move |_| {
                ingest.write(&chunk)?;
                Ok((ingest, chunk))
            });
            let write = async { write.await.map_err(failed) };
            let receive = async { fill(&mut bytes, &mut next).await.map_err(receive_failed) };
            ((ingest, chunk), ()) = tokio::try_join!(write, receive)?;
            std::mem::swap(&mut chunk, &mut next);
        }
        self.blocking(move |_| Ok(ingest.commit()?)).await.map_err(failed)?;
        Ok(())
    }

    async fn set(&self, name: &str, descriptor: &Descriptor) -> Result<(), ContentError> {
        let (name, descriptor) = (name.to_owned(), descriptor.clone());
        self.blocking(move |inner| {
            if !inner.has_blob(&descriptor)? {
                return Err(StoreError::Missing {
                    digest: descriptor.digest,
                    needed_by: name,
                });
            }
            inner.update_index(|index| {
                super::names::set_name(index, &name, &descriptor);
                Ok(())
            })
        })
        .await
        .map_err(|e| e.into_content("write the store's index"))
    }

    async fn list_referrer(&self, subject: &Digest, referrer: &Descriptor) -> Result<(), ContentError> {
        let added = self.add_referrer(subject, referrer).await;
        added.map_err(|e| e.into_content("list what is about an image in the store"))
    }
}

/// Reads the next chunk, which is empty at the end. No more memory is taken than there are bytes.
async fn fill(reader: &mut BlobReader, chunk: &mut Vec<u8>) -> io::Result<()> {
    chunk.clear();
    while chunk.len() < CHUNK_BYTES {
        let room = (CHUNK_BYTES - chunk.len()) as u64;
        if reader.take(room).read_buf(chunk).await? == 0 {
            break;
        }
    }
    Ok(())
}
