//! What the live part of a terminal shows at one moment: [`frame`], a pure function of the model, the size of the terminal
//! and the time. It draws nothing.
//!
//! ```text
//! [+] 3.2s  1/3 packages, 14/22 steps, 7 cached
//! lkpkg/hello:8c53… [linux/amd64,linux/arm64] on local        4/12, 3 cached  2.8s
//!  => CACHED [linux/amd64 1/3] FROM docker.io/library/busybox:1.37
//!  => [linux/arm64 2/3] RUN make                                              2.1s
//!  => => cc -O2 -o hello hello.c
//!  => [linux/amd64 base 1/3] FROM docker.io/library/debian:12                 1.0s
//!  => => sha256:5b3f… [=====>              ]                        12.3MB / 40MB
//! ```
//!
//! When the terminal is too low, finished vertices go first, then output and transfers, then running vertices, of which
//! a count is left.

use super::line::{Kind, Line};
use super::model::{Model, StepState};
use super::text;
use super::vertex::{Phase, VertexState};
use crate::cli::format;
use crate::event::Progress;
use std::time::Duration;

/// Lines of output shown below a running vertex: as many as BuildKit shows.
const LOG_LINES: usize = 6;

/// Transfers shown below a running vertex: a registry client fetches about so many layers at once.
const TRANSFER_LINES: usize = 4;

/// Finished vertices shown of a package; the others are in its count.
const FINISHED_LINES: usize = 3;

/// Columns of a bar, with its brackets.
const BAR_COLUMNS: usize = 22;

/// Columns below which there is no room for a bar beside a name and an amount.
const BAR_MIN_COLUMNS: usize = 70;

/// Rows and columns that a frame may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub columns: usize,
    pub rows: usize,
}

/// A package or a running vertex of one, with what there is to show below it.
struct Block<'a> {
    row: Line,
    /// Of a running vertex.
    vertex: Option<&'a VertexState>,
    /// Of a package: its last finished vertices.
    finished: Vec<&'a VertexState>,
    /// Rows given to it besides its own.
    below: usize,
}

impl Block<'_> {
    /// How many rows it could use below its own: output and transfers of a vertex.
    fn details(&self) -> usize {
        self.vertex.map_or(0, |vertex| {
            vertex.transfers().take(TRANSFER_LINES).count() + vertex.window(LOG_LINES).len()
        })
    }
}

/// The live lines, at most `size.rows` of them, none wider than `size.columns`. None when nothing runs.
pub(super) fn frame(model: &Model, size: Size, now: Duration) -> Vec<Line> {
    let mut blocks: Vec<Block> = model
        .steps
        .iter()
        .filter(|step| step.outcome.is_none())
        .flat_map(|step| blocks(step, size, now))
        .collect();
    if blocks.is_empty() || size.rows == 0 {
        return Vec::new();
    }
    let mut lines = vec![overview(model, size, now)];
    let mut room = size.rows - 1;
    let hidden = if blocks.len() > room {
        blocks.len() + 1 - room.max(1)
    } else {
        0
    };
    blocks.truncate(room - usize::from(hidden > 0 && room > 0));
    room = room.saturating_sub(blocks.len() + usize::from(hidden > 0));
    room = share(&mut blocks, room, |block| block.details());
    share(&mut blocks, room, |block| block.finished.len());
    for block in blocks {
        lines.extend(render(block, size));
    }
    if hidden > 0 && lines.len() < size.rows {
        let text = format!(" … and {hidden} more that run");
        lines.push(Line::new(Kind::Dim, text::fit(&text, size.columns)));
    }
    lines
}

/// Gives each block a row in turn until none wants one or no room is left; returns the room that is left.
fn share(blocks: &mut [Block], mut room: usize, wanted: impl Fn(&Block) -> usize) -> usize {
    let wanted: Vec<usize> = blocks.iter().map(wanted).collect();
    for round in 0..wanted.iter().copied().max().unwrap_or(0) {
        for (block, wanted) in blocks.iter_mut().zip(&wanted) {
            if room > 0 && round < *wanted {
                block.below += 1;
                room -= 1;
            }
        }
    }
    room
}

