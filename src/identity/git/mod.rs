//! Facts that git knows about directories: which work tree, which ids, which changes.
//!
//! The main type is [`Repositories`]. libgit2 answers, in process; where it is known to be wrong or to refuse, git's
//! own program does (docs/design/git.md). Which of the two is decided by looking at the repository, never by trying
//! one and hiding its error. Knows nothing of packages.

mod history;
mod library;
mod program;

use super::IdentityError;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use library::{Library, Refusal};
use program::Program;

/// A path that differs from HEAD.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Change {
    /// Relative to the work tree's top. An untracked repository ends with `/`.
    pub path: Vec<u8>,
    /// Whether git does not know the path and does not ignore it either.
    pub is_untracked: bool,
}

/// Where a directory or file stands: in which repository, and where in its work tree (empty: its top).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub repository: usize,
    pub path: PathBuf,
}

/// A commit that touched something last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Commit {
    pub id: String,
    /// When it was committed, in seconds since 1970 (UTC).
    pub time_s: i64,
    /// Whether a shallow clone ends here: what was touched may have been touched before.
    pub is_boundary: bool,
}

/// All repositories that were met, each opened once.
#[derive(Default)]
pub(super) struct Repositories {
    open: Vec<Repository>,
    by_git_directory: BTreeMap<PathBuf, usize>,
}

/// One work tree and who answers for it.
pub(super) struct Repository {
    /// Top of the work tree, absolute, symbolic links resolved.
    pub top: PathBuf,
    git_directory: PathBuf,
    backend: Backend,
}

enum Backend {
    Library(Box<Library>),
    Program(Program),
}

impl Repositories {
    /// Finds the repository of `path` (absolute; its parents free of symbolic links). `None`: outside git.
    pub fn locate(&mut self, path: &Path) -> Result<Option<Place>, IdentityError> {
        let is_directory = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir());
        let directory = match path.parent() {
            Some(parent) if !is_directory => parent,
            _ => path,
        };
        let Some(git_directory) = library::discover(directory)? else {
            return Ok(None);
        };
        let repository = match self.by_git_directory.get(&git_directory) {
            Some(known) => *known,
            None => {
                self.open.push(Repository::open(&git_directory, directory)?);
                self.by_git_directory.insert(git_directory, self.open.len() - 1);
                self.open.len() - 1
            }
        };
        let is_inside_git = directory.starts_with(self.open[repository].git_directory.as_path());
        match path.strip_prefix(&self.open[repository].top) {
            Ok(inside) if !is_inside_git => Ok(Some(Place {
                repository,
                path: inside.to_owned(),
            })),
            _ => Err(IdentityError::NoWorkTree {
                directory: directory.to_owned(),
            }),
        }
    }

    /// The repository of a [`Place`].
    pub fn get(&self, repository: usize) -> &Repository {
        &self.open[repository]
    }

    /// All repositories with the numbers that a [`Place`] has.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (usize, &mut Repository)> {
        self.open.iter_mut().enumerate()
    }
}

impl Repository {
    fn open(git_directory: &Path, directory: &Path) -> Result<Self, IdentityError> {
        let backend = match Library::open(git_directory, directory) {
            Ok(library) => Backend::Library(Box::new(library)),
            Err(Refusal::Unfit(reason)) => Backend::Program(Program::open(directory, reason)?),
            Err(Refusal::Failed(error)) => return Err(*error),
        };
        let top = match &backend {
            Backend::Library(library) => library.top(),
            Backend::Program(program) => program.top(),
        };
        Ok(Self {
            top: top.to_owned(),
            git_directory: git_directory.to_owned(),
            backend,
        })
    }

    /// The commit that is checked out; `None` before the first commit.
    pub fn head(&self) -> Result<Option<String>, IdentityError> {
        match &self.backend {
            Backend::Library(library) => library.head(),
            Backend::Program(program) => program.head(),
        }
    }

    /// The ids that `paths` have in `commit`, without those that the commit does not know. The id of the top is that
    /// of the commit's tree.
    pub fn ids(&self, commit: &str, paths: &BTreeSet<PathBuf>) -> Result<BTreeMap<PathBuf, String>, IdentityError> {
        match &self.backend {
            Backend::Library(library) => library.ids(commit, paths),
            Backend::Program(program) => program.ids(commit, paths),
        }
    }

    /// What differs from HEAD below `paths`, in byte order. Asks git's program when libgit2 cannot be trusted with
    /// what it met; from then on the program answers for this repository.
    pub fn changes(&mut self, paths: &BTreeSet<PathBuf>) -> Result<Vec<Change>, IdentityError> {
        let paths = outermost(paths);
        let reason = match &self.backend {
            Backend::Program(program) => return program.changes(&paths),
            Backend::Library(library) => match library.changes(&paths) {
                Ok(changes) => return Ok(changes),
                Err(Refusal::Failed(error)) => return Err(*error),
                Err(Refusal::Unfit(reason)) => reason,
            },
        };
        let program = Program::open(&self.top, reason)?;
        let changes = program.changes(&paths)?;
        self.backend = Backend::Program(program);
        Ok(changes)
    }

