//! Looking after a builder that lkpkg runs itself: stopped, removed, its log read. What is only dialled belongs to someone else,
//! and so does a container that lkpkg did not make.

use super::{BuilderConfig, BuilderError, Where, docker, local};
use crate::event::Events;
use std::time::Duration;

/// For how long who builds is asked again before a builder is called busy: a connection that was just closed is seen for a
/// moment yet.
pub(super) const SETTLE_TIMEOUT: Duration = Duration::from_secs(1);

/// Whether lkpkg looks after what is at `place`; an error which says what was to be done, and that it cannot be.
pub fn owned(place: &Where, config: &BuilderConfig, doing: &'static str) -> Result<(), BuilderError> {
    match place {
        Where::DockerContainer { .. } | Where::Local(_) => Ok(()),
        Where::Address(_) | Where::InContainer { .. } | Where::Embedded { .. } => Err(BuilderError::NotOurs {
            name: place.called(config),
            doing,
        }),
    }
}

/// Stops the builder, unless somebody builds in it, or by `force` even then. Its state stays.
pub async fn stop(place: &Where, config: &BuilderConfig, force: bool, events: &Events) -> Result<(), BuilderError> {
    owned(place, config, "stopped")?;
    match place {
        Where::DockerContainer { docker } => docker::stop(docker, config, force, events).await,
        Where::Local(local) => local::stop(local, force, events).await,
        Where::Address(_) | Where::InContainer { .. } | Where::Embedded { .. } => Ok(()),
    }
}

/// Removes the builder, and its state unless `keep_state`; as [`stop`], not while somebody builds in it.
pub async fn remove(
    place: &Where,
    config: &BuilderConfig,
    keep_state: bool,
    force: bool,
    events: &Events,
) -> Result<(), BuilderError> {
    owned(place, config, "removed")?;
    match place {
        Where::DockerContainer { docker } => docker::remove(docker, config, keep_state, force, events).await,
        Where::Local(local) => local::remove(local, keep_state, force, events).await,
        Where::Address(_) | Where::InContainer { .. } | Where::Embedded { .. } => Ok(()),
    }
}

/// Reads the builder's log from its beginning to its present end, in pieces, for as long as `more` answers that it wants more.
pub async fn logs(place: &Where, config: &BuilderConfig, more: impl FnMut(&[u8]) -> bool) -> Result<(), BuilderError> {
    owned(place, config, "asked for its log")?;
    match place {
        Where::DockerContainer { docker } => docker::logs(docker, config, more).await,
        Where::Local(local) => local::logs(local, more),
        Where::Address(_) | Where::InContainer { .. } | Where::Embedded { .. } => Ok(()),
    }
}
