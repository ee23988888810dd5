//! Taking images in from a tar file or a directory that holds an OCI layout.
//!
//! One pass, so that standard input will do: blobs go under their own names as they come, checked; names are added at the
//! very end, when everything that they need is here. When anything is wrong no name is added, and what was written is
//! taken back as far as nobody else can have begun to use it.

use super::blobs::{CHUNK_BYTES, Stoppable};
use super::layout::{LAYOUT_BYTES_MAX, LAYOUT_VERSION, layout_version, parse_index};
use super::{Inner, Store, StoreError, names};
use crate::content::DOCUMENT_BYTES_MAX;
use crate::event::CancellationToken;
use crate::layers::decompress;
use crate::oci::{Descriptor, Digest, Hasher, Index, Reference, annotation, expand};
use serde::Serialize;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use tar::{Archive, Entry, EntryType};

/// How an archive is imported.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// The name of its image, when it has exactly one. None: as the archive says.
    pub name: Option<Reference>,
}

/// What was imported.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Imported {
    /// The names that were added or replaced, sorted, with what they point at now.
    pub images: Vec<(String, Descriptor)>,
    /// How many blobs were written; others were here already.
    pub written: usize,
    /// Their sizes, in bytes.
    pub written_bytes: u64,
}

impl Store {
    /// Imports an OCI layout in a tar file (plain, gzip or zstd), or what `docker save` of version 25 or later writes.
    /// Reads `input` once, to its end; cancelling is noticed between two reads.
    ///
    /// When it fails, what it wrote is removed again: do not write through a clone of this store at the same time.
    pub async fn import<R: Read + Send + 'static>(
        &self,
        input: R,
        options: &ImportOptions,
        cancel: &CancellationToken,
    ) -> Result<Imported, StoreError> {
        let (options, cancel) = (options.clone(), cancel.clone());
        self.blocking(move |inner| {
            let input = Stoppable {
                inner: input,
                cancel: cancel.clone(),
            };
            inner.import(&options, &cancel, |import| import.read_archive(input))
        })
        .await
    }

    /// Imports an OCI layout in a directory, such as `skopeo copy … oci:DIRECTORY` writes. The directory is not changed.
    pub async fn import_directory(
        &self,
        directory: &Path,
        options: &ImportOptions,
        cancel: &CancellationToken,
    ) -> Result<Imported, StoreError> {
        let (directory, options, cancel) = (directory.to_owned(), options.clone(), cancel.clone());
        self.blocking(move |inner| inner.import(&options, &cancel, |import| import.read_directory(&directory)))
            .await
    }
}

impl Inner {
    fn import(
        &self,
        options: &ImportOptions,
        cancel: &CancellationToken,
        read: impl FnOnce(&mut Import<'_>) -> Result<(), StoreError>,
    ) -> Result<Imported, StoreError> {
        let mut import = Import::new(self, cancel);
        match read(&mut import).and_then(|()| import.finish(options)) {
            Ok(images) => Ok(Imported {
                images,
                written: import.written.len(),
                written_bytes: import.written_bytes,
            }),
            Err(error) => {
                // Where somebody else has the store open they stay, unnamed and harmless, until somebody collects.
                match self.remove_unneeded(&import.written) {
                    Ok(()) | Err(StoreError::Busy { .. }) => {}
                    Err(second) => return Err(second),
                }
                Err(if cancel.is_cancelled() {
                    StoreError::Cancelled
                } else {
                    error
                })
            }
        }
    }
}

/// An import that is under way.
struct Import<'a> {
    store: &'a Inner,
    cancel: &'a CancellationToken,
    index: Option<Index>,
    has_layout: bool,
    has_docker_manifest: bool,
    written: BTreeSet<Digest>,
    written_bytes: u64,
    buffer: Vec<u8>,
}

/// What a member of the archive is to us.
enum Member {
    Layout,
    Index,
    DockerManifest,
    Blob(Digest),
    Ignored,
}

