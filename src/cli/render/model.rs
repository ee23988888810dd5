//! What has happened so far: [`Model`]. Events go in, [`Change`]s come out that a renderer may tell.
//!
//! Pure: time is passed in as the duration since rendering began ("now"). It prints nothing and knows no style.

use super::log::{LogLine, TAIL_LIMIT_BYTES, Tail};
use super::text;
use super::vertex::{Phase, VertexState};
use crate::event::{Event, Outcome, Progress, Step};
use crate::oci::Platform;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long the end of a vertex is held back: BuildKit takes vertices up again within a millisecond of their end, and
/// its last output may come after it.
const SETTLE: Duration = Duration::from_millis(20);

/// How much output of all vertices together is kept, so that hundreds of packages at once stay within the memory that
/// lkpkg promises (64 MiB).
const TAILS_LIMIT_BYTES: usize = 4 * 1024 * 1024;

/// How much output may come before that limit is looked at: looking means to visit every vertex.
const TAILS_SLACK_BYTES: usize = TAIL_LIMIT_BYTES;

/// Where a vertex is found in the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct VertexId {
    /// Index of its step.
    pub step: usize,
    /// Index within the step.
    pub vertex: usize,
}

/// Something new that a renderer may tell.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Change {
    Notice(String),
    Warning(String),
    StepStarted(usize),
    VertexStarted(VertexId),
    Lines(VertexId, Vec<LogLine>),
    Progress(VertexId, Progress),
    VertexEnded(VertexId),
    BuildWarning { step: usize, text: String, line: u32 },
    StepFinished(usize),
}

/// How many vertices ended, and how many of them were in the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub total: usize,
    pub ended: usize,
    pub cached: usize,
}

/// A package.
#[derive(Debug)]
pub(super) struct StepState {
    /// Its tag.
    pub step: Step,
    /// Its short name, no other step has it.
    pub label: String,
    /// Platforms that are built.
    pub platforms: Vec<Platform>,
    /// Names of the endpoints that build.
    pub endpoints: Vec<String>,
    /// When it began, on the renderer's clock.
    pub begun: Duration,
    /// How it ended and how long it took.
    pub outcome: Option<(Outcome, Duration)>,
    /// Its vertices in the order in which they appeared; empty some time after it has ended.
    pub vertices: Vec<VertexState>,
    by_digest: BTreeMap<String, usize>,
    begun_vertices: u32,
    final_counts: Option<Counts>,
}

/// A vertex that failed, and what it said.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    /// Short name of its step.
    pub label: String,
    /// Its name.
    pub title: String,
    /// The end of its output.
    pub tail: Tail,
}

/// All that has happened.
#[derive(Debug, Default)]
pub(super) struct Model {
    /// The packages in the order in which they appeared.
    pub steps: Vec<StepState>,
    by_step: BTreeMap<Step, usize>,
    /// Vertices of failed steps that failed by themselves.
    pub failures: Vec<Failure>,
    /// How many warnings there were.
    pub warnings: usize,
    failures_bytes: usize,
    /// Output kept since the limit was last looked at.
    unbounded_bytes: usize,
}

impl Model {
    /// Takes an event; what is new is added to `changes`.
    pub fn apply(&mut self, event: Event, now: Duration, changes: &mut Vec<Change>) {
        match event {
            Event::Notice(text) => changes.push(Change::Notice(text::clean(text.as_bytes()))),
            Event::Warning(text) => {
                self.warnings += 1;
                changes.push(Change::Warning(text::clean(text.as_bytes())));
            }
            Event::StepStarted {
                step,
                platforms,
                endpoint,
            } => {
                let index = self.step(&step, now);
                self.steps[index].start(platforms, endpoint);
                changes.push(Change::StepStarted(index));
            }
            Event::BuildWarning { step, text, line } => {
                self.warnings += 1;
                let (step, text) = (self.step(&step, now), text::clean(text.as_bytes()));
                changes.push(Change::BuildWarning { step, text, line });
            }
            Event::StepFinished { step, outcome, took } => self.finish(&step, outcome, took, now, changes),
            Event::Vertex { step, vertex } => {
                if let Some(id) = self.vertex(&step, &vertex.digest, now) {
                    let state = &mut self.steps[id.step];
                    state.vertices[id.vertex].update(vertex, &state.platforms, now);
                    let vertex = &mut state.vertices[id.vertex];
                    vertex.is_settled &= vertex.ended.is_some();
                    if vertex.phase() != Phase::Waiting {
                        state.begin_vertex(id, changes);
                    }
                    if state.vertices[id.vertex].phase() == Phase::Cached {
                        state.settle(id, changes); // nothing more can come of it
                    }
                }
            }
            Event::Progress { step, progress } => {
                if let Some(id) = self.vertex(&step, &progress.vertex, now) {
                    self.steps[id.step].begin_vertex(id, changes);
                    let vertex = &mut self.steps[id.step].vertices[id.vertex];
                    if vertex.progress.get(&progress.id) != Some(&progress) {
                        vertex.progress.insert(progress.id.clone(), progress.clone());
                        changes.push(Change::Progress(id, progress));
                    }
                }
            }
            Event::Log {
                step,
                vertex,
                is_stderr,
                bytes,
                at,
            } => {
                if let Some(id) = self.vertex(&step, &vertex, now) {
                    self.steps[id.step].begin_vertex(id, changes);
                    let lines = self.steps[id.step].vertices[id.vertex].output(is_stderr, &bytes, at);
                    if !lines.is_empty() {
                        self.unbounded_bytes += lines.iter().map(LogLine::cost).sum::<usize>();
                        changes.push(Change::Lines(id, lines));
                        self.bound_tails();
                    }
                }
            }
        }
    }

