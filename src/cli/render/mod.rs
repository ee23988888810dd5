//! What a user sees while BuildKit works: [`render`] takes events until their senders are gone and tells them in one of
//! four [`Style`]s. The way of the data: event → model (what is) and its changes (what is new) → lines → the writer.
//!
//! It reads no environment and decides nothing about the work. What to do about a failure is told elsewhere, after it.

mod frame;
mod line;
mod log;
mod model;
mod plain;
mod rawjson;
mod screen;
mod text;
mod tty;
mod vertex;

#[cfg(test)]
mod tests;

use crate::event::{Event, Outcome};
use model::{Change, Model};
use screen::Screen;
use std::io::Write;
use std::time::Duration;
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, MissedTickBehavior};

/// Time between two frames. Elapsed times have tenths of a second; faster would only cost.
const TICK: Duration = Duration::from_millis(100);

/// How many events are taken before lines are written: as many as fit into the channel.
const BATCH: usize = 1024;

/// How work is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Live lines that are redrawn in place; for terminals.
    Tty,
    /// One line after the other; for pipes.
    Plain,
    /// One JSON object an event; for programs.
    RawJson,
    /// Warnings and failures only.
    Quiet,
}

/// What decides how work is shown. All of it comes as values; whoever calls has looked at the environment.
#[derive(Clone, Copy, Debug)]
pub struct RenderOptions {
    /// The style.
    pub style: Style,
    /// Whether lines may have colours.
    pub has_colour: bool,
    /// Columns of the terminal; `None`: the terminal behind standard error is asked before each frame.
    pub width: Option<u16>,
    /// Rows of the terminal; `None` as for `width`.
    pub height: Option<u16>,
}

impl RenderOptions {
    /// A style without colour, as wide and high as the terminal is.
    pub fn new(style: Style) -> Self {
        Self {
            style,
            has_colour: false,
            width: None,
            height: None,
        }
    }
}

/// What was told, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Packages that were built.
    pub built: usize,
    /// Images that were pushed or pulled.
    pub moved: usize,
    /// Packages that failed.
    pub failed: usize,
    /// Packages that were cancelled.
    pub cancelled: usize,
    /// Warnings, of lkpkg and of BuildKit's frontends.
    pub warnings: usize,
    /// Whether nobody read the output any more before its end.
    pub is_output_closed: bool,
}

/// Shows events on `out` until all their senders are gone.
///
/// When `out` can no longer be written to, events are still taken, so that no sender waits; nothing is shown any more and
/// [`Summary::is_output_closed`] says so.
pub async fn render(mut events: Receiver<Event>, options: RenderOptions, out: impl Write + Send + 'static) -> Summary {
    let (begun, mut view, mut batch) = (Instant::now(), View::new(options, out), Vec::new());
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            count = events.recv_many(&mut batch, BATCH) => {
                view.take(batch.drain(..), begun.elapsed());
                if count == 0 {
                    return view.end(begun.elapsed());
                }
            }
            _ = ticks.tick() => view.tick(begun.elapsed()),
        }
    }
}

/// Model and screen together; time is passed in, so that tests can play recordings.
struct View<W> {
    model: Model,
    screen: Screen<W>,
}

impl<W: Write + Send + 'static> View<W> {
    fn new(options: RenderOptions, out: W) -> Self {
        Self {
            model: Model::default(),
            screen: Screen::new(options, out),
        }
    }

    /// Tells events.
    fn take(&mut self, events: impl IntoIterator<Item = Event>, now: Duration) {
        let mut changes = Vec::new();
        self.model.settle(now, &mut changes);
        for event in events {
            self.screen.event(&event);
            // Told at once, because the same package may be begun again by the next event.
            let is_end = matches!(event, Event::StepFinished { .. });
            self.model.apply(event, now, &mut changes);
            if is_end {
                self.tell(&changes, now);
                changes.clear();
            }
        }
        self.tell(&changes, now);
    }

    /// Tells what time alone has changed.
    fn tick(&mut self, now: Duration) {
        self.take([], now);
        self.screen.tick(&self.model, now);
    }

    /// Tells what is left to tell.
    fn end(mut self, now: Duration) -> Summary {
        let mut changes = Vec::new();
        self.model.close(&mut changes);
        self.tell(&changes, now);
        self.screen.end(&self.model);
        summary(&self.model, self.screen.is_closed())
    }

    fn tell(&mut self, changes: &[Change], now: Duration) {
        self.screen.changes(&self.model, changes, now);
        self.model.prune();
    }
}

fn summary(model: &Model, is_output_closed: bool) -> Summary {
    let mut summary = Summary {
        warnings: model.warnings,
        is_output_closed,
        ..Summary::default()
    };
    for (outcome, _) in model.steps.iter().filter_map(|step| step.outcome.as_ref()) {
        match outcome {
            Outcome::Built(_) => summary.built += 1,
            Outcome::Moved { .. } => summary.moved += 1,
            Outcome::Failed(_) => summary.failed += 1,
            Outcome::Cancelled => summary.cancelled += 1,
        }
    }
    summary
}
