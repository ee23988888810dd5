//! The live view of a terminal: [`Tty`] hands frames and lasting lines to indicatif, which redraws them in place.
//! [`Terminal`] is the way from indicatif to the writer.

use super::frame::Size;
use super::line::Line;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};
use std::fmt;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Drawings a second that indicatif lets through; more than are asked for, because frames are rationed already.
const DRAW_RATE_HZ: u8 = 60;

/// Size of a terminal that does not tell its own.
const DEFAULT_SIZE: Size = Size { columns: 80, rows: 24 };

/// Lines below a shell's prompt that redraw themselves, and lasting lines above them.
pub(super) struct Tty<W> {
    bar: ProgressBar,
    terminal: Terminal<W>,
    drawn: String,
    has_colour: bool,
}

impl<W: Write + Send + 'static> Tty<W> {
    /// Draws to a terminal.
    pub fn new(terminal: Terminal<W>, has_colour: bool) -> Self {
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(terminal.clone()), DRAW_RATE_HZ);
        // One "bar" that is nothing but its message: the frame, however many lines it has.
        let bar = ProgressBar::with_draw_target(None, target);
        bar.set_style(ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self {
            bar,
            terminal,
            drawn: String::new(),
            has_colour,
        }
    }

    /// Adds lasting lines above the live ones. Not by indicatif, which fills lines with blanks to the terminal's width:
    /// these are copied by people.
    pub fn print(&self, lines: &[Line]) {
        if lines.is_empty() {
            return;
        }
        let text = self.paint(lines);
        self.bar.suspend(|| {
            // Whether it could be written is remembered by the terminal.
            let _ = self.terminal.write_line(&text).and_then(|()| self.terminal.flush());
        });
    }

    /// Replaces the live lines.
    pub fn draw(&mut self, frame: &[Line]) {
        let text = self.paint(frame);
        if text != self.drawn {
            self.bar.set_message(text.clone());
            self.drawn = text;
        }
    }

    /// Removes the live lines for good.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }

    fn paint(&self, lines: &[Line]) -> String {
        lines
            .iter()
            .map(|line| line.paint(self.has_colour))
            .collect::<Vec<_>>()
            .join("\n")
    }
}

/// Asks the terminal behind standard error for its size. Each of the wanted numbers wins over what it says.
pub(super) fn size(width: Option<u16>, height: Option<u16>) -> Size {
    let known = |number: u16| (number > 0).then_some(usize::from(number));
    let asked = rustix::termios::tcgetwinsize(io::stderr()).ok();
    Size {
        columns: width
            .or(asked.map(|size| size.ws_col))
            .and_then(known)
            .unwrap_or(DEFAULT_SIZE.columns),
        rows: height
            .or(asked.map(|size| size.ws_row))
            .and_then(known)
            .unwrap_or(DEFAULT_SIZE.rows),
    }
}

/// A writer that understands ANSI sequences, as indicatif wants to see a terminal. What indicatif draws at once is
/// written at once, so that a terminal shows no half frame.
pub(super) struct Terminal<W>(Arc<Shared<W>>);

struct Shared<W> {
    /// The writer, and what it is to get at the next flush.
    out: Mutex<(W, Vec<u8>)>,
    width: Option<u16>,
    height: Option<u16>,
    is_closed: Arc<AtomicBool>,
}

impl<W: Write> Terminal<W> {
    /// A terminal; `is_closed` becomes true when nobody reads any more (indicatif keeps errors to itself).
    pub fn new(out: W, width: Option<u16>, height: Option<u16>, is_closed: Arc<AtomicBool>) -> Self {
        Self(Arc::new(Shared {
            out: Mutex::new((out, Vec::new())),
            width,
            height,
            is_closed,
        }))
    }

    fn pend(&self, text: impl fmt::Display) -> io::Result<()> {
        let mut out = self.0.out.lock().unwrap_or_else(PoisonError::into_inner);
        write!(out.1, "{text}")
    }

    fn moved(&self, count: usize, direction: char) -> io::Result<()> {
        if count > 0 {
            self.pend(format_args!("\x1b[{count}{direction}"))
        } else {
            Ok(())
        }
    }
}

impl<W> Clone for Terminal<W> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<W> fmt::Debug for Terminal<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terminal").finish_non_exhaustive()
    }
}

impl<W: Write + Send> TermLike for Terminal<W> {
    fn width(&self) -> u16 {
        u16::try_from(size(self.0.width, self.0.height).columns).unwrap_or(u16::MAX)
    }

    fn height(&self) -> u16 {
        u16::try_from(size(self.0.width, self.0.height).rows).unwrap_or(u16::MAX)
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.moved(n, 'A')
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.moved(n, 'B')
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.moved(n, 'C')
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.moved(n, 'D')
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.pend(format_args!("{text}\n"))
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.pend(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.pend("\r\x1b[2K")
    }

    fn flush(&self) -> io::Result<()> {
        let mut out = self.0.out.lock().unwrap_or_else(PoisonError::into_inner);
        let (out, pending) = &mut *out;
        let written = out.write_all(pending).and_then(|()| out.flush());
        pending.clear();
        if written.is_err() {
            self.0.is_closed.store(true, Ordering::Relaxed);
        }
        written
    }
}
