//! Sequences of events, recorded from BuildKit v0.26.3 and written by hand, against golden files in tests/data/render.
#![expect(clippy::unwrap_used, reason = "tests")]

mod hand;
mod recorded;
mod terminal;

use super::*;
use crate::event::{Progress, Step, Vertex};
use crate::oci::Platform;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

const HELLO: &str = "lkpkg/hello:8c53c13";
const TOOLS: &str = "lkpkg/tools:d9e24ba";

/// Compares with a golden file.
macro_rules! golden {
    ($name:literal, $text:expr) => {
        insta::with_settings!({
            snapshot_path => concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/render"),
            prepend_module_to_snapshot => false,
            omit_expression => true,
        }, { insta::assert_snapshot!($name, $text) })
    };
}
use golden;

/// A writer whose text can be read while somebody else owns it.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Paper {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is shown of events that come at given milliseconds.
fn show(style: Style, events: Vec<(u64, Event)>) -> String {
    let paper = Paper::default();
    let mut view = View::new(RenderOptions::new(style), paper.clone());
    let mut now = Duration::ZERO;
    for (ms, event) in events {
        now = now.max(Duration::from_millis(ms));
        view.take([event], now);
    }
    view.end(now);
    paper.text()
}

fn step(step: &str) -> Step {
    Step::from(step)
}

fn at(ms: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000) + Duration::from_millis(ms)
}

fn begin(package: &str, architectures: &[&str]) -> Event {
    let platforms = architectures.iter().map(|name| Platform::linux(name)).collect();
    Event::StepStarted {
        step: step(package),
        platforms,
        endpoint: "local".into(),
    }
}

fn finish(package: &str, outcome: Outcome, ms: u64) -> Event {
    Event::StepFinished {
        step: step(package),
        outcome,
        took: Duration::from_millis(ms),
    }
}

/// A vertex whose digest is its name.
fn vertex(package: &str, name: &str, started: Option<u64>, completed: Option<u64>) -> Event {
    let vertex = Vertex {
        digest: name.into(),
        name: name.into(),
        started: started.map(at),
        completed: completed.map(at),
        ..Vertex::default()
    };
    Event::Vertex {
        step: step(package),
        vertex,
    }
}

fn changed(event: Event, change: impl FnOnce(&mut Vertex)) -> Event {
    match event {
        Event::Vertex { step, mut vertex } => {
            change(&mut vertex);
            Event::Vertex { step, vertex }
        }
        other => other,
    }
}

fn output(package: &str, name: &str, ms: u64, bytes: impl AsRef<[u8]>) -> Event {
    let bytes = bytes.as_ref().to_vec();
    Event::Log {
        step: step(package),
        vertex: name.into(),
        is_stderr: false,
        bytes,
        at: Some(at(ms)),
    }
}

fn transfer(package: &str, name: &str, id: &str, current: i64, total: i64, completed: Option<u64>) -> Event {
    let progress = Progress {
        id: id.into(),
        vertex: name.into(),
        name: String::new(),
        current,
        total,
        started: Some(at(0)),
        completed: completed.map(at),
    };
    Event::Progress {
        step: step(package),
        progress,
    }
}
