//! BuildKit in a named container of a Docker daemon: found, created or started → [`Endpoint`].
//!
//! Only the Docker Engine API is used, never the `docker` program. What is done about the container is decided by
//! `decide.rs`, purely; `endpoint.rs` goes round until it is right, `container.rs` and `volume.rs` do what it takes,
//! `users.rs` sees to it that nobody loses a builder that he builds in, `image.rs` pulls, `exec.rs` dials through
//! `docker exec`, `ready.rs` until somebody answers. `tend.rs` stops and removes. `fault.rs` knows what a refusal means.
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
mod tend;
mod users;
mod volume;

pub(super) use endpoint::endpoint;
pub use images::DockerImages;
pub use look::docker_version;
pub(super) use look::{inspect, look, machine};
pub(super) use tend::{logs, remove, stop};

use super::context::Daemon;
use super::remote::{self, Way};
use super::{BuilderConfig, BuilderError, Remedy};
use bollard::Docker;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use users::Mark;

/// A request to the daemon that only asks answers in milliseconds; creating a container on a slow disk takes seconds.
const REQUEST_TIMEOUT_S: u64 = 120;

/// A daemon of this machine that does not answer its first request within this time counts as not there. podman, which does
/// one thing at a time, takes seconds for it when many ask.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// The Docker daemon, its API version negotiated. One on another machine may take until `limit`.
pub(super) async fn connect(daemon: &Daemon, limit: Duration) -> Result<Docker, BuilderError> {
    let silent = |reason: String| BuilderError::NoDocker {
        address: daemon.to_string(),
        reason,
    };
    let Way::Unix(path) = &daemon.way else {
        return remote::client(daemon, REQUEST_TIMEOUT_S, limit).await;
    };
    // Tells apart "no such socket", "permission denied" and "connection refused" at once.
    UnixStream::connect(path)
        .await
        .map_err(|error| silent(error.to_string()))?;
    remote::client(daemon, REQUEST_TIMEOUT_S, ANSWER_TIMEOUT).await
}

/// What a user can do about a container of someone else's: where a builder is taken as it is, none is replaced.
fn remedy(config: &BuilderConfig) -> Remedy {
    match config.as_it_is {
        true => Remedy::OtherName,
        false => Remedy::Replace,
    }
}

/// A new stream to BuildKit in a container that someone else looks after.
pub(super) async fn open_stream(
    client: Docker,
    container: String,
) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
    exec::dial_stdio(client, container, Mark::Building).await
}

/// Whether a Docker daemon answers; [`BuilderError::NoDocker`] says why not. Takes no time when there is nothing, and at most
/// 20 s, for one on another machine `limit`, when there is something that is silent.
pub async fn docker_answers(daemon: &Daemon, limit: Duration) -> Result<(), BuilderError> {
    connect(daemon, limit).await.map(|_| ())
}