impl<'a> Import<'a> {
    fn new(store: &'a Inner, cancel: &'a CancellationToken) -> Self {
        Self {
            store,
            cancel,
            index: None,
            has_layout: false,
            has_docker_manifest: false,
            written: BTreeSet::new(),
            written_bytes: 0,
            buffer: vec![0; CHUNK_BYTES],
        }
    }

    fn read_archive(&mut self, input: impl Read) -> Result<(), StoreError> {
        let stream = decompress(BufReader::with_capacity(CHUNK_BYTES, input)).map_err(unreadable)?;
        let mut archive = Archive::new(stream);
        for entry in archive.entries().map_err(unreadable)? {
            let mut entry = entry.map_err(unreadable)?;
            match member(&entry)? {
                Member::Layout => self.take_layout(&limited(&mut entry, "oci-layout", LAYOUT_BYTES_MAX)?)?,
                Member::Index => self.take_index(&limited(&mut entry, "index.json", DOCUMENT_BYTES_MAX)?)?,
                Member::Blob(digest) => {
                    let size = entry.size();
                    self.take_blob(&digest, size, &mut entry)?;
                }
                Member::DockerManifest => self.has_docker_manifest = true,
                Member::Ignored => {}
            }
        }
        // To the end of the stream: a compressed one is checked there, and whoever writes into a pipe wants to be heard.
        io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(unreadable)?;
        Ok(())
    }

