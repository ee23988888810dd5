//! BuildKit in a named container of a Docker daemon: found, created or started → [`Endpoint`].
//!
//! Only the Docker Engine API is used, never the `docker` program. What is done about the container is decided by
//! `decide.rs`, purely; `endpoint.rs` goes round until it is right, `container.rs` and `volume.rs` do what it takes,
//! `users.rs` sees to it that nobody loses a builder that he builds in, `image.rs` pulls, `exec.rs` dials through
//! `docker exec`, `ready.rs` until somebody answers. `fault.rs` knows what a refusal means.
//! `images.rs` is about the daemon's images and not about BuildKit: what `build --docker` needs.

mod archive;
mod container;
mod endpoint;
mod exec;
mod fault;
mod image;
mod images;
mod look;
mod ready;
mod users;
mod volume;

pub(super) use endpoint::endpoint;
pub use images::DockerImages;
pub use look::docker_version;
pub(super) use look::look;

use super::{BuilderError, dial};
use bollard::{API_DEFAULT_VERSION, Docker};
use std::time::Duration;
use tokio::net::UnixStream;

/// A request to the daemon that only asks answers in milliseconds; creating a container on a slow disk takes seconds.
const REQUEST_TIMEOUT_S: u64 = 120;

/// A daemon that does not answer its first request within this time counts as not there. podman, which does one thing at a
/// time, takes seconds for it when many ask.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

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
/// nothing, and at most 20 s when there is something that is silent.
pub async fn docker_answers(address: &str) -> Result<(), BuilderError> {
    connect(address).await.map(|_| ())
}
