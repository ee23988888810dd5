//! Package + git facts → hash → tag.
//!
//! [`identify`] gives every package its [`Identity`]: linuxkit's hash and tag to the letter (docs/concepts/identity.md).
//! Also here: what a build is told about it ([`preset_build_args`], [`go_package_version`]), how `@lkt:` values become
//! tags ([`resolve_build_args`]), and when a package changed last ([`last_changes`]). Reads files and git repositories;
//! starts git's own program where libgit2 is wrong (docs/design/git.md). No network, no clock, no environment.

mod build_args;
mod contents;
mod error;
mod git;
mod glob;
mod go_version;
mod last_change;
mod release;
mod template;
#[cfg(test)]
mod tests;

pub use build_args::{GO_PACKAGE_VERSION, preset_build_args, resolve_build_args};
pub use error::IdentityError;
pub use go_version::{go_package_version, utc};
pub use last_change::{LastChange, last_changes};
pub use release::releases;
pub use template::{Fields, expand};

use crate::oci::Reference;
use crate::package::Package;
use git::{Change, Place, Repositories};
use sha1::{Digest as _, Sha1};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The commit that is hashed unless another is named. Only for this very text is the work tree looked at.
pub const HEAD: &str = "HEAD";

/// What stands in for an empty tag, as it does outside git.
const FALLBACK_TAG: &str = "latest";

/// The hash of `--dev`.
const DEV_HASH: &str = "dev";

/// Flags that change how packages are hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashOptions {
    /// `--hash`: the hash, instead of asking git for it.
    pub hash: Option<String>,
    /// `--hash-commit`: the commit whose trees are the hashes; [`HEAD`] by default.
    pub hash_commit: String,
    /// `--hash-path`: hashed instead of the package's directory, which it must contain.
    pub hash_path: Option<PathBuf>,
    /// `--force-dirty`: take every package for dirty.
    pub force_dirty: bool,
    /// `--dev`: this org instead of the package's, and the hash `dev` unless `hash` is given. Who has `--org` as well
    /// gives that org here.
    pub dev_user: Option<String>,
}

impl Default for HashOptions {
    fn default() -> Self {
        Self {
            hash: None,
            hash_commit: HEAD.to_owned(),
            hash_path: None,
            force_dirty: false,
            dev_user: None,
        }
    }
}

/// Who a package is: its names and what they were made from.
#[derive(Clone, Debug, PartialEq)]
pub struct Identity {
    /// `org/image`.
    pub image: String,
    /// `org/image:tag`, as `show-tag` prints it.
    pub tag: String,
    /// The same, expanded: `docker.io/org/image:tag`.
    pub reference: Reference,
    /// What `{{.Hash}}` stood for, with its `-dirty-` suffix; `None` outside git, unless it was given.
    pub hash: Option<String>,
    /// Whether the hash path differs from HEAD (or was said to). A dirty package is never pushed.
    pub is_dirty: bool,
    /// The commit that is checked out, when the package is in git and there is one.
    pub commit: Option<String>,
    /// Whether HEAD is what was hashed; nothing else can be built.
    pub is_hash_commit_head: bool,
}

/// The identities of `packages`, in their order. Every repository is opened once and asked once, whatever the number
/// of packages in it.
///
/// # Errors
/// A package that is not in the commit, a hash path that does not contain it, a tag that cannot name an image, git's
/// refusal.
pub fn identify(packages: &[Package], options: &HashOptions) -> Result<Vec<Identity>, IdentityError> {
    let mut repositories = Repositories::default();
    let places = packages
        .iter()
        .map(|package| PackagePlaces::find(package, options, &mut repositories))
        .collect::<Result<Vec<_>, _>>()?;
    let facts = Facts::gather(&places, options, &mut repositories)?;
    packages
        .iter()
        .zip(&places)
        .map(|(package, places)| identity(package, places.as_ref(), options, &facts, &repositories))
        .collect()
}

