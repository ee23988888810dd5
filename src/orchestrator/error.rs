//! What can go wrong in the hallway: mostly what went wrong in a room.

use crate::assemble::AssembleError;
use crate::attest::AttestError;
use crate::build::BuildError;
use crate::builder::BuilderError;
use crate::content::ContentError;
use crate::fsx::FileError;
use crate::identity::IdentityError;
use crate::package::{Diagnostic, PackageError};
use crate::plan::PlanError;
use crate::registry::RegistryError;
use crate::store::StoreError;

/// Why preparing, planning or building failed.
#[derive(Debug, thiserror::Error)]
pub enum OrchestratorError {
    /// A build.yml or what it names is wrong.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// No tag could be given.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// There is no plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// No BuildKit.
    #[error(transparent)]
    Builder(#[from] BuilderError),
    /// A builder that runs did not tell of itself.
    #[error("cannot look at the builder {name}: {source}")]
    Look {
        /// What people call it.
        name: String,
        /// Why.
        source: Box<BuildError>,
    },
    /// The build of a package failed.
    #[error("failed to build {tag}: {source}")]
    Build {
        /// `org/image:tag`.
        tag: String,
        /// Whether its RUN steps had the network.
        has_network: bool,
        /// Image of the SBoM scanner, when one was named.
        scanner: Option<String>,
        /// Why.
        source: Box<BuildError>,
    },
    /// A cache that cannot be used.
    #[error(transparent)]
    Cache(Box<BuildError>),
    /// Two that would be written to the same place.
    #[error("{one} and {other} would both write their cache to {place}, and the last one would be all that is there")]
    CacheTwice {
        /// A package, or platforms of one.
        one: String,
        /// Another one.
        other: String,
        /// Where.
        place: String,
        /// What would tell them apart, for a template.
        field: &'static str,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A registry failed.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// Content could not be read or written.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// An image that is neither in the store nor to be pulled into it.
    #[error("the image {image}, which {named_by} names, is not to be had: {reason}")]
    Image {
        /// The image, as it is named.
        image: String,
        /// Where it is named: a file, or a field of build.yml.
        named_by: String,
        /// Where it was looked for, and what came of it.
        reason: String,
    },
    /// What a registry has could not be found out.
    #[error("cannot find out whether {name} is in its registry: {source}")]
    Ask {
        /// The image.
        name: String,
        /// Why.
        source: Box<RegistryError>,
    },
    /// An image did not get to its registry, or a tag of it.
    #[error("failed to push {name}: {source}")]
    Push {
        /// The image, with the tag.
        name: String,
        /// Why.
        source: Box<RegistryError>,
    },
    /// An image that is not where it was looked for.
    #[error("cannot pull {image}: {reason}")]
    Absent {
        /// The image.
        image: String,
        /// Where it was looked for.
        reason: String,
    },
    /// No image of which an index could be made.
    #[error(
        "cannot make an index of {name}: its registry has no image with its tag and an architecture, {name}-amd64 say"
    )]
    NoArchitectureTags {
        /// The image.
        name: String,
    },
    /// A release of what is nowhere.
    #[error("cannot release {name}: it is neither in the cache nor in its registry")]
    NothingToRelease {
        /// The image.
        name: String,
    },
    /// An image that its registry does not have, and that is not in the cache, where that was asked as well.
    #[error("{place} has no image {image}")]
    Nowhere {
        /// The image, as it was named.
        image: String,
        /// The registry.
        place: String,
    },
    /// No place for what is built again, or it could not be removed.
    #[error("cannot keep what is built again in {}: {source}", directory.display())]
    Temporary {
        /// Where it was to be.
        directory: std::path::PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// What is known about an image cannot be told.
    #[error("{image}: {source}")]
    Attest {
        /// The image, as it was named.
        image: String,
        /// Why.
        source: Box<AttestError>,
    },
    /// A text that is named by its address.
    #[error("cannot read {url}: {reason}")]
    Fetch {
        /// The address.
        url: String,
        /// Why not.
        reason: String,
    },
    /// An image YAML is wrong, or what it describes cannot be assembled.
    #[error(transparent)]
    Assemble(#[from] AssembleError),
    /// A file of the package directory could not be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The journal of a release makes no sense.
    #[error("{0}")]
    Journal(Box<Diagnostic>),
    /// A release that stopped half-way.
    #[error("{doing}: {source}")]
    Release {
        /// What was being done.
        doing: String,
        /// How many packages are released.
        released: usize,
        /// Of how many.
        all: usize,
        /// Why it stopped.
        source: Box<OrchestratorError>,
    },
    /// Stopped by the user, or because something else failed.
    #[error("cancelled")]
    Cancelled,
    /// A task of ours ended in a panic.
    #[error("a task ended unexpectedly: {0}")]
    Panic(String),
}

impl From<BuildError> for OrchestratorError {
    /// Of what is read before a build; a build has a package.
    fn from(error: BuildError) -> Self {
        Self::Cache(Box::new(error))
    }
}

impl OrchestratorError {
    /// Whether this only says that the work was stopped.
    pub fn is_cancelled(&self) -> bool {
        match self {
            Self::Release { source, .. } => source.is_cancelled(),
            Self::Build { source, .. } => matches!(**source, BuildError::Cancelled),
            Self::Assemble(AssembleError::Cancelled) => true,
            Self::Cancelled | Self::Builder(BuilderError::Cancelled) | Self::Store(StoreError::Cancelled) => true,
            _ => false,
        }
    }
}
