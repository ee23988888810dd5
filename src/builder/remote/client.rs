//! The Docker Engine API over streams of our own: what bollard itself cannot do (a context's TLS, ssh, credentials that every
//! daemon can read).

use super::stream::Why;
use super::{ByteStream, Opener};
use crate::builder::context::Daemon;
use crate::builder::{BuilderError, dial};
use bollard::errors::Error;
use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use hyper::header::HeaderValue;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::time::Duration;

/// In which Docker daemons are given a registry's credentials.
const CREDENTIALS: &str = "x-registry-auth";

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
    let transport = move |mut request: BollardRequest| {
        for_urls(&mut request);
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

/// Credentials travel in base64. bollard writes its common kind; daemons read the kind for URLs, and take what they cannot read
/// for none, without a word. The two differ by two letters.
fn for_urls(request: &mut BollardRequest) {
    if let Some(value) = request.headers_mut().get_mut(CREDENTIALS) {
        let letters = value.as_bytes().iter().map(|letter| match letter {
            b'+' => b'-',
            b'/' => b'_',
            other => *other,
        });
        if let Ok(mut changed) = HeaderValue::from_bytes(&letters.collect::<Vec<_>>()) {
            changed.set_sensitive(true);
            *value = changed;
        }
    }
}

/// A client once it has answered, its API version negotiated.
async fn answered(client: Docker, daemon: &Daemon, limit: Duration, why: &Why) -> Result<Docker, BuilderError> {
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
