//! Which commit touched a path last: one walk for all that is asked, as far back as it has to go and no farther.
//!
//! The answer is that of `git rev-list -1 HEAD -- PATH…`: from a commit that has the paths as one of its parents has
//! them the way goes on to that parent, the first such one; otherwise that commit is it.

use super::Commit;
use super::library::Library;
use crate::identity::IdentityError;
use git2::{Oid, Tree};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A path in parts, and whose it is.
type Wanted<'a> = (Vec<&'a [u8]>, usize);

impl Library {
    /// For each set of paths the newest commit that touched one of them; None where HEAD knows none of them. At a commit
    /// of `boundary` the history that is here ends.
    pub fn last_commits(
        &self,
        wanted: &[BTreeSet<PathBuf>],
        boundary: &BTreeSet<String>,
    ) -> Result<Vec<Option<Commit>>, IdentityError> {
        let mut found: Vec<Option<Commit>> = vec![None; wanted.len()];
        let Some(head) = self.head_commit()? else {
            return Ok(found);
        };
        let failed = |error| self.failed("walk the history", error);
        let tree = head.tree().map_err(failed)?;
        let is_known = |paths: &BTreeSet<PathBuf>| {
            let is_known = |path: &PathBuf| path.as_os_str().is_empty() || tree.get_path(path).is_ok();
            paths.iter().any(is_known)
        };
        let known = (0..wanted.len()).filter(|at| is_known(&wanted[*at])).collect();
        // The newest first: those who went different ways meet again where the ways do.
        let mut pending: BTreeMap<(i64, Oid), BTreeSet<usize>> = BTreeMap::new();
        pending.insert((head.time().seconds(), head.id()), known);
        while let Some(((time_s, id), mut here)) = pending.pop_last() {
            let commit = self.repository.find_commit(id).map_err(failed)?;
            let is_boundary = boundary.contains(&id.to_string());
            let parents = if is_boundary { 0 } else { commit.parent_count() };
            let tree = commit.tree().map_err(failed)?;
            for parent in 0..parents {
                if here.is_empty() {
                    break;
                }
                let parent = commit.parent(parent).map_err(failed)?;
                let mut paths: Vec<Wanted<'_>> = here
                    .iter()
                    .flat_map(|at| wanted[*at].iter().map(|path| (parts(path), *at)))
                    .collect();
                paths.sort_unstable();
                let other = parent.tree().map_err(failed)?;
                let mut touched = BTreeSet::new();
                self.touched(Some(&tree), Some(&other), &paths, 0, &mut touched)?;
                let untouched = here.difference(&touched).copied();
                let next = pending.entry((parent.time().seconds(), parent.id())).or_default();
                next.extend(untouched);
                here = touched;
            }
            for at in here {
                found[at] = Some(Commit {
                    id: id.to_string(),
                    time_s,
                    is_boundary,
                });
            }
        }
        Ok(found)
    }

    /// Whose paths differ between two trees; `depth` parts of them lead to these trees. What is the same is not entered.
    fn touched(
        &self,
        one: Option<&Tree<'_>>,
        other: Option<&Tree<'_>>,
        paths: &[Wanted<'_>],
        depth: usize,
        touched: &mut BTreeSet<usize>,
    ) -> Result<(), IdentityError> {
        if one.map(Tree::id) == other.map(Tree::id) {
            return Ok(());
        }
        for same_name in paths.chunk_by(|a, b| a.0.get(depth) == b.0.get(depth)) {
            let Some(name) = same_name.first().and_then(|(parts, _)| parts.get(depth)) else {
                touched.extend(same_name.iter().map(|(_, at)| at)); // these very trees are wanted
                continue;
            };
            let entry = |tree: Option<&Tree<'_>>| {
                let entry = tree?.get_name_bytes(name)?;
                Some((entry.id(), entry.filemode()))
            };
            let (one, other) = (entry(one), entry(other));
            if one == other {
                continue;
            }
            let tree = |entry: Option<(Oid, i32)>| entry.and_then(|(id, _)| self.repository.find_tree(id).ok());
            let (one_tree, other_tree) = (tree(one), tree(other));
            match (&one_tree, &other_tree) {
                // Files, or what is there on one side only and no tree: nothing below it is wanted but itself.
                (None, None) => touched.extend(
                    same_name
                        .iter()
                        .filter(|(parts, _)| parts.len() == depth + 1)
                        .map(|(_, at)| at),
                ),
                (one, other) => self.touched(one.as_ref(), other.as_ref(), same_name, depth + 1, touched)?,
            }
        }
        Ok(())
    }
}

fn parts(path: &Path) -> Vec<&[u8]> {
    path.iter().map(OsStr::as_bytes).collect()
}
