//! Events for programs: one JSON object a line, in the shape of BuildKit's `--progress=rawjson` (its SolveStatus) with
//! the package beside it. [`line`] is all; it needs no model and leaves nothing out.
//!
//! The names of the fields are a promise to users, written down in docs/concepts/output.md.

use crate::event::{Event, Outcome, Progress, Vertex};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use std::time::SystemTime;

/// One line. Empty lists and fields are left out, as BuildKit does.
#[derive(Debug, Default, Serialize)]
struct Status<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    vertexes: Vec<VertexJson<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    statuses: Vec<StatusJson<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    logs: Vec<LogJson<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<WarningJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notice: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started: Option<StartedJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished: Option<FinishedJson<'a>>,
}

#[derive(Debug, Serialize)]
struct VertexJson<'a> {
    digest: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    inputs: &'a [String],
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    started: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cached: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    error: &'a str,
    #[serde(rename = "progressGroup", skip_serializing_if = "Option::is_none")]
    progress_group: Option<GroupJson<'a>>,
}

#[derive(Debug, Serialize)]
struct GroupJson<'a> {
    name: &'a str,
}

#[derive(Debug, Serialize)]
struct StatusJson<'a> {
    id: &'a str,
    vertex: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    total: i64,
    current: i64,
    timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    started: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed: Option<String>,
}

#[derive(Debug, Serialize)]
struct LogJson<'a> {
    vertex: &'a str,
    /// 1 is standard output, 2 standard error.
    stream: u8,
    /// Base64, so that nothing is lost of what is not UTF-8.
    data: String,
    timestamp: String,
}

#[derive(Debug, Serialize)]
struct WarningJson {
    /// Base64.
    short: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    range: Vec<RangeJson>,
}

#[derive(Debug, Serialize)]
struct RangeJson {
    start: PositionJson,
    end: PositionJson,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct PositionJson {
    line: u32,
}

#[derive(Debug, Serialize)]
struct StartedJson<'a> {
    platforms: Vec<String>,
    endpoint: &'a str,
}

#[derive(Debug, Serialize)]
struct FinishedJson<'a> {
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(rename = "tookMs")]
    took_ms: u64,
}

/// An event as one line of JSON, without its end. `now` stands in where an event has no time of its own.
pub(super) fn line(event: &Event, now: SystemTime) -> Result<String, serde_json::Error> {
    serde_json::to_string(&status(event, now))
}

fn status(event: &Event, now: SystemTime) -> Status<'_> {
    let own = |step| Status {
        step,
        timestamp: Some(time(now)),
        ..Status::default()
    };
    let of = |step| Status {
        step: Some(step),
        ..Status::default()
    };
    match event {
        Event::Notice(text) => Status {
            notice: Some(text),
            ..own(None)
        },
        Event::Warning(text) => Status {
            warning: Some(text),
            ..own(None)
        },
        Event::StepStarted {
            step,
            platforms,
            endpoint,
        } => {
            let platforms = platforms.iter().map(ToString::to_string).collect();
            Status {
                started: Some(StartedJson { platforms, endpoint }),
                ..own(Some(step))
            }
        }
        Event::Vertex { step, vertex } => Status {
            vertexes: vec![vertex_json(vertex)],
            ..of(step)
        },
        Event::Progress { step, progress } => Status {
            statuses: vec![status_json(progress, now)],
            ..of(step)
        },
        Event::Log {
            step,
            vertex,
            is_stderr,
            bytes,
            at,
        } => {
            let (stream, timestamp) = (if *is_stderr { 2 } else { 1 }, time(at.unwrap_or(now)));
            Status {
                logs: vec![LogJson {
                    vertex,
                    stream,
                    data: STANDARD.encode(bytes),
                    timestamp,
                }],
                ..of(step)
            }
        }
        Event::BuildWarning { step, text, line } => {
            let position = PositionJson { line: *line };
            let range = if *line == 0 {
                Vec::new()
            } else {
                vec![RangeJson {
                    start: position,
                    end: position,
                }]
            };
            Status {
                warnings: vec![WarningJson {
                    short: STANDARD.encode(text),
                    range,
                }],
                ..own(Some(step))
            }
        }
        Event::StepFinished { step, outcome, took } => {
            let (outcome, digest, reason) = match outcome {
                Outcome::Built(digest) => ("built", Some(digest.as_str()), None),
                Outcome::Moved { how, digest, .. } => (*how, Some(digest.as_str()), None),
                Outcome::Failed(reason) => ("failed", None, Some(reason.as_str())),
                Outcome::Cancelled => ("cancelled", None, None),
            };
            let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            Status {
                finished: Some(FinishedJson {
                    outcome,
                    digest,
                    reason,
                    took_ms,
                }),
                ..own(Some(step))
            }
        }
    }
}

fn vertex_json(vertex: &Vertex) -> VertexJson<'_> {
    VertexJson {
        digest: &vertex.digest,
        inputs: &vertex.inputs,
        name: &vertex.name,
        started: vertex.started.map(time),
        completed: vertex.completed.map(time),
        cached: vertex.is_cached,
        error: &vertex.error,
        progress_group: Some(GroupJson { name: &vertex.group }).filter(|group| !group.name.is_empty()),
    }
}

fn status_json(progress: &Progress, now: SystemTime) -> StatusJson<'_> {
    StatusJson {
        id: &progress.id,
        vertex: &progress.vertex,
        name: &progress.name,
        total: progress.total,
        current: progress.current,
        timestamp: time(progress.completed.unwrap_or(now)),
        started: progress.started.map(time),
        completed: progress.completed.map(time),
    }
}

/// RFC 3339 in UTC with as many digits of a second as are needed, at most nine.
fn time(time: SystemTime) -> String {
    prost_types::Timestamp::from(time).to_string()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}
