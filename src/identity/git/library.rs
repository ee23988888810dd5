//! libgit2's answers, and the cases in which it must not be asked.
//!
//! The main type is [`Library`]. A [`Refusal::Unfit`] says that git's own program has to answer, and why.

use super::{Change, Tag, is_below};
use crate::identity::IdentityError;
use git2::{AttrCheckFlags, Config, ErrorCode, IndexEntryExtendedFlag, IndexEntryFlag, Status, StatusOptions};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Why libgit2 gave no answer.
pub(super) enum Refusal {
    /// libgit2 is known to be wrong here, or to refuse: ask git's program. The text continues "because …".
    Unfit(&'static str),
    /// A failure that git would have as well.
    Failed(Box<IdentityError>),
}

impl From<IdentityError> for Refusal {
    fn from(error: IdentityError) -> Self {
        Self::Failed(Box::new(error))
    }
}

/// A repository that libgit2 has open.
pub(super) struct Library {
    pub(super) repository: git2::Repository,
    top: PathBuf,
}

/// File mode of a submodule's entry in trees and in the index.
const SUBMODULE_MODE: u32 = 0o160_000;

/// Extensions of the repository format that libgit2 1.9 knows, lower case as configuration has them.
const KNOWN_EXTENSIONS: [&str; 5] = [
    "extensions.noop",
    "extensions.objectformat",
    "extensions.worktreeconfig",
    "extensions.preciousobjects",
    "extensions.relativeworktrees",
];

/// Attributes by which file contents go through programs or conversions that libgit2 does not run.
const FOREIGN_ATTRIBUTES: [&str; 2] = ["filter", "working-tree-encoding"];

/// The git directory that `directory` belongs to; `None` outside git. The environment is not consulted.
pub(super) fn discover(directory: &Path) -> Result<Option<PathBuf>, IdentityError> {
    let none: [&OsStr; 0] = [];
    match git2::Repository::discover_path(directory, none) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
        Err(error) => Err(wrap(directory, "find its repository", error)),
    }
}

impl Library {
    /// Opens the repository whose git directory was discovered from `directory`.
    pub fn open(git_directory: &Path, directory: &Path) -> Result<Self, Refusal> {
        let common = common_directory(git_directory);
        if let Some(reason) = unfit_format(&common) {
            return Err(Refusal::Unfit(reason));
        }
        let repository = git2::Repository::open(git_directory).map_err(|error| match error.code() {
            ErrorCode::Owner => IdentityError::Untrusted {
                directory: super::work_tree(directory).to_owned(),
            },
            _ => wrap(directory, "open its repository", error),
        })?;
        if let Some(reason) = unfit_index(&repository, git_directory, &common) {
            return Err(Refusal::Unfit(reason));
        }
        let top = repository.workdir().ok_or_else(|| IdentityError::NoWorkTree {
            directory: directory.to_owned(),
        })?;
        let top = std::fs::canonicalize(top).map_err(|source| IdentityError::Read {
            path: top.to_owned(),
            source,
        })?;
        Ok(Self { repository, top })
    }

    pub fn top(&self) -> &Path {
        &self.top
    }

    pub fn head(&self) -> Result<Option<String>, IdentityError> {
        Ok(self.head_commit()?.map(|commit| commit.id().to_string()))
    }

