//! BuildKit's status stream → events.

use super::request::BuildWarning;
use crate::event::{Event, Events, Progress, Step, Vertex};
use bollard_buildkit_proto::google::protobuf::Timestamp;
use bollard_buildkit_proto::moby::buildkit::v1::control_client::ControlClient;
use bollard_buildkit_proto::moby::buildkit::v1::{
    StatusRequest, StatusResponse, Vertex as WireVertex, VertexLog, VertexStatus, VertexWarning,
};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};
use tonic::transport::Channel;

/// How much of a step's last output is kept to tell why it failed.
const TAIL_MAX_BYTES: usize = 4 * 1024;
/// How many warnings are kept for the caller; all are sent as events.
const WARNINGS_MAX: usize = 100;
/// The error of a vertex that was given up because another one failed.
const CANCELLED: &str = "context canceled";
/// How the vertices begin that read and write caches. BuildKit goes on where the one fails, and the other may.
const CACHE_VERTICES: [(&str, &str); 2] = [
    ("importing cache manifest from ", "is not read"),
    ("exporting cache to ", "is not written"),
];
/// The stream of standard error.
const STDERR: i64 = 2;

/// Sends events, and remembers what the result needs.
pub struct Watcher<'a> {
    step: &'a Step,
    events: &'a Events,
    /// Vertices that did not end well yet, by digest.
    open: BTreeMap<String, Watched>,
    /// What the frontend complained about.
    pub warnings: Vec<BuildWarning>,
}

#[derive(Default)]
struct Watched {
    name: String,
    error: String,
    tail: Vec<u8>,
}

impl<'a> Watcher<'a> {
    pub fn new(step: &'a Step, events: &'a Events) -> Self {
        Self {
            step,
            events,
            open: BTreeMap::new(),
            warnings: Vec::new(),
        }
    }

