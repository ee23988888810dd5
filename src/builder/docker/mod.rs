//! BuildKit in a named container of a Docker daemon: found, created or started → [`Endpoint`].
//!
//! Only the Docker Engine API is used, never the `docker` program. What is done about the container is decided by
//! `decide.rs`, purely; `container.rs` does it, `image.rs` pulls, `exec.rs` dials through `docker exec`.
//! `images.rs` is about the daemon's images and not about BuildKit: what `build --docker` needs.

mod container;
mod exec;
mod image;
mod images;
mod look;

pub use images::DockerImages;
pub use look::docker_version;
pub(super) use look::look;

use super::decide::{Decision, Wanted, decide};
use super::{BuilderConfig, BuilderError, Endpoint, dial};
use crate::event::Events;
use bollard::query_parameters::WaitContainerOptionsBuilder;
use bollard::{API_DEFAULT_VERSION, Docker};
use container::{Configuration, Container};
use futures_util::StreamExt;
use std::path::Path;
use std::time::Duration;
use tokio::net::UnixStream;

/// A request to the daemon that only asks answers in milliseconds; creating a container on a slow disk takes seconds.
const REQUEST_TIMEOUT_S: u64 = 120;

/// A daemon that does not answer its first request within this time counts as not there.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// BuildKit in a container is up within a second; a loaded machine, or a large state to be read, takes longer.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// The pause between two attempts to dial a container that is starting. Each attempt is an exec, which costs 50 ms.
const ATTEMPT_INTERVAL: Duration = Duration::from_millis(50);

/// How often we look at the container and act. More than one round is only needed when other processes act at the same
/// time, and each of those does at least one step forward.
const ROUNDS: usize = 10;

/// How many lines of the container's log are shown.
const TAIL_LINES: &str = "20";

/// The Docker daemon at `address` (`unix:///…` or `tcp://host:port`), its API version negotiated.
async fn connect(address: &str) -> Result<Docker, BuilderError> {
    let silent = |reason: String| BuilderError::NoDocker {
        address: address.into(),
        reason,
    };
    let client = match address.split_once("://") {
        Some(("unix", path)) => {
            // Tells apart "no such socket", "permission denied" and "connection refused" at once.
            UnixStream::connect(path)
                .await
                .map_err(|error| silent(error.to_string()))?;
            Docker::connect_with_unix(address, REQUEST_TIMEOUT_S, API_DEFAULT_VERSION)
        }
        Some(("tcp" | "http", _)) => Docker::connect_with_http(address, REQUEST_TIMEOUT_S, API_DEFAULT_VERSION),
        _ => {
            let reason = "as a Docker daemon's address, unix:///path and tcp://host:port are supported".into();
            return Err(BuilderError::BadAddress {
                text: address.into(),
                reason,
            });
        }
    };
    let client = client.map_err(|error| silent(error.to_string()))?;
    match tokio::time::timeout(ANSWER_TIMEOUT, client.negotiate_version()).await {
        Ok(Ok(client)) => Ok(client),
        Ok(Err(error)) => Err(silent(dial::causes(&error))),
        Err(_) => Err(silent(format!(
            "it did not answer within {} s",
            ANSWER_TIMEOUT.as_secs()
        ))),
    }
}

/// Whether a Docker daemon answers at `address`; [`BuilderError::NoDocker`] says why not. Takes no time when there is
/// nothing, and at most 3 s when there is something that is silent.
pub async fn docker_answers(address: &str) -> Result<(), BuilderError> {
    connect(address).await.map(|_| ())
}

/// The BuildKit in the container that `config` describes.
pub(super) async fn endpoint(address: &str, config: &BuilderConfig, events: &Events) -> Result<Endpoint, BuilderError> {
    // Read before anything is looked at: a new container must get it as well.
    let configuration = config.config.as_deref().map(read_configuration).transpose()?;
    let container = Container::new(connect(address).await?, &config.name);
    let mut wanted = Wanted {
        image: config.image.clone(),
        config: configuration.as_ref().map(|configuration| configuration.digest.clone()),
        restart: config.restart,
    };
    let name = &config.name;
    for _ in 0..ROUNDS {
        let there = container.inspect().await?;
        match (decide(&wanted, there.as_ref().map(|there| &there.found)), &there) {
            (Decision::Keep, Some(there)) => return ready(&container, &there.id).await,
            (Decision::Start, Some(there)) => {
                events.notice(format!("starting the container {name}")).await;
                container.start(&there.id).await?;
            }
            (Decision::Replace { reason, removes_volume }, Some(there)) => {
                let state = if removes_volume {
                    "removing its state"
                } else {
                    "keeping its state"
                };
                events
                    .notice(format!("replacing the container {name}, {state}: {reason}"))
                    .await;
                container.remove(&there.id, removes_volume).await?;
                wanted.restart = false;
            }
            (Decision::Refuse { reason }, _) => {
                return Err(BuilderError::Foreign {
                    name: name.clone(),
                    reason,
                });
            }
            (_, _) => {
                events
                    .notice(format!("creating the container {name} from {}", config.image))
                    .await;
                if container.create(&config.image, configuration.as_ref()).await? == container::Created::NoImage {
                    image::pull(&container.docker, &config.image, events).await?;
                }
                wanted.restart = false;
            }
        }
    }
    let reason = format!("after {ROUNDS} attempts it is still not as it should be; does another process change it?");
    Err(BuilderError::NotStarted {
        what: format!("the container {name}"),
        reason,
        log: String::new(),
    })
}

fn read_configuration(path: &Path) -> Result<Configuration, BuilderError> {
    let bytes = std::fs::read(path).map_err(|source| BuilderError::BadConfig {
        path: path.into(),
        source,
    })?;
    Ok(Configuration::new(bytes))
}

/// Dials until BuildKit in the running container answers, the container ends, or the time is over.
async fn ready(container: &Container, id: &str) -> Result<Endpoint, BuilderError> {
    let mut silence = String::new();
    let attempts = async {
        let mut interval = tokio::time::interval(ATTEMPT_INTERVAL);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            let (docker, name) = (container.docker.clone(), container.name.clone());
            match dial::connect(&container.name, move || exec::dial_stdio(docker.clone(), name.clone())).await {
                Ok(endpoint) => return endpoint,
                Err(reason) => silence = reason,
            }
        }
    };
    let reason = tokio::select! {
        result = tokio::time::timeout(READY_TIMEOUT, attempts) => match result {
            Ok(endpoint) => return Ok(endpoint),
            Err(_) => None,
        },
        status = exit_status(&container.docker, id) => Some(format!("it ended with status {status}")),
    };
    let reason = reason.unwrap_or_else(|| {
        format!(
            "BuildKit in it did not answer within {} s: {silence}",
            READY_TIMEOUT.as_secs()
        )
    });
    let log = container.log_tail(id).await;
    Err(BuilderError::NotStarted {
        what: format!("the container {}", container.name),
        reason,
        log,
    })
}

/// Waits until the container ends. Never returns when the daemon does not tell.
async fn exit_status(docker: &Docker, id: &str) -> i64 {
    let options = WaitContainerOptionsBuilder::default().condition("not-running").build();
    match docker.wait_container(id, Some(options)).next().await {
        Some(Ok(response)) => response.status_code,
        Some(Err(bollard::errors::Error::DockerContainerWaitError { code, .. })) => code,
        _ => std::future::pending().await,
    }
}
