//! Lines for pipes and logs of continuous integration: [`Plain`]. BuildKit's plain progress, with the package in front
//! of every line, so that several packages can be told apart. It decides which changes are worth a line.

use super::line::{self, Kind, Line};
use super::model::{Change, Model, VertexId};
use super::text;
use super::vertex::Phase;
use crate::cli::format;
use crate::event::Progress;
use std::collections::BTreeMap;
use std::time::Duration;

/// A transfer that has not got so much further, in parts of a hundred, is not told again …
const PROGRESS_DELTA_PERCENT: i64 = 5;

/// … unless it was told so long ago. Both as in BuildKit.
const PROGRESS_DELTA: Duration = Duration::from_secs(5);

/// What begins and ends within this time is told once, with its end.
const FIRST_DELAY: Duration = Duration::from_millis(100);

/// Remembers which progress has been told.
#[derive(Debug, Default)]
pub(super) struct Plain {
    transfers: BTreeMap<VertexId, BTreeMap<String, Transfer>>,
}

/// Progress that is under way.
#[derive(Debug)]
struct Transfer {
    latest: Progress,
    /// When it was first heard of.
    since: Duration,
    /// How far it was when it was last told, and when that was.
    told: Option<(i64, Duration)>,
}

impl Transfer {
    /// Whether it has got far enough since it was last told.
    fn is_news(&self, now: Duration) -> bool {
        if self.latest.completed.is_some() {
            return true;
        }
        let Some((current, at)) = self.told else {
            return now.saturating_sub(self.since) >= FIRST_DELAY;
        };
        let (total, delta) = (self.latest.total, self.latest.current.saturating_sub(current));
        let is_further = total > 0 && delta.saturating_mul(100) >= total.saturating_mul(PROGRESS_DELTA_PERCENT);
        is_further || now.saturating_sub(at) >= PROGRESS_DELTA
    }
}

impl Plain {
    /// The lines of a change.
    pub fn lines(&mut self, model: &Model, change: &Change, now: Duration) -> Vec<Line> {
        match change {
            Change::StepStarted(step) => {
                let step = &model.steps[*step];
                vec![Line::new(Kind::Plain, format!("{} {}", step.label, step.heading()))]
            }
            Change::VertexStarted(id) => vec![vertex_line(model, *id, Kind::Plain, &model.get(*id).title)],
            Change::Lines(id, lines) => {
                let told = |(at, text)| vertex_line(model, *id, Kind::Plain, &line::log_line(at, text));
                lines
                    .iter()
                    .map(|line| (line.at, line.text.as_str()))
                    .map(told)
                    .collect()
            }
            Change::Progress(id, progress) => self.progress(model, *id, progress, now).into_iter().collect(),
            Change::VertexEnded(id) => {
                self.transfers.remove(id);
                vec![ended(model, *id, now)]
            }
            Change::StepFinished(step) => {
                self.transfers.retain(|id, _| id.step != *step);
                let label = &model.steps[*step].label;
                let prefixed = |line: Line| Line::new(line.kind, format!("{label} {}", line.text));
                line::lasting(model, change).map(prefixed).into_iter().collect()
            }
            Change::Notice(_) | Change::Warning(_) | Change::BuildWarning { .. } => {
                line::lasting(model, change).into_iter().collect()
            }
        }
    }

    /// The lines of what began a while ago and has not been told.
    pub fn overdue(&mut self, model: &Model, now: Duration) -> Vec<Line> {
        let mut lines = Vec::new();
        for (id, transfers) in &mut self.transfers {
            for transfer in transfers.values_mut() {
                if transfer.told.is_none() && transfer.is_news(now) {
                    transfer.told = Some((transfer.latest.current, now));
                    lines.push(vertex_line(model, *id, Kind::Plain, &progress_text(&transfer.latest)));
                }
            }
        }
        lines
    }

    /// The line of progress, when it is news.
    fn progress(&mut self, model: &Model, id: VertexId, progress: &Progress, now: Duration) -> Option<Line> {
        let transfers = self.transfers.entry(id).or_default();
        let first = || Transfer {
            latest: progress.clone(),
            since: now,
            told: None,
        };
        let transfer = transfers.entry(progress.id.clone()).or_insert_with(first);
        transfer.latest.clone_from(progress);
        transfer.is_news(now).then(|| {
            transfer.told = Some((progress.current, now));
            vertex_line(model, id, Kind::Plain, &progress_text(progress))
        })
    }
}

/// `hello #7 text`.
fn vertex_line(model: &Model, id: VertexId, kind: Kind, text: &str) -> Line {
    let text = format!("{} #{} {text}", model.steps[id.step].label, model.get(id).number);
    Line::new(kind, text.trim_end())
}

/// How a vertex ended.
fn ended(model: &Model, id: VertexId, now: Duration) -> Line {
    let vertex = model.get(id);
    let (kind, text) = match vertex.phase() {
        Phase::Cached => (Kind::Cached, "CACHED".to_owned()),
        Phase::Failed => (Kind::Bad, format!("ERROR: {}", vertex.error())),
        Phase::Cancelled => (Kind::Warning, "CANCELED".to_owned()),
        Phase::Waiting | Phase::Running | Phase::Done => {
            (Kind::Good, format!("DONE {}", format::duration(vertex.elapsed(now))))
        }
    };
    vertex_line(model, id, kind, &text)
}

/// `sha256:… 12.3MB / 40MB`, and at its end `sha256:… 40MB / 40MB 0.2s done`.
fn progress_text(progress: &Progress) -> String {
    let mut text = text::clean(progress.id.as_bytes());
    let amount = text::amount(progress.current, progress.total);
    if !amount.is_empty() {
        text.extend([" ", &amount]);
    }
    if let Some(completed) = progress.completed {
        let took = progress
            .started
            .and_then(|started| completed.duration_since(started).ok());
        text.push_str(&format!(" {} done", format::duration(took.unwrap_or_default())));
    }
    text
}
