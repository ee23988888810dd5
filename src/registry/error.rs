//! What can go wrong with a registry, and whether it is worth another try.

use super::response::shown;
use crate::content::ContentError;
use crate::oci::Digest;
use crate::oci::credentials::CredentialError;
use reqwest::Url;
use std::error::Error as _;
use std::path::PathBuf;
use std::time::Duration;

/// Why a registry did not give what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// No connection, or it broke.
    #[error("cannot reach {url}: {reason}")]
    Unreachable {
        /// What was asked for.
        url: String,
        /// Whether there was a connection.
        is_connected: bool,
        /// Why.
        reason: String,
    },
    /// TLS was spoken, and the certificate was not believed.
    #[error("{url} shows a certificate that is not trusted: {reason}; --cert-file names authorities to be trusted")]
    Untrusted {
        /// What was asked for.
        url: String,
        /// Why.
        reason: String,
    },
    /// The registry does not let us.
    #[error("{registry} refuses access to {repository}, or has no such repository{}", if *is_anonymous { ": there are no credentials for it; log in with docker login or give --registry-creds" } else { ": its credentials were refused" })]
    Denied {
        /// The registry.
        registry: String,
        /// The repository.
        repository: String,
        /// Whether nothing was shown.
        is_anonymous: bool,
    },
    /// Too many requests, even after waiting.
    #[error("{registry} answers that there were too many requests{}{}", retry_after_seconds.map_or(String::new(), |seconds| format!("; it wants none for {seconds} s")), if *is_anonymous { "; it may allow more after docker login, or use a mirror" } else { "" })]
    RateLimited {
        /// The registry.
        registry: String,
        /// For how long it wants no more of them.
        retry_after_seconds: Option<u64>,
        /// Whether it was shown no credentials.
        is_anonymous: bool,
    },
    /// Somebody else answers at the registry's address.
    #[error("{url} is not answered by a registry: {found}; is the name right, and is there a proxy on the way?")]
    NotARegistry {
        /// What was asked for.
        url: String,
        /// What speaks against it.
        found: String,
    },
    /// An answer that makes no sense, or an error of the registry's.
    #[error("{url} answers {status}{}", if text.is_empty() { String::new() } else { format!(": {text}") })]
    Status {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What it says, shortened.
        text: String,
    },
    /// A redirect that is not followed.
    #[error("{url} redirects to {target}, which is not followed: {reason}")]
    Redirect {
        /// What was asked for.
        url: String,
        /// Where to.
        target: String,
        /// Why not.
        reason: &'static str,
    },
    /// More than a manifest may have.
    #[error("the manifest at {url} is larger than {limit_bytes} bytes")]
    TooLarge {
        /// What was asked for.
        url: String,
        /// The limit.
        limit_bytes: u64,
    },
    /// Bytes that are not what they were asked as.
    #[error("{url} gives {found} where {expected} was asked for")]
    Mismatch {
        /// What was asked for.
        url: String,
        /// The digest that was asked for.
        expected: Digest,
        /// What came.
        found: String,
    },
    /// What comes at a name is no manifest.
    #[error("{url} gives {media_type:?}, which is neither an image manifest nor an index")]
    NotAManifest {
        /// What was asked for.
        url: String,
        /// What it says it is.
        media_type: String,
    },
    /// A manifest whose content the registry says it does not have.
    #[error("{url} is refused: the registry does not have {}, which it needs", child.as_ref().map_or("some content".to_owned(), ToString::to_string))]
    MissingChild {
        /// The manifest's address.
        url: String,
        /// What is missing, when the registry says so.
        child: Option<Digest>,
    },
    /// A tag that stands for something else and may not be moved.
    #[error("{name} is {found} already, and is not overwritten with {wanted}")]
    TagTaken {
        /// The whole name.
        name: String,
        /// What it stands for.
        found: Digest,
        /// What it should have stood for.
        wanted: Digest,
    },
    /// A tag that others move as fast as we do.
    #[error("{name} was changed by somebody else each of the {rounds} times that it was written; try again")]
    TagContested {
        /// The whole name.
        name: String,
        /// How often.
        rounds: u32,
    },
    /// The content that was to be sent.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// No credentials can be had.
    #[error(transparent)]
    Credentials(#[from] CredentialError),
    /// A file of `--cert-file`.
    #[error("cannot use the certificates in {}: {reason}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The HTTP client cannot be made.
    #[error("cannot set up the HTTP client: {0}")]
    Client(String),
}

impl RegistryError {
    /// A request that got no (whole) answer.
    pub(super) fn unanswered(url: &Url, error: reqwest::Error) -> Self {
        let url = shown(url);
        let (is_untrusted, is_connected) = (is_untrusted(&error), !error.is_connect());
        let reason = reason(error);
        match is_untrusted {
            true => Self::Untrusted { url, reason },
            false => Self::Unreachable {
                url,
                is_connected,
                reason,
            },
        }
    }

    /// A registry that says nothing any more.
    pub(super) fn silent(url: &Url, patience: Duration) -> Self {
        Self::Unreachable {
            url: shown(url),
            is_connected: true,
            reason: format!("nothing has moved for {} s", patience.as_secs()),
        }
    }

    /// Whether the same request may go well later.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::RateLimited { .. } => true,
            Self::Status { status, .. } => *status >= 500 || *status == 408,
            _ => false,
        }
    }

    /// The exit code of the program: 3 where something that is needed cannot be had, 2 for bad input, 1 otherwise.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Certificate { .. } => 2,
            Self::Unreachable { .. }
            | Self::Untrusted { .. }
            | Self::Denied { .. }
            | Self::RateLimited { .. }
            | Self::NotARegistry { .. }
            | Self::Credentials(_) => 3,
            _ => 1,
        }
    }

    /// As the error of a [`crate::content::Source`].
    pub(super) fn into_content(self, doing: impl Into<String>) -> ContentError {
        match self {
            Self::Content(error) => error,
            error => ContentError::Failed {
                doing: doing.into(),
                source: Box::new(error),
            },
        }
    }
}

/// Whether a certificate was refused: trying again will not mend it.
fn is_untrusted(error: &reqwest::Error) -> bool {
    let mut causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.any(|mut cause| {
        // An I/O error is not the cause of what it wraps: it stands for it.
        while let Some(inner) = cause.downcast_ref::<std::io::Error>().and_then(|error| error.get_ref()) {
            cause = inner;
        }
        let found = cause.downcast_ref::<rustls::Error>();
        matches!(found, Some(rustls::Error::InvalidCertificate(_)))
    })
}

/// The last cause of an error says most: reqwest's own text is only "error sending request". Without the URL, which can
/// carry a signature.
pub(crate) fn reason(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut last: &dyn std::error::Error = &error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    last.to_string()
}
