//! File patterns as Go's path/filepath reads them: `*`, `?`, `[a-z]`, `[^a-z]`, `\` before a sign; no `**`.
//!
//! `*` matches a leading dot. Matches come sorted by name, directory by directory.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// The existing paths that `pattern` matches; none is not an error. A malformed pattern is one, whatever exists.
pub(super) fn expand(pattern: &Path) -> Result<Vec<PathBuf>, String> {
    let malformed = || {
        format!(
            "{} is not a pattern: a [ has no ], or a \\ nothing behind it",
            pattern.display()
        )
    };
    let mut found = vec![PathBuf::new()];
    for component in pattern.components() {
        let name = component.as_os_str();
        let Component::Normal(_) = component else {
            found.iter_mut().for_each(|path| path.push(name));
            continue;
        };
        let parts = parse(name.as_bytes()).ok_or_else(malformed)?;
        if !has_meta(name.as_bytes()) {
            found.iter_mut().for_each(|path| path.push(name));
            found.retain(|path| std::fs::symlink_metadata(path).is_ok());
            continue;
        }
        found = found.iter().flat_map(|directory| matching(directory, &parts)).collect();
    }
    Ok(found)
}

/// The entries of `directory` whose names match, sorted; none where there is no directory.
fn matching(directory: &Path, parts: &[Part]) -> Vec<PathBuf> {
    let listed = match directory.as_os_str().is_empty() {
        true => std::fs::read_dir("."),
        false => std::fs::read_dir(directory),
    };
    let entries = listed.into_iter().flatten().flatten();
    let mut names: Vec<_> = entries
        .map(|entry| entry.file_name())
        .filter(|name| is_match(parts, name))
        .collect();
    names.sort();
    names.into_iter().map(|name| directory.join(name)).collect()
}

fn has_meta(name: &[u8]) -> bool {
    name.iter().any(|byte| b"*?[\\".contains(byte))
}

#[derive(Debug, PartialEq)]
enum Part {
    Any,
    One,
    Char(char),
    Class {
        is_negated: bool,
        ranges: Vec<(char, char)>,
    },
}

/// The parts of a pattern; `None` when it is malformed.
fn parse(pattern: &[u8]) -> Option<Vec<Part>> {
    let text = String::from_utf8_lossy(pattern);
    let mut chars = text.chars().peekable();
    let mut parts = Vec::new();
    while let Some(char) = chars.next() {
        parts.push(match char {
            '*' => Part::Any,
            '?' => Part::One,
            '\\' => Part::Char(chars.next()?),
            '[' => {
                let is_negated = chars.next_if_eq(&'^').is_some();
                let mut ranges = Vec::new();
                while ranges.is_empty() || chars.next_if_eq(&']').is_none() {
                    let low = class_char(&mut chars)?;
                    let high = match chars.next_if_eq(&'-') {
                        Some(_) => class_char(&mut chars)?,
                        None => low,
                    };
                    ranges.push((low, high));
                }
                Part::Class { is_negated, ranges }
            }
            other => Part::Char(other),
        });
    }
    Some(parts)
}

fn class_char(chars: &mut impl Iterator<Item = char>) -> Option<char> {
    match chars.next()? {
        '-' | ']' => None,
        '\\' => chars.next(),
        other => Some(other),
    }
}

fn is_match(parts: &[Part], name: &OsStr) -> bool {
    let name: Vec<char> = String::from_utf8_lossy(name.as_bytes()).chars().collect();
    let (mut part, mut at) = (0, 0);
    // Where to try again when a match fails: behind the last `*`, which then takes one more sign.
    let mut retry: Option<(usize, usize)> = None;
    while at < name.len() || part < parts.len() {
        let is_taken = match (parts.get(part), name.get(at)) {
            (Some(Part::Any), _) => {
                retry = Some((part, at + 1));
                part += 1;
                continue;
            }
            (Some(Part::One), Some(_)) => true,
            (Some(Part::Char(wanted)), Some(char)) => wanted == char,
            (Some(Part::Class { is_negated, ranges }), Some(char)) => {
                ranges.iter().any(|(low, high)| low <= char && char <= high) != *is_negated
            }
            _ => false,
        };
        match (is_taken, retry) {
            (true, _) => (part, at) = (part + 1, at + 1),
            (false, Some((star, next))) if next <= name.len() => (part, at) = (star, next),
            (false, _) => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_as_in_go() {
        for (pattern, name, expected) in [
            ("*", ".a", true),
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abcb", false),
            ("*a*b*", "xaxxbx", true),
            ("?", "é", true),
            ("??", "a", false),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("[\\]]", "]", true),
            ("ab", "abc", false),
        ] {
            let parts = parse(pattern.as_bytes()).expect(pattern);
            assert_eq!(is_match(&parts, OsStr::new(name)), expected, "{pattern} {name}");
        }
        for malformed in ["[", "[a", "[]", "[]a]", "[a-]", "\\", "[-a]"] {
            assert_eq!(parse(malformed.as_bytes()), None, "{malformed}");
        }
    }
}