    fn read_directory(&mut self, directory: &Path) -> Result<(), StoreError> {
        let open = |path: &Path| File::open(path).map_err(|e| StoreError::io("open", path, e));
        let layout = open(&directory.join("oci-layout")).map_err(|_| {
            import_error(format!(
                "{} is not an OCI layout: it has no oci-layout",
                directory.display()
            ))
        })?;
        self.take_layout(&limited(&mut { layout }, "oci-layout", LAYOUT_BYTES_MAX)?)?;
        let mut index = open(&directory.join("index.json"))?;
        self.take_index(&limited(&mut index, "index.json", DOCUMENT_BYTES_MAX)?)?;
        // From the top: a document has to be here before it is known what it needs.
        let mut pending = self
            .index
            .iter()
            .flat_map(|index| &index.manifests)
            .cloned()
            .collect::<Vec<_>>();
        let mut seen = BTreeSet::new();
        while let Some(descriptor) = pending.pop() {
            if !seen.insert(descriptor.digest.clone()) {
                continue;
            }
            let digest = &descriptor.digest;
            let path = directory.join("blobs").join(digest.algorithm()).join(digest.hex());
            let mut file = match File::open(&path) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    return Err(import_error(format!("it needs {digest}, which is not in it")));
                }
                file => file.map_err(|e| StoreError::io("open", &path, e))?,
            };
            self.take_blob(digest, descriptor.size, &mut file)?;
            if crate::content::Document::is_type(&descriptor.media_type)
                && let Some((_, document)) = self.store.document(digest)?
            {
                pending.extend(document.children().into_iter().cloned());
            }
        }
        Ok(())
    }

    fn take_layout(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let version = layout_version(bytes).map_err(|e| import_error(format!("its oci-layout makes no sense: {e}")))?;
        if version != LAYOUT_VERSION {
            let reason = format!("its image layout version is {version}, only {LAYOUT_VERSION} is known");
            return Err(import_error(reason));
        }
        self.has_layout = true;
        Ok(())
    }

    fn take_index(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        if self.index.is_some() {
            return Err(import_error("it has more than one index.json".to_owned()));
        }
        let index = parse_index(bytes).map_err(|e| import_error(format!("its index.json makes no sense: {e}")))?;
        self.index = Some(index);
        Ok(())
    }

    /// Writes a blob, or only checks it when it is here already.
    fn take_blob(&mut self, digest: &Digest, size: u64, bytes: &mut dyn Read) -> Result<(), StoreError> {
        let is_here = self.store.blob_size(digest)? == Some(size);
        let mut ingest = match is_here {
            true => None,
            false => Some(self.store.ingest(digest, Some(size))?),
        };
        let (mut hasher, mut taken) = (Hasher::default(), 0);
        loop {
            if self.cancel.is_cancelled() {
                return Err(StoreError::Cancelled);
            }
            let count = bytes.read(&mut self.buffer).map_err(unreadable)?;
            if count == 0 {
                break;
            }
            taken += count as u64;
            match &mut ingest {
                Some(ingest) => ingest.write(&self.buffer[..count]).map_err(|e| in_archive(e.into()))?,
                None => hasher.update(&self.buffer[..count]),
            }
        }
        if taken < size {
            return Err(import_error(format!(
                "it ends in the middle of {digest}; it is truncated"
            )));
        }
        if let Some(ingest) = ingest {
            self.written_bytes += ingest.commit().map_err(|e| in_archive(e.into()))?;
            self.written.insert(digest.clone());
            return Ok(());
        }
        let found = hasher.finish();
        if found != *digest {
            return Err(import_error(format!(
                "its blob {digest} is not what its name says: {found}"
            )));
        }
        Ok(())
    }

    fn finish(&mut self, options: &ImportOptions) -> Result<Vec<(String, Descriptor)>, StoreError> {
        let Some(index) = self.index.take() else {
            return Err(import_error(match (self.has_docker_manifest, self.has_layout) {
                (true, _) => "it is an old Docker archive without index.json; save the image with Docker 25 or later, \
                    or convert it with `skopeo copy docker-archive:… oci-archive:…`"
                    .to_owned(),
                (false, true) => "it has no index.json; it is truncated, or no OCI layout".to_owned(),
                (false, false) => "it is not an OCI layout: it has neither oci-layout nor index.json".to_owned(),
            }));
        };
        if index.manifests.is_empty() {
            return Err(import_error("its index.json lists no image".to_owned()));
        }
        if options.name.is_some() && index.manifests.len() > 1 {
            let reason = format!(
                "it has {} images, so that they cannot be given one name",
                index.manifests.len()
            );
            return Err(import_error(reason));
        }
        let mut images = Vec::new();
        for entry in &index.manifests {
            let name = match &options.name {
                Some(name) => name.store_name(),
                None => name_of(entry)?,
            };
            images.push((name.clone(), self.whole(entry, &name)?));
        }
        images.sort_by(|a, b| a.0.cmp(&b.0));
        self.store.update_index(|layout| {
            for (name, descriptor) in &images {
                names::set_name(layout, name, descriptor);
            }
            Ok(())
        })?;
        Ok(images)
    }

    /// The entry, when everything that it needs is here. linuxkit writes images with the media type of an index; what the
    /// bytes say counts.
    fn whole(&self, entry: &Descriptor, name: &str) -> Result<Descriptor, StoreError> {
        let mut entry = entry.clone();
        let missing = |digest: &Digest| import_error(format!("{name} needs {digest}, which is not in it"));
        let document = self.store.document(&entry.digest).map_err(in_archive)?;
        let (_, document) = document.ok_or_else(|| missing(&entry.digest))?;
        entry.media_type = document.media_type().to_owned();
        let reach = self.store.reach_all(&entry)?;
        if let Some((digest, reason)) = reach.unreadable.first_key_value() {
            return Err(import_error(format!("its blob {digest} makes no sense: {reason}")));
        }
        for (digest, size) in &reach.blobs {
            match self.store.blob_size(digest)? {
                None => return Err(missing(digest)),
                Some(found) if found != *size => {
                    return Err(import_error(format!(
                        "its blob {digest} has {found} bytes instead of {size}"
                    )));
                }
                Some(_) => {}
            }
        }
        entry.annotations.remove(annotation::CONTAINERD_IMAGE_NAME);
        entry
            .annotations
            .insert(annotation::REF_NAME.to_owned(), name.to_owned());
        Ok(entry)
    }
}

