//! Copies a document, or a statement's predicate, byte for byte while somebody else reads it: [`Copying`].

use super::Spool;
use std::io::{self, Read, Write};

/// A reader that copies what passes: all of it, or the value of the top-level key `predicate`. That it is JSON is for the
/// one who reads to find out: of what is none, anything may be copied.
pub(super) struct Copying<R> {
    inner: R,
    copy: Spool,
    /// None where all is copied.
    scanner: Option<Scanner>,
}

impl<R> Copying<R> {
    /// Copies all of it.
    pub(super) fn whole(inner: R) -> Self {
        Self {
            inner,
            copy: Spool::default(),
            scanner: None,
        }
    }

    /// Copies the predicate.
    pub(super) fn predicate(inner: R) -> Self {
        Self {
            scanner: Some(Scanner::default()),
            ..Self::whole(inner)
        }
    }

    /// What was copied.
    pub(super) fn into_copy(self) -> Spool {
        self.copy
    }
}

impl<R: Read> Read for Copying<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        match &mut self.scanner {
            Some(scanner) => scanner.scan(&buffer[..count], &mut self.copy)?,
            None => self.copy.write_all(&buffer[..count])?,
        }
        Ok(count)
    }
}

/// Where in the text it is.
#[derive(Default)]
struct Scanner {
    depth: u32,
    is_in_string: bool,
    is_escaped: bool,
    /// The string at depth 1 that was read last or is being read: a key, where a colon follows.
    last: Vec<u8>,
    is_in_predicate: bool,
}

/// A key longer than that is not ours, in bytes.
const KEY_BYTES_MAX: usize = 32;

impl Scanner {
    fn scan(&mut self, bytes: &[u8], copy: &mut Spool) -> io::Result<()> {
        let mut begin = self.is_in_predicate.then_some(0);
        for (at, &byte) in bytes.iter().enumerate() {
            let was_inside = self.is_in_predicate;
            self.step(byte);
            match (was_inside, self.is_in_predicate) {
                (false, true) => begin = Some(at + 1),
                (true, false) => {
                    if let Some(begin) = begin.take() {
                        copy.write_all(&bytes[begin..at])?;
                    }
                }
                _ => {}
            }
        }
        if let Some(begin) = begin {
            copy.write_all(&bytes[begin..])?;
        }
        Ok(())
    }

    fn step(&mut self, byte: u8) {
        if self.is_in_string {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' => self.is_escaped = true,
                b'"' => self.is_in_string = false,
                _ => {}
            }
            if self.is_in_string && self.depth == 1 && self.last.len() < KEY_BYTES_MAX {
                self.last.push(byte);
            }
            return;
        }
        match byte {
            b'"' => {
                self.is_in_string = true;
                if self.depth == 1 {
                    self.last.clear();
                }
            }
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                if self.depth == 0 {
                    self.is_in_predicate = false;
                }
            }
            b':' if self.depth == 1 && self.last == b"predicate" => self.is_in_predicate = true,
            b',' if self.depth == 1 => self.is_in_predicate = false,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_predicate_is_copied_byte_for_byte() {
        let check = |text: &str, expected: &str| {
            for piece_bytes in 1..=text.len() {
                let mut copying = Copying::predicate(io::Cursor::new(text));
                let mut piece = vec![0; piece_bytes];
                while copying.read(&mut piece).unwrap() > 0 {}
                let mut found = String::new();
                let mut reader = copying.into_copy().into_reader().unwrap();
                reader.read_to_string(&mut found).unwrap();
                assert_eq!(found, expected, "{text} in pieces of {piece_bytes}");
            }
        };
        check(r#"{"a":1,"predicate":{"b":[1,"}"]},"c":2}"#, r#"{"b":[1,"}"]}"#);
        check(r#"{"predicate": {"predicate":"\"}"} }"#, r#" {"predicate":"\"}"} "#);
        check(r#"{"x":"predicate","y":{"predicate":1},"predicate":"z"}"#, r#""z""#);
        check(r#"{"predicateType":"t","predicate":null}"#, "null");
        check(r#"{"a":1}"#, "");
    }
}