/// Where the parts of one package are that git is asked about. All in one repository but the extra sources.
struct PackagePlaces {
    package: Place,
    /// What is hashed in the package's place, relative to the same top.
    hash_path: PathBuf,
    /// The extra sources, in their order, with their absolute paths; none when no hash is to be computed.
    sources: Vec<(Place, PathBuf)>,
}

impl PackagePlaces {
    /// `None`: the package is outside git.
    fn find(
        package: &Package,
        options: &HashOptions,
        repositories: &mut Repositories,
    ) -> Result<Option<Self>, IdentityError> {
        let hash_path = match &options.hash_path {
            Some(path) if !path.exists() => {
                return Err(IdentityError::NoHashPath {
                    hash_path: path.clone(),
                });
            }
            Some(path) => canonical(path)?,
            None => package.directory.clone(),
        };
        if !package.directory.starts_with(&hash_path) {
            return Err(IdentityError::HashPathNotParent {
                hash_path,
                package: package.directory.clone(),
            });
        }
        let Some(place) = repositories.locate(&package.directory)? else {
            return Ok(None);
        };
        let top = &repositories.get(place.repository).top;
        let hash_path = match hash_path.strip_prefix(top) {
            Ok(inside) => inside.to_owned(),
            Err(_) => {
                return Err(IdentityError::HashPathOutside {
                    repository: top.clone(),
                    package: package.directory.clone(),
                    hash_path,
                });
            }
        };
        let mut sources = Vec::new();
        if is_hash_computed(options) {
            for extra in &package.extra_sources {
                let path = canonical_parent(&extra.source)?;
                let place = repositories.locate(&path)?;
                let place = place.ok_or_else(|| IdentityError::SourceNotInGit { path: path.clone() })?;
                sources.push((place, path));
            }
        }
        Ok(Some(Self {
            package: place,
            hash_path,
            sources,
        }))
    }
}

/// Everything that git was asked, by number of the repository.
#[derive(Default)]
struct Facts {
    ids: BTreeMap<usize, BTreeMap<PathBuf, String>>,
    changes: BTreeMap<usize, Vec<Change>>,
    heads: BTreeMap<usize, Option<String>>,
}

impl Facts {
    fn gather(
        places: &[Option<PackagePlaces>],
        options: &HashOptions,
        repositories: &mut Repositories,
    ) -> Result<Self, IdentityError> {
        let mut wanted: BTreeMap<usize, BTreeSet<PathBuf>> = BTreeMap::new();
        let mut watched: BTreeMap<usize, BTreeSet<PathBuf>> = BTreeMap::new();
        for places in places.iter().flatten() {
            let repository = places.package.repository;
            watched.entry(repository).or_default().insert(places.hash_path.clone());
            if is_hash_computed(options) {
                wanted.entry(repository).or_default().insert(places.hash_path.clone());
            }
            for (source, _) in &places.sources {
                wanted.entry(source.repository).or_default().insert(source.path.clone());
            }
        }
        let mut facts = Self::default();
        for (number, repository) in repositories.iter_mut() {
            let head = repository.head()?;
            if let Some(paths) = wanted.get(&number) {
                if head.is_none() && options.hash_commit == HEAD {
                    return Err(IdentityError::NoCommits {
                        repository: repository.top.clone(),
                    });
                }
                facts.ids.insert(number, repository.ids(&options.hash_commit, paths)?);
            }
            // Another commit is never dirty; a forced one still needs the names of its untracked files.
            if let (Some(paths), true) = (watched.get(&number), options.hash_commit == HEAD || options.force_dirty) {
                facts.changes.insert(number, repository.changes(paths)?);
            }
            facts.heads.insert(number, head);
        }
        Ok(facts)
    }

    fn id(&self, place: &Place, path: &Path, commit: &str) -> Result<&str, IdentityError> {
        let ids = self.ids.get(&place.repository);
        let id = ids.and_then(|ids| ids.get(&place.path));
        id.map(String::as_str).ok_or_else(|| IdentityError::NotInCommit {
            path: path.to_owned(),
            commit: commit.to_owned(),
        })
    }

