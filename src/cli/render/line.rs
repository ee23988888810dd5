//! Lines that stay on the screen in more than one style: notices, warnings, ends of packages, logs of what failed.
//! A [`Line`] is text and what it means; colour is given to it at the last moment.

use super::model::{Change, Failure, Model, StepState};
use super::text;
use crate::cli::format;
use crate::event::Outcome;
use std::time::Duration;

/// What a line means, which decides its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Plain,
    /// The name of a package.
    Heading,
    /// Less important: output, notices.
    Dim,
    /// Something from the cache.
    Cached,
    Good,
    Warning,
    Bad,
}

/// One line, without its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub kind: Kind,
    pub text: String,
}

impl Line {
    /// A line.
    pub fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self {
            kind,
            text: text.into(),
        }
    }

    /// The text, with the escape sequences of its colour where colour is wanted.
    pub fn paint(&self, has_colour: bool) -> String {
        let code = match self.kind {
            Kind::Plain => return self.text.clone(),
            Kind::Heading => "1",
            Kind::Dim => "2",
            Kind::Cached => "34",
            Kind::Good => "32",
            Kind::Warning => "33",
            Kind::Bad => "31",
        };
        if has_colour {
            format!("\x1b[{code}m{}\x1b[0m", self.text)
        } else {
            self.text.clone()
        }
    }
}

/// The line of a change that stays on a terminal above the live ones; nothing for changes that do not.
pub(super) fn lasting(model: &Model, change: &Change) -> Option<Line> {
    match change {
        Change::Notice(text) => Some(Line::new(Kind::Dim, text.clone())),
        Change::Warning(text) => Some(Line::new(Kind::Warning, format!("warning: {text}"))),
        Change::BuildWarning { step, text, line } => {
            let place = if *line == 0 {
                String::new()
            } else {
                format!("line {line}: ")
            };
            Some(Line::new(
                Kind::Warning,
                format!("{} WARN: {place}{text}", model.steps[*step].label),
            ))
        }
        Change::StepFinished(step) => finished(&model.steps[*step]),
        _ => None,
    }
}

/// As [`lasting`], of that only what is wrong.
pub(super) fn quiet(model: &Model, change: &Change) -> Option<Line> {
    lasting(model, change).filter(|line| matches!(line.kind, Kind::Warning | Kind::Bad))
}

/// `built org/image:tag linux/amd64,linux/arm64 12 steps, 7 cached, 3.2s  sha256:…`, `pushed org/image:tag 3 blobs, 12 MB,
/// 0.3s  sha256:…`.
fn finished(step: &StepState) -> Option<Line> {
    let (outcome, took) = step.outcome.as_ref()?;
    let (took, counts, mut what) = (format::duration(*took), step.counts(), step.step.to_string());
    if !step.platforms.is_empty() {
        what.extend([" ", &step.platform_names()]);
    }
    Some(match outcome {
        Outcome::Built(digest) => {
            let steps = if counts.ended == 1 { "step" } else { "steps" };
            let digest = text::clean(digest.as_bytes());
            let text = format!(
                "built {what} {} {steps}, {} cached, {took}  {digest}",
                counts.ended, counts.cached
            );
            Line::new(Kind::Good, text)
        }
        Outcome::Moved {
            how,
            digest,
            blobs: count,
            bytes,
        } => {
            let moved = match count {
                0 => "nothing new".to_owned(),
                count => format!("{}, {}", format::count(*count, "blob"), format::size(*bytes)),
            };
            let digest = text::clean(digest.as_bytes());
            Line::new(Kind::Good, format!("{how} {what} {moved}, {took}  {digest}"))
        }
        Outcome::Failed(reason) => {
            // The error that follows says it all; here one line is enough.
            let reason = text::clean(reason.lines().next().unwrap_or_default().as_bytes());
            Line::new(Kind::Bad, format!("failed {what} after {took}: {reason}"))
        }
        Outcome::Cancelled => Line::new(Kind::Warning, format!("cancelled {what} after {took}")),
    })
}

/// What a failing vertex said, between two rules. BuildKit's own layout, which people and tools know.
pub(super) fn failure(failure: &Failure) -> Vec<Line> {
    let rule = || Line::new(Kind::Plain, "------");
    let mut lines = vec![
        rule(),
        Line::new(Kind::Bad, format!(" > {} {}:", failure.label, failure.title)),
    ];
    if failure.tail.left_out > 0 {
        let text = format!("[{} earlier lines are left out]", failure.tail.left_out);
        lines.push(Line::new(Kind::Dim, text));
    }
    lines.extend(
        failure
            .tail
            .iter()
            .map(|line| Line::new(Kind::Plain, log_line(line.at, &line.text))),
    );
    lines.push(rule());
    lines
}

/// `0.123 text`, or the text alone when the time is unknown.
pub(super) fn log_line(at: Option<Duration>, text: &str) -> String {
    match at {
        Some(at) => format!("{} {text}", text::offset(at)).trim_end().to_owned(),
        None => text.to_owned(),
    }
}
