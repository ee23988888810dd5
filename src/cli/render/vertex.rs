//! State of one vertex: [`VertexState`]. It takes what BuildKit says about the vertex and answers how it stands.

use super::log::{Lines, LogLine, Tail};
use super::text;
use crate::event::{Progress, Vertex};
use crate::oci::Platform;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

/// Characters of a digest that stand for it where a vertex has no name.
const SHORT_DIGEST: usize = 19; // `sha256:` and twelve digits

/// How a vertex stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Not begun.
    Waiting,
    /// Begun and not ended.
    Running,
    /// Its result was there.
    Cached,
    /// Ended well.
    Done,
    /// Ended with an error of its own.
    Failed,
    /// Ended because something else did.
    Cancelled,
}

/// What is known of one vertex.
#[derive(Debug, Default)]
pub(super) struct VertexState {
    vertex: Vertex,
    /// Its name, harmless to show, with the platform in it.
    pub title: String,
    /// Its number within the step, in the order in which vertices begin; 0 as long as it has not.
    pub number: u32,
    /// Whether its end has been told.
    pub is_settled: bool,
    /// When its end was heard of, on the renderer's clock.
    pub ended: Option<Duration>,
    /// When it was last seen to begin, on the renderer's clock: BuildKit's may differ from this machine's.
    running_since: Duration,
    /// Time of the runs before the last one: BuildKit takes a vertex up again at will.
    spent_before: Duration,
    stdout: Lines,
    stderr: Lines,
    /// When its last output came, since it began.
    last_output: Option<Duration>,
    /// The last lines of its output.
    pub tail: Tail,
    /// What is transferred in it, by identity.
    pub progress: BTreeMap<String, Progress>,
}

impl VertexState {
    /// A vertex of which no more than the digest is known.
    pub fn new(digest: &str) -> Self {
        let title = text::clean(digest.get(..SHORT_DIGEST).unwrap_or(digest).as_bytes());
        Self {
            title,
            ..Self::default()
        }
    }

    /// Takes a new state of the vertex. The last one counts.
    pub fn update(&mut self, vertex: Vertex, platforms: &[Platform], now: Duration) {
        if !vertex.name.is_empty() && vertex.name != self.vertex.name {
            self.title = title(&vertex.name, platforms);
        }
        if vertex.started.is_some() && vertex.started != self.vertex.started {
            self.spent_before += self.last_run();
            self.running_since = now;
        }
        self.ended = vertex.completed.map(|_| self.ended.unwrap_or(now));
        self.vertex = vertex;
    }

    /// How it stands.
    pub fn phase(&self) -> Phase {
        let vertex = &self.vertex;
        match self.ended {
            _ if vertex.started.is_none() && vertex.completed.is_none() => Phase::Waiting,
            None => Phase::Running,
            Some(_) if is_cancelled(&vertex.error) => Phase::Cancelled,
            Some(_) if !vertex.error.is_empty() => Phase::Failed,
            Some(_) if vertex.is_cached => Phase::Cached,
            Some(_) => Phase::Done,
        }
    }

    /// Its error, one line.
    pub fn error(&self) -> String {
        text::clean(self.vertex.error.as_bytes())
    }

    /// How long it has worked until now, or worked.
    pub fn elapsed(&self, now: Duration) -> Duration {
        match self.phase() {
            Phase::Running => self.spent_before + now.saturating_sub(self.running_since),
            _ => self.spent_before + self.last_run(),
        }
    }

    fn last_run(&self) -> Duration {
        match (self.vertex.started, self.vertex.completed) {
            (Some(started), Some(completed)) => completed.duration_since(started).unwrap_or_default(),
            _ => Duration::ZERO,
        }
    }

    /// Takes output; returns the lines that are whole now.
    pub fn output(&mut self, is_stderr: bool, bytes: &[u8], at: Option<SystemTime>) -> Vec<LogLine> {
        let since = at
            .zip(self.vertex.started)
            .and_then(|(at, started)| at.duration_since(started).ok());
        self.last_output = since;
        let stream = if is_stderr { &mut self.stderr } else { &mut self.stdout };
        let mut lines = Vec::new();
        stream.push(bytes, |line| lines.push(LogLine::new(since, line)));
        self.keep(&lines);
        lines
    }

    /// Ends the lines that have no end; returns them.
    pub fn flush(&mut self) -> Vec<LogLine> {
        let (mut lines, last_output) = (Vec::new(), self.last_output);
        for stream in [&mut self.stdout, &mut self.stderr] {
            stream.flush(|line| lines.push(LogLine::new(last_output, line)));
        }
        self.keep(&lines);
        lines
    }

    fn keep(&mut self, lines: &[LogLine]) {
        lines.iter().for_each(|line| self.tail.push(line.clone()));
    }

