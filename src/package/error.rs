//! What is wrong with a package: [`PackageError`].

use crate::yaml::{Diagnostic, Position};
use std::path::PathBuf;

/// Why a package directory cannot be used.
///
/// [`PackageError::Read`] is trouble with the machine (exit code 1); everything else is wrong input (exit code 2).
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// The directory given is not there, or is no directory.
    #[error("{} is not a package directory: {reason}", path.display())]
    NotADirectory {
        /// What was given.
        path: PathBuf,
        /// What it is instead.
        reason: String,
    },
    /// The directory has no build.yml (or what `--build-yml` names).
    #[error(
        "{} is not a package: there is no {}; every package needs a build.yml with at least `image: NAME`",
        directory.display(),
        expected.display()
    )]
    NoBuildYml {
        /// The directory that was looked into.
        directory: PathBuf,
        /// The file that should be there.
        expected: PathBuf,
    },
    /// A file is there but cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file says something that does not hold.
    #[error("{0}")]
    Invalid(Box<Diagnostic>),
}

impl PackageError {
    /// The place of the problem, where it has one.
    pub fn position(&self) -> Option<Position> {
        match self {
            Self::Invalid(diagnostic) => diagnostic.position,
            _ => None,
        }
    }
}

impl From<Diagnostic> for PackageError {
    fn from(diagnostic: Diagnostic) -> Self {
        Self::Invalid(Box::new(diagnostic))
    }
}
