//! What can go wrong in a build: [`BuildError`], and what to do about it.

use super::Failure;
use crate::content::ContentError;
use crate::oci::credentials::CredentialError;
use std::path::PathBuf;

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The user, or somebody else's failure, cancelled it.
    #[error("the build was cancelled")]
    Cancelled,
    /// BuildKit went away, or gave up by itself.
    #[error("the connection to BuildKit ({endpoint}) was lost during the build: {reason}")]
    Lost {
        /// The endpoint's name.
        endpoint: String,
        /// What was heard last.
        reason: String,
    },
    /// BuildKit answered, but not what was asked for.
    #[error("BuildKit ({endpoint}) answered unexpectedly: {reason}")]
    Unexpected {
        /// The endpoint's name.
        endpoint: String,
        /// What is wrong with the answer.
        reason: String,
    },
    /// BuildKit could not build it.
    #[error(transparent)]
    Failed(#[from] Box<Failure>),
    /// The context or the Dockerfile cannot be used.
    #[error("the build context {} cannot be used: {reason}", path.display())]
    Context {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The request makes no sense.
    #[error("the build of {name} cannot be asked for: {reason}")]
    Request {
        /// The request's name.
        name: String,
        /// Why.
        reason: String,
    },
    /// A secret cannot be had.
    #[error("the secret {id} cannot be used: {reason}")]
    Secret {
        /// Its id.
        id: String,
        /// Why.
        reason: String,
    },
    /// A cache that is to be read from or written to.
    #[error("the cache {text:?} cannot be used: {reason}")]
    Cache {
        /// As it was written.
        text: String,
        /// Why.
        reason: String,
    },
    /// An SSH agent cannot be reached.
    #[error("the SSH agent {id} cannot be used: {reason}")]
    Ssh {
        /// Its id.
        id: String,
        /// Why.
        reason: String,
    },
    /// Credentials for a registry cannot be had.
    #[error(transparent)]
    Credentials(#[from] CredentialError),
    /// The content that the result goes to, or that cached images come from, failed.
    #[error(transparent)]
    Content(#[from] ContentError),
}

impl BuildError {
    /// Whether the same build may succeed when it is tried again.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Lost { .. } => true,
            Self::Failed(failure) => failure.kind.is_temporary(),
            _ => false,
        }
    }

    /// What the user can do next, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Lost { endpoint, .. } => {
                Some(format!("look whether BuildKit ({endpoint}) still runs, and at its log"))
            }
            Self::Failed(failure) => failure.hint(),
            _ => None,
        }
    }
}
