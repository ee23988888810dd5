//! Shell words as Dockerfiles have them: quotes, escapes, `$NAME`, `${NAME}` with its modifiers. Nothing is executed.

use super::pattern::{Pattern, replace, trim};
use std::collections::BTreeMap;

/// Arguments that BuildKit sets by itself from the platforms of a build.
const PLATFORM_ARGUMENTS: [&str; 11] = [
    "BUILDPLATFORM",
    "BUILDOS",
    "BUILDOSVERSION",
    "BUILDARCH",
    "BUILDVARIANT",
    "TARGETPLATFORM",
    "TARGETOS",
    "TARGETOSVERSION",
    "TARGETARCH",
    "TARGETVARIANT",
    "TARGETSTAGE",
];

/// What the names after a `$` stand for.
pub(super) struct Variables {
    values: BTreeMap<String, String>,
    /// Whether every name without a value stays as written, not only a platform's.
    keeps_all: bool,
}

impl Variables {
    /// No value for anything: every `$NAME` stays as written.
    pub(super) fn none() -> Self {
        Self {
            values: BTreeMap::new(),
            keeps_all: true,
        }
    }

    /// The values of the platform arguments that `build_args` has; those that it lacks stay as written.
    pub(super) fn platform(build_args: &BTreeMap<String, String>) -> Self {
        let given = PLATFORM_ARGUMENTS
            .iter()
            .filter_map(|name| build_args.get_key_value(*name));
        Self {
            values: given.map(|(name, value)| (name.clone(), value.clone())).collect(),
            keeps_all: false,
        }
    }

    /// Gives a name its value.
    pub(super) fn set(&mut self, name: &str, value: String) {
        self.values.insert(name.to_owned(), value);
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Whether `$name` stays as written.
    fn keeps(&self, name: &str) -> bool {
        self.get(name).is_none() && (self.keeps_all || PLATFORM_ARGUMENTS.contains(&name))
    }
}

/// A text after expansion.
#[derive(Debug, PartialEq)]
pub(super) struct Expanded {
    pub(super) text: String,
    /// Whether it holds the nothing of a name without a value.
    pub(super) has_unset: bool,
}

/// Reads one text from start to end.
pub(super) struct Lexer<'a> {
    chars: Vec<char>,
    at: usize,
    escape: char,
    variables: &'a Variables,
    /// Quotes and escapes stay in the result.
    is_raw: bool,
    has_unset: bool,
}

/// Splits at white space that is not quoted.
#[derive(Default)]
struct Words {
    done: Vec<String>,
    current: String,
}

impl Words {
    fn add(&mut self, text: &str, is_literal: bool) {
        for c in text.chars() {
            if is_literal || !c.is_whitespace() {
                self.current.push(c);
            } else if !self.current.is_empty() {
                self.done.push(std::mem::take(&mut self.current));
            }
        }
    }

    fn finish(mut self) -> Vec<String> {
        if !self.current.is_empty() {
            self.done.push(self.current);
        }
        self.done
    }
}

