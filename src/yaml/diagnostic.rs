//! What is wrong with a file, and where: [`Diagnostic`], with file, line, column and the line itself.
//!
//! Only builds texts; reads no file and prints nothing.

use std::fmt;
use std::path::{Path, PathBuf};

/// A place in a text file, both counted from 1, the column in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

/// One problem of one file. `Display` gives several lines: path and position with the message, then the source line with
/// a mark below what is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file.
    pub path: PathBuf,
    /// Where in the file; `None` when the problem has no single place, such as a missing field.
    pub position: Option<Position>,
    /// What is wrong, and what to do where that is known.
    pub message: String,
    /// The source line and the number of characters to mark.
    snippet: Option<(String, usize)>,
}

impl Diagnostic {
    /// A problem of the whole file.
    pub(crate) fn of_file(path: &Path, message: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            position: None,
            message: message.into(),
            snippet: None,
        }
    }

    /// A problem at one place of `text`, the file's content; `width` characters are marked.
    pub(crate) fn at(path: &Path, text: &str, position: Position, width: usize, message: impl Into<String>) -> Self {
        let line = text.lines().nth(position.line.saturating_sub(1) as usize);
        Self {
            path: path.to_owned(),
            position: Some(position),
            message: message.into(),
            snippet: line.map(|line| (line.to_owned(), width)),
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.path.display())?;
        if let Some(Position { line, column }) = self.position {
            write!(f, "{line}:{column}:")?;
        }
        write!(f, " {}", self.message)?;
        let (Some(Position { line, column }), Some((source, width))) = (self.position, &self.snippet) else {
            return Ok(());
        };
        let number = line.to_string();
        let margin = " ".repeat(number.len());
        let before = (column as usize).saturating_sub(1);
        // A tab stays a tab, so that the mark stands below its text whatever a tab's width is.
        let indent: String = source
            .chars()
            .take(before)
            .map(|c| if c == '\t' { '\t' } else { ' ' })
            .collect();
        let room = source.chars().count().saturating_sub(before);
        let mark = "^".repeat((*width).min(room).max(1));
        write!(f, "\n{margin} |\n{number} | {source}\n{margin} | {indent}{mark}")
    }
}

/// The known name nearest to `wanted`, when it is near enough to be what was meant.
pub(crate) fn nearest<'a>(wanted: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = wanted.to_lowercase();
    let limit = (wanted.chars().count() / 3).clamp(1, 3);
    known
        .map(|name| (distance(&lower, &name.to_lowercase()), name))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// How many characters must be put in, taken out, changed or swapped with their neighbour to make one text the other.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let best = change.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                let is_swap = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                if is_swap {
                    best.min(rows[i - 2][j - 2] + 1)
                } else {
                    best
                }
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_shown_with_a_mark_below() {
        let position = Position { line: 2, column: 4 };
        let diagnostic = Diagnostic::at(Path::new("/p/build.yml"), "a\n\tx: ü\nb", position, 9, "what is `ü`?");
        assert_eq!(
            diagnostic.to_string(),
            "/p/build.yml:2:4: what is `ü`?\n  |\n2 | \tx: ü\n  | \t  ^^"
        );
        let whole = Diagnostic::of_file(Path::new("f"), "empty");
        assert_eq!(whole.to_string(), "f: empty");
    }

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let known = ["image", "org", "dockerfile", "extra-sources", "buildArgs", "tag"];
        for (wanted, found) in [
            ("imgae", Some("image")),
            ("build-args", Some("buildArgs")),
            ("buildargs", Some("buildArgs")),
            ("Dockerfile", Some("dockerfile")),
            ("extra_source", Some("extra-sources")),
            ("tags", Some("tag")),
            ("xyz", None),
            ("", None),
            ("labels", None),
        ] {
            assert_eq!(nearest(wanted, known.into_iter()), found, "{wanted}");
        }
    }
}
