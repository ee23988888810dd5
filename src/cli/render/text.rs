//! Text that is safe and narrow enough to show. Pure functions; nothing here knows about vertices.

use crate::cli::format;
use std::time::Duration;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};
use vte::{Parser, Perform};

/// Columns that a text on the left gets before one on the right does: a few characters and their ellipsis.
const LEFT_MIN_COLUMNS: usize = 7;

/// Columns between two tab stops, as terminals have them.
const TAB: usize = 8;

/// One line of output of a program, made harmless: escape sequences and control characters are left out, tabs become
/// blanks, a newline becomes a blank, and what is not UTF-8 becomes U+FFFD. It cannot move the cursor, recolour the
/// terminal or reorder its neighbours.
pub(super) fn clean(bytes: &[u8]) -> String {
    let mut cleaned = Cleaned(String::with_capacity(bytes.len()));
    let mut parser = Parser::new();
    // Decoded first: the parser would take a stray byte of 0x80 to 0x9f for a control code that swallows text.
    parser.advance(&mut cleaned, String::from_utf8_lossy(bytes).as_bytes());
    cleaned.0.truncate(cleaned.0.trim_end().len());
    cleaned.0
}

struct Cleaned(String);

impl Perform for Cleaned {
    fn print(&mut self, character: char) {
        // Marks that change the direction of text could make a line show something other than what it says.
        let reorders = matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        let breaks = matches!(character, '\u{2028}' | '\u{2029}');
        if !character.is_control() && !reorders && !breaks {
            self.0.push(character);
        }
    }

    fn execute(&mut self, byte: u8) {
        match byte {
            b'\t' => {
                let blanks = TAB - self.0.width() % TAB;
                self.0.extend(std::iter::repeat_n(' ', blanks));
            }
            b'\n' => self.0.push(' '),
            _ => {}
        }
    }
}

/// The beginning of a text that fits into so many columns; `…` at its end says that something is missing.
pub(super) fn fit(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut used = 1; // for the ellipsis
    let mut fitted: String = text
        .chars()
        .take_while(|character| {
            used += character.width().unwrap_or(0);
            used <= columns
        })
        .collect();
    if columns > 0 {
        fitted.push('…');
    }
    fitted
}

/// A text on the left and one at the right edge. The left one gives way; the right one is dropped when next to nothing
/// would be left of the other.
pub(super) fn spread(left: &str, right: &str, columns: usize) -> String {
    let taken = right.width() + 1;
    if right.is_empty() || columns < taken + LEFT_MIN_COLUMNS {
        return fit(left, columns);
    }
    let left = fit(left, columns - taken);
    let gap = columns - left.width() - right.width();
    format!("{left}{}{right}", " ".repeat(gap))
}

/// Bytes without a blank, as in BuildKit's own lines: `12.3MB`. Less than nothing is nothing.
pub(super) fn bytes(count: i64) -> String {
    format::size(u64::try_from(count).unwrap_or(0)).replace(' ', "")
}

/// How far a transfer is: `12.3MB / 40MB`, `12.3MB` when the total is unknown, nothing when nothing is known.
pub(super) fn amount(current: i64, total: i64) -> String {
    match (current, total) {
        (current, total) if total > 0 => format!("{} / {}", bytes(current), bytes(total)),
        (current, _) if current > 0 => bytes(current),
        _ => String::new(),
    }
}

/// Seconds since a vertex began, as precise as is useful: `0.123`, `12.34`, `123.4`.
pub(super) fn offset(since: Duration) -> String {
    let seconds = since.as_secs_f64();
    match seconds {
        s if s < 10.0 => format!("{seconds:.3}"),
        s if s < 100.0 => format!("{seconds:.2}"),
        _ => format!("{seconds:.1}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn output_of_programs_is_made_harmless() {
        for (raw, text) in [
            (&b"plain"[..], "plain"),
            (b"\x1b[1;31mred\x1b[0m text", "red text"),
            (b"\x1b]0;title\x07after", "after"),
            (b"\x1b]8;;http://a\x1b\\link\x1b]8;;\x1b\\", "link"),
            (b"up\x1b[2A\x1b[2Jdown", "updown"),
            (b"bell\x07 back\x08space", "bell backspace"),
            (b"a\tb", "a       b"),
            (b"12345678\tb", "12345678        b"),
            (b"two\nlines", "two lines"),
            (b"\xff\xfe bad", "\u{fffd}\u{fffd} bad"),
            (b"\x9b31m raw c1", "\u{fffd}31m raw c1"),
            ("c1 \u{9b}31m".as_bytes(), "c1 31m"),
            ("\u{202e}desrever".as_bytes(), "desrever"),
            ("日本語 🦀".as_bytes(), "日本語 🦀"),
            (b"unfinished \x1b[", "unfinished"),
            (b"", ""),
        ] {
            assert_eq!(clean(raw), text, "{raw:?}");
        }
    }

    #[test]
    fn texts_are_cut_to_columns_not_to_characters() {
        for (text, columns, fitted) in [
            ("hello", 5, "hello"),
            ("hello", 4, "hel…"),
            ("日本語", 6, "日本語"),
            ("日本語", 5, "日本…"),
            ("日本語", 4, "日…"),
            ("hello", 1, "…"),
            ("hello", 0, ""),
        ] {
            assert_eq!(fit(text, columns), fitted, "{text} in {columns}");
        }
    }

    #[test]
    fn the_right_side_stays_at_the_edge() {
        assert_eq!(spread("left", "1.0s", 12), "left    1.0s");
        assert_eq!(spread("longer than that", "1.0s", 12), "longer… 1.0s");
        assert_eq!(spread("left", "1.0s", 6), "left");
        assert_eq!(spread("日本語日本語", "1.0s", 13), "日本語…  1.0s");
        assert_eq!(spread("日本語日本語", "1.0s", 12), "日本語… 1.0s");
    }

    #[test]
    fn amounts_say_what_is_known() {
        assert_eq!(amount(12_345_678, 40_000_000), "12.3MB / 40MB");
        assert_eq!(amount(30, 0), "30B");
        assert_eq!(amount(0, 0), "");
        assert_eq!(amount(-1, 5), "0B / 5B");
    }

    proptest! {
        #[test]
        fn nothing_cleaned_can_touch_the_terminal(raw in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(!clean(&raw).chars().any(char::is_control));
        }

        #[test]
        fn nothing_is_wider_than_its_place(left in "\\PC{0,40}", right in "[a-z]{0,9}", columns in 0_usize..60) {
            prop_assert!(fit(&left, columns).width() <= columns);
            prop_assert!(spread(&left, &right, columns).width() <= columns);
        }
    }
}
