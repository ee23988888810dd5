//! A running BuildKit, wherever it is: found, created or started → [`Endpoint`].
//!
//! [`choose()`] says which [`Where`] a platform is built at, purely; [`endpoint()`] goes there. Each kind of place has its
//! module: an address that is only dialled, a named container in a Docker daemon, a `buildkitd` of our own. What is done
//! to a container or a daemon that is already there is decided by pure functions (`decide.rs`, `local/decide.rs`). What it is
//! configured with is gathered by `configuration/`, before anything else is done.
//!
//! This room reads no environment and prints nothing. It does not know what is built.

mod address;
pub mod choose;
mod configuration;
mod decide;
mod dial;
mod docker;
mod endpoint;
mod error;
pub mod local;

pub use address::Address;
pub use choose::choose;
pub use configuration::Registries;
pub use docker::{DockerImages, docker_answers};
pub use endpoint::Endpoint;
pub use error::{BuilderError, Kind};
pub use local::Local;

use crate::event::{CancellationToken, Events};
use crate::oci::credentials::CredentialSource;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// Name of the container when none is asked for; linuxkit's, so that both use the same one.
pub const DEFAULT_NAME: &str = "linuxkit-builder";
/// Image of the container when none is asked for; the version this crate is tested with.
pub const DEFAULT_IMAGE: &str = "moby/buildkit:v0.26.3";

/// How long others that build in a builder are waited for before it is replaced, when nothing else is asked for.
pub const DEFAULT_WAIT: Duration = Duration::from_secs(30);

/// How a builder that lkpkg runs itself should be.
#[derive(Clone, Debug)]
pub struct BuilderConfig {
    /// Name of the container; its state volume is called `<name>-state`.
    pub name: String,
    /// Image of the container.
    pub image: String,
    /// A `buildkitd.toml` for the builder.
    pub config: Option<PathBuf>,
    /// Replace the builder even when it is right. Its state is kept.
    pub restart: bool,
    /// Take the builder as it is, and make none: for looking after it.
    pub as_it_is: bool,
    /// What lkpkg was told about registries; the builder is told the same.
    pub registries: Registries,
    /// The home directory, for files that are named by `~/`.
    pub home: Option<PathBuf>,
    /// How long others that build in it are waited for before it is replaced.
    pub wait: Duration,
    /// Credentials for pulling the container's image.
    pub credentials: CredentialSource,
}

impl Default for BuilderConfig {
    fn default() -> Self {
        Self {
            name: DEFAULT_NAME.into(),
            image: DEFAULT_IMAGE.into(),
            config: None,
            restart: false,
            as_it_is: false,
            registries: Registries::default(),
            home: None,
            wait: DEFAULT_WAIT,
            credentials: CredentialSource::given(BTreeMap::new()),
        }
    }
}

/// Where BuildKit runs. Platforms with the same `Where` share one endpoint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Where {
    /// A BuildKit that someone else looks after, `unix:///run/buildkit/buildkitd.sock`.
    Address(String),
    /// A container that lkpkg looks after in a Docker daemon.
    DockerContainer {
        /// Address of the Docker Engine API, `unix:///var/run/docker.sock`.
        docker: String,
    },
    /// A `buildkitd` that lkpkg starts itself.
    Local(Local),
}

/// A BuildKit at `place` that answers; created or started when needed.
///
/// Everything it waits for has a limit. Whatever it starts goes on after this call, for the next one.
pub async fn endpoint(
    place: &Where,
    config: &BuilderConfig,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<Endpoint, BuilderError> {
    let work = async {
        match place {
            Where::Address(address) => dial::address(address).await,
            Where::DockerContainer { docker } => docker::endpoint(docker, config, events).await,
            Where::Local(local) => local::endpoint(local, config, events).await,
        }
    };
    // Dropping the work half-way is safe: the next call looks at what is there before it does anything.
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(BuilderError::Cancelled),
        result = work => result,
    }
}
