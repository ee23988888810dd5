//! The BuildKit that is part of a Docker daemon: a stream to the daemon becomes one to BuildKit (`POST /grpc`).

use super::ByteStream;
use crate::builder::BuilderError;
use crate::builder::context::Daemon;
use bollard::Docker;
use http_body_util::Empty;
use hyper::header::{CONNECTION, HOST, UPGRADE};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use std::io;
use tokio::io::{AsyncRead, AsyncWrite};

/// What the daemon calls the containerd image store.
const STORE: [&str; 2] = ["driver-type", "io.containerd.snapshotter.v1"];

/// Whether its BuildKit can export what we need: only with the containerd image store.
pub async fn has_exporter(docker: &Docker, daemon: &Daemon) -> Result<(), BuilderError> {
    let info = docker.info().await.map_err(|source| BuilderError::Docker {
        doing: format!("asking the Docker daemon {daemon} for its image store"),
        source,
    })?;
    match info.driver_status.unwrap_or_default().iter().any(|pair| pair == &STORE) {
        true => Ok(()),
        false => Err(BuilderError::NoImageStore {
            daemon: daemon.to_string(),
        }),
    }
}

/// Asks the daemon at the other end to let BuildKit answer from now on.
pub async fn upgraded(stream: ByteStream) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    let request = Request::post("/grpc")
        .header(HOST, "docker")
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "h2c")
        .body(Empty::<bytes::Bytes>::new())
        .map_err(io::Error::other)?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(io::Error::other)?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let status = response.status();
            return Err(io::Error::other(format!(
                "the Docker daemon answers {status} where its BuildKit should be"
            )));
        }
        hyper::upgrade::on(response).await.map_err(io::Error::other)
    };
    // The connection has to be driven until it hands its stream over; after that it is done.
    let (answer, driven) = tokio::join!(answer, connection.with_upgrades());
    match (answer, driven) {
        (Ok(stream), _) => Ok(TokioIo::new(stream)),
        (Err(_), Err(error)) => Err(io::Error::other(error)),
        (Err(error), Ok(())) => Err(error),
    }
}
