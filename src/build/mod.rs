//! One solve on an [`Endpoint`]: session, solve, status → events. The entry is [`build`].
//!
//! A request becomes the Dockerfile frontend's attributes; while BuildKit works, the session gives it the context,
//! credentials, secrets, agents and cached images that it asks for, and takes the result, blob by blob, into the
//! caller's [`Content`]. Nothing is decided here about what is to be built, and nothing is printed.

mod attributes;
mod cache;
mod error;
mod failure;
pub mod filesync;
mod identifier;
mod prepare;
mod request;
mod secret;
mod session;
mod solve;
mod ssh;
mod status;
mod usage;

pub use cache::{CacheDirectories, CacheEntry, CacheKind, CacheUse};
pub use error::BuildError;
pub use failure::{Failure, FailureKind, Location};
pub use request::{BuildRequest, BuildWarning, Built, CachedImage};
pub use secret::{SecretFrom, SecretSource};
pub use ssh::SshSource;
pub use usage::{PruneOptions, UsageRecord, Worker, disk_usage, prune, workers};

use crate::builder::Endpoint;
use crate::content::Content;
use crate::event::{CancellationToken, Events};
use bollard_buildkit_proto::moby::buildkit::v1::control_client::ControlClient;
use session::{MESSAGE_MAX_BYTES, Session};
use solve::Solve;
use std::sync::Arc;

/// Builds `request` on `endpoint`. All that the result consists of is written into `content`, which also is where the
/// request's cached images are read from.
///
/// # Errors
/// See [`BuildError`]. After `cancel`, the solve is given up at once and the session ended; what was being written then
/// leaves nothing behind, while whole blobs may stay.
pub async fn build(
    endpoint: &Endpoint,
    request: &BuildRequest,
    content: Arc<dyn Content>,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<Built, BuildError> {
    let work = work(endpoint, request, content, events, cancel);
    // A BuildKit that got the same Ctrl-C may be gone before the token is cancelled.
    match work.await {
        Err(_) if cancel.is_cancelled() => Err(BuildError::Cancelled),
        result => result,
    }
}

async fn work(
    endpoint: &Endpoint,
    request: &BuildRequest,
    content: Arc<dyn Content>,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<Built, BuildError> {
    let mut client = ControlClient::new(endpoint.channel.clone()).max_decoding_message_size(MESSAGE_MAX_BYTES);
    let ready = async {
        let services = prepare::prepare(request, content.clone())?;
        let shared_key = identifier::shared_key(&request.context);
        let session = Session::open(&mut client, identifier::random(), &shared_key, services);
        let session = session
            .await
            .map_err(|status| solve::lost_or_refused(endpoint, &status))?;
        Ok::<_, BuildError>(session)
    };
    // What comes before the session has nothing to clean up and can be dropped where it is.
    let session = tokio::select! {
        biased;
        () = cancel.cancelled() => return Err(BuildError::Cancelled),
        ready = ready => ready?,
    };
    let solve = Solve {
        endpoint,
        request,
        client,
        session: &session.id,
    };
    let result = tokio::select! {
        biased;
        () = cancel.cancelled() => Err(BuildError::Cancelled),
        result = solve.run(attributes::frontend(request), events) => result,
    };
    let failure = session.failure.clone();
    session.close().await;
    let built = match (result, failure.take()) {
        (Err(BuildError::Failed(_)), Some(reason)) => return Err(reason),
        (result, _) => result?,
    };
    let unwritten = |what: String| BuildError::Unexpected {
        endpoint: endpoint.name.clone(),
        reason: format!("{what} was not written"),
    };
    if let Some(cache) = &built.cache {
        for entry in request.cache_to.iter().filter(|entry| entry.kind == CacheKind::Local) {
            let directory = request.cache_directories.get(&entry.store());
            match directory {
                Some(directory) if directory.size(&cache.digest).await?.is_some() => {
                    directory.set(&entry.tag, cache).await?;
                }
                _ => return Err(unwritten(format!("the cache {} in {}", cache.digest, entry.place))),
            }
        }
    }
    match content.size(&built.index.digest).await? {
        Some(_) => Ok(built),
        None => Err(unwritten(format!("the result {}", built.index.digest))),
    }
}