/// The full name of an entry. Docker and BuildKit write it into an annotation of containerd's and only the tag into OCI's;
/// linuxkit and skopeo write it into OCI's.
fn name_of(entry: &Descriptor) -> Result<String, StoreError> {
    let stated = entry
        .annotations
        .get(annotation::CONTAINERD_IMAGE_NAME)
        .map(String::as_str);
    let name = stated.or_else(|| entry.ref_name().filter(|name| name.contains(['/', ':'])));
    let Some(name) = name else {
        let digest = &entry.digest;
        return Err(import_error(match entry.ref_name() {
            Some(tag) => format!("it gives {digest} only the tag {tag:?} and no name: give it one with --name"),
            None => format!("it gives {digest} no name: give it one with --name"),
        }));
    };
    match name.parse::<Reference>() {
        Ok(reference) => Ok(reference.store_name()),
        Err(e) => Err(import_error(format!("{}: {e}", expand(name)))),
    }
}

/// Says what a member of the archive is to us. Nothing that leads elsewhere is taken, even where it would be ignored: such
/// an archive was made to harm.
fn member<R: Read>(entry: &Entry<'_, R>) -> Result<Member, StoreError> {
    let path = entry.path_bytes();
    let shown = String::from_utf8_lossy(&path).into_owned();
    let kind = entry.header().entry_type();
    if kind == EntryType::XGlobalHeader {
        return Ok(Member::Ignored);
    }
    if path.starts_with(b"/") || shown.split('/').any(|part| part == "..") {
        return Err(import_error(format!("its member {shown:?} leads outside")));
    }
    match kind {
        EntryType::Directory => return Ok(Member::Ignored),
        EntryType::Regular | EntryType::Continuous => {}
        _ => {
            return Err(import_error(format!(
                "its member {shown:?} is neither file nor directory"
            )));
        }
    }
    let mut parts = shown.split('/').filter(|part| !part.is_empty() && *part != ".");
    let parts = [parts.next(), parts.next(), parts.next(), parts.next()];
    match parts {
        [Some("oci-layout"), None, ..] => Ok(Member::Layout),
        [Some("index.json"), None, ..] => Ok(Member::Index),
        [Some("manifest.json"), None, ..] => Ok(Member::DockerManifest),
        [Some("blobs"), Some(algorithm), Some(hex), None] => match format!("{algorithm}:{hex}").parse() {
            Ok(digest) => Ok(Member::Blob(digest)),
            Err(_) => Err(import_error(format!(
                "its member {shown:?} is not named by a sha256 digest"
            ))),
        },
        _ => Ok(Member::Ignored),
    }
}

fn limited(reader: &mut impl Read, name: &str, limit: u64) -> Result<Vec<u8>, StoreError> {
    let mut bytes = Vec::new();
    reader.take(limit + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > limit {
        return Err(import_error(format!("its {name} is larger than {limit} bytes")));
    }
    Ok(bytes)
}

fn import_error(reason: String) -> StoreError {
    StoreError::Import { reason }
}

fn unreadable(error: io::Error) -> StoreError {
    import_error(match error.kind() {
        io::ErrorKind::UnexpectedEof => "it is truncated".to_owned(),
        // What the tar reader says of a file that has not even one block.
        _ if error.to_string().contains("failed to read entire block") => {
            "it is no tar archive, or it is truncated".to_owned()
        }
        _ => format!("it cannot be read: {error}"),
    })
}

/// What is wrong with bytes from the archive is the archive's fault.
fn in_archive(error: StoreError) -> StoreError {
    match error {
        StoreError::Mismatch { digest, found } => {
            import_error(format!("its blob {digest} is not what its name says: {found}"))
        }
        StoreError::Damaged { reason, path } => import_error(format!("{}: {reason}", path.display())),
        other => other,
    }
}

#[cfg(test)]
mod tests;
