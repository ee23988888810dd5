//! Include and exclude patterns with the meaning they have in moby/patternmatcher: `**`, `!` exceptions, a match of a
//! directory is a match of all below it.
//!
//! [`PatternMatcher`] decides about one path at a time, given what was decided about its parent. It knows no files.

mod compile;
mod glob;

use super::clean::clean_path;
use compile::Comparison;
pub(crate) use glob::glob_matches;

/// One pattern of a list.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    is_exception: bool,
    comparison: Comparison,
}

impl Pattern {
    /// The cleaned text without its `!`.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it takes back what earlier patterns matched.
    pub fn is_exception(&self) -> bool {
        self.is_exception
    }

    /// The text without one trailing `/**` and one trailing `/*`: where the paths that it matches begin.
    pub fn prefix(&self) -> &str {
        let text = self.text.strip_suffix("/**").unwrap_or(&self.text);
        text.strip_suffix("/*").unwrap_or(text)
    }

    /// Whether [`Pattern::prefix`] is literal: no path outside of it can match.
    pub fn is_prefix_literal(&self) -> bool {
        !self.prefix().contains(['*', '[', ']', '?', '^', '\\'])
    }
}

/// Which patterns matched a path or a parent of it; handed down from a directory to its entries.
#[derive(Clone, Debug, Default)]
pub struct MatchInfo(Vec<bool>);

/// A list of patterns. The last one that matches decides.
#[derive(Clone, Debug)]
pub struct PatternMatcher {
    patterns: Vec<Pattern>,
}

impl PatternMatcher {
    /// Parses patterns. Blank ones are left out, the others cleaned as paths are.
    ///
    /// # Errors
    /// The pattern that is malformed, and why.
    pub fn new<S: AsRef<str>>(patterns: &[S]) -> Result<Self, (String, String)> {
        let mut parsed = Vec::with_capacity(patterns.len());
        for pattern in patterns {
            let trimmed = pattern.as_ref().trim();
            if trimmed.is_empty() {
                continue;
            }
            let failed = |reason: &str| (trimmed.to_owned(), reason.to_owned());
            let cleaned = clean_path(trimmed);
            let (text, is_exception) = match cleaned.strip_prefix('!') {
                Some("") => return Err(failed("an exception needs a pattern behind the \"!\"")),
                Some(text) => (text.to_owned(), true),
                None => (cleaned, false),
            };
            glob_matches(&text, ".").map_err(|_| failed("a class or an escape is not complete"))?;
            let comparison = compile::compile(&text).map_err(|reason| failed(&reason))?;
            parsed.push(Pattern {
                text,
                is_exception,
                comparison,
            });
        }
        Ok(Self { patterns: parsed })
    }

    /// The patterns in their order.
    pub fn patterns(&self) -> &[Pattern] {
        &self.patterns
    }

    /// Whether `path` (relative, `/` between its parts) matches, and what its entries have to be asked with.
    /// `parent` is what the call for its parent directory gave; for entries of the root, the default.
    pub fn matches(&self, path: &str, parent: &MatchInfo) -> (bool, MatchInfo) {
        let mut is_matched = false;
        let mut info = MatchInfo(vec![false; self.patterns.len()]);
        for (index, pattern) in self.patterns.iter().enumerate() {
            let is_parent_matched = parent.0.get(index).copied().unwrap_or(false);
            // A pattern that could not change the outcome is not tried, and its outcome not handed down: exceptions
            // below a directory depend on it.
            let is_match =
                is_parent_matched || (pattern.is_exception == is_matched && pattern.comparison.matches(path));
            info.0[index] = is_match;
            if is_match {
                is_matched = !pattern.is_exception;
            }
        }
        (is_matched, info)
    }
}

#[cfg(test)]
mod tests;
