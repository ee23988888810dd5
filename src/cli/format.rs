//! Sizes, durations and tables as people read them. Pure: values in, text out; nothing is printed here.

use std::time::Duration;
use unicode_width::UnicodeWidthStr;

/// Units of [`size`]: decimal, as registries and BuildKit count.
const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];

/// Blanks between two columns of a [`Table`].
const GAP: usize = 2;

/// A number of bytes: `0 B`, `999 B`, `12.3 MB`, `40 MB`. Decimal units, one digit after the point, none when it is 0.
pub fn size(bytes: u64) -> String {
    // Tenths of the unit, rounded, so that no value is ever shown as 1000.0 of a smaller unit.
    let (mut unit, mut divisor) = (0, 1_u128);
    let tenths = |divisor: u128| (u128::from(bytes) * 10 + divisor / 2) / divisor;
    while tenths(divisor) >= 10_000 && unit + 1 < UNITS.len() {
        unit += 1;
        divisor *= 1000;
    }
    let value = tenths(divisor);
    match (unit, value % 10) {
        (0, _) => format!("{bytes} B"),
        (_, 0) => format!("{} {}", value / 10, UNITS[unit]),
        (_, rest) => format!("{}.{rest} {}", value / 10, UNITS[unit]),
    }
}

/// A duration: `3.2s` below a minute, `1m04s` below an hour, `2h05m` from there on.
pub fn duration(duration: Duration) -> String {
    let tenths = (duration.as_millis() + 50) / 100;
    if tenths < 600 {
        return format!("{}.{}s", tenths / 10, tenths % 10);
    }
    let seconds = (duration.as_millis() + 500) / 1000;
    if seconds < 3600 {
        format!("{}m{:02}s", seconds / 60, seconds % 60)
    } else {
        format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60)
    }
}

/// A number of things: `1 name`, `2 names`.
pub fn count(number: usize, thing: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{ending}")
}

/// On which side of its column a cell stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers and sizes.
    Right,
}

/// Rows in aligned columns. Widths are those of a terminal, so wide characters count as two.
#[derive(Clone, Debug, Default)]
pub struct Table {
    columns: Vec<Align>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with a heading and the side of each column.
    pub fn new(columns: &[(&str, Align)]) -> Self {
        Self {
            columns: columns.iter().map(|(_, align)| *align).collect(),
            rows: vec![columns.iter().map(|(name, _)| (*name).to_owned()).collect()],
        }
    }

    /// Adds a row. Cells that are missing are empty; cells beyond the last column are left out.
    pub fn row(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) {
        let mut row: Vec<String> = cells.into_iter().map(Into::into).take(self.columns.len()).collect();
        row.resize(self.columns.len(), String::new());
        self.rows.push(row);
    }

    /// The lines, heading first, each ended by a newline and without blanks at its end.
    pub fn render(&self) -> String {
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|column| self.rows.iter().map(|row| row[column].width()).max().unwrap_or(0))
            .collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for ((cell, width), align) in row.iter().zip(&widths).zip(&self.columns) {
                let padding = " ".repeat(width - cell.width());
                match align {
                    Align::Left => line.extend([cell.as_str(), &padding]),
                    Align::Right => line.extend([padding.as_str(), cell]),
                }
                line.extend([" "; GAP]);
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_one_digit_after_the_point() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1 kB"),
            (1049, "1 kB"),
            (1050, "1.1 kB"),
            (999_949, "999.9 kB"),
            (999_951, "1 MB"),
            (12_345_678, "12.3 MB"),
            (40_000_000, "40 MB"),
            (u64::MAX, "18446.7 PB"),
        ] {
            assert_eq!(size(bytes), text, "{bytes}");
        }
    }

    #[test]
    fn durations_get_coarser_as_they_grow() {
        for (ms, text) in [
            (0, "0.0s"),
            (49, "0.0s"),
            (50, "0.1s"),
            (3_210, "3.2s"),
            (59_949, "59.9s"),
            (59_950, "1m00s"),
            (64_000, "1m04s"),
            (3_599_499, "59m59s"),
            (3_599_500, "1h00m"),
            (7_530_000, "2h05m"),
        ] {
            assert_eq!(duration(Duration::from_millis(ms)), text, "{ms} ms");
        }
    }

    #[test]
    fn columns_are_aligned_and_lines_have_no_blanks_at_their_end() {
        let mut table = Table::new(&[("NAME", Align::Left), ("SIZE", Align::Right), ("NOTE", Align::Left)]);
        table.row(["hello", "1 kB", ""]);
        table.row(["日本", "12.3 MB", "wide", "beyond the last column"]);
        table.row(["x"]);
        let expected = "NAME      SIZE  NOTE\nhello     1 kB\n日本   12.3 MB  wide\nx\n";
        assert_eq!(table.render(), expected);
    }
}
