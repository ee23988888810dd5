//! Follow paths → include patterns: the paths that BuildKit copies from, every symlink on the way to them, and what
//! these point to, as fsutil's `FollowLinks` finds them. Symlinks never lead out of the tree.

use super::clean::{base_name, clean_path, join_paths, parent_path};
use super::error::FileSyncError;
use super::pattern::glob_matches;
use super::tree::Tree;
use std::collections::BTreeSet;

/// How many symlinks one path may lead through, one after the other. Loops end earlier, by memory of what was visited;
/// this bounds the depth of the stack.
const LINK_LIMIT: usize = 255;

/// Sorted include patterns for `paths`; None when one of them is the whole tree.
///
/// # Errors
/// When a directory or symlink on the way exists and cannot be read.
pub(super) fn follow_links(tree: &Tree, paths: &[String]) -> Result<Option<Vec<String>>, FileSyncError> {
    let mut resolved = BTreeSet::new();
    for path in paths {
        follow(tree, path, path, &mut resolved, 0)?;
    }
    let resolved: Vec<String> = resolved.into_iter().collect();
    Ok(without_covered(&resolved))
}

/// A list without the paths that lie below the path kept before them; None when the root is among them, because then
/// nothing is left out. Fit for sorted lists; unsorted ones keep more than they need, which BuildKit's clients do too.
pub(super) fn without_covered(paths: &[String]) -> Option<Vec<String>> {
    let mut kept: Vec<String> = Vec::with_capacity(paths.len());
    for path in paths {
        if path == "." {
            return None;
        }
        let last = kept.last().map_or("", String::as_str);
        if !path.strip_prefix(last).is_some_and(|rest| rest.starts_with('/')) {
            kept.push(path.clone());
        }
    }
    Some(kept)
}

/// Adds `path` and what it leads through. `asked` is what BuildKit asked for.
fn follow(
    tree: &Tree,
    asked: &str,
    path: &str,
    resolved: &mut BTreeSet<String>,
    depth: usize,
) -> Result<(), FileSyncError> {
    if depth > LINK_LIMIT {
        return Err(FileSyncError::TooManyLinks {
            path: asked.to_owned(),
            limit: LINK_LIMIT,
        });
    }
    let path = join_paths(".", path);
    let mut current = String::from(".");
    let mut rest = path.as_str();
    loop {
        let (name, after) = rest.split_once('/').unwrap_or((rest, ""));
        current = join_paths(&current, name);
        rest = after;
        let targets = link_targets(tree, &current)?;
        if targets.is_none() && !rest.is_empty() {
            continue;
        }
        // Known already: this also ends loops of symlinks.
        if !resolved.insert(current.clone()) {
            return Ok(());
        }
        for target in targets.into_iter().flatten() {
            follow(tree, asked, &join_paths(&target, rest), resolved, depth + 1)?;
        }
        return Ok(());
    }
}

/// Where the symlinks that `path` names point to, seen from the root. None when it names no symlink.
fn link_targets(tree: &Tree, path: &str) -> Result<Option<Vec<String>>, FileSyncError> {
    let name = base_name(path);
    if !has_wildcards(name) {
        return Ok(link_target(tree, path)?.map(|target| vec![target]));
    }
    let directory = parent_path(path);
    let layers = match directory {
        "." => tree.root_layers(),
        _ => match tree.lookup(directory)? {
            Some(node) if node.is_directory() => node.layers,
            _ => return Ok(None),
        },
    };
    let mut targets = Vec::new();
    for found in tree.names(&layers)? {
        let Some(found) = found.to_str() else {
            continue;
        };
        if glob_matches(name, found) == Ok(true) {
            targets.extend(link_target(tree, &join_paths(directory, found))?);
        }
    }
    Ok((!targets.is_empty()).then_some(targets))
}

fn link_target(tree: &Tree, path: &str) -> Result<Option<String>, FileSyncError> {
    let Some(node) = tree.lookup(path)?.filter(|node| node.is_symlink()) else {
        return Ok(None);
    };
    let real = node.real_path();
    let target = real.read_link().map_err(FileSyncError::io("read the symlink", &real))?;
    let target = target.to_str().ok_or(FileSyncError::NotUtf8 {
        path: real,
        what: "target",
    })?;
    let target = clean_path(target);
    if target.starts_with('/') {
        return Ok(Some(target));
    }
    Ok(Some(join_paths("/", &join_paths(parent_path(path), &target))))
}

/// Whether a name has a wildcard that no backslash takes the meaning from.
fn has_wildcards(name: &str) -> bool {
    let mut characters = name.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => drop(characters.next()),
            '*' | '?' | '[' => return true,
            _ => {}
        }
    }
    false
}
