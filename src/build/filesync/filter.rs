//! [`Tree::walk`]: the entries that pass include and exclude patterns, as BuildKit is to see them.
//!
//! A directory that does not match by itself is given only when something below it is, just before it. Directories in
//! which nothing can match are not entered. Decisions are those of fsutil's filter, in its order.

use super::error::FileSyncError;
use super::follow::follow_links;
use super::pattern::{MatchInfo, Pattern, PatternMatcher};
use super::stat::{HardLinks, has_content, stat};
use super::tree::{Node, Tree};
use super::walk::Walk;
use bollard_buildkit_proto::fsutil::types::Stat;
use std::collections::VecDeque;

/// What BuildKit wants of a tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WalkOptions {
    /// Only what matches one of them; none: everything.
    pub include_patterns: Vec<String>,
    /// Not what matches them.
    pub exclude_patterns: Vec<String>,
    /// Paths, wildcards allowed, that are included with all symlinks on the way and what these point to.
    pub follow_paths: Vec<String>,
}

/// An entry that passed.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// As BuildKit is told.
    pub stat: Stat,
    /// What BuildKit may ask for: nothing, or as many bytes as `stat.size` says.
    pub content: Content,
}

/// Whether an entry has content to be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// None: a directory, symlink, device, fifo.
    None,
    /// Always empty: a socket, which travels as an empty file.
    Empty,
    /// A regular file.
    File,
}

impl Tree {
    /// The entries of the tree that pass, in BuildKit's order. Files are looked at while the iterator advances.
    ///
    /// # Errors
    /// At once when a pattern is malformed or a followed path cannot be read. From the iterator, which then ends, when
    /// an entry cannot be read.
    pub fn walk(&self, options: &WalkOptions) -> Result<Entries<'_>, FileSyncError> {
        let mut includes = options.include_patterns.clone();
        if !options.follow_paths.is_empty()
            && let Some(targets) = follow_links(self, &options.follow_paths)?
        {
            includes.extend(targets);
            includes = super::follow::without_covered(&includes).unwrap_or_default();
        }
        Ok(Entries {
            walk: Walk::new(self),
            includes: Matcher::new("include", &includes, |pattern| !pattern.is_exception())?,
            excludes: Matcher::new("exclude", &options.exclude_patterns, Pattern::is_exception)?,
            parents: Vec::new(),
            ready: VecDeque::new(),
            links: HardLinks::default(),
            is_last_skipped: false,
            is_done: false,
        })
    }
}

/// Patterns, and those of them that can select something inside a directory which itself is not selected.
struct Matcher {
    matcher: PatternMatcher,
    selecting: fn(&Pattern) -> bool,
    /// Whether all of these begin with a literal path, so that directories can be left out by comparing text.
    has_only_prefixes: bool,
}

impl Matcher {
    fn new(
        kind: &'static str,
        patterns: &[String],
        selecting: fn(&Pattern) -> bool,
    ) -> Result<Option<Self>, FileSyncError> {
        if patterns.is_empty() {
            return Ok(None);
        }
        let matcher = PatternMatcher::new(patterns).map_err(|(pattern, reason)| FileSyncError::Pattern {
            kind,
            pattern,
            reason,
        })?;
        let has_only_prefixes = matcher
            .patterns()
            .iter()
            .filter(|pattern| selecting(pattern))
            .all(Pattern::is_prefix_literal);
        Ok(Some(Self {
            matcher,
            selecting,
            has_only_prefixes,
        }))
    }

    /// Whether no entry of the unselected directory at `path` can be selected.
    fn can_leave_out(&self, path: &str) -> bool {
        let directory = format!("{path}/");
        self.has_only_prefixes
            && !self
                .matcher
                .patterns()
                .iter()
                .any(|pattern| (self.selecting)(pattern) && format!("{}/", pattern.prefix()).starts_with(&directory))
    }
}

/// A directory on the way to the entry that is looked at.
struct Parent {
    path_with_slash: String,
    /// Until it is given.
    held_back: Option<Node>,
    includes: MatchInfo,
    excludes: MatchInfo,
}