    pub(super) fn head_commit(&self) -> Result<Option<git2::Commit<'_>>, IdentityError> {
        match self.repository.head().and_then(|head| head.peel_to_commit()) {
            Ok(commit) => Ok(Some(commit)),
            Err(error) if matches!(error.code(), ErrorCode::UnbornBranch | ErrorCode::NotFound) => Ok(None),
            Err(error) => Err(self.failed("read HEAD", error)),
        }
    }

    pub fn ids(&self, commit: &str, paths: &BTreeSet<PathBuf>) -> Result<BTreeMap<PathBuf, String>, IdentityError> {
        let tree = self
            .repository
            .revparse_single(commit)
            .and_then(|object| object.peel_to_tree())
            .map_err(|error| match error.code() {
                ErrorCode::NotFound | ErrorCode::InvalidSpec | ErrorCode::Peel | ErrorCode::Ambiguous => {
                    IdentityError::UnknownCommit {
                        commit: commit.to_owned(),
                        repository: self.top.clone(),
                    }
                }
                _ => self.failed("read the commit", error),
            })?;
        let mut ids = BTreeMap::new();
        for path in paths {
            if path.as_os_str().is_empty() {
                ids.insert(path.clone(), tree.id().to_string());
                continue;
            }
            match tree.get_path(path) {
                Ok(entry) => _ = ids.insert(path.clone(), entry.id().to_string()),
                Err(error) if error.code() == ErrorCode::NotFound => {}
                Err(error) => return Err(self.failed("read the commit's tree", error)),
            }
        }
        Ok(ids)
    }

    pub fn changes(&self, paths: &[PathBuf]) -> Result<Vec<Change>, Refusal> {
        let mut directories = self.check_index(paths)?;
        let mut options = StatusOptions::new();
        options
            .include_untracked(true)
            .recurse_untracked_dirs(true)
            .include_ignored(false)
            .disable_pathspec_match(true)
            .renames_head_to_index(false)
            .renames_index_to_workdir(false);
        for path in paths.iter().filter(|path| !path.as_os_str().is_empty()) {
            options.pathspec(path.as_path());
        }
        let found = self
            .repository
            .statuses(Some(&mut options))
            .map_err(|error| self.failed("look for changes", error))?;
        let mut changes = Vec::with_capacity(found.len());
        for entry in found.iter() {
            let (path, status) = (entry.path_bytes(), entry.status());
            if let Some(reason) = self.unclear(path, status)? {
                return Err(Refusal::Unfit(reason));
            }
            add_with_parents(&mut directories, parent(path));
            changes.push(Change {
                path: path.to_owned(),
                is_untracked: status.contains(Status::WT_NEW),
            });
        }
        self.check_rule_files(&directories)?;
        changes.sort();
        Ok(changes)
    }

    /// A `.gitignore` or `.gitattributes` that is a symbolic link: git does not follow it, libgit2 does, and may then
    /// hide the link itself. What lies only in untracked directories that hide themselves in this way stays unseen.
    fn check_rule_files(&self, directories: &BTreeSet<PathBuf>) -> Result<(), Refusal> {
        for directory in directories {
            for name in [".gitignore", ".gitattributes"] {
                let metadata = std::fs::symlink_metadata(self.top.join(directory).join(name));
                if metadata.is_ok_and(|metadata| metadata.is_symlink()) {
                    return Err(Refusal::Unfit("a .gitignore or .gitattributes is a symbolic link"));
                }
            }
        }
        Ok(())
    }

    /// Refuses marks in the index that libgit2 reads otherwise than git, and submodules, whose state has its own
    /// settings. Otherwise all directories that have rules for what is below `paths`.
    fn check_index(&self, paths: &[PathBuf]) -> Result<BTreeSet<PathBuf>, Refusal> {
        let index = self
            .repository
            .index()
            .map_err(|error| self.failed("read the index", error))?;
        let extended = (IndexEntryExtendedFlag::SKIP_WORKTREE | IndexEntryExtendedFlag::INTENT_TO_ADD).bits();
        let mut directories: BTreeSet<PathBuf> = paths
            .iter()
            .flat_map(|path| path.ancestors())
            .map(Path::to_owned)
            .collect();
        let mut last_parent = Vec::new();
        let is_asked_for = |entry: &[u8]| paths.iter().any(|path| is_below(entry, path.as_os_str().as_bytes()));
        for entry in index.iter().filter(|entry| is_asked_for(&entry.path)) {
            if entry.mode == SUBMODULE_MODE {
                return Err(Refusal::Unfit("a package contains a submodule"));
            }
            if entry.flags & IndexEntryFlag::VALID.bits() != 0 || entry.flags_extended & extended != 0 {
                let reason = "its index marks files as skip-worktree, assume-unchanged or intent-to-add";
                return Err(Refusal::Unfit(reason));
            }
            // Files of one directory follow one another, mostly.
            if parent(&entry.path) != last_parent {
                last_parent = parent(&entry.path).to_owned();
                add_with_parents(&mut directories, &last_parent);
            }
        }
        Ok(directories)
    }

    /// Why libgit2's word about a changed path is not enough; `None` when it is.
    fn unclear(&self, path: &[u8], status: Status) -> Result<Option<&'static str>, IdentityError> {
        let in_index = Status::INDEX_NEW | Status::INDEX_MODIFIED | Status::INDEX_DELETED | Status::INDEX_TYPECHANGE;
        let in_work_tree = Status::WT_MODIFIED | Status::WT_DELETED | Status::WT_TYPECHANGE;
        if status.intersects(in_index) && status.intersects(in_work_tree) {
            return Ok(Some("a file differs from the index and the index from HEAD"));
        }
        if !status.contains(Status::WT_MODIFIED) {
            return Ok(None);
        }
        let path = Path::new(OsStr::from_bytes(path));
        for name in FOREIGN_ATTRIBUTES {
            let value = self
                .repository
                .get_attr_bytes(path, name, AttrCheckFlags::FILE_THEN_INDEX)
                .map_err(|error| self.failed("read .gitattributes", error))?;
            if value.is_some() {
                return Ok(Some("a changed file has a clean filter or an encoding"));
            }
        }
        Ok(None)
    }

    pub fn tracked(&self, directory: &Path) -> Result<Vec<Vec<u8>>, IdentityError> {
        let index = self
            .repository
            .index()
            .map_err(|error| self.failed("read the index", error))?;
        let directory = directory.as_os_str().as_bytes();
        let paths = index.iter().map(|entry| entry.path);
        Ok(paths.filter(|path| is_below(path, directory)).collect())
    }

    pub fn quotes_high_bytes(&self) -> bool {
        let config = self.repository.config().and_then(|mut config| config.snapshot());
        config
            .and_then(|config| config.get_bool("core.quotepath"))
            .unwrap_or(true)
    }

    pub fn tags(&self) -> Result<Vec<Tag>, IdentityError> {
        let failed = |error| self.failed("list the tags", error);
        let mut tags = Vec::new();
        for reference in self.repository.references_glob("refs/tags/*").map_err(failed)? {
            let reference = reference.map_err(failed)?;
            let name = String::from_utf8_lossy(reference.name_bytes()).into_owned();
            // A tag may lead to a tree or a blob.
            if let (Some(name), Ok(commit)) = (name.strip_prefix("refs/tags/"), reference.peel_to_commit()) {
                tags.push(Tag {
                    name: name.to_owned(),
                    commit: commit.id().to_string(),
                });
            }
        }
        tags.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(tags)
    }

    pub fn is_in_history(&self, commit: &str) -> Result<bool, IdentityError> {
        let failed = |error| self.failed("walk the history", error);
        let Some(head) = self.head_commit()? else {
            return Ok(false);
        };
        let object = self.repository.revparse_single(commit).map_err(failed)?;
        Ok(object.id() == head.id()
            || self
                .repository
                .graph_descendant_of(head.id(), object.id())
                .map_err(failed)?)
    }

    pub fn head_time_s(&self) -> Result<i64, IdentityError> {
        let commit = self.head_commit()?.ok_or_else(|| IdentityError::NoCommits {
            repository: self.top.clone(),
        })?;
        Ok(commit.time().seconds())
    }

    pub(super) fn failed(&self, action: &'static str, source: git2::Error) -> IdentityError {
        wrap(&self.top, action, source)
    }
}

