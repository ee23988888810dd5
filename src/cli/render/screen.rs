//! The four styles behind one face: [`Screen`] takes events and changes and writes what its style shows of them.
//! It knows when nobody reads any more, and is silent from then on.

use super::frame::{self, Size};
use super::line::{self, Line};
use super::model::{Change, Model};
use super::plain::Plain;
use super::rawjson;
use super::tty::{self, Terminal, Tty};
use super::{RenderOptions, Style};
use crate::event::Event;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

/// Where lines go, in the chosen style.
pub(super) struct Screen<W> {
    options: RenderOptions,
    way: Way<W>,
    is_closed: Arc<AtomicBool>,
}

/// A style and what it needs to remember.
enum Way<W> {
    Tty(Tty<W>),
    Plain(W, Plain),
    /// With the lines that are to be written.
    RawJson(W, String),
    Quiet(W),
}

impl<W: Write + Send + 'static> Screen<W> {
    /// A screen that shows nothing yet.
    pub fn new(options: RenderOptions, out: W) -> Self {
        let is_closed = Arc::new(AtomicBool::new(false));
        let way = match options.style {
            Style::Tty => {
                let terminal = Terminal::new(out, options.width, options.height, is_closed.clone());
                Way::Tty(Tty::new(terminal, options.has_colour))
            }
            Style::Plain => Way::Plain(out, Plain::default()),
            Style::RawJson => Way::RawJson(out, String::new()),
            Style::Quiet => Way::Quiet(out),
        };
        Self {
            options,
            way,
            is_closed,
        }
    }

    /// Whether nobody reads any more.
    pub fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }

    /// Takes an event as it came, where the style wants that; it is shown with the changes.
    pub fn event(&mut self, event: &Event) {
        if let Way::RawJson(_, lines) = &mut self.way
            && let Ok(line) = rawjson::line(event, SystemTime::now())
        {
            lines.push_str(&line);
            lines.push('\n');
        }
    }

    /// Shows what is new.
    pub fn changes(&mut self, model: &Model, changes: &[Change], now: Duration) {
        let lines: Vec<Line> = match &mut self.way {
            Way::RawJson(_, lines) => {
                let lines = std::mem::take(lines);
                return self.write(&lines);
            }
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
        if !lines.is_empty() {
            self.tick(model, now); // what is redrawn below the lines must not contradict them
            self.print(&lines);
        }
    }

    /// Shows how things stand, where the style does.
    pub fn tick(&mut self, model: &Model, now: Duration) {
        if let Way::Tty(tty) = &mut self.way
            && !self.is_closed.load(Ordering::Relaxed)
        {
            let size = tty::size(self.options.width, self.options.height);
            // The last row is the cursor's, the last column stays empty: some terminals wrap when it is written to.
            let size = Size {
                columns: size.columns.saturating_sub(1),
                rows: size.rows.saturating_sub(1),
            };
            tty.draw(&frame::frame(model, size, now));
        }
    }

    /// Repeats what failing vertices said, so that it stands last.
    pub fn end(&mut self, model: &Model) {
        match &self.way {
            Way::Tty(tty) => tty.clear(),
            Way::RawJson(..) => return,
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
            Way::Plain(out, _) | Way::RawJson(out, _) | Way::Quiet(out) => out,
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
