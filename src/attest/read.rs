//! Reading a JSON blob with its digest checked, without holding a large one: [`read`].

use super::AttestError;
use crate::content::{ContentError, Source};
use crate::oci::{Descriptor, Digest, Hasher};
use serde::de::DeserializeSeed;
use std::io::{self, BufReader, Read};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc;

/// The largest SBoM that is read, in bytes. Those of whole distributions with all their files have some ten million;
/// much more than that is a mistake, or meant to fill a disk.
pub const SBOM_BYTES_MAX: u64 = 128 << 20;
/// Up to this size, in bytes, a document is held while it is parsed, which is three times as fast. Nearly all are
/// smaller, and only one is held at a time.
const HELD_BYTES_MAX: u64 = 16 << 20;
/// Size of the pieces in which a larger one is read, in bytes.
const PIECE_BYTES: usize = 256 << 10;
/// Pieces that are read ahead of the parser.
const PIECES_AHEAD: usize = 4;

/// A document, as its parser gets it.
pub(super) enum Json {
    /// All of it; its digest is right.
    Held(Vec<u8>),
    /// As it comes; whether its digest is right is known at the end.
    Streamed(Pieces),
}

impl Json {
    /// Parses all of it.
    pub(super) fn parse<T, S>(self, seed: S) -> Result<T, serde_json::Error>
    where
        S: for<'de> DeserializeSeed<'de, Value = T>,
    {
        match self {
            Self::Held(bytes) => parse_slice(&bytes, seed),
            Self::Streamed(pieces) => parse_reader(pieces, seed),
        }
    }
}

/// Parses what is held.
pub(super) fn parse_slice<T, S>(bytes: &[u8], seed: S) -> Result<T, serde_json::Error>
where
    S: for<'de> DeserializeSeed<'de, Value = T>,
{
    let mut parser = serde_json::Deserializer::from_slice(bytes);
    let value = seed.deserialize(&mut parser)?;
    parser.end()?;
    Ok(value)
}

/// Parses what comes.
pub(super) fn parse_reader<T, S>(reader: impl Read, seed: S) -> Result<T, serde_json::Error>
where
    S: for<'de> DeserializeSeed<'de, Value = T>,
{
    let mut parser = serde_json::Deserializer::from_reader(BufReader::new(reader));
    let value = seed.deserialize(&mut parser)?;
    parser.end()?;
    Ok(value)
}

/// The pieces of a document, for a parser on a thread that may block. Fails where they end before the document does:
/// whoever sends them has given up.
pub(super) struct Pieces {
    receiver: mpsc::Receiver<Option<Vec<u8>>>,
    piece: io::Cursor<Vec<u8>>,
    is_at_end: bool,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = Read::read(&mut self.piece, buffer)?;
            if count > 0 || self.is_at_end || buffer.is_empty() {
                return Ok(count);
            }
            match self.receiver.blocking_recv() {
                Some(Some(piece)) => self.piece = io::Cursor::new(piece),
                Some(None) => self.is_at_end = true,
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
    }
}

/// Gives `content` to `work`, on a thread that may block. What that comes to is returned only where the bytes are those
/// of the digest. `image` is for errors: what the content is about.
pub(super) async fn read<T: Send + 'static>(
    source: &dyn Source,
    content: &Descriptor,
    image: &Digest,
    expected: &'static str,
    work: impl FnOnce(Json) -> Result<T, serde_json::Error> + Send + 'static,
) -> Result<T, AttestError> {
    if content.size > SBOM_BYTES_MAX {
        return Err(AttestError::TooLarge {
            digest: content.digest.clone(),
            bytes: content.size,
        });
    }
    let opened = source.read(&content.digest, 0).await.map_err(|error| match error {
        ContentError::Missing(digest) => AttestError::Missing {
            what: "the attestation",
            digest,
            image: image.clone(),
        },
        error => error.into(),
    });
    // One byte more shows that there is more than there should be.
    let reader = opened?.take(content.size + 1);
    let parsed = match content.size <= HELD_BYTES_MAX {
        true => hold(reader, content, work).await?,
        false => stream(reader, content, work).await?,
    };
    parsed.map_err(|error| not_as_expected(&error, content, expected))
}

async fn hold<T: Send + 'static>(
    mut reader: impl AsyncRead + Unpin,
    content: &Descriptor,
    work: impl FnOnce(Json) -> Result<T, serde_json::Error> + Send + 'static,
) -> Result<Result<T, serde_json::Error>, AttestError> {
    let mut bytes = Vec::with_capacity(usize::try_from(content.size).unwrap_or_default() + 1);
    let all = reader.read_to_end(&mut bytes).await;
    all.map_err(|error| unreadable(content, error))?;
    check(content, &Digest::of(&bytes), bytes.len() as u64)?;
    join(tokio::task::spawn_blocking(move || work(Json::Held(bytes)))).await
}

async fn stream<T: Send + 'static>(
    mut reader: impl AsyncRead + Unpin,
    content: &Descriptor,
    work: impl FnOnce(Json) -> Result<T, serde_json::Error> + Send + 'static,
) -> Result<Result<T, serde_json::Error>, AttestError> {
    let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
    let pieces = Pieces {
        receiver,
        piece: io::Cursor::default(),
        is_at_end: false,
    };
    // Ends by itself when the sender is dropped.
    let worker = tokio::task::spawn_blocking(move || work(Json::Streamed(pieces)));
    let (mut hasher, mut size) = (Hasher::default(), 0);
    loop {
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        let mut part = (&mut reader).take(PIECE_BYTES as u64);
        let count = part
            .read_to_end(&mut piece)
            .await
            .map_err(|error| unreadable(content, error))?;
        if count == 0 {
            break;
        }
        hasher.update(&piece);
        size += count as u64;
        // A parser that has stopped wants no more; whether the bytes are right is still of interest.
        let _ = sender.send(Some(piece)).await;
    }
    let checked = check(content, &hasher.finish(), size);
    if checked.is_ok() {
        let _ = sender.send(None).await;
    }
    drop(sender);
    let parsed = join(worker).await?;
    Ok(checked.map(|()| parsed)?)
}

async fn join<T>(worker: tokio::task::JoinHandle<T>) -> Result<T, AttestError> {
    match worker.await {
        Ok(value) => Ok(value),
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(io::Error::from(io::ErrorKind::Interrupted).into()), // the runtime is being shut down
    }
}

fn check(content: &Descriptor, digest: &Digest, size: u64) -> Result<(), ContentError> {
    let found = match (size == content.size, *digest == content.digest) {
        (true, true) => return Ok(()),
        (true, false) => format!("the bytes are {digest}"),
        (false, _) if size > content.size => format!("more than {} bytes", content.size),
        (false, _) => format!("{size} bytes instead of {}", content.size),
    };
    Err(ContentError::Mismatch {
        expected: content.digest.clone(),
        found,
    })
}

fn unreadable(content: &Descriptor, source: io::Error) -> ContentError {
    ContentError::Failed {
        doing: format!("read the attestation {}", content.digest),
        source: Box::new(source),
    }
}

fn not_as_expected(error: &serde_json::Error, content: &Descriptor, expected: &'static str) -> AttestError {
    let (digest, reason) = (content.digest.clone(), error.to_string());
    match error.classify() {
        serde_json::error::Category::Data => AttestError::Shape {
            digest,
            expected,
            reason,
        },
        _ => AttestError::NotJson { digest, reason },
    }
}
