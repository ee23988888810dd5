//! The Docker Engine API over streams of our own: what bollard itself cannot do (a context's TLS, ssh).

use super::{ByteStream, Opener, Why};
use crate::builder::context::Daemon;
use crate::builder::{BuilderError, dial};
use bollard::errors::Error;
use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::time::Duration;

/// What Docker daemons want to be agreed on in TLS.
pub(super) const HTTP1: &[u8] = b"http/1.1";

/// The Docker daemon over its way, once it has answered.
pub async fn client(daemon: &Daemon, request_timeout_s: u64, limit: Duration) -> Result<Docker, BuilderError> {
    let opener = Opener::new(&daemon.way, HTTP1)?;
    let why = opener.why.clone();
    let connector = tower::service_fn(move |_| {
        let opener = opener.clone();
        Box::pin(async move { opener.open().await.map(TokioIo::<ByteStream>::new) })
    });
    let client = Client::builder(TokioExecutor::new()).build(connector);
    let transport = move |request: BollardRequest| {
        let client = client.clone();
        async move { client.request(request).await.map_err(Error::from) }
    };
    // The name is never looked up; it is what the daemon sees as the host.
    let host = Some("http://docker");
    let client = Docker::connect_with_custom_transport(transport, host, request_timeout_s, API_DEFAULT_VERSION);
    answered(
        client.map_err(|error| silent(daemon, error.to_string()))?,
        daemon,
        limit,
        &why,
    )
    .await
}

/// A client once it has answered, its API version negotiated.
pub async fn answered(client: Docker, daemon: &Daemon, limit: Duration, why: &Why) -> Result<Docker, BuilderError> {
    let reason = match tokio::time::timeout(limit, client.negotiate_version()).await {
        Ok(Ok(client)) => return Ok(client),
        Ok(Err(error)) => dial::causes(&error),
        Err(_) => format!("it did not answer within {} s", limit.as_secs()),
    };
    Err(silent(daemon, why.or(reason)))
}

fn silent(daemon: &Daemon, reason: String) -> BuilderError {
    BuilderError::NoDocker {
        address: daemon.to_string(),
        reason,
    }
}
