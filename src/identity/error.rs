//! Everything that can go wrong between a package and its tag.
//!
//! The texts are whole sentences without "failed to" in front. [`IdentityError::exit_code`] says how the program ends.

use crate::oci::ReferenceError;
use std::path::PathBuf;

/// Why a package has no identity.
#[derive(Debug, thiserror::Error)]
#[expect(
    missing_docs,
    reason = "the fields are named for what they hold, the texts say the rest"
)]
pub enum IdentityError {
    /// libgit2 failed at something that git's own program is not expected to do better.
    #[error("cannot ask git about {}: {action}: {}", directory.display(), source.message())]
    Git {
        directory: PathBuf,
        action: &'static str,
        source: git2::Error,
    },
    /// git's own program failed.
    #[error("`git {command}` failed in {}: {detail}", directory.display())]
    Program {
        directory: PathBuf,
        command: String,
        detail: String,
    },
    /// git's own program is needed and is not installed.
    #[error(
        "cannot run git in {}: {detail}; this repository needs the git program because {reason}: install git",
        repository.display()
    )]
    ProgramMissing {
        repository: PathBuf,
        reason: &'static str,
        detail: String,
    },
    /// Someone else owns the repository and `safe.directory` does not allow it.
    #[error(
        "cannot read the git repository of {directory}: it belongs to another user; \
         if you trust it: git config --global --add safe.directory {directory}",
        directory = directory.display()
    )]
    Untrusted { directory: PathBuf },
    /// The directory lies in a bare repository or inside a `.git` directory.
    #[error("{} is in a git repository but not in its work tree", directory.display())]
    NoWorkTree { directory: PathBuf },
    /// The repository has no commits, so that nothing in it has a hash.
    #[error("the git repository {} has no commits yet: commit the package, or give --hash", repository.display())]
    NoCommits { repository: PathBuf },
    /// `--hash-commit` names nothing.
    #[error("there is no commit {commit:?} in the git repository {}", repository.display())]
    UnknownCommit { commit: String, repository: PathBuf },
    /// The package, hash path or extra source is not part of the commit.
    #[error("{} is not in git at commit {commit}: commit it, or give --hash", path.display())]
    NotInCommit { path: PathBuf, commit: String },
    /// An extra source that is in no repository has no hash.
    #[error("the extra source {} is not in a git repository: its hash comes from git, or from --hash", path.display())]
    SourceNotInGit { path: PathBuf },
    /// `--hash-path` is not there.
    #[error("the hash path {} does not exist", hash_path.display())]
    NoHashPath { hash_path: PathBuf },
    /// `--hash-path` must be the package's directory or one above it.
    #[error("the hash path {} is not a parent of the package {}", hash_path.display(), package.display())]
    HashPathNotParent { hash_path: PathBuf, package: PathBuf },
    /// `--hash-path` left the package's work tree.
    #[error(
        "the hash path {} is outside {}, the git work tree of the package {}",
        hash_path.display(),
        repository.display(),
        package.display()
    )]
    HashPathOutside {
        hash_path: PathBuf,
        repository: PathBuf,
        package: PathBuf,
    },
    /// A file or directory could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    /// A template is not in the language that lkpkg knows.
    #[error("the template {template:?} is wrong at column {column}: {reason}")]
    Template {
        template: String,
        column: usize,
        reason: String,
    },
    /// The tag that came out cannot name an image.
    #[error("the tag of {} cannot be used: {source}", package.display())]
    NotAName { package: PathBuf, source: ReferenceError },
    /// A line of build args is wrong.
    #[error("the build arg {key:?} of {}: {reason}", file.display())]
    BuildArg { key: String, file: PathBuf, reason: String },
    /// Another package, named by `@lkt:`, could not be loaded.
    #[error("the package {}: {source}", path.display())]
    Package {
        path: PathBuf,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl IdentityError {
    /// The program's exit code for this error: 1 the work failed, 2 bad input, 3 something needed is missing.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Git { .. } | Self::Program { .. } | Self::Read { .. } => 1,
            Self::ProgramMissing { .. } => 3,
            _ => 2,
        }
    }
}
