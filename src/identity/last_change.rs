//! When packages changed last: the commit that a build of the same tree always finds, whatever was committed beside it.

use super::git::{Commit, Repositories};
use super::{HashOptions, IdentityError, PackagePlaces};
use crate::package::Package;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// The commit that changed a package last: its directory (or `--hash-path`) or one of its extra sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastChange {
    /// The commit, in the package's own repository.
    pub commit: String,
    /// When it was committed, in seconds since 1970 (UTC). Where an extra source of another repository is newer: the
    /// time of that.
    pub time_s: i64,
    /// Whether a shallow clone ends there, so that a whole one may know an older commit.
    pub is_boundary: bool,
}

/// The last changes of `packages`, in their order. What is not committed counts for nothing: a dirty package has the
/// last change that was committed, and one that HEAD does not know has HEAD. None outside git, and before the first commit.
///
/// May walk the whole history, once for all packages of a repository: ask for those only that are built.
pub fn last_changes(packages: &[&Package], options: &HashOptions) -> Result<Vec<Option<LastChange>>, IdentityError> {
    let mut repositories = Repositories::default();
    let mut places = Vec::with_capacity(packages.len());
    for package in packages {
        places.push(PackagePlaces::find(package, options, &mut repositories)?);
    }
    // What is asked of each repository, and of which package it is a part.
    let mut asked: BTreeMap<usize, Vec<(usize, BTreeSet<PathBuf>)>> = BTreeMap::new();
    for (at, places) in places.iter().enumerate() {
        let Some(places) = places else { continue };
        let mut paths: BTreeMap<usize, BTreeSet<PathBuf>> = BTreeMap::new();
        let own = paths.entry(places.package.repository).or_default();
        own.insert(places.hash_path.clone());
        for (source, _) in &places.sources {
            paths.entry(source.repository).or_default().insert(source.path.clone());
        }
        for (repository, paths) in paths {
            asked.entry(repository).or_default().push((at, paths));
        }
    }
    let mut found: BTreeMap<(usize, usize), Commit> = BTreeMap::new();
    for (number, asked) in asked {
        let (packages, paths): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
        let repository = repositories.get(number);
        for (package, commit) in packages.into_iter().zip(repository.last_commits(&paths)?) {
            let commit = match (commit, repository.head()?) {
                (Some(commit), _) => commit,
                (None, Some(head)) => Commit {
                    id: head,
                    time_s: repository.head_time_s()?,
                    is_boundary: false,
                },
                (None, None) => continue,
            };
            found.insert((package, number), commit);
        }
    }
    let change = |(at, places): (usize, &Option<PackagePlaces>)| {
        let own = found.get(&(at, places.as_ref()?.package.repository))?;
        let all = || found.range((at, 0)..(at + 1, 0)).map(|(_, commit)| commit);
        Some(LastChange {
            commit: own.id.clone(),
            time_s: all().map(|commit| commit.time_s).max().unwrap_or(own.time_s),
            is_boundary: all().any(|commit| commit.is_boundary),
        })
    };
    Ok(places.iter().enumerate().map(change).collect())
}

#[cfg(test)]
mod tests;