    /// Tells the ends of vertices that have stayed ended for a while.
    pub fn settle(&mut self, now: Duration, changes: &mut Vec<Change>) {
        for (step, state) in self.steps.iter_mut().enumerate() {
            for vertex in 0..state.vertices.len() {
                if state.vertices[vertex].ended.is_some_and(|ended| ended + SETTLE <= now) {
                    state.settle(VertexId { step, vertex }, changes);
                }
            }
        }
    }

    /// No more events will come: tells what was held back.
    pub fn close(&mut self, changes: &mut Vec<Change>) {
        for step in 0..self.steps.len() {
            if self.steps[step].outcome.is_none() {
                self.steps[step].settle_all(step, changes);
                self.keep_failures(step);
            }
        }
    }

    /// Forgets the vertices of steps that have ended. To be called when the changes have been told.
    pub fn prune(&mut self) {
        for state in self.steps.iter_mut().filter(|state| state.outcome.is_some()) {
            state.vertices = Vec::new();
            state.by_digest = BTreeMap::new();
        }
    }

    /// The vertex.
    pub fn get(&self, id: VertexId) -> &VertexState {
        &self.steps[id.step].vertices[id.vertex]
    }

    /// How the steps stand together: all, and those that have ended.
    pub fn finished_steps(&self) -> (usize, usize) {
        let finished = self.steps.iter().filter(|step| step.outcome.is_some()).count();
        (finished, self.steps.len())
    }

    fn finish(&mut self, step: &Step, outcome: Outcome, took: Duration, now: Duration, changes: &mut Vec<Change>) {
        let index = self.step(step, now);
        let state = &mut self.steps[index];
        state.settle_all(index, changes);
        let counts = state.counts();
        let is_failed = matches!(outcome, Outcome::Failed(_));
        state.final_counts = Some(counts);
        state.outcome = Some((outcome, took));
        if is_failed {
            self.keep_failures(index);
        }
        changes.push(Change::StepFinished(index));
    }

    /// The index of a step, which is made when it is new.
    fn step(&mut self, step: &Step, now: Duration) -> usize {
        if let Some(index) = self.by_step.get(step) {
            return *index;
        }
        let label = self.label(step);
        self.steps.push(StepState {
            step: text::clean(step.as_bytes()).into(),
            label,
            platforms: Vec::new(),
            endpoints: Vec::new(),
            begun: now,
            outcome: None,
            vertices: Vec::new(),
            by_digest: BTreeMap::new(),
            begun_vertices: 0,
            final_counts: None,
        });
        self.by_step.insert(step.clone(), self.steps.len() - 1);
        self.steps.len() - 1
    }

    /// The last component of a tag's name, or the whole tag when another step has that already.
    fn label(&self, step: &str) -> String {
        let last = step.rsplit('/').next().unwrap_or(step);
        let short = last.split([':', '@']).next().unwrap_or(last);
        let is_taken = short.is_empty() || self.steps.iter().any(|state| state.label == short);
        text::clean(if is_taken { step } else { short }.as_bytes())
    }