static NO_VARIABLES: Variables = Variables {
    values: BTreeMap::new(),
    keeps_all: true,
};

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &str, escape: char, variables: &'a Variables) -> Self {
        Self {
            chars: text.chars().collect(),
            at: 0,
            escape,
            variables,
            is_raw: false,
            has_unset: false,
        }
    }

    /// Only splits: quotes, escapes and `$NAME` stay as written.
    pub(super) fn raw(text: &str, escape: char) -> Self {
        Self {
            is_raw: true,
            ..Lexer::new(text, escape, &NO_VARIABLES)
        }
    }

    /// The text with quotes and escapes removed and names filled in.
    pub(super) fn text(mut self) -> Result<Expanded, String> {
        let (text, _) = self.until(None, self.is_raw)?;
        Ok(Expanded {
            text,
            has_unset: self.has_unset,
        })
    }

    /// The same, split into words.
    pub(super) fn words(mut self) -> Result<Vec<String>, String> {
        Ok(self.until(None, self.is_raw)?.1)
    }

    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek();
        self.at += usize::from(next.is_some());
        next
    }

    fn take(&mut self, wanted: char) -> bool {
        let is_there = self.peek() == Some(wanted);
        self.at += usize::from(is_there);
        is_there
    }

    /// Reads to `stop` (which is consumed) or to the end.
    fn until(&mut self, stop: Option<char>, keeps_escapes: bool) -> Result<(String, Vec<String>), String> {
        let mut text = String::new();
        let mut words = Words::default();
        while let Some(c) = self.next() {
            if Some(c) == stop {
                return Ok((text, words.finish()));
            }
            let (piece, is_literal) = match c {
                '\'' => (self.single_quoted()?, true),
                '"' => (self.double_quoted()?, true),
                '$' => (self.dollar()?, false),
                // The word of a heredoc may stand apart from its `<<`.
                '<' if self.take('<') => (format!("<<{}", self.blanks()), true),
                c if c == self.escape => {
                    let mut piece = String::new();
                    if keeps_escapes {
                        piece.push(c);
                    }
                    piece.extend(self.next());
                    (piece, true)
                }
                c => (c.to_string(), false),
            };
            words.add(&piece, is_literal);
            text.push_str(&piece);
        }
        match stop {
            None => Ok((text, words.finish())),
            Some(stop) => Err(format!("there is no {stop:?} to end a substitution")),
        }
    }

    fn blanks(&mut self) -> String {
        let mut blanks = String::new();
        while let Some(c) = self.peek().filter(|c| matches!(c, ' ' | '\t' | '\r')) {
            blanks.push(c);
            self.at += 1;
        }
        blanks
    }

    fn single_quoted(&mut self) -> Result<String, String> {
        let mut text = self.quote('\'');
        loop {
            match self.next() {
                Some('\'') => return Ok(text + &self.quote('\'')),
                Some(c) => text.push(c),
                None => return Err("a single quote is not closed".into()),
            }
        }
    }

    fn double_quoted(&mut self) -> Result<String, String> {
        let mut text = self.quote('"');
        loop {
            match self.next() {
                Some('"') => return Ok(text + &self.quote('"')),
                Some('$') => text += &self.dollar()?,
                Some(c) if c == self.escape => {
                    if self.is_raw {
                        text.push(c);
                    }
                    match self.peek() {
                        Some(next) if matches!(next, '"' | '$') || next == self.escape => {
                            text.push(next);
                            self.at += 1;
                        }
                        // Before anything else it is an ordinary character; at the end it is nothing.
                        Some(_) if !self.is_raw => text.push(c),
                        _ => {}
                    }
                }
                Some(c) => text.push(c),
                None => return Err("a double quote is not closed".into()),
            }
        }
    }

    fn quote(&self, quote: char) -> String {
        if self.is_raw { quote.to_string() } else { String::new() }
    }

    /// What follows a `$`.
    fn dollar(&mut self) -> Result<String, String> {
        if !self.take('{') {
            let name = self.name();
            return Ok(match name.as_str() {
                "" => "$".to_owned(),
                name if self.variables.keeps(name) => format!("${name}"),
                name => self.value(name),
            });
        }
        match self.peek() {
            None => return Err("there is no '}' to end a substitution".into()),
            Some('{' | '}' | ':') => return Err("a substitution must start with a name: ${NAME}".into()),
            Some(_) => {}
        }
        let (start, had_unset) = (self.at, self.has_unset);
        let name = self.name();
        let result = self.modified(&name)?;
        if self.variables.keeps(&name) {
            self.has_unset = had_unset;
            let written: String = self.chars[start..self.at].iter().collect();
            return Ok(format!("${{{written}"));
        }
        Ok(result)
    }

    /// The value of `${name…}`, read up to its `}`.
    fn modified(&mut self, name: &str) -> Result<String, String> {
        let value = self.variables.get(name).map(str::to_owned);
        let unsupported = |modifier: &str| {
            Err(format!(
                "${{{name}{modifier}…}} is not a substitution that BuildKit knows"
            ))
        };
        let modifier = self.next();
        let is_empty_unset = modifier == Some(':');
        let modifier = if is_empty_unset { self.next() } else { modifier };
        let is_set = value
            .as_ref()
            .is_some_and(|value| !(is_empty_unset && value.is_empty()));
        match modifier {
            Some('}') if !is_empty_unset => Ok(self.value(name)),
            Some('-') => {
                let word = self.until(Some('}'), false)?.0;
                Ok(value.filter(|_| is_set).unwrap_or(word))
            }
            Some('+') => {
                let word = self.until(Some('}'), false)?.0;
                Ok(if is_set { word } else { String::new() })
            }
            Some('?') => {
                let word = self.until(Some('}'), false)?.0;
                match value {
                    Some(value) if is_set => Ok(value),
                    _ if self.variables.keeps(name) => Ok(String::new()),
                    _ if word.is_empty() => Err(format!("{name} must have a value")),
                    _ => Err(format!("{name}: {word}")),
                }
            }
            Some(side @ ('#' | '%')) if !is_empty_unset => {
                let is_longest = self.take(side);
                let pattern = self.until(Some('}'), true)?.0;
                self.has_unset |= value.is_none();
                Ok(trim(
                    &value.unwrap_or_default(),
                    &Pattern::new(&pattern),
                    side == '#',
                    is_longest,
                ))
            }
            Some('/') if !is_empty_unset => {
                let is_everywhere = self.take('/');
                let pattern = self.until(Some('/'), true)?.0;
                let replacement = self.until(Some('}'), true)?.0;
                self.has_unset |= value.is_none();
                Ok(replace(
                    &value.unwrap_or_default(),
                    &Pattern::new(&pattern),
                    &replacement,
                    is_everywhere,
                ))
            }
            Some(c) => unsupported(&if is_empty_unset { format!(":{c}") } else { c.to_string() }),
            None => Err("there is no '}' to end a substitution".into()),
        }
    }

    fn value(&mut self, name: &str) -> String {
        let value = self.variables.get(name).map(str::to_owned);
        self.has_unset |= value.is_none();
        value.unwrap_or_default()
    }

    /// Letters, digits and `_`; or digits only; or one of the shell's special names.
    fn name(&mut self) -> String {
        let start = self.at;
        match self.peek() {
            Some(c) if c.is_ascii_digit() => {
                while self.peek().is_some_and(|c| c.is_ascii_digit()) {
                    self.at += 1;
                }
            }
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => self.at += 1,
            _ => {
                while self.peek().is_some_and(|c| c.is_alphanumeric() || c == '_') {
                    self.at += 1;
                }
            }
        }
        self.chars[start..self.at].iter().collect()
    }
}

#[cfg(test)]
mod tests;
