//! A running BuildKit, wherever it is: found, created or started → [`Endpoint`].
//!
//! [`choose()`] says which [`Where`] a platform can be built at, purely; [`endpoint()`] goes there. Each kind of place has its
//! module: what is only dialled (`remote/`), a named container in a Docker daemon, a `buildkitd` of our own. Docker daemons are
//! found by Docker's own files (`context/`). Of several places, [`pool`] says which one gets the next work. What is done
//! to a container or a daemon that is already there is decided by pure functions (`decide.rs`, `local/decide.rs`). What it is
//! configured with is gathered by `configuration/`, before anything else is done.
//!
//! This room reads no environment and prints nothing. It does not know what is built.

mod address;
pub mod choose;
mod configuration;
mod context;
mod decide;
mod dial;
mod docker;
mod endpoint;
mod error;
mod inspect;
pub mod local;
mod look;
pub mod pool;
mod remote;
mod tend;

pub use address::Address;
pub use choose::choose;
pub use configuration::Registries;
pub use context::{Contexts, Daemon, DockerSettings};
pub use docker::{DockerImages, docker_answers, docker_version};
pub use endpoint::{Endpoint, emulates};
pub use error::{BuilderError, Kind, Remedy};
pub use inspect::{Details, Would, inspect};
pub use local::{Local, Missing};
pub use look::{Standing, look, native};
pub use remote::{DEFAULT_TIMEOUT, Dialled, KubePod, Ssh, Tcp, Tls, Way};
pub use tend::{logs, owned, remove, stop};

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
    /// How long a builder on another machine may take to answer.
    pub timeout: Duration,
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
            timeout: DEFAULT_TIMEOUT,
            credentials: CredentialSource::given(BTreeMap::new()),
        }
    }
}

/// Where BuildKit runs. Platforms with the same `Where` share one endpoint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Where {
    /// A BuildKit that someone else looks after, `unix:///run/buildkit/buildkitd.sock`.
    Address(Dialled),
    /// A container that lkpkg looks after in a Docker daemon.
    DockerContainer {
        /// The daemon.
        docker: Daemon,
    },
    /// A container that someone else looks after, in which BuildKit runs.
    InContainer {
        /// Its name.
        name: String,
        /// The daemon.
        docker: Daemon,
    },
    /// The BuildKit that is part of a Docker daemon.
    Embedded {
        /// The daemon.
        docker: Daemon,
    },
    /// A `buildkitd` that lkpkg starts itself.
    Local(Local),
}

impl Where {
    /// What people call it; the container of ours has the name that `config` says.
    pub fn called(&self, config: &BuilderConfig) -> String {
        let (name, docker) = match self {
            Self::Address(dialled) => return dialled.address.split('?').next().unwrap_or_default().to_owned(),
            Self::DockerContainer { docker } => (config.name.clone(), docker),
            Self::InContainer { name, docker } => (format!("docker-container://{name}"), docker),
            Self::Embedded { docker } => return format!("docker://{}", docker.context.as_deref().unwrap_or_default()),
            Self::Local(_) => return "local".to_owned(),
        };
        match &docker.context {
            Some(context) => format!("{name} in {context}"),
            None => name,
        }
    }

    /// Of which kind it is, in one word.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Address(_) => "address",
            Self::DockerContainer { .. } => "docker-container",
            Self::InContainer { .. } => "container",
            Self::Embedded { .. } => "docker",
            Self::Local(_) => "local",
        }
    }

    /// The Docker daemon that it is in, or the directory of its state; None where the name says all.
    pub fn address(&self) -> Option<String> {
        match self {
            Self::Address(_) => None,
            Self::DockerContainer { docker } | Self::InContainer { docker, .. } | Self::Embedded { docker } => {
                Some(docker.address.clone())
            }
            Self::Local(local) => Some(local.state.display().to_string()),
        }
    }
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
            Where::Address(address) => remote::dialled(address, config).await,
            Where::DockerContainer { docker } => {
                let endpoint = docker::endpoint(docker, config, events).await?;
                Ok(endpoint.in_context(docker.context.as_deref()))
            }
            Where::InContainer { name, docker } => remote::in_container(name, docker, config).await,
            Where::Embedded { docker } => remote::embedded(docker, config).await,
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
