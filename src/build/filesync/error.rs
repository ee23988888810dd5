//! What can go wrong while a directory is served, with the path in it.

use std::io;
use std::path::PathBuf;
use tonic::{Code, Status};

/// Why a tree could not be made, walked or sent.
#[derive(Debug, thiserror::Error)]
pub enum FileSyncError {
    /// The operating system refused.
    #[error("{doing} {}: {source}", .path.display())]
    Io {
        /// What was being done ("read the directory").
        doing: &'static str,
        /// To which path on this machine.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The root of a tree is a file, or a file is to be mounted over the root.
    #[error("serve {} as a directory: it is none", .0.display())]
    NotADirectory(PathBuf),
    /// The destination of an extra source is unusable.
    #[error("place an extra source at {}: {reason}", .destination.display())]
    Destination {
        /// As it was given.
        destination: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The name of a file cannot be told to BuildKit.
    #[error("send {}: its {what} is not UTF-8, which BuildKit requires; rename it or exclude it in .dockerignore", .path.display())]
    NotUtf8 {
        /// On this machine.
        path: PathBuf,
        /// Name, link target or attribute.
        what: &'static str,
    },
    /// BuildKit was told of another file than the one that is there now.
    #[error("send {}: it changed while it was sent ({reason}); build again when nothing writes to it", .path.display())]
    Changed {
        /// On this machine.
        path: PathBuf,
        /// What is different.
        reason: String,
    },
    /// A pattern from .dockerignore or from BuildKit is malformed.
    #[error("use the {kind} pattern {pattern:?}: {reason}")]
    Pattern {
        /// "include" or "exclude".
        kind: &'static str,
        /// As it was given.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Symlinks of a followed path multiply without end.
    #[error("follow {path:?}: more than {limit} symlinks on the way")]
    TooManyLinks {
        /// As BuildKit asked for it.
        path: String,
        /// How many are followed.
        limit: usize,
    },
    /// BuildKit asked for a directory that the build does not offer.
    #[error("no access allowed to dir {0:?}")]
    UnknownDirectory(String),
    /// BuildKit asked for something that makes no sense.
    #[error("understand BuildKit's request for files: {0}")]
    Protocol(String),
    /// BuildKit gave up; the reason is its own.
    #[error("send files to BuildKit: it answered: {0}")]
    Refused(String),
}

impl FileSyncError {
    /// The gRPC status that tells BuildKit.
    pub fn to_status(&self) -> Status {
        let code = match self {
            Self::UnknownDirectory(_) => Code::NotFound,
            Self::Pattern { .. } | Self::Protocol(_) => Code::InvalidArgument,
            Self::Changed { .. } | Self::Refused(_) => Code::Aborted,
            Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => Code::PermissionDenied,
            Self::Io { .. } => Code::Unknown,
            Self::NotADirectory(_) | Self::Destination { .. } | Self::NotUtf8 { .. } | Self::TooManyLinks { .. } => {
                Code::FailedPrecondition
            }
        };
        // UnknownDirectory has the words of BuildKit's own client: the daemon's logs are searched for them.
        let text = match self {
            Self::UnknownDirectory(_) => self.to_string(),
            _ => format!("failed to {self}"),
        };
        Status::new(code, text)
    }

    pub(super) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }

    /// Whether the path is simply not there (any more).
    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if is_not_found(source))
    }

    pub(super) fn is_permission_denied(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied)
    }
}

/// Not there, or below something that is no directory.
pub(super) fn is_not_found(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
