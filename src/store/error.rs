//! What can go wrong with the store, and which exit code it is.

use crate::content::{ContentError, DocumentError};
use crate::fsx::FileError;
use crate::oci::{Digest, Platform};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system refused.
    #[error("cannot {doing} {path}: {source}")]
    File {
        /// What was being done.
        doing: &'static str,
        /// To which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// No room is left where the store lies.
    #[error("cannot write {path}: the disk is full; free some space, or remove images with `lkpkg cache rm`")]
    DiskFull {
        /// The file that could not be written; nothing of it is left.
        path: PathBuf,
    },
    /// Somebody else works with the store.
    #[error(
        "the cache is locked: {path} is held by {holder}; waited {} s",
        waited.as_secs()
    )]
    Busy {
        /// The lock file.
        path: PathBuf,
        /// Who holds it: `process 12 (lkpkg)`.
        holder: String,
        /// How long we waited.
        waited: Duration,
    },
    /// Written by a newer program.
    #[error(
        "the cache {path} has image layout version {version}, only 1.0.0 is known; use the program that made it, or another directory"
    )]
    NewerVersion {
        /// The store's directory.
        path: PathBuf,
        /// Its version.
        version: String,
    },
    /// A file of the store that makes no sense. It is left as it is.
    #[error("{path} is damaged: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A blob that an image needs is not there.
    #[error("{digest} is missing from the cache, and {needed_by} needs it; remove and build or pull the image again")]
    Missing {
        /// The blob.
        digest: Digest,
        /// The image, or the manifest, that needs it.
        needed_by: String,
    },
    /// Bytes that are not what their name says.
    #[error("content {digest} is damaged: {found}")]
    Mismatch {
        /// The digest that was announced.
        digest: Digest,
        /// What came instead.
        found: String,
    },
    /// No such image.
    #[error("no image {name} is in the cache; `lkpkg cache ls` lists what is")]
    NotFound {
        /// Its full name.
        name: String,
    },
    /// The image is not there for this platform.
    #[error("{name} is not in the cache for {platform}; it is there for: {}", list(found))]
    NoPlatform {
        /// The image's full name.
        name: String,
        /// The platform that was asked for.
        platform: Box<Platform>,
        /// The platforms there are.
        found: Vec<Platform>,
    },
    /// What is to be imported is not what it should be. The store is as it was.
    #[error("the archive cannot be imported: {reason}")]
    Import {
        /// What is wrong with it.
        reason: String,
    },
    /// A layer whose file system cannot be read.
    #[error("layer {digest} cannot be unpacked: {source}")]
    Layer {
        /// The layer.
        digest: Digest,
        /// What is wrong with it.
        source: io::Error,
    },
    /// What is exported could not be written where the user wants it.
    #[error("cannot write the export: {0}")]
    Output(io::Error),
    /// The user changed their mind.
    #[error("cancelled")]
    Cancelled,
}

impl StoreError {
    /// The program's exit code for this error: 1 failed, 2 bad input, 4 busy or damaged, 130 cancelled.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::File { .. } | Self::DiskFull { .. } | Self::Mismatch { .. } | Self::Output(_) => 1,
            Self::NotFound { .. } | Self::NoPlatform { .. } | Self::Import { .. } => 2,
            Self::Busy { .. }
            | Self::NewerVersion { .. }
            | Self::Damaged { .. }
            | Self::Missing { .. }
            | Self::Layer { .. } => 4,
            Self::Cancelled => 130,
        }
    }

    pub(super) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path: path.to_owned() },
            _ => Self::File {
                doing,
                path: path.to_owned(),
                source,
            },
        }
    }

    pub(super) fn document(path: &Path, source: &DocumentError) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            reason: source.to_string(),
        }
    }

    /// As an error of content, for those who know the store only as a [`crate::content::Source`].
    pub(super) fn into_content(self, doing: &str) -> ContentError {
        match self {
            Self::Mismatch { digest, found } => ContentError::Mismatch {
                expected: digest,
                found,
            },
            other => ContentError::Failed {
                doing: doing.to_owned(),
                source: Box::new(other),
            },
        }
    }
}

impl From<FileError> for StoreError {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Io { doing, path, source } => Self::io(doing, &path, source),
            FileError::Busy { path, holder, waited } => Self::Busy { path, holder, waited },
            FileError::Mismatch { expected, found } => match format!("sha256:{expected}").parse() {
                Ok(digest) => Self::Mismatch { digest, found },
                Err(_) => Self::Damaged {
                    path: expected.into(),
                    reason: found,
                },
            },
        }
    }
}

fn list(platforms: &[Platform]) -> String {
    if platforms.is_empty() {
        return "none".to_owned();
    }
    let names: Vec<String> = platforms.iter().map(ToString::to_string).collect();
    names.join(", ")
}
