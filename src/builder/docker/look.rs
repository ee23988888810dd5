//! The Docker daemon and the builder's container as they are. Changes nothing.

use super::super::decide::{Decision, Wanted, decide};
use super::super::look::Standing;
use super::super::{BuilderConfig, BuilderError, dial};
use super::container::Container;
use super::{connect, exec, read_configuration};

/// The version of the Docker daemon at `address`, `28.5.2`; empty when it does not say.
pub async fn docker_version(address: &str) -> Result<String, BuilderError> {
    let docker = connect(address).await?;
    let version = docker.version().await.map_err(|source| BuilderError::Docker {
        doing: format!("asking the Docker daemon at {address} for its version"),
        source,
    })?;
    Ok(version.version.unwrap_or_default())
}

/// The BuildKit in the container that `config` describes, or what will be done to have one.
pub(in super::super) async fn look(address: &str, config: &BuilderConfig) -> Result<Standing, BuilderError> {
    let configuration = config.config.as_deref().map(read_configuration).transpose()?;
    let container = Container::new(connect(address).await?, &config.name);
    let wanted = Wanted {
        image: config.image.clone(),
        config: configuration.map(|configuration| configuration.digest),
        restart: config.restart,
    };
    let name = &config.name;
    let there = container.inspect().await?;
    match decide(&wanted, there.as_ref().map(|there| &there.found)) {
        Decision::Keep => {}
        Decision::Start => {
            return Ok(Standing::Coming(format!(
                "the container {name} is stopped and will be started"
            )));
        }
        Decision::Create => {
            let image = &config.image;
            let pull = match container.docker.inspect_image(image).await {
                Ok(_) => "",
                Err(_) => ", which will be pulled first",
            };
            return Ok(Standing::Coming(format!(
                "the container {name} will be created from {image}{pull}"
            )));
        }
        Decision::Replace { reason, .. } => {
            return Ok(Standing::Coming(format!(
                "the container {name} will be replaced: {reason}"
            )));
        }
        Decision::Refuse { reason } => {
            return Err(BuilderError::Foreign {
                name: name.clone(),
                reason,
            });
        }
    }
    let (docker, dialled) = (container.docker.clone(), name.clone());
    let answer = dial::connect(name, move || exec::dial_stdio(docker.clone(), dialled.clone())).await;
    answer.map(Standing::from).map_err(|reason| BuilderError::Unreachable {
        address: format!("docker-container {name}"),
        reason,
    })
}
