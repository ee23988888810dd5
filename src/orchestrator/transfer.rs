//! Content on its way, told as progress: [`Transfer`] is one vertex with a line for each blob.

use super::OrchestratorError;
use crate::content::{BlobReader, ContentError, Copied, Sink};
use crate::event::{CancellationToken, Event, Events, Outcome, Progress, Step, Vertex};
use crate::oci::{Descriptor, Digest};
use crate::registry::{BlobState, PushProgress, Pushed};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};
use tokio::io::{AsyncRead, ReadBuf};

/// How often a blob says how far it is: as often as a terminal is redrawn.
const TOLD_EVERY: Duration = Duration::from_millis(100);

/// Blobs that travel for one step.
pub(super) struct Transfer {
    events: Events,
    step: Step,
    began: Instant,
    vertex: Vertex,
    told: Mutex<BTreeMap<Digest, Told>>,
}

/// What travelled in the end.
pub(super) struct Moved {
    /// In one word: `pushed`, `pulled`.
    how: &'static str,
    digest: Digest,
    blobs: usize,
    bytes: u64,
}

impl Moved {
    /// `digest` is in the registry; so much was sent for it.
    pub(super) fn pushed(digest: &Digest, pushed: &Pushed) -> Self {
        Self {
            how: "pushed",
            digest: digest.clone(),
            blobs: pushed.sent,
            bytes: pushed.sent_bytes,
        }
    }

    /// `digest` is in the store; so much was copied for it.
    pub(super) fn pulled(digest: &Digest, copied: Copied) -> Self {
        Self {
            how: "pulled",
            digest: digest.clone(),
            blobs: copied.sent,
            bytes: copied.sent_bytes,
        }
    }
}

/// What was last said of a blob.
struct Told {
    began: SystemTime,
    at: Instant,
    bytes: u64,
}

impl Transfer {
    /// Begins a step, `step` at `place`, with `doing` as its only vertex.
    pub(super) async fn begin(events: &Events, step: &str, place: &str, doing: &str) -> Arc<Self> {
        let transfer = Arc::new(Self {
            events: events.clone(),
            step: Step::from(step),
            began: Instant::now(),
            vertex: Vertex {
                digest: Digest::of(doing.as_bytes()).to_string(),
                name: doing.to_owned(),
                started: Some(SystemTime::now()),
                ..Vertex::default()
            },
            told: Mutex::default(),
        });
        let started = Event::StepStarted {
            step: Step::clone(&transfer.step),
            platforms: Vec::new(),
            endpoint: place.to_owned(),
        };
        events.send(started).await;
        transfer.tell_vertex(None).await;
        transfer
    }

    /// Waits for `work`, unless it is cancelled, and tells how the step ended.
    pub(super) async fn end<T>(
        &self,
        cancel: &CancellationToken,
        work: impl Future<Output = Result<(T, Moved), OrchestratorError>>,
    ) -> Result<T, OrchestratorError> {
        let done = cancel.run_until_cancelled(work).await;
        let result = done.unwrap_or(Err(OrchestratorError::Cancelled));
        let outcome = match &result {
            Ok((_, moved)) => {
                self.tell_vertex(Some(SystemTime::now())).await;
                Outcome::Moved {
                    how: moved.how,
                    digest: moved.digest.to_string(),
                    blobs: moved.blobs,
                    bytes: moved.bytes,
                }
            }
            Err(error) if error.is_cancelled() => Outcome::Cancelled,
            Err(error) => Outcome::Failed(error.to_string()),
        };
        let ended = Event::StepFinished {
            step: Step::clone(&self.step),
            outcome,
            took: self.began.elapsed(),
        };
        self.events.send(ended).await;
        result.map(|(value, _)| value)
    }

    async fn tell_vertex(&self, completed: Option<SystemTime>) {
        let vertex = Vertex {
            completed,
            ..self.vertex.clone()
        };
        let step = Step::clone(&self.step);
        self.events.send(Event::Vertex { step, vertex }).await;
    }

    /// What a push calls.
    pub(super) fn pushed(&self, progress: &PushProgress) {
        let PushProgress {
            digest,
            size_bytes,
            state,
        } = progress;
        match state {
            BlobState::Sending(sent_bytes) => self.moved(digest, *sent_bytes, *size_bytes),
            // What does not travel is no progress.
            BlobState::Found | BlobState::Mounted => {}
            BlobState::Sent => self.moved(digest, *size_bytes, *size_bytes),
        }
    }

    /// So much of a blob has been sent. Called often.
    fn moved(&self, digest: &Digest, current: u64, total: u64) {
        let (is_done, now) = (current >= total, Instant::now());
        let began = {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            match told.get_mut(digest) {
                Some(told) if told.bytes == current || !is_done && now.duration_since(told.at) < TOLD_EVERY => return,
                Some(told) => {
                    (told.at, told.bytes) = (now, current);
                    told.began
                }
                None => {
                    let (began, at, bytes) = (SystemTime::now(), now, current);
                    told.insert(digest.clone(), Told { began, at, bytes });
                    began
                }
            }
        };
        let progress = Progress {
            id: digest.to_string(),
            vertex: self.vertex.digest.clone(),
            name: "transferring".to_owned(),
            current: i64::try_from(current).unwrap_or(i64::MAX),
            total: i64::try_from(total).unwrap_or(i64::MAX),
            started: Some(began),
            completed: is_done.then(SystemTime::now),
        };
        let step = Step::clone(&self.step);
        self.events.offer(Event::Progress { step, progress });
    }

    /// `sink`, with what it is given told as progress.
    pub(super) fn watch<'a>(self: &Arc<Self>, sink: &'a dyn Sink) -> Watched<'a> {
        Watched {
            sink,
            transfer: Arc::clone(self),
        }
    }
}

/// A sink that is watched.
pub(super) struct Watched<'a> {
    sink: &'a dyn Sink,
    transfer: Arc<Transfer>,
}

#[async_trait]
impl Sink for Watched<'_> {
    async fn has(&self, descriptor: &Descriptor) -> Result<bool, ContentError> {
        self.sink.has(descriptor).await
    }

    async fn put(&self, descriptor: &Descriptor, bytes: BlobReader) -> Result<(), ContentError> {
        let counted = Counted {
            bytes,
            read: 0,
            size: descriptor.size,
            digest: descriptor.digest.clone(),
            transfer: Arc::clone(&self.transfer),
        };
        self.sink.put(descriptor, Box::pin(counted)).await
    }

    async fn set(&self, name: &str, descriptor: &Descriptor) -> Result<(), ContentError> {
        self.sink.set(name, descriptor).await
    }

    async fn list_referrer(&self, subject: &Digest, referrer: &Descriptor) -> Result<(), ContentError> {
        self.sink.list_referrer(subject, referrer).await
    }
}

/// Bytes that are counted as they are read.
struct Counted {
    bytes: BlobReader,
    read: u64,
    size: u64,
    digest: Digest,
    transfer: Arc<Transfer>,
}

impl AsyncRead for Counted {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let polled = this.bytes.as_mut().poll_read(context, buffer);
        let read = (buffer.filled().len() - before) as u64;
        if read > 0 {
            this.read += read;
            this.transfer.moved(&this.digest, this.read, this.size);
        }
        polled
    }
}
