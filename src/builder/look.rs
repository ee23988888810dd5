//! What is at a place, and what [`super::endpoint`] would do about it: [`look`]; what machine it is: [`native`]. Creates, starts
//! and changes nothing.

use super::{BuilderConfig, BuilderError, Where, docker, local, remote};
use crate::oci::Platform;

/// What is at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A BuildKit answers.
    Running {
        /// Its version, `v0.26.3`.
        version: String,
        /// Platforms that its workers say they can build, their own first.
        platforms: Vec<Platform>,
    },
    /// None that answers yet, or another one than is wanted; the next build sees to it.
    Coming {
        /// Whether there is one already, stopped or not the right one.
        is_there: bool,
        /// What the build will do, as the end of a sentence.
        what: String,
    },
}

/// Looks at a place. An error is what a build would end with.
pub async fn look(place: &Where, config: &BuilderConfig) -> Result<Standing, BuilderError> {
    match place {
        Where::Address(address) => Ok(remote::dialled(address, config).await?.into()),
        Where::DockerContainer { docker } => docker::look(docker, config).await,
        Where::InContainer { name, docker } => Ok(remote::in_container(name, docker, config).await?.into()),
        Where::Embedded { docker } => Ok(remote::embedded(docker, config).await?.into()),
        Where::Local(local) => local::look(local, config).await,
    }
}

/// The platform of the machine that a place is on: what it need not emulate. None where that is not known before there is a
/// builder.
pub async fn native(place: &Where, config: &BuilderConfig) -> Result<Option<Platform>, BuilderError> {
    match place {
        Where::Address(address) => Ok(remote::dialled(address, config).await?.platforms.into_iter().next()),
        Where::DockerContainer { docker } | Where::InContainer { docker, .. } | Where::Embedded { docker } => {
            docker::machine(docker, config.timeout).await
        }
        Where::Local(_) => Ok(Some(Platform::host())),
    }
}

impl From<super::Endpoint> for Standing {
    fn from(endpoint: super::Endpoint) -> Self {
        Self::Running {
            version: endpoint.version,
            platforms: endpoint.platforms,
        }
    }
}
