//! The Docker daemon and the builder's container as they are. Changes nothing.

use super::super::configuration::{Configuration, Reach};
use super::super::context::Daemon;
use super::super::decide::{Decision, Wanted, decide};
use super::super::inspect::{Details, Would};
use super::super::look::Standing;
use super::super::{BuilderConfig, BuilderError, dial};
use super::container::Container;
use super::users::Mark;
use super::{connect, exec, remedy};
use crate::oci::Platform;
use bollard::models::SystemVersion;
use std::time::Duration;

/// The version of a Docker daemon, `28.5.2`; empty when it does not say. One on another machine may take until `limit`.
pub async fn docker_version(daemon: &Daemon, limit: Duration) -> Result<String, BuilderError> {
    Ok(version(daemon, limit).await?.version.unwrap_or_default())
}

async fn version(daemon: &Daemon, limit: Duration) -> Result<SystemVersion, BuilderError> {
    let docker = connect(daemon, limit).await?;
    docker.version().await.map_err(|source| BuilderError::Docker {
        doing: format!("asking the Docker daemon at {daemon} for its version"),
        source,
    })
}

/// The machine that a Docker daemon is on; None when it does not say.
pub(in super::super) async fn machine(daemon: &Daemon, limit: Duration) -> Result<Option<Platform>, BuilderError> {
    let version = version(daemon, limit).await?;
    Ok(version.arch.map(|architecture| Platform::linux(&architecture)))
}

/// The BuildKit in the container that `config` describes, or what will be done to have one.
pub(in super::super) async fn look(daemon: &Daemon, config: &BuilderConfig) -> Result<Standing, BuilderError> {
    let loaded = Configuration::load(config, config.config.as_deref(), Reach::Container)?;
    let container = Container::new(connect(daemon, config.timeout).await?, &config.name);
    let wanted = Wanted {
        image: config.image.clone(),
        config: loaded.configuration.as_ref().map(Configuration::label),
        restart: config.restart,
        as_it_is: config.as_it_is,
    };
    let name = &config.name;
    let there = container.inspect().await?;
    let is_there = there.is_some();
    let coming = |what: String| Ok(Standing::Coming { is_there, what });
    match decide(&wanted, there.as_ref().map(|there| &there.found)) {
        Decision::Keep => {}
        Decision::Start => {
            return coming(format!("the container {name} is stopped and will be started"));
        }
        Decision::Create => {
            let image = &config.image;
            let pull = match container.docker.inspect_image(image).await {
                Ok(_) => "",
                Err(_) => ", which will be pulled first",
            };
            return coming(format!("the container {name} will be created from {image}{pull}"));
        }
        Decision::Replace { reason, .. } => {
            return coming(format!("the container {name} will be replaced: {reason}"));
        }
        Decision::Refuse { what } => {
            return Err(BuilderError::Foreign {
                name: name.clone(),
                what,
                remedy: remedy(config),
            });
        }
    }
    let id = there.map_or_else(|| name.clone(), |there| there.id);
    let docker = container.docker.clone();
    let open = move || exec::dial_stdio(docker.clone(), id.clone(), Mark::Building);
    let answer = dial::connect(name, open).await;
    answer.map(Standing::from).map_err(|reason| BuilderError::Unreachable {
        address: format!("docker-container {name}"),
        reason,
    })
}

/// What the container that `config` describes is made of, and what a build would do about it.
pub(in super::super) async fn inspect(daemon: &Daemon, config: &BuilderConfig) -> Result<Details, BuilderError> {
    let loaded = Configuration::load(config, config.config.as_deref(), Reach::Container)?;
    let container = Container::new(connect(daemon, config.timeout).await?, &config.name);
    let wanted = Wanted {
        image: config.image.clone(),
        config: loaded.configuration.as_ref().map(Configuration::label),
        restart: config.restart,
        as_it_is: false,
    };
    let found = container.inspect().await?.map(|there| there.found);
    let would = match decide(&wanted, found.as_ref()) {
        Decision::Keep => Would::Keep,
        Decision::Start => Would::Start,
        Decision::Create => Would::Create,
        Decision::Replace { reason, removes_volume } => Would::Replace {
            reason,
            removes_state: removes_volume,
        },
        Decision::Refuse { what } => Would::Refuse { what },
    };
    let (image, has) = found.map(|found| (found.image, found.config)).unzip();
    Ok(Details {
        image,
        config: has.flatten(),
        wanted_config: wanted.config,
        state: container.volume(),
        would,
    })
}