/// The line above all: `[+] 3.2s  1/3 packages, 14/22 steps, 7 cached`.
fn overview(model: &Model, size: Size, now: Duration) -> Line {
    let ((finished, all), counts) = (model.finished_steps(), model.steps.iter().map(StepState::counts));
    let (mut ended, mut total, mut cached) = (0, 0, 0);
    for count in counts {
        (ended, total, cached) = (ended + count.ended, total + count.total, cached + count.cached);
    }
    let text = format!(
        "[+] {}  {finished}/{all} packages, {ended}/{total} steps, {cached} cached",
        format::duration(now)
    );
    Line::new(Kind::Heading, text::fit(&text, size.columns))
}

/// The heading of a package and the vertices of it that run.
fn blocks(step: &StepState, size: Size, now: Duration) -> Vec<Block<'_>> {
    let counts = step.counts();
    let took = format::duration(now.saturating_sub(step.begun));
    let right = format!("{}/{}, {} cached  {took}", counts.ended, counts.total, counts.cached);
    let mut finished: Vec<&VertexState> = step.vertices.iter().filter(|vertex| vertex.ended.is_some()).collect();
    finished.sort_by_key(|vertex| (vertex.ended, vertex.number));
    let finished = finished.split_off(finished.len().saturating_sub(FINISHED_LINES));
    let row = Line::new(Kind::Heading, text::spread(&step.heading(), &right, size.columns));
    let mut running: Vec<&VertexState> = step
        .vertices
        .iter()
        .filter(|vertex| vertex.phase() == Phase::Running)
        .collect();
    running.sort_by_key(|vertex| vertex.number);
    let heading = Block {
        row,
        vertex: None,
        finished,
        below: 0,
    };
    let running = running.into_iter().map(|vertex| {
        let took = format::duration(vertex.elapsed(now));
        let row = Line::new(
            Kind::Plain,
            text::spread(&format!(" => {}", vertex.title), &took, size.columns),
        );
        Block {
            row,
            vertex: Some(vertex),
            finished: Vec::new(),
            below: 0,
        }
    });
    std::iter::once(heading).chain(running).collect()
}

/// The lines of a block.
fn render(block: Block, size: Size) -> Vec<Line> {
    let mut lines = vec![block.row];
    let below = block.below;
    if let Some(vertex) = block.vertex {
        let transfers: Vec<&Progress> = vertex.transfers().take(TRANSFER_LINES.min(below)).collect();
        let window = vertex.window(LOG_LINES.min(below - transfers.len()));
        lines.extend(
            transfers
                .into_iter()
                .map(|transfer| transfer_line(transfer, size.columns)),
        );
        lines.extend(window.iter().map(|line| {
            let text = text::fit(&format!(" => => {line}"), size.columns);
            Line::new(Kind::Dim, text)
        }));
    }
    let from = block.finished.len().saturating_sub(below);
    lines.extend(
        block.finished[from..]
            .iter()
            .map(|vertex| finished_line(vertex, size.columns)),
    );
    lines
}

/// A vertex that has ended.
fn finished_line(vertex: &VertexState, columns: usize) -> Line {
    let (kind, word) = match vertex.phase() {
        Phase::Cached => (Kind::Cached, "CACHED "),
        Phase::Failed => (Kind::Bad, "ERROR "),
        Phase::Cancelled => (Kind::Warning, "CANCELED "),
        Phase::Waiting | Phase::Running | Phase::Done => (Kind::Good, ""),
    };
    let took = match vertex.phase() {
        Phase::Cached => String::new(),
        _ => format::duration(vertex.elapsed(Duration::ZERO)),
    };
    Line::new(
        kind,
        text::spread(&format!(" => {word}{}", vertex.title), &took, columns),
    )
}

/// A transfer: a bar where its total is known and there is room.
fn transfer_line(progress: &Progress, columns: usize) -> Line {
    let name = format!(" => => {}", text::clean(progress.id.as_bytes()));
    let mut right = text::amount(progress.current, progress.total);
    if progress.total > 0 && columns >= BAR_MIN_COLUMNS {
        right = format!("{} {right:>18}", bar(progress.current, progress.total));
    }
    Line::new(Kind::Plain, text::spread(&name, &right, columns))
}

/// `[=====>              ]`.
fn bar(current: i64, total: i64) -> String {
    let inside = BAR_COLUMNS - 2;
    let part = (current.max(0) as f64 / total.max(1) as f64).min(1.0);
    let filled = (part * inside as f64) as usize;
    let head = if filled < inside { ">" } else { "" };
    format!("[{:<inside$}]", "=".repeat(filled) + head)
}