    /// The last lines of output, oldest first, with those that have not ended yet; empty ones are left out.
    pub fn window(&self, count: usize) -> Vec<String> {
        let partial = [&self.stderr, &self.stdout].map(|stream| text::clean(stream.partial()));
        let kept = self.tail.iter().rev().map(|line| line.text.clone());
        let mut window: Vec<String> = partial
            .into_iter()
            .chain(kept)
            .filter(|line| !line.is_empty())
            .take(count)
            .collect();
        window.reverse();
        window
    }

    /// What is being transferred now.
    pub fn transfers(&self) -> impl Iterator<Item = &Progress> {
        self.progress
            .values()
            .filter(|progress| progress.completed.is_none() && progress.started.is_some())
    }
}

/// Whether an error of a vertex says that it was not its own fault.
fn is_cancelled(error: &str) -> bool {
    error.ends_with("context canceled") || error.ends_with("context cancelled")
}

/// The name of a vertex, harmless to show. BuildKit names the platform only when it builds several; here it is always
/// named: `[2/3] RUN make` becomes `[linux/arm64 2/3] RUN make`.
fn title(name: &str, platforms: &[Platform]) -> String {
    let name = text::clean(name.as_bytes());
    if let [platform] = platforms
        && let Some((inside, _)) = name.strip_prefix('[').and_then(|rest| rest.split_once(']'))
        && is_count(inside.rsplit(' ').next().unwrap_or_default())
        && !inside.starts_with(&format!("{}/", platform.os))
    {
        return format!("[{platform} {}", &name[1..]);
    }
    name
}

/// Whether a text is `2/3`.
fn is_count(text: &str) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    text.split_once('/')
        .is_some_and(|(number, total)| is_number(number) && is_number(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Option<SystemTime> {
        Some(SystemTime::UNIX_EPOCH + Duration::from_millis(ms))
    }

    #[test]
    fn the_platform_is_named_where_buildkit_leaves_it_out() {
        let check = |name: &str, platforms: &[&str], expected: &str| {
            let platforms: Vec<Platform> = platforms.iter().map(|name| Platform::linux(name)).collect();
            assert_eq!(title(name, &platforms), expected);
        };
        check("[2/3] RUN make", &["arm64"], "[linux/arm64 2/3] RUN make");
        check("[build 2/3] RUN make", &["arm64"], "[linux/arm64 build 2/3] RUN make");
        check("[linux/arm64 2/3] RUN make", &["arm64"], "[linux/arm64 2/3] RUN make");
        check("[2/3] RUN make", &["arm64", "amd64"], "[2/3] RUN make");
        check(
            "[internal] load build context",
            &["arm64"],
            "[internal] load build context",
        );
        check(
            "exporting to oci image format",
            &["arm64"],
            "exporting to oci image format",
        );
        check("[x", &["arm64"], "[x");
        check("", &["arm64"], "");
    }

    #[test]
    fn phases_follow_what_buildkit_says() {
        let check = |vertex: Vertex, expected: Phase| {
            let mut state = VertexState::default();
            state.update(vertex.clone(), &[], Duration::ZERO);
            assert_eq!(state.phase(), expected, "{vertex:?}");
        };
        let vertex = |started, completed, is_cached, error: &str| Vertex {
            started,
            completed,
            is_cached,
            error: error.into(),
            ..Vertex::default()
        };
        check(vertex(None, None, false, ""), Phase::Waiting);
        check(vertex(at(1), None, false, ""), Phase::Running);
        check(vertex(at(1), at(2), false, ""), Phase::Done);
        check(vertex(at(1), at(2), true, ""), Phase::Cached);
        check(vertex(at(1), at(2), false, "exit code: 7"), Phase::Failed);
        check(
            vertex(at(1), at(2), false, "process: context canceled"),
            Phase::Cancelled,
        );
    }

    #[test]
    fn the_time_of_all_runs_is_added_up() {
        let mut state = VertexState::default();
        let vertex = |started, completed| Vertex {
            started,
            completed,
            ..Vertex::default()
        };
        let seconds = Duration::from_secs;
        state.update(vertex(at(1000), None), &[], seconds(10));
        assert_eq!(
            state.elapsed(seconds(12)),
            seconds(2),
            "this machine's clock while it runs"
        );
        state.update(vertex(at(1000), at(4000)), &[], seconds(13));
        assert_eq!(state.elapsed(seconds(99)), seconds(3), "BuildKit's when it has ended");
        state.update(vertex(at(8000), None), &[], seconds(20));
        assert_eq!(
            (state.phase(), state.elapsed(seconds(21))),
            (Phase::Running, seconds(4))
        );
        state.update(vertex(at(8000), at(9000)), &[], seconds(22));
        assert_eq!(state.elapsed(seconds(99)), seconds(4));
    }
}
