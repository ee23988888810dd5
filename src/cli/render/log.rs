//! Output of a vertex: chunks of bytes become whole lines ([`Lines`]), of which the last ones are kept ([`Tail`]).

use super::text;
use std::collections::VecDeque;
use std::mem;
use std::time::Duration;

/// A line without an end is cut here, so that a program that never ends its line cannot fill the memory.
const LINE_LIMIT_BYTES: usize = 64 * 1024;

/// How much output of one vertex is kept to be repeated should it fail: enough for a compiler's last errors.
pub(super) const TAIL_LIMIT_BYTES: usize = 256 * 1024;

/// One line of output, harmless to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LogLine {
    /// How long after the beginning of the vertex it came; nothing when BuildKit gave no time.
    pub at: Option<Duration>,
    /// The line, through [`text::clean`].
    pub text: String,
}

impl LogLine {
    /// A line from its bytes.
    pub fn new(at: Option<Duration>, bytes: &[u8]) -> Self {
        Self {
            at,
            text: text::clean(bytes),
        }
    }

    /// Bytes in memory, near enough.
    pub fn cost(&self) -> usize {
        self.text.len() + size_of::<Self>()
    }
}

/// Puts the lines of one stream together. A carriage return starts a line anew, as on a terminal, so that of a
/// progress bar only the last state is seen.
#[derive(Debug, Default)]
pub(super) struct Lines {
    partial: Vec<u8>,
    has_returned: bool,
}

impl Lines {
    /// Takes a chunk; the lines that it ends go to `whole`.
    pub fn push(&mut self, mut bytes: &[u8], mut whole: impl FnMut(&[u8])) {
        while let Some(&first) = bytes.first() {
            match first {
                b'\n' => {
                    whole(&self.partial);
                    self.partial.clear();
                    self.has_returned = false;
                    bytes = &bytes[1..];
                }
                b'\r' => {
                    self.has_returned = true;
                    bytes = &bytes[1..];
                }
                _ => {
                    if mem::take(&mut self.has_returned) {
                        self.partial.clear();
                    }
                    bytes = self.extend(bytes, &mut whole);
                }
            }
        }
    }

    /// Takes bytes up to the next end of line or to the limit; returns the rest.
    fn extend<'a>(&mut self, bytes: &'a [u8], whole: &mut impl FnMut(&[u8])) -> &'a [u8] {
        let end = bytes
            .iter()
            .position(|byte| matches!(byte, b'\n' | b'\r'))
            .unwrap_or(bytes.len());
        let end = end.min(LINE_LIMIT_BYTES - self.partial.len());
        self.partial.extend_from_slice(&bytes[..end]);
        if self.partial.len() == LINE_LIMIT_BYTES {
            // Not through the middle of a character: at most three bytes of it can stand at the end.
            let start = (1..4).find(|&back| self.partial[LINE_LIMIT_BYTES - back] >= 0xc0);
            let rest = self.partial.split_off(LINE_LIMIT_BYTES - start.unwrap_or(0));
            whole(&self.partial);
            self.partial = rest;
        }
        &bytes[end..]
    }

    /// Ends the last line, when there is one.
    pub fn flush(&mut self, mut whole: impl FnMut(&[u8])) {
        if !self.partial.is_empty() {
            whole(&self.partial);
        }
        *self = Self::default();
    }

    /// The line that has not ended yet.
    pub fn partial(&self) -> &[u8] {
        &self.partial
    }
}

/// The last lines of a vertex's output, within [`TAIL_LIMIT_BYTES`].
#[derive(Clone, Debug, Default)]
pub(super) struct Tail {
    lines: VecDeque<LogLine>,
    bytes: usize,
    /// How many lines had to go.
    pub left_out: u64,
}

impl Tail {
    /// Adds a line.
    pub fn push(&mut self, line: LogLine) {
        self.bytes += line.cost();
        self.lines.push_back(line);
        self.shrink(TAIL_LIMIT_BYTES);
    }

    /// Forgets the oldest lines until no more than `limit` bytes are kept.
    pub fn shrink(&mut self, limit: usize) {
        while self.bytes > limit
            && let Some(line) = self.lines.pop_front()
        {
            self.bytes -= line.cost();
            self.left_out += 1;
        }
    }

    /// Bytes in memory, near enough.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The lines, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &LogLine> {
        self.lines.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(chunks: &[&[u8]]) -> Vec<String> {
        let (mut assembler, mut whole) = (Lines::default(), Vec::new());
        for chunk in chunks {
            assembler.push(chunk, |line| whole.push(text::clean(line)));
        }
        assembler.flush(|line| whole.push(text::clean(line)));
        whole
    }

    #[test]
    fn only_whole_lines_come_out() {
        let check = |chunks: &[&[u8]], expected: &[&str]| assert_eq!(lines(chunks), expected, "{chunks:?}");
        check(&[b"one\ntw", b"o\nthr", b"ee"], &["one", "two", "three"]);
        check(&[b"dos\r\nline\r", b"\nend\r\n"], &["dos", "line", "end"]);
        check(&[b"10%\r20%\r", b"30%\n"], &["30%"]);
        check(&[b"\r10%", b"\r20%"], &["20%"]);
        check(&[b"\n\n"], &["", ""]);
        check(&["hé".as_bytes().split_at(2).0, "hé".as_bytes().split_at(2).1], &["hé"]);
        check(&[b""], &[]);
    }

    #[test]
    fn an_endless_line_is_cut_between_characters() {
        let text = "é".repeat(LINE_LIMIT_BYTES);
        let shifted = format!("x{text}");
        for text in [text, shifted] {
            let found = lines(&[text.as_bytes()]);
            assert!(found.len() >= 2);
            assert!(
                found
                    .iter()
                    .all(|line| line.len() <= LINE_LIMIT_BYTES && !line.contains('\u{fffd}'))
            );
            assert_eq!(found.concat(), text);
        }
    }

    #[test]
    fn bytes_that_are_no_characters_do_not_stop_the_cutting() {
        let found = lines(&[&vec![0xff; 3 * LINE_LIMIT_BYTES]]);
        assert!(found.len() >= 3);
    }

    #[test]
    fn the_tail_forgets_the_oldest_first() {
        let mut tail = Tail::default();
        for number in 0..10_000 {
            tail.push(LogLine::new(None, format!("{number} {}", "x".repeat(100)).as_bytes()));
        }
        assert!(tail.bytes() <= TAIL_LIMIT_BYTES);
        assert_eq!(tail.left_out + tail.iter().count() as u64, 10_000);
        assert!(
            tail.iter()
                .next_back()
                .is_some_and(|line| line.text.starts_with("9999 "))
        );
        tail.shrink(0);
        assert_eq!((tail.iter().count(), tail.bytes()), (0, 0));
    }

    proptest! {
        #[test]
        fn where_chunks_are_cut_does_not_matter(text in "[a\\r\\né]{0,40}", cut in 0_usize..80) {
            let bytes = text.as_bytes();
            let (before, after) = bytes.split_at(cut.min(bytes.len()));
            prop_assert_eq!(lines(&[bytes]), lines(&[before, after]));
        }
    }
}