    /// Paths that git tracks below `directory`, relative to the work tree's top, in the index's order. A path in
    /// conflict appears once a stage, as `git ls-files` lists it.
    pub fn tracked(&self, directory: &Path) -> Result<Vec<Vec<u8>>, IdentityError> {
        match &self.backend {
            Backend::Library(library) => library.tracked(directory),
            Backend::Program(program) => program.tracked(directory),
        }
    }

    /// `core.quotePath`: whether git's lists put names with bytes above 0x7f in quotes.
    pub fn quotes_high_bytes(&self) -> Result<bool, IdentityError> {
        match &self.backend {
            Backend::Library(library) => Ok(library.quotes_high_bytes()),
            Backend::Program(program) => program.quotes_high_bytes(),
        }
    }

    /// All tags that lead to commits, by name.
    pub fn tags(&self) -> Result<Vec<Tag>, IdentityError> {
        match &self.backend {
            Backend::Library(library) => library.tags(),
            Backend::Program(program) => program.tags(),
        }
    }

    /// Whether HEAD is `commit` or comes after it.
    pub fn is_in_history(&self, commit: &str) -> Result<bool, IdentityError> {
        match &self.backend {
            Backend::Library(library) => library.is_in_history(commit),
            Backend::Program(program) => program.is_in_history(commit),
        }
    }

    /// For each set of paths the newest commit that touched one of them; None where HEAD knows none of them.
    pub fn last_commits(&self, wanted: &[BTreeSet<PathBuf>]) -> Result<Vec<Option<Commit>>, IdentityError> {
        let boundary = self.boundary()?;
        match &self.backend {
            Backend::Library(library) => library.last_commits(wanted, &boundary),
            Backend::Program(program) => wanted
                .iter()
                .map(|paths| program.last_commit(paths, &boundary))
                .collect(),
        }
    }

    /// The commits at which a shallow clone ends; none in a whole one.
    fn boundary(&self) -> Result<BTreeSet<String>, IdentityError> {
        let path = library::common_directory(&self.git_directory).join("shallow");
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(text.lines().map(str::to_owned).collect()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BTreeSet::new()),
            Err(source) => Err(IdentityError::Read { path, source }),
        }
    }

    /// When HEAD was committed, in seconds since 1970 (UTC).
    pub fn head_time_s(&self) -> Result<i64, IdentityError> {
        match &self.backend {
            Backend::Library(library) => library.head_time_s(),
            Backend::Program(program) => program.head_time_s(),
        }
    }

    /// Whether git's own program answers.
    #[cfg(test)]
    pub fn uses_program(&self) -> bool {
        matches!(self.backend, Backend::Program(_))
    }
}

/// A tag and the commit that it leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    pub name: String,
    pub commit: String,
}

/// Whether `path` is `directory` or lies below it; both relative to the same top, whose name is empty.
pub(super) fn is_below(path: &[u8], directory: &[u8]) -> bool {
    directory.is_empty()
        || path
            .strip_prefix(directory)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// The top of the work tree that `directory` seems to be in: the name that `safe.directory` wants.
fn work_tree(directory: &Path) -> &Path {
    let mut above = directory.ancestors();
    above.find(|above| above.join(".git").exists()).unwrap_or(directory)
}

/// `paths` without those that lie below another of them.
fn outermost(paths: &BTreeSet<PathBuf>) -> Vec<PathBuf> {
    let mut kept: Vec<PathBuf> = Vec::new();
    for path in paths {
        // A set of paths is sorted by component: what lies below a path follows it at once.
        if !kept.last().is_some_and(|last| path.starts_with(last)) {
            kept.push(path.clone());
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_outermost_paths_are_asked_for() {
        let check = |given: &[&str], expected: &[&str]| {
            let given = given.iter().map(PathBuf::from).collect();
            let expected: Vec<PathBuf> = expected.iter().map(PathBuf::from).collect();
            assert_eq!(outermost(&given), expected);
        };
        check(&[], &[]);
        check(&["a", "a/b", "a-b", "a/b/c", "b/a"], &["a", "a-b", "b/a"]);
        check(&["", "a", "b"], &[""]);
    }

    #[test]
    fn below_means_whole_names() {
        for (path, directory, expected) in [
            ("a/b", "a", true),
            ("a", "a", true),
            ("ab", "a", false),
            ("a", "a/b", false),
            ("a", "", true),
        ] {
            assert_eq!(
                is_below(path.as_bytes(), directory.as_bytes()),
                expected,
                "{path} {directory}"
            );
        }
    }
}
