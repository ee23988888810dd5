//! What a builder that lkpkg runs itself is made of, and what [`super::endpoint`] would do about it: [`inspect`]. Creates, starts
//! and changes nothing.

use super::{BuilderConfig, BuilderError, Where, docker, local};

/// What a builder is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details {
    /// The image of the container, or the program `buildkitd`, that is there.
    pub image: Option<String>,
    /// Label of the configuration that it has.
    pub config: Option<String>,
    /// Label of the configuration that is wanted.
    pub wanted_config: Option<String>,
    /// The volume or the directory of its state.
    pub state: String,
    /// What a build would do about it.
    pub would: Would,
}

/// What a build would do about a builder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Would {
    /// Use it as it is.
    Keep,
    /// Start it.
    Start,
    /// Make one.
    Create,
    /// Put another one in its place.
    Replace {
        /// Why.
        reason: String,
        /// Whether its state goes as well.
        removes_state: bool,
    },
    /// Fail: it is someone else's.
    Refuse {
        /// What it is.
        what: String,
    },
}

/// Inspects the builder at a place; None where lkpkg only connects.
pub async fn inspect(place: &Where, config: &BuilderConfig) -> Result<Option<Details>, BuilderError> {
    match place {
        Where::DockerContainer { docker } => docker::inspect(docker, config).await.map(Some),
        Where::Local(local) => local::inspect(local, config).await.map(Some),
        Where::Address(_) | Where::InContainer { .. } | Where::Embedded { .. } => Ok(None),
    }
}
