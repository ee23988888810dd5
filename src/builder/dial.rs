//! From a byte stream to an [`Endpoint`]: dial, then ask BuildKit who it is. Starts and creates nothing.

use super::Endpoint;
use crate::oci::Platform;
use bollard_buildkit_proto::moby::buildkit::v1::control_client::ControlClient;
use bollard_buildkit_proto::moby::buildkit::v1::{InfoRequest, ListWorkersRequest};
use hyper_util::rt::TokioIo;
use std::future::Future;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tonic::transport::Channel;

/// BuildKit answers its first calls within milliseconds; a loaded machine gets a thousand times that.
const GREET_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes in flight on one stream. Contexts and images go through the session's one stream, for which HTTP/2's default of
/// 64 KiB is a brake.
const STREAM_WINDOW_BYTES: u32 = 2 * 1024 * 1024;
/// Bytes in flight on the connection: several streams at once.
const CONNECTION_WINDOW_BYTES: u32 = 4 * STREAM_WINDOW_BYTES;

/// The BuildKit behind a Unix socket, called `name`.
pub async fn unix(name: &str, path: &Path) -> Result<Endpoint, String> {
    let path = path.to_owned();
    connect(name, move || UnixStream::connect(path.clone())).await
}

/// The BuildKit behind the streams that `open` opens, called `name`. `open` is called again when the connection is lost,
/// and lives as long as the endpoint's channel: what it owns is held for that long.
///
/// The error is a sentence's end: why it does not answer.
pub async fn connect<Open, Opening, Stream>(name: &str, open: Open) -> Result<Endpoint, String>
where
    Open: Fn() -> Opening + Send + 'static,
    Opening: Future<Output = io::Result<Stream>> + Send + 'static,
    Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    within(name, GREET_TIMEOUT, open).await
}

/// The same with another limit, for all of it together.
pub async fn within<Open, Opening, Stream>(name: &str, limit: Duration, open: Open) -> Result<Endpoint, String>
where
    Open: Fn() -> Opening + Send + 'static,
    Opening: Future<Output = io::Result<Stream>> + Send + 'static,
    Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let is_open = Arc::new(AtomicBool::new(false));
    let opened = is_open.clone();
    let greeting = async {
        let connector = tower::service_fn(move |_| {
            let (opening, opened) = (open(), opened.clone());
            async move {
                let stream = opening.await?;
                opened.store(true, Ordering::Relaxed);
                Ok::<_, io::Error>(TokioIo::new(stream))
            }
        });
        // The address is never dialled, the connector is; it is what BuildKit sees as the authority.
        let channel = tonic::transport::Endpoint::from_static("http://buildkit")
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .connect_with_connector(connector)
            .await
            .map_err(|error| causes(&error))?;
        greet(name, channel)
            .await
            .map_err(|status| match std::error::Error::source(&status) {
                Some(source) => causes(source),
                None => status.message().to_owned(),
            })
    };
    match tokio::time::timeout(limit, greeting).await {
        Ok(result) => result,
        Err(_) => Err(match is_open.load(Ordering::Relaxed) {
            true => format!(
                "it accepted the connection but did not answer within {} s",
                limit.as_secs()
            ),
            false => format!("it could not be reached within {} s", limit.as_secs()),
        }),
    }
}

/// Asks a BuildKit for its version and its platforms.
async fn greet(name: &str, channel: Channel) -> Result<Endpoint, tonic::Status> {
    let mut control = ControlClient::new(channel.clone());
    let info = control.info(InfoRequest {}).await?.into_inner();
    let workers = control
        .list_workers(ListWorkersRequest { filter: Vec::new() })
        .await?
        .into_inner();
    let mut platforms: Vec<Platform> = Vec::new();
    for found in workers.record.into_iter().flat_map(|worker| worker.platforms) {
        let platform = Platform {
            os: found.os,
            variant: found.variant,
            ..Platform::linux(&found.architecture)
        };
        // BuildKit's order is kept, because it names its own platform first.
        if !platforms.contains(&platform) {
            platforms.push(platform);
        }
    }
    let version = info.buildkit_version.map(|version| version.version).unwrap_or_default();
    Ok(Endpoint {
        name: name.into(),
        channel,
        platforms,
        version,
    })
}

/// The innermost cause: tonic's outer texts ("transport error") tell users nothing.
pub(super) fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
