//! One pattern → how it is compared with a path: as text, as prefix, as suffix, or as a regular expression.
//!
//! Patterns are defined by the regular expression that moby/patternmatcher makes of them for Go's `regexp`. That
//! expression is built here character by character, so that oddities stay what they are (`{2}` repeats, `|` is an
//! alternative, `^` an anchor, once any wildcard is in the pattern), in the syntax of the `regex` crate.

use regex::Regex;
use std::iter::Peekable;
use std::str::Chars;

/// How a path is compared with a pattern.
#[derive(Clone, Debug)]
pub(super) enum Comparison {
    /// The path is this text.
    Exact(String),
    /// The path starts with this text (`x/**`).
    Prefix(String),
    /// The path ends with this text, or is the text without its leading `/` (`**/x`).
    Suffix(String),
    /// The path as a whole matches.
    Expression(Regex),
}

impl Comparison {
    pub(super) fn matches(&self, path: &str) -> bool {
        match self {
            Self::Exact(text) => path == text,
            Self::Prefix(text) => path.starts_with(text),
            Self::Suffix(text) => path.ends_with(text) || text.strip_prefix('/') == Some(path),
            Self::Expression(expression) => expression.is_match(path),
        }
    }
}

/// What is known so far of the comparison that will do.
#[derive(Clone, Copy, PartialEq)]
enum Shape {
    Exact,
    Prefix,
    Suffix,
    Expression,
}

/// Compiles a cleaned pattern without its `!`.
///
/// # Errors
/// What is wrong with the pattern.
pub(super) fn compile(pattern: &str) -> Result<Comparison, String> {
    let (go_expression, shape) = to_go_expression(pattern);
    Ok(match shape {
        Shape::Exact => Comparison::Exact(pattern.to_owned()),
        Shape::Prefix => Comparison::Prefix(pattern[..pattern.len() - 2].to_owned()),
        Shape::Suffix => Comparison::Suffix(pattern[2..].to_owned()),
        Shape::Expression => {
            let expression = translate(&go_expression)?;
            Comparison::Expression(Regex::new(&expression).map_err(|error| error.to_string())?)
        }
    })
}

/// The expression of a pattern in Go's syntax, and whether it is needed at all.
fn to_go_expression(pattern: &str) -> (String, Shape) {
    let mut expression = String::from("^");
    let mut shape = Shape::Exact;
    let mut rest = pattern.chars().peekable();
    let mut is_first = true;
    while let Some(character) = rest.next() {
        match character {
            '*' if rest.next_if_eq(&'*').is_some() => {
                rest.next_if_eq(&'/');
                if rest.peek().is_some() {
                    expression.push_str("(.*/)?");
                    shape = Shape::Expression;
                } else if shape == Shape::Exact {
                    shape = Shape::Prefix;
                } else {
                    expression.push_str(".*");
                    shape = Shape::Expression;
                }
                if is_first {
                    shape = Shape::Suffix;
                }
            }
            '*' => {
                expression.push_str("[^/]*");
                shape = Shape::Expression;
            }
            '?' => {
                expression.push_str("[^/]");
                shape = Shape::Expression;
            }
            '.' | '+' | '(' | ')' | '$' => expression.extend(['\\', character]),
            '\\' => {
                expression.push('\\');
                if let Some(escaped) = rest.next() {
                    expression.push(escaped);
                    shape = Shape::Expression;
                }
            }
            '[' | ']' => {
                expression.push(character);
                shape = Shape::Expression;
            }
            other => expression.push(other),
        }
        is_first = false;
    }
    expression.push('$');
    (expression, shape)
}

/// An expression of Go's `regexp`, as far as patterns can bring one about, in the syntax of the `regex` crate.
fn translate(go_expression: &str) -> Result<String, String> {
    let mut expression = String::new();
    let mut rest = go_expression.chars().peekable();
    let mut is_after_repeat = false;
    while let Some(character) = rest.next() {
        let mut is_repeat = false;
        match character {
            '^' | '$' | '.' | '(' | ')' | '|' => expression.push(character),
            '*' | '?' => {
                expression.push(character);
                is_repeat = true;
            }
            '{' => match repeat_count(&mut rest) {
                Some(_) if is_after_repeat => return Err("a repetition of a repetition".to_owned()),
                Some(count) => {
                    expression.push_str(&count);
                    is_repeat = true;
                }
                None => expression.push_str(r"\{"),
            },
            '[' => expression.push_str(&class(&mut rest)?),
            '\\' => expression.push_str(&escape(&mut rest, false)?),
            other => push_literal(&mut expression, other),
        }
        is_after_repeat = is_repeat;
    }
    Ok(expression)
}

/// A count such as `{2}`, `{2,}` or `{2,3}` behind its `{`; anything else leaves `rest` as it is.
fn repeat_count(rest: &mut Peekable<Chars<'_>>) -> Option<String> {
    let body: String = rest.clone().take_while(|character| *character != '}').collect();
    let is_number = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_digit())
            && (text.len() == 1 || !text.starts_with('0'))
    };
    let is_count = match body.split_once(',') {
        None => is_number(&body),
        Some((low, high)) => is_number(low) && (high.is_empty() || is_number(high)),
    };
    if !is_count || rest.clone().nth(body.len()) != Some('}') {
        return None;
    }
    rest.by_ref().take(body.len() + 1).for_each(drop);
    Some(format!("{{{body}}}"))
}

