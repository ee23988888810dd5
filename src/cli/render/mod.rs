//! What a user sees while BuildKit works: [`render`] takes events until their senders are gone and tells them in one of
//! four [`Style`]s. The way of the data: event → [`model`] (what is) and its changes (what is new) → lines → the writer.
//!
//! It reads no environment and decides nothing about the work. What to do about a failure is told elsewhere, after it.

mod frame;
mod line;
mod log;
mod model;
mod plain;
mod rawjson;
mod text;
mod tty;
mod vertex;

#[cfg(test)]
mod tests;

use crate::event::{Event, Outcome};
use line::Line;
use model::{Change, Model};
use plain::Plain;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, MissedTickBehavior};
use tty::{Terminal, Tty};

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
            self.model.apply(event, now, &mut changes);
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
            Outcome::Failed(_) => summary.failed += 1,
            Outcome::Cancelled => summary.cancelled += 1,
        }
    }
    summary
}

/// Where lines go, in the chosen style.
struct Screen<W> {
    options: RenderOptions,
    way: Way<W>,
    is_closed: Arc<AtomicBool>,
}

/// A style and what it needs to remember.
enum Way<W> {
    Tty(Tty<W>),
    Plain(W, Plain),
    RawJson(W),
    Quiet(W),
}

impl<W: Write + Send + 'static> Screen<W> {
    fn new(options: RenderOptions, out: W) -> Self {
        let is_closed = Arc::new(AtomicBool::new(false));
        let way = match options.style {
            Style::Tty => {
                let terminal = Terminal::new(out, options.width, options.height, is_closed.clone());
                Way::Tty(Tty::new(terminal, options.has_colour))
            }
            Style::Plain => Way::Plain(out, Plain::default()),
            Style::RawJson => Way::RawJson(out),
            Style::Quiet => Way::Quiet(out),
        };
        Self {
            options,
            way,
            is_closed,
        }
    }

    fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }

    /// Shows an event as it came, where the style wants that.
    fn event(&mut self, event: &Event) {
        if let Way::RawJson(_) = self.way
            && let Ok(text) = rawjson::line(event, SystemTime::now())
        {
            self.write(&(text + "\n"));
        }
    }

    /// Shows what is new.
    fn changes(&mut self, model: &Model, changes: &[Change], now: Duration) {
        let lines: Vec<Line> = match &mut self.way {
            Way::RawJson(_) => return,
            Way::Plain(_, plain) => {
                let told: Vec<Line> = changes
                    .iter()
                    .flat_map(|change| plain.lines(model, change, now))
                    .collect();
                told.into_iter().chain(plain.overdue(model, now)).collect()
            }
            Way::Quiet(_) => changes.iter().filter_map(|change| line::quiet(model, change)).collect(),
            Way::Tty(_) => changes
                .iter()
                .filter_map(|change| line::lasting(model, change))
                .collect(),
        };
        self.print(&lines);
    }

    /// Shows how things stand, where the style does.
    fn tick(&mut self, model: &Model, now: Duration) {
        if let Way::Tty(tty) = &mut self.way
            && !self.is_closed.load(Ordering::Relaxed)
        {
            let size = tty::size(self.options.width, self.options.height);
            // The last row is the cursor's, the last column stays empty: some terminals wrap when it is written to.
            let size = frame::Size {
                columns: size.columns.saturating_sub(1),
                rows: size.rows.saturating_sub(1),
            };
            tty.draw(&frame::frame(model, size, now));
        }
    }

    /// Repeats what failing vertices said, so that it stands last.
    fn end(&mut self, model: &Model) {
        match &self.way {
            Way::Tty(tty) => tty.clear(),
            Way::RawJson(_) => return,
            Way::Plain(..) | Way::Quiet(_) => {}
        }
        for failure in &model.failures {
            self.print(&line::failure(failure));
        }
    }

    fn print(&mut self, lines: &[Line]) {
        match &self.way {
            Way::Tty(tty) if !self.is_closed() => tty.print(lines),
            _ => {
                let paint = |line: &Line| line.paint(self.options.has_colour) + "\n";
                let text: String = lines.iter().map(paint).collect();
                self.write(&text);
            }
        }
    }

    fn write(&mut self, text: &str) {
        let out = match &mut self.way {
            Way::Plain(out, _) | Way::RawJson(out) | Way::Quiet(out) => out,
            Way::Tty(_) => return,
        };
        if text.is_empty() || self.is_closed.load(Ordering::Relaxed) {
            return;
        }
        if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
            self.is_closed.store(true, Ordering::Relaxed);
        }
    }
}