/// The iterator behind [`Tree::walk`].
pub struct Entries<'tree> {
    walk: Walk<'tree>,
    includes: Option<Matcher>,
    excludes: Option<Matcher>,
    parents: Vec<Parent>,
    ready: VecDeque<Entry>,
    links: HardLinks,
    /// Whether the entry looked at last did not pass by itself.
    is_last_skipped: bool,
    is_done: bool,
}

/// What the patterns say about an entry.
struct Verdict {
    passes: bool,
    includes: MatchInfo,
    excludes: MatchInfo,
}

impl Entries<'_> {
    /// None when neither the entry nor anything below it can pass.
    fn judge(&self, node: &Node) -> Option<Verdict> {
        let parent = self.parents.last();
        let mut verdict = Verdict {
            passes: true,
            includes: MatchInfo::default(),
            excludes: MatchInfo::default(),
        };
        let nothing = MatchInfo::default();
        if let Some(includes) = &self.includes {
            let (is_match, info) = includes
                .matcher
                .matches(&node.path, parent.map_or(&nothing, |parent| &parent.includes));
            if !is_match && node.is_directory() && includes.can_leave_out(&node.path) {
                return None;
            }
            verdict.passes = is_match;
            verdict.includes = info;
        }
        if let Some(excludes) = &self.excludes {
            let (is_match, info) = excludes
                .matcher
                .matches(&node.path, parent.map_or(&nothing, |parent| &parent.excludes));
            if is_match && node.is_directory() && excludes.can_leave_out(&node.path) {
                return None;
            }
            verdict.passes &= !is_match;
            verdict.excludes = info;
        }
        Some(verdict)
    }

    fn look_at(&mut self, node: Node) -> Result<(), FileSyncError> {
        while self
            .parents
            .last()
            .is_some_and(|parent| !node.path.starts_with(&parent.path_with_slash))
        {
            self.parents.pop();
        }
        let Some(Verdict {
            passes,
            includes,
            excludes,
        }) = self.judge(&node)
        else {
            self.walk.skip_directory();
            self.is_last_skipped = true;
            return Ok(());
        };
        self.is_last_skipped = !passes;
        if passes && !self.give(&node)? {
            self.walk.skip_directory();
            return Ok(());
        }
        if node.is_directory() && (self.includes.is_some() || self.excludes.is_some()) {
            let path_with_slash = format!("{}/", node.path);
            self.parents.push(Parent {
                path_with_slash,
                held_back: (!passes).then_some(node),
                includes,
                excludes,
            });
        }
        Ok(())
    }

    /// Queues an entry behind the parents that were held back. False when it vanished.
    fn give(&mut self, node: &Node) -> Result<bool, FileSyncError> {
        let Some(entry) = existing(entry(node, &mut self.links))? else {
            return Ok(false);
        };
        for parent in &mut self.parents {
            if let Some(parent) = parent.held_back.take()
                && let Some(parent) = existing(self::entry(&parent, &mut self.links))?
            {
                self.ready.push_back(parent);
            }
        }
        self.ready.push_back(entry);
        Ok(true)
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<Entry, FileSyncError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.ready.pop_front() {
                return Some(Ok(entry));
            }
            if self.is_done {
                return None;
            }
            let looked_at = match self.walk.next() {
                None => {
                    self.is_done = true;
                    continue;
                }
                Some(Ok(node)) => self.look_at(node),
                // Nobody asked for what is in there, except perhaps for an exception: not being allowed to look is
                // no failure.
                Some(Err(error)) if self.is_last_skipped && error.is_permission_denied() => Ok(()),
                Some(Err(error)) => Err(error),
            };
            if let Err(error) = looked_at {
                self.is_done = true;
                return Some(Err(error));
            }
        }
    }
}

fn entry(node: &Node, links: &mut HardLinks) -> Result<Entry, FileSyncError> {
    let stat = stat(node, links)?;
    let content = match (has_content(&stat), node.is_regular_file()) {
        (false, _) => Content::None,
        (true, false) => Content::Empty,
        (true, true) => Content::File,
    };
    Ok(Entry { stat, content })
}

/// Turns "it is not there any more" into None.
fn existing(entry: Result<Entry, FileSyncError>) -> Result<Option<Entry>, FileSyncError> {
    match entry {
        Ok(entry) => Ok(Some(entry)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