/// A class behind its `[`, every member written as a number: the two syntaxes differ in what a bare character means.
fn class(rest: &mut Peekable<Chars<'_>>) -> Result<String, String> {
    let mut class = String::from("[");
    if rest.next_if_eq(&'^').is_some() {
        class.push('^');
    }
    let mut is_first = true;
    loop {
        match rest.peek() {
            None => return Err("a class without its ]".to_owned()),
            Some(']') if !is_first => break,
            Some(_) => {}
        }
        is_first = false;
        if let Some(name) = named_class(rest)? {
            class.push_str(&name);
            continue;
        }
        let low = class_member(rest)?;
        class.push_str(&low);
        let mut ahead = rest.clone();
        if ahead.next() == Some('-') && ahead.next().is_some_and(|next| next != ']') {
            rest.next();
            class.push('-');
            class.push_str(&class_member(rest)?);
        }
    }
    rest.next();
    class.push(']');
    Ok(class)
}

/// A class within a class such as `[:alpha:]` or `[:^alpha:]`.
fn named_class(rest: &mut Peekable<Chars<'_>>) -> Result<Option<String>, String> {
    const NAMES: [&str; 14] = [
        "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper",
        "word", "xdigit",
    ];
    let text: String = rest.clone().collect();
    let Some((name, _)) = text.strip_prefix("[:").and_then(|text| text.split_once(":]")) else {
        return Ok(None);
    };
    if !NAMES.contains(&name.strip_prefix('^').unwrap_or(name)) {
        return Err(format!("the class [:{name}:]"));
    }
    let named = format!("[:{name}:]");
    rest.by_ref().take(named.chars().count()).for_each(drop);
    Ok(Some(named))
}

fn class_member(rest: &mut Peekable<Chars<'_>>) -> Result<String, String> {
    match rest.next() {
        None => Err("a class without its ]".to_owned()),
        Some('\\') => escape(rest, true),
        Some(character) => Ok(numbered(character)),
    }
}

/// What a backslash and the next character stand for.
fn escape(rest: &mut Peekable<Chars<'_>>, is_in_class: bool) -> Result<String, String> {
    let Some(character) = rest.next() else {
        return Err("a backslash at the end".to_owned());
    };
    Ok(match character {
        'a' => numbered('\u{7}'),
        'f' => numbered('\u{c}'),
        'n' | 'r' | 't' => format!("\\{character}"),
        'v' => numbered('\u{b}'),
        'd' => "[0-9]".to_owned(),
        'D' => "[^0-9]".to_owned(),
        's' => r"[\t\n\x0C\r ]".to_owned(),
        'S' => r"[^\t\n\x0C\r ]".to_owned(),
        'w' => "[0-9A-Za-z_]".to_owned(),
        'W' => "[^0-9A-Za-z_]".to_owned(),
        'b' | 'B' if !is_in_class => format!("(?-u:\\{character})"),
        'A' | 'z' if !is_in_class => format!("\\{character}"),
        other if other.is_ascii() && !other.is_ascii_alphanumeric() => numbered(other),
        other => return Err(format!("the escape \\{other}")),
    })
}

fn push_literal(expression: &mut String, character: char) {
    expression.push_str(regex::escape(character.encode_utf8(&mut [0; 4])).as_str());
}

/// A character by its number, which means itself everywhere.
fn numbered(character: char) -> String {
    format!("\\x{{{:X}}}", u32::from(character))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn expressions_are_those_of_go() {
        for (pattern, expected) in [
            ("a/*.go", r"^a/[^/]*\.go$"),
            ("**/x?", "^(.*/)?x[^/]$"),
            ("x/**/y/**", "^x/(.*/)?y/.*$"),
            (r"a\*[b-c]", r"^a\*[b-c]$"),
            ("a|{b}*", "^a|{b}[^/]*$"),
        ] {
            assert_eq!(to_go_expression(pattern).0, expected, "{pattern}");
        }
    }

    #[test]
    fn classes_keep_their_meaning_in_the_other_syntax() {
        for (pattern, path, expected) in [
            ("[a&&b]", "&", true),
            ("[[a]", "[", true),
            ("[a-c~]x", "~x", true),
            (r"[\]]", "]", true),
            ("[[:digit:]]*", "7x", true),
            (r"\d", "4", true),
            (r"a\bc*", "abc", false),
            ("x{2}*", "xx", true),
            ("x{2}*", "x{2}", false),
            ("*.{a,b}", "x.{a,b}", true),
        ] {
            assert_eq!(compile(pattern).unwrap().matches(path), expected, "{pattern} {path}");
        }
        assert!(compile("*{2}").is_err());
        assert!(compile("[a").is_err());
    }
}
