//! What happens, as data. Hands and the hallway send events; renderers in `cli` show them. Nobody else prints.

use crate::oci::Platform;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc;

pub use tokio_util::sync::CancellationToken;

/// How many events may wait for the renderer before the senders wait for it.
const CAPACITY: usize = 1024;

/// What the user asked for that a number of events belong to: one package, by its tag.
pub type Step = Arc<str>;

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A sentence for the user that belongs to no step ("starting buildkitd …").
    Notice(String),
    /// Something that the user should mend but that stops nothing.
    Warning(String),
    /// Work on a package begins.
    StepStarted {
        /// The package.
        step: Step,
        /// Platforms that are built.
        platforms: Vec<Platform>,
        /// Name of the endpoint that builds.
        endpoint: String,
    },
    /// A vertex of BuildKit's graph changed. Sent again at each change; the last one counts.
    Vertex {
        /// The package.
        step: Step,
        /// Its state now.
        vertex: Vertex,
    },
    /// Progress inside a vertex (a layer that is pulled, for example).
    Progress {
        /// The package.
        step: Step,
        /// Its state now.
        progress: Progress,
    },
    /// Output of a vertex.
    Log {
        /// The package.
        step: Step,
        /// Digest of the vertex.
        vertex: String,
        /// Whether it came on standard error.
        is_stderr: bool,
        /// The bytes as they came: not always whole lines, not always UTF-8.
        bytes: Vec<u8>,
        /// When, by BuildKit's clock.
        at: Option<SystemTime>,
    },
    /// A warning of BuildKit's frontend, such as a lint of the Dockerfile.
    BuildWarning {
        /// The package.
        step: Step,
        /// One line.
        text: String,
        /// Where in the Dockerfile: line, counted from 1; 0 when unknown.
        line: u32,
    },
    /// Work on a package has ended.
    StepFinished {
        /// The package.
        step: Step,
        /// How.
        outcome: Outcome,
        /// How long it took.
        took: Duration,
    },
}

/// A vertex of BuildKit's graph (moby.buildkit.v1.Vertex).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Vertex {
    /// Digest, its identity.
    pub digest: String,
    /// Digests of the vertices it waits for.
    pub inputs: Vec<String>,
    /// `[linux/arm64 2/3] RUN make`, `[internal] load build definition from Dockerfile`, …
    pub name: String,
    /// Whether its result came from the cache.
    pub is_cached: bool,
    /// When it began, by BuildKit's clock.
    pub started: Option<SystemTime>,
    /// When it ended.
    pub completed: Option<SystemTime>,
    /// Why it failed; empty when it did not.
    pub error: String,
    /// Groups vertices that belong together (exporting, for example); empty when none.
    pub group: String,
}

/// Progress inside a vertex (moby.buildkit.v1.VertexStatus).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// Identity within the vertex; a layer's digest, for example.
    pub id: String,
    /// Digest of the vertex.
    pub vertex: String,
    /// What is done: `extracting`, `transferring context`, …
    pub name: String,
    /// Done so far; bytes, where `total` counts bytes.
    pub current: i64,
    /// All there is to do; 0 when unknown.
    pub total: i64,
    /// When it began.
    pub started: Option<SystemTime>,
    /// When it ended.
    pub completed: Option<SystemTime>,
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Built; the digest of its index.
    Built(String),
    /// Brought from one place to another.
    Moved {
        /// In one word: `pushed`, `pulled`.
        how: &'static str,
        /// Digest of what came to be there.
        digest: String,
        /// Blobs that travelled.
        blobs: usize,
        /// Their sizes, in bytes.
        bytes: u64,
    },
    /// Failed; the reason, one line.
    Failed(String),
    /// Cancelled by the user, or because something else failed.
    Cancelled,
}

/// Where events go. Cloned freely; sending waits when the renderer is behind, and is quiet when nobody listens.
#[derive(Clone)]
pub struct Events(mpsc::Sender<Event>);

impl Events {
    /// A bounded channel of events.
    pub fn channel() -> (Self, mpsc::Receiver<Event>) {
        let (sender, receiver) = mpsc::channel(CAPACITY);
        (Self(sender), receiver)
    }

    /// Sends to nobody: for calls whose progress is of no interest.
    pub fn silent() -> Self {
        Self::channel().0
    }

    /// Sends one event.
    pub async fn send(&self, event: Event) {
        // A closed channel means that nobody looks any more, which is no reason to stop the work.
        let _ = self.0.send(event).await;
    }

    /// Sends an event that may be lost, such as a state that the next one replaces: it is dropped when the renderer is
    /// behind. Never waits.
    pub fn offer(&self, event: Event) {
        let _ = self.0.try_send(event);
    }

    /// Sends a [`Event::Notice`].
    pub async fn notice(&self, text: impl Into<String>) {
        self.send(Event::Notice(text.into())).await;
    }
}