    /// Watches the build `reference` until BuildKit ends the stream. What goes wrong with the stream is not reported: the
    /// solve says it better.
    pub async fn watch(&mut self, mut client: ControlClient<Channel>, reference: String) {
        let request = StatusRequest { r#ref: reference };
        let Ok(response) = client.status(request).await else {
            return;
        };
        let mut stream = response.into_inner();
        while let Ok(Some(response)) = stream.message().await {
            self.take(response).await;
        }
    }

    /// Name and last output of a vertex that failed. An empty digest stands for the first vertex that has an error of its
    /// own: the others are cancelled then.
    pub fn failed(&self, digest: &str) -> (String, String) {
        let is_own = |watched: &&Watched| !watched.error.is_empty() && !watched.error.contains(CANCELLED);
        let first = || self.open.values().find(is_own);
        match self.open.get(digest).or_else(|| first().filter(|_| digest.is_empty())) {
            Some(watched) => (
                watched.name.clone(),
                String::from_utf8_lossy(&watched.tail).into_owned(),
            ),
            None => Default::default(),
        }
    }

    /// For a build that went well: says which caches had no part in it.
    pub async fn warn_of_caches(&self) {
        for watched in self.open.values().filter(|watched| !watched.error.is_empty()) {
            for (begin, what) in CACHE_VERTICES {
                if let Some(place) = watched.name.strip_prefix(begin) {
                    let text = format!("{}: the cache {place} {what}: {}", self.step, watched.error);
                    self.events.send(Event::Warning(text)).await;
                }
            }
        }
    }

    async fn take(&mut self, response: StatusResponse) {
        for vertex in response.vertexes {
            let vertex = vertex_of(vertex);
            self.remember(&vertex);
            self.events
                .send(Event::Vertex {
                    step: self.step.clone(),
                    vertex,
                })
                .await;
        }
        for status in response.statuses {
            let progress = progress_of(status);
            self.events
                .send(Event::Progress {
                    step: self.step.clone(),
                    progress,
                })
                .await;
        }
        for log in response.logs {
            self.log(log).await;
        }
        for warning in response.warnings {
            let warning = warning_of(&warning);
            let event = Event::BuildWarning {
                step: self.step.clone(),
                text: warning.text.clone(),
                line: warning.line,
            };
            self.events.send(event).await;
            // Each platform can complain about the same line.
            if self.warnings.len() < WARNINGS_MAX && !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
    }

    fn remember(&mut self, vertex: &Vertex) {
        if vertex.completed.is_some() && vertex.error.is_empty() {
            self.open.remove(&vertex.digest);
            return;
        }
        let watched = self.open.entry(vertex.digest.clone()).or_default();
        watched.name.clone_from(&vertex.name);
        watched.error.clone_from(&vertex.error);
    }

    async fn log(&mut self, log: VertexLog) {
        if let Some(watched) = self.open.get_mut(&log.vertex) {
            watched.tail.extend_from_slice(&log.msg);
            let surplus = watched.tail.len().saturating_sub(TAIL_MAX_BYTES);
            watched.tail.drain(..surplus);
        }
        let event = Event::Log {
            step: self.step.clone(),
            vertex: log.vertex,
            is_stderr: log.stream == STDERR,
            bytes: log.msg,
            at: log.timestamp.and_then(time),
        };
        self.events.send(event).await;
    }
}

fn vertex_of(vertex: WireVertex) -> Vertex {
    Vertex {
        digest: vertex.digest,
        inputs: vertex.inputs,
        name: vertex.name,
        is_cached: vertex.cached,
        started: vertex.started.and_then(time),
        completed: vertex.completed.and_then(time),
        error: vertex.error,
        group: vertex.progress_group.map(|group| group.name).unwrap_or_default(),
    }
}

fn progress_of(status: VertexStatus) -> Progress {
    Progress {
        id: status.id,
        vertex: status.vertex,
        name: status.name,
        current: status.current,
        total: status.total,
        started: status.started.and_then(time),
        completed: status.completed.and_then(time),
    }
}

fn warning_of(warning: &VertexWarning) -> BuildWarning {
    let mut text = String::from_utf8_lossy(&warning.short).trim().to_owned();
    if !warning.url.is_empty() {
        text.push_str(&format!(" (more info: {})", warning.url));
    }
    let start = warning.ranges.first().and_then(|range| range.start);
    BuildWarning {
        text,
        line: start.and_then(|at| u32::try_from(at.line).ok()).unwrap_or_default(),
    }
}

/// A moment of BuildKit's clock; what lies outside of what this machine can name is unknown.
pub(super) fn time(timestamp: Timestamp) -> Option<SystemTime> {
    let seconds = u64::try_from(timestamp.seconds).ok()?;
    let nanoseconds = u32::try_from(timestamp.nanos)
        .ok()
        .filter(|nanoseconds| *nanoseconds < 1_000_000_000)?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bollard_buildkit_proto::pb;

    #[test]
    fn moments_are_converted() {
        let at = |seconds, nanos| time(Timestamp { seconds, nanos });
        assert_eq!(at(1, 5), SystemTime::UNIX_EPOCH.checked_add(Duration::new(1, 5)));
        assert_eq!((at(-1, 0), at(0, -1), at(0, 1_000_000_000)), (None, None, None));
    }

    #[tokio::test]
    async fn a_failed_vertex_is_remembered_with_the_end_of_its_output() {
        let (events, mut sent) = Events::channel();
        let step: Step = "x".into();
        let mut watcher = Watcher::new(&step, &events);
        let vertex = |digest: &str, error: &str, completed| WireVertex {
            digest: digest.into(),
            name: format!("RUN {digest}"),
            error: error.into(),
            completed,
            ..WireVertex::default()
        };
        let log = |msg: Vec<u8>| VertexLog {
            vertex: "b".into(),
            stream: STDERR,
            msg,
            ..VertexLog::default()
        };
        let done = Some(Timestamp { seconds: 1, nanos: 0 });
        let range = pb::Range {
            start: Some(pb::Position { line: 3, character: 0 }),
            end: None,
        };
        watcher
            .take(StatusResponse {
                vertexes: vec![vertex("a", "", None), vertex("b", "", None)],
                logs: vec![log(vec![b'x'; TAIL_MAX_BYTES]), log(b"the end".to_vec())],
                warnings: vec![VertexWarning {
                    short: b"odd".to_vec(),
                    ranges: vec![range],
                    ..Default::default()
                }],
                ..StatusResponse::default()
            })
            .await;
        let vertexes = vec![vertex("a", "", done), vertex("b", "exit code: 1", done)];
        watcher
            .take(StatusResponse {
                vertexes,
                ..StatusResponse::default()
            })
            .await;
        assert_eq!(watcher.failed("a"), Default::default());
        let (name, tail) = watcher.failed("b");
        assert_eq!(
            (name.as_str(), tail.len(), tail.ends_with("the end")),
            ("RUN b", TAIL_MAX_BYTES, true)
        );
        assert_eq!(watcher.failed("").0, "RUN b");
        assert_eq!(
            watcher.warnings,
            [BuildWarning {
                text: "odd".into(),
                line: 3
            }]
        );
        let mut count = 0;
        while sent.try_recv().is_ok() {
            count += 1;
        }
        assert_eq!(count, 7);
    }
}