    /// Where a vertex is, which is made when it is new. Nothing for a step that has ended: it has told its end.
    fn vertex(&mut self, step: &Step, digest: &str, now: Duration) -> Option<VertexId> {
        let step = self.step(step, now);
        let state = &mut self.steps[step];
        if state.outcome.is_some() {
            return None;
        }
        if let Some(&vertex) = state.by_digest.get(digest) {
            return Some(VertexId { step, vertex });
        }
        let vertex = state.vertices.len();
        state.vertices.push(VertexState::new(digest));
        state.by_digest.insert(digest.to_owned(), vertex);
        Some(VertexId { step, vertex })
    }

    /// Keeps what failing vertices said; those that fail when the limit is reached keep their names only.
    fn keep_failures(&mut self, step: usize) {
        let state = &self.steps[step];
        for vertex in state.vertices.iter().filter(|vertex| vertex.phase() == Phase::Failed) {
            let mut tail = vertex.tail.clone();
            tail.shrink(TAILS_LIMIT_BYTES.saturating_sub(self.failures_bytes));
            self.failures_bytes += tail.bytes();
            self.failures.push(Failure {
                label: state.label.clone(),
                title: vertex.title.clone(),
                tail,
            });
        }
    }

    /// Halves the longest tails until all of them are within the limit.
    fn bound_tails(&mut self) {
        if self.unbounded_bytes < TAILS_SLACK_BYTES {
            return;
        }
        self.unbounded_bytes = 0;
        let tails = || {
            self.steps
                .iter()
                .flat_map(|step| &step.vertices)
                .map(|vertex| vertex.tail.bytes())
        };
        if tails().sum::<usize>() <= TAILS_LIMIT_BYTES {
            return;
        }
        let longest = tails().max().unwrap_or(0);
        for vertex in self.steps.iter_mut().flat_map(|step| &mut step.vertices) {
            vertex.tail.shrink(longest / 2);
        }
    }
}

impl StepState {
    /// Takes note of a (further) beginning: a package may be built on several endpoints.
    fn start(&mut self, platforms: Vec<Platform>, endpoint: String) {
        if self.outcome.take().is_some() {
            // Something else is done with it now.
            self.final_counts = None;
            self.begun_vertices = 0;
            self.platforms.clear();
            self.endpoints.clear();
        }
        for platform in platforms {
            if !self.platforms.contains(&platform) {
                self.platforms.push(platform);
            }
        }
        let endpoint = text::clean(endpoint.as_bytes());
        if !self.endpoints.contains(&endpoint) {
            self.endpoints.push(endpoint);
        }
    }

    /// Gives a vertex its number and tells that it has begun, once.
    fn begin_vertex(&mut self, id: VertexId, changes: &mut Vec<Change>) {
        let vertex = &mut self.vertices[id.vertex];
        if vertex.number == 0 {
            self.begun_vertices += 1;
            vertex.number = self.begun_vertices;
            changes.push(Change::VertexStarted(id));
        }
    }

    /// Tells the end of a vertex, once, after its last lines. Only what failed need be remembered.
    fn settle(&mut self, id: VertexId, changes: &mut Vec<Change>) {
        let vertex = &mut self.vertices[id.vertex];
        let lines = vertex.flush();
        if !lines.is_empty() {
            changes.push(Change::Lines(id, lines));
        }
        if vertex.ended.is_some() && !vertex.is_settled {
            vertex.is_settled = true;
            vertex.progress.clear();
            if vertex.phase() != Phase::Failed {
                vertex.tail = Tail::default();
            }
            changes.push(Change::VertexEnded(id));
        }
    }

    fn settle_all(&mut self, step: usize, changes: &mut Vec<Change>) {
        for vertex in 0..self.vertices.len() {
            self.settle(VertexId { step, vertex }, changes);
        }
    }

    /// How its vertices stand.
    pub fn counts(&self) -> Counts {
        self.final_counts.unwrap_or_else(|| Counts {
            total: self.vertices.len(),
            ended: self.vertices.iter().filter(|vertex| vertex.ended.is_some()).count(),
            cached: self
                .vertices
                .iter()
                .filter(|vertex| vertex.phase() == Phase::Cached)
                .count(),
        })
    }

    /// `linux/amd64,linux/arm64`.
    pub fn platform_names(&self) -> String {
        self.platforms
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(",")
    }

    /// `org/image:tag [linux/amd64] on local`.
    pub fn heading(&self) -> String {
        let mut heading = self.step.to_string();
        if !self.platforms.is_empty() {
            heading.push_str(&format!(" [{}]", text::clean(self.platform_names().as_bytes())));
        }
        if !self.endpoints.is_empty() {
            heading.push_str(&format!(" on {}", self.endpoints.join(",")));
        }
        heading
    }
}
