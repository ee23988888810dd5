//! Go's `filepath.Match`: one glob against one name. `*` and `?` stop at `/`; `**` means nothing here.
//!
//! Two callers need it to the letter: the check that a pattern is well formed, which Go does by matching it with ".",
//! and wildcards in follow paths. It must not be used to filter files: that is [`super::PatternMatcher`].

/// The pattern's syntax is wrong at a place that matching reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadGlob;

/// Whether `name` matches `pattern` as a whole.
///
/// # Errors
/// [`BadGlob`] only when matching reaches the malformed part, as in Go: `a*[` is no error for a name without `a`.
pub(crate) fn glob_matches(mut pattern: &str, mut name: &str) -> Result<bool, BadGlob> {
    while !pattern.is_empty() {
        let (has_star, chunk, rest) = next_chunk(pattern);
        pattern = rest;
        if has_star && chunk.is_empty() {
            return Ok(!name.contains('/'));
        }
        match consume(chunk, name)? {
            Some(left) if left.is_empty() || !pattern.is_empty() => name = left,
            _ if !has_star => return Ok(false),
            _ => match consume_after_star(chunk, name, pattern.is_empty())? {
                Some(left) => name = left,
                None => return Ok(false),
            },
        }
    }
    Ok(name.is_empty())
}

/// Lets a star eat one more character at a time until `chunk` fits behind it.
fn consume_after_star<'n>(chunk: &str, name: &'n str, is_last: bool) -> Result<Option<&'n str>, BadGlob> {
    for (at, eaten) in name.char_indices() {
        if eaten == '/' {
            break;
        }
        if let Some(left) = consume(chunk, &name[at + eaten.len_utf8()..])?
            && (!is_last || left.is_empty())
        {
            return Ok(Some(left));
        }
    }
    Ok(None)
}

/// Splits leading stars and the text up to the next star that is in no class.
fn next_chunk(pattern: &str) -> (bool, &str, &str) {
    let body = pattern.trim_start_matches('*');
    let has_star = body.len() < pattern.len();
    let mut is_in_class = false;
    let mut characters = body.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => drop(characters.next()),
            '[' => is_in_class = true,
            ']' => is_in_class = false,
            '*' if !is_in_class => return (has_star, &body[..at], &body[at..]),
            _ => {}
        }
    }
    (has_star, body, "")
}

/// Matches a chunk without stars at the start of `name`; gives what is left of the name. After a mismatch the rest
/// of the chunk is still checked for its syntax.
fn consume<'n>(chunk: &str, name: &'n str) -> Result<Option<&'n str>, BadGlob> {
    let mut pattern = chunk.chars();
    let mut left = name.chars();
    let mut is_mismatch = false;
    while let Some(character) = pattern.next() {
        let wanted = match character {
            '[' => {
                let found = if is_mismatch { None } else { left.next() };
                // The class is parsed even when there is nothing to compare: its syntax counts.
                is_mismatch |= !class_matches(&mut pattern, found)? || found.is_none();
                continue;
            }
            '?' => {
                is_mismatch = is_mismatch || left.next().is_none_or(|found| found == '/');
                continue;
            }
            '\\' => pattern.next().ok_or(BadGlob)?,
            other => other,
        };
        is_mismatch = is_mismatch || left.next() != Some(wanted);
    }
    Ok((!is_mismatch).then_some(left.as_str()))
}

/// Reads a class behind its `[` and says whether `found` is in it.
fn class_matches(pattern: &mut std::str::Chars<'_>, found: Option<char>) -> Result<bool, BadGlob> {
    let is_negated = pattern.as_str().starts_with('^');
    if is_negated {
        pattern.next();
    }
    let mut is_inside = false;
    let mut ranges = 0;
    while ranges == 0 || !pattern.as_str().starts_with(']') {
        let low = class_member(pattern)?;
        let mut high = low;
        if pattern.as_str().starts_with('-') {
            pattern.next();
            high = class_member(pattern)?;
        }
        is_inside |= found.is_some_and(|found| (low..=high).contains(&found));
        ranges += 1;
    }
    pattern.next();
    Ok(is_inside != is_negated)
}

/// One character of a class. It can be neither a bare `-` or `]`, nor the last of the pattern.
fn class_member(pattern: &mut std::str::Chars<'_>) -> Result<char, BadGlob> {
    let member = match pattern.next() {
        None | Some('-' | ']') => return Err(BadGlob),
        Some('\\') => pattern.next().ok_or(BadGlob)?,
        Some(other) => other,
    };
    if pattern.as_str().is_empty() {
        Err(BadGlob)
    } else {
        Ok(member)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, name: &str, expected: Result<bool, BadGlob>) {
        assert_eq!(glob_matches(pattern, name), expected, "{pattern:?} against {name:?}");
    }

    #[test]
    fn globs_match_as_in_go() {
        for (pattern, name) in [
            ("abc", "abc"),
            ("*", "abc"),
            ("*c", "abc"),
            ("a*", "a"),
            ("a*/b", "abc/b"),
            ("a*b*c*d*e*/f", "axbxcxdxe/f"),
            ("a*b?c*x", "abxbbxdbxebxczzx"),
            ("ab[c]", "abc"),
            ("ab[b-d]", "abc"),
            ("ab[^e-g]", "abc"),
            (r"a\*b", "a*b"),
            ("a?b", "a☺b"),
            ("a[^a]b", "a☺b"),
            ("[a-ζ]*", "α"),
            (r"[\]a]", "]"),
            (r"[x\-]", "-"),
            ("*x", "xxx"),
        ] {
            check(pattern, name, Ok(true));
        }
        for (pattern, name) in [
            ("a*", "ab/c"),
            ("a*/b", "a/c/b"),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/fff"),
            ("a*b?c*x", "abxbbxdbxebxczzy"),
            ("ab[e-g]", "abc"),
            ("ab[^b-d]", "abc"),
            (r"a\*b", "ab"),
            ("a??b", "a☺b"),
            ("a?b", "a/b"),
            ("a*b", "a/b"),
            ("", "x"),
        ] {
            check(pattern, name, Ok(false));
        }
    }

    #[test]
    fn bad_syntax_is_found_where_matching_gets_to() {
        for (pattern, name) in [
            ("[]a]", "]"),
            ("[-]", "-"),
            ("[x-]", "x"),
            ("[a-b-c]", "a"),
            ("[", "a"),
            ("[^bc", "a"),
            ("a[", "ab"),
            (r"\", "a"),
        ] {
            check(pattern, name, Err(BadGlob));
        }
        check("b*[", "a", Ok(false));
    }
}
