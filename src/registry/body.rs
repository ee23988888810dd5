//! What is sent: bodies that are opened anew for every try and every hop, streamed, and watched while they travel.

use super::clients::READ_TIMEOUT;
use super::error::RegistryError;
use crate::content::{ContentError, Source};
use crate::oci::Digest;
use bytes::Bytes;
use futures_util::TryStreamExt;
use futures_util::stream::{self, StreamExt};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio_util::io::ReaderStream;

/// How long a registry may take for its answer when it has everything: some copy a blob within their storage first, and
/// that is gigabytes.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(300);
/// Pieces in which a blob is read: large enough that reading costs little, small enough for eight at once.
const PIECE_BYTES: usize = 256 << 10;

/// The body of a request.
#[derive(Clone)]
pub(super) enum Body<'a> {
    /// None at all; a length of 0 is stated where the method has a body.
    Empty,
    /// A small one.
    Bytes(Bytes),
    /// A part of a blob.
    Part(Part<'a>),
}

/// Bytes of a blob, from `offset` on.
#[derive(Clone)]
pub(super) struct Part<'a> {
    pub(super) source: &'a dyn Source,
    pub(super) digest: &'a Digest,
    pub(super) offset: u64,
    pub(super) length_bytes: u64,
    /// Told how much of the blob has been handed over.
    pub(super) meter: Arc<Meter>,
}

/// Who is told how many bytes of a blob have been handed to the network.
pub(super) type Listener = Box<dyn Fn(u64) + Send + Sync>;

/// How far a blob has got, and what broke on our side.
#[derive(Default)]
pub(super) struct Meter {
    /// From the beginning of the blob; a repeated part is counted once.
    at: AtomicU64,
    /// Bytes that were ever handed over: grows as long as there is headway.
    moved: AtomicU64,
    broken: Mutex<Option<ContentError>>,
    listener: Option<Listener>,
}

impl Meter {
    pub(super) fn new(listener: Option<Listener>) -> Self {
        Self {
            listener,
            ..Self::default()
        }
    }

    /// Bytes that were ever handed over.
    pub(super) fn moved(&self) -> u64 {
        self.moved.load(Ordering::Relaxed)
    }

    fn place(&self, at: u64) {
        self.at.store(at, Ordering::Relaxed);
    }

    fn advance(&self, bytes: u64) {
        self.moved.fetch_add(bytes, Ordering::Relaxed);
        let at = self.at.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if let Some(listener) = &self.listener {
            listener(at);
        }
    }

    fn broke(&self, error: ContentError) {
        *self.broken.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    fn take_broken(&self) -> Option<ContentError> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Part<'_> {
    /// Opens it. The stream ends in an error where there are fewer bytes than were promised.
    async fn open(&self) -> Result<reqwest::Body, RegistryError> {
        let reader = self.source.read(self.digest, self.offset).await?;
        let pieces = ReaderStream::with_capacity(reader.take(self.length_bytes), PIECE_BYTES);
        let (meter, digest, wanted) = (Arc::clone(&self.meter), self.digest.clone(), self.length_bytes);
        meter.place(self.offset);
        let unread = move |error: io::Error, digest: &Digest| ContentError::Failed {
            doing: format!("read content {digest}"),
            source: Box::new(error),
        };
        // What breaks here reaches the HTTP client as "the body broke", which does not say whose fault it was.
        let state = (pieces, meter, digest, wanted);
        let stream = stream::try_unfold(state, move |(mut pieces, meter, digest, left)| async move {
            let broken = match pieces.next().await {
                Some(Ok(piece)) => {
                    meter.advance(piece.len() as u64);
                    let left = left - piece.len() as u64;
                    return Ok(Some((piece, (pieces, meter, digest, left))));
                }
                None if left == 0 => return Ok(None),
                None => unread(io::ErrorKind::UnexpectedEof.into(), &digest),
                Some(Err(error)) => unread(error, &digest),
            };
            meter.broke(broken);
            Err(io::Error::other("the content cannot be read"))
        });
        Ok(reqwest::Body::wrap_stream(stream.into_stream()))
    }
}

impl Body<'_> {
    /// How many bytes it has.
    pub(super) fn length_bytes(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Part(part) => part.length_bytes,
        }
    }

    /// Whether it can take so long that only its headway can be watched.
    pub(super) fn is_streamed(&self) -> bool {
        matches!(self, Self::Part(_))
    }

    /// The body itself, from its beginning.
    pub(super) async fn open(&self) -> Result<reqwest::Body, RegistryError> {
        match self {
            Self::Empty => Ok(Bytes::new().into()),
            Self::Bytes(bytes) => Ok(bytes.clone().into()),
            Self::Part(part) => part.open().await,
        }
    }

    /// Waits for the answer to a request with this body; an error when there is no headway any more.
    pub(super) async fn watch(
        &self,
        url: &reqwest::Url,
        sending: impl Future<Output = reqwest::Result<reqwest::Response>>,
    ) -> Result<reqwest::Response, RegistryError> {
        let unanswered = |error| RegistryError::unanswered(url, error);
        let Self::Part(part) = self else {
            return sending.await.map_err(unanswered);
        };
        let meter = &part.meter;
        let end = part.offset + part.length_bytes;
        tokio::pin!(sending);
        loop {
            let before = meter.moved();
            let is_all_sent = meter.at.load(Ordering::Relaxed) >= end;
            let patience = if is_all_sent { ANSWER_TIMEOUT } else { READ_TIMEOUT };
            match tokio::time::timeout(patience, &mut sending).await {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(error)) => {
                    return Err(meter
                        .take_broken()
                        .map_or_else(|| unanswered(error), RegistryError::Content));
                }
                Err(_) if meter.moved() == before => return Err(RegistryError::silent(url, patience)),
                Err(_) => {}
            }
        }
    }
}