/// The directory that `path` lies in, relative to the same top.
fn parent(path: &[u8]) -> &[u8] {
    let path = path.strip_suffix(b"/").unwrap_or(path); // a repository that is not tracked
    &path[..path.iter().rposition(|byte| *byte == b'/').unwrap_or(0)]
}

/// Adds a directory and those above it to a set that has all directories above its members.
fn add_with_parents(directories: &mut BTreeSet<PathBuf>, directory: &[u8]) {
    for directory in Path::new(OsStr::from_bytes(directory)).ancestors() {
        if directories.contains(directory) {
            return;
        }
        directories.insert(directory.to_owned());
    }
}

fn wrap(directory: &Path, action: &'static str, source: git2::Error) -> IdentityError {
    IdentityError::Git {
        directory: directory.to_owned(),
        action,
        source,
    }
}

/// Where the repository's own configuration lies: a linked work tree's git directory names it in `commondir`.
pub(super) fn common_directory(git_directory: &Path) -> PathBuf {
    match std::fs::read(git_directory.join("commondir")) {
        Ok(named) => git_directory.join(OsStr::from_bytes(named.trim_ascii_end())),
        Err(_) => git_directory.to_owned(),
    }
}

/// What the repository's format needs and libgit2 lacks. A configuration that cannot be read is left to
/// [`git2::Repository::open`] to complain about.
fn unfit_format(common: &Path) -> Option<&'static str> {
    let config = Config::open(&common.join("config")).ok()?;
    let mut entries = config.entries(Some("^(extensions|remote)\\.")).ok()?;
    while let Some(Ok(entry)) = entries.next() {
        let name = String::from_utf8_lossy(entry.name_bytes()).to_lowercase();
        match name.as_str() {
            remote if remote.starts_with("remote.") => {
                if remote.ends_with(".promisor") {
                    return Some("it is a partial clone");
                }
            }
            "extensions.refstorage" => return Some("its references are in a reftable"),
            "extensions.partialclone" => return Some("it is a partial clone"),
            known if KNOWN_EXTENSIONS.contains(&known) => {}
            _ => return Some("its format has an extension that libgit2 does not know"),
        }
    }
    None
}

/// What the repository's settings do to the index that libgit2 cannot read or misreads.
fn unfit_index(repository: &git2::Repository, git_directory: &Path, common: &Path) -> Option<&'static str> {
    let config = repository.config().and_then(|mut config| config.snapshot()).ok()?;
    let is_set = |name| config.get_bool(name).unwrap_or(false);
    if is_set("core.sparsecheckout") {
        return Some("it has a sparse checkout");
    }
    // Git leaves the shared half beside the index; core.splitIndex alone says nothing about an index written before.
    let is_split = std::fs::read_dir(git_directory).ok()?.flatten();
    if is_set("core.splitindex")
        || is_split
            .into_iter()
            .any(|e| e.file_name().as_bytes().starts_with(b"sharedindex."))
    {
        return Some("its index is split");
    }
    if common.join("refs/replace").exists() {
        return Some("it has replaced objects");
    }
    None
}