    fn changes(&self, repository: usize) -> &[Change] {
        self.changes.get(&repository).map(Vec::as_slice).unwrap_or_default()
    }
}

/// The identity of one package from what git said.
fn identity(
    package: &Package,
    places: Option<&PackagePlaces>,
    options: &HashOptions,
    facts: &Facts,
    repositories: &Repositories,
) -> Result<Identity, IdentityError> {
    let is_dirty = places.is_some_and(|places| options.force_dirty || is_changed(places, options, facts));
    let hash = match (given_hash(options), places) {
        (Some(given), _) => Some(given.to_owned()),
        (None, None) => None,
        (None, Some(places)) => Some(computed_hash(package, places, options, facts, repositories, is_dirty)?),
    };
    let tag = match expand(&package.tag, &[(".Hash", hash.as_deref().unwrap_or_default())])? {
        empty if empty.is_empty() => FALLBACK_TAG.to_owned(),
        tag => tag,
    };
    let org = options.dev_user.as_ref().unwrap_or(&package.org);
    let image = format!("{org}/{}", package.image);
    let tag = format!("{image}:{tag}");
    let reference = tag.parse().map_err(|source| IdentityError::NotAName {
        package: package.directory.clone(),
        source,
    })?;
    Ok(Identity {
        image,
        tag,
        reference,
        hash,
        is_dirty,
        commit: places.and_then(|places| facts.heads.get(&places.package.repository).cloned().flatten()),
        is_hash_commit_head: options.hash_commit == HEAD,
    })
}

fn is_changed(places: &PackagePlaces, options: &HashOptions, facts: &Facts) -> bool {
    let hash_path = places.hash_path.as_os_str().as_bytes();
    let changes = facts.changes(places.package.repository);
    options.hash_commit == HEAD && changes.iter().any(|change| git::is_below(&change.path, hash_path))
}

/// Tree id, with those of the extra sources, with the contents' hash when dirty.
fn computed_hash(
    package: &Package,
    places: &PackagePlaces,
    options: &HashOptions,
    facts: &Facts,
    repositories: &Repositories,
    is_dirty: bool,
) -> Result<String, IdentityError> {
    let repository = repositories.get(places.package.repository);
    let hashed = Place {
        repository: places.package.repository,
        path: places.hash_path.clone(),
    };
    let hash_path = repository.top.join(&places.hash_path);
    let mut hash = facts.id(&hashed, &hash_path, &options.hash_commit)?.to_owned();
    if !places.sources.is_empty() {
        let mut hasher = Sha1::new_with_prefix(&hash);
        for (place, path) in &places.sources {
            hasher.update(facts.id(place, path, &options.hash_commit)?);
        }
        hash = hex::encode(hasher.finalize());
    }
    if is_dirty {
        // linuxkit hashes the package's files here even when it looked at the hash path for changes.
        let changes = facts.changes(places.package.repository);
        let digits = contents::suffix(repository, &places.package.path, &package.directory, changes)?;
        hash = format!("{hash}-dirty-{digits}");
    }
    Ok(hash)
}

/// The hash that flags give, when they do.
fn given_hash(options: &HashOptions) -> Option<&str> {
    let given = options.hash.as_deref().filter(|hash| !hash.is_empty());
    given.or(options.dev_user.as_ref().map(|_| DEV_HASH))
}

fn is_hash_computed(options: &HashOptions) -> bool {
    given_hash(options).is_none()
}

fn canonical(path: &Path) -> Result<PathBuf, IdentityError> {
    std::fs::canonicalize(path).map_err(|source| IdentityError::Read {
        path: path.to_owned(),
        source,
    })
}

/// `path` with symbolic links resolved in all parts but the last: a link is itself what git knows at that place.
fn canonical_parent(path: &Path) -> Result<PathBuf, IdentityError> {
    let is_link = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink());
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) if is_link => Ok(canonical(parent)?.join(name)),
        _ => canonical(path),
    }
}
