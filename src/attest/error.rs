//! What can be wrong with an attestation.

use super::read::SBOM_BYTES_MAX;
use crate::content::ContentError;
use crate::oci::{Digest, Platform};

/// Why what is known about an image cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum AttestError {
    /// Whoever keeps the content failed, or it is damaged.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// The image has something about it, and that is not there: only a part of the image was pulled, say.
    #[error("{what} {digest}, which is about the image {image}, is missing")]
    Missing {
        /// The attestation, or the manifest that lists it.
        what: &'static str,
        /// What is missing.
        digest: Digest,
        /// The manifest that it is about.
        image: Digest,
    },
    /// Neither an index of images nor an image.
    #[error("{0} is no image: it is about something else, or lists none")]
    NotAnImage(Digest),
    /// The image has none for this platform.
    #[error("there is no image for {wanted}; there is one for: {}", list(found))]
    NoPlatform {
        /// The platform that was asked for.
        wanted: Box<Platform>,
        /// Those that there are.
        found: Vec<Platform>,
    },
    /// Nobody made one.
    #[error("the image {image} has no SBoM{}", if found.is_empty() { String::new() } else { format!(", only {}", found.join(", ")) })]
    NoSbom {
        /// The manifest.
        image: Digest,
        /// The predicate types that it has.
        found: Vec<String>,
    },
    /// Larger than [`SBOM_BYTES_MAX`].
    #[error("the SBoM {digest} has {bytes} bytes; at most {SBOM_BYTES_MAX} are read")]
    TooLarge {
        /// Which.
        digest: Digest,
        /// Its size.
        bytes: u64,
    },
    /// Its bytes are those of its digest, and make no sense.
    #[error("the attestation {digest} is not JSON: {reason}")]
    NotJson {
        /// Which.
        digest: Digest,
        /// Where it goes wrong.
        reason: String,
    },
    /// JSON, but not what it should be.
    #[error("the attestation {digest} is no {expected}: {reason}")]
    Shape {
        /// Which.
        digest: Digest,
        /// What it should be.
        expected: &'static str,
        /// Where it goes wrong.
        reason: String,
    },
    /// A statement about something else than it is filed as.
    #[error("the attestation {digest} is filed as {expected}, and says that it is {found}")]
    Predicate {
        /// Which.
        digest: Digest,
        /// The predicate type that it is filed under.
        expected: String,
        /// The one that it states.
        found: String,
    },
    /// A statement about another image.
    #[error(
        "the attestation {digest} is filed as being about the image {image}, and is about {}",
        subjects(found)
    )]
    Foreign {
        /// Which.
        digest: Digest,
        /// The image that it hangs on.
        image: Digest,
        /// The digests that it speaks of.
        found: Vec<String>,
    },
    /// Only SPDX documents can be merged and converted.
    #[error(
        "the SBoM {digest} of the image {image} is in CycloneDX's format, which is only shown as it is or as a table"
    )]
    CycloneDxOnly {
        /// Which.
        digest: Digest,
        /// The image.
        image: Digest,
    },
    /// A temporary file could not be written or read.
    #[error("cannot keep a document while it is made: {0}")]
    Spool(#[from] std::io::Error),
}

impl AttestError {
    /// The program's exit code for this error: 2 for bad input, 3 where something is missing, 1 otherwise.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NotAnImage(_) | Self::NoPlatform { .. } => 2,
            Self::Missing { .. } => 3,
            _ => 1,
        }
    }
}

fn list(platforms: &[Platform]) -> String {
    match platforms {
        [] => "none".to_owned(),
        some => some.iter().map(Platform::to_string).collect::<Vec<_>>().join(", "),
    }
}

fn subjects(found: &[String]) -> String {
    match found {
        [] => "nothing".to_owned(),
        some => some.join(", "),
    }
}
