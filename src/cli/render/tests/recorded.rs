//! Recordings of `buildctl build --progress=rawjson`, played in every style.

use super::*;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// The events of a recording and when they came. Within a message, ends of vertices come before their last output: the
/// hardest order that there is.
fn recording(text: &str, package: &str) -> Vec<(u64, Event)> {
    let mut events: Vec<(SystemTime, Event)> = Vec::new();
    let mut now = None;
    for line in text.lines() {
        let status: Value = serde_json::from_str(line).unwrap();
        let list = |name: &str| status[name].as_array().cloned().unwrap_or_default();
        let mut found = Vec::new();
        found.extend(list("vertexes").iter().map(|json| Event::Vertex {
            step: step(package),
            vertex: a_vertex(json),
        }));
        found.extend(list("statuses").iter().map(|json| Event::Progress {
            step: step(package),
            progress: a_progress(json),
        }));
        found.extend(list("logs").iter().map(|json| Event::Log {
            step: step(package),
            vertex: text_of(json, "vertex"),
            is_stderr: json["stream"] == 2,
            bytes: STANDARD.decode(text_of(json, "data")).unwrap(),
            at: time_of(json, "timestamp"),
        }));
        let times = ["vertexes", "statuses", "logs"]
            .into_iter()
            .flat_map(list)
            .flat_map(|json| {
                ["started", "completed", "timestamp"]
                    .into_iter()
                    .filter_map(move |name| time_of(&json, name))
            });
        now = now.max(times.max());
        events.extend(
            found
                .into_iter()
                .map(|event| (now.unwrap_or(SystemTime::UNIX_EPOCH), event)),
        );
    }
    let first = events
        .iter()
        .map(|(at, _)| *at)
        .find(|at| *at > SystemTime::UNIX_EPOCH)
        .unwrap();
    let since = |at: SystemTime| at.duration_since(first).unwrap_or_default().as_millis() as u64;
    events.into_iter().map(|(at, event)| (since(at), event)).collect()
}

fn text_of(json: &Value, name: &str) -> String {
    json[name].as_str().unwrap_or_default().to_owned()
}

fn time_of(json: &Value, name: &str) -> Option<SystemTime> {
    let timestamp: prost_types::Timestamp = json[name].as_str()?.parse().unwrap();
    Some(timestamp.try_into().unwrap())
}

fn a_vertex(json: &Value) -> Vertex {
    let inputs = json["inputs"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|input| input.as_str().unwrap().to_owned());
    Vertex {
        digest: text_of(json, "digest"),
        inputs: inputs.collect(),
        name: text_of(json, "name"),
        is_cached: json["cached"] == true,
        started: time_of(json, "started"),
        completed: time_of(json, "completed"),
        error: text_of(json, "error"),
        group: String::new(),
    }
}

fn a_progress(json: &Value) -> Progress {
    Progress {
        id: text_of(json, "id"),
        vertex: text_of(json, "vertex"),
        name: text_of(json, "name"),
        current: json["current"].as_i64().unwrap_or(0),
        total: json["total"].as_i64().unwrap_or(0),
        started: time_of(json, "started"),
        completed: time_of(json, "completed"),
    }
}

const FAILING: &str = include_str!("../../../../tests/data/render/failing.json");
const TWO_PLATFORMS: &str = include_str!("../../../../tests/data/render/two-platforms.json");
const CACHED: &str = include_str!("../../../../tests/data/render/cached.json");

/// A recording between the beginning and the end of its package.
fn package(text: &str, package: &str, architectures: &[&str], outcome: Outcome) -> Vec<(u64, Event)> {
    let mut events = recording(text, package);
    let end = events.last().unwrap().0;
    events.insert(0, (0, begin(package, architectures)));
    events.push((end, finish(package, outcome, end)));
    events
}

fn failing() -> Vec<(u64, Event)> {
    package(
        FAILING,
        HELLO,
        &["amd64"],
        Outcome::Failed("RUN exited with code 7".into()),
    )
}

fn two_platforms(name: &str) -> Vec<(u64, Event)> {
    package(
        TWO_PLATFORMS,
        name,
        &["amd64", "arm64"],
        Outcome::Built(format!("sha256:{}", "0b".repeat(32))),
    )
}

#[test]
fn a_failing_build_ends_with_what_failed() {
    golden!("failing.plain", show(Style::Plain, failing()));
    golden!("failing.quiet", show(Style::Quiet, failing()));
}

#[test]
fn two_platforms_are_told_apart() {
    golden!("two-platforms.plain", show(Style::Plain, two_platforms(HELLO)));
}

#[test]
fn what_is_cached_is_said_to_be() {
    let events = package(CACHED, HELLO, &["amd64", "arm64"], Outcome::Built("sha256:0b".into()));
    golden!("cached.plain", show(Style::Plain, events));
}

#[test]
fn packages_that_build_at_once_are_told_apart() {
    let mut events = two_platforms(HELLO);
    events.extend(package(
        CACHED,
        TOOLS,
        &["amd64", "arm64"],
        Outcome::Built("sha256:0c".into()),
    ));
    events.sort_by_key(|(ms, _)| *ms);
    golden!("interleaved.plain", show(Style::Plain, events));
}

#[test]
fn nothing_is_said_when_nothing_is_wrong_and_quiet_is_wanted() {
    assert_eq!(show(Style::Quiet, two_platforms(HELLO)), "");
}

#[test]
fn rawjson_says_what_buildkit_said() {
    let shown = show(Style::RawJson, failing());
    let lists = |text: &str, name: &str| -> Vec<Value> {
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines
            .flat_map(|status| status[name].as_array().cloned().unwrap_or_default())
            .collect()
    };
    // Go leaves zeros at the end of a second's fraction out, which means the same.
    let normal = |mut json: Value| {
        for name in ["started", "completed", "timestamp"] {
            if let Some(time) = time_of(&json, name) {
                json[name] = Value::from(prost_types::Timestamp::from(time).to_string());
            }
        }
        json
    };
    for name in ["vertexes", "logs"] {
        let (ours, theirs) = (lists(&shown, name), lists(FAILING, name));
        assert!(!theirs.is_empty());
        assert_eq!(ours, theirs.into_iter().map(normal).collect::<Vec<_>>(), "{name}");
    }
    assert_eq!(lists(&shown, "statuses").len(), lists(FAILING, "statuses").len());
    assert!(
        shown
            .lines()
            .all(|line| line.contains(&format!("\"step\":\"{HELLO}\"")))
    );
}

#[test]
fn the_live_view_of_a_recording_goes_away() {
    let text = show(Style::Tty, two_platforms(HELLO));
    assert!(
        text.contains("built lkpkg/hello:8c53c13 linux/amd64,linux/arm64"),
        "{text}"
    );
}
