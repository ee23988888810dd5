//! One package: what BuildKit is asked, and what becomes of its answer.

use super::{BuildOptions, OrchestratorError, Prepared, labels};
use crate::attest;
use crate::build::{self, BuildRequest, CacheDirectories, CachedImage};
use crate::builder::Endpoint;
use crate::content::Content;
use crate::event::{CancellationToken, Event, Events, Step};
use crate::oci::{Descriptor, Platform, Reference};
use crate::package::dockerfile::Kind;
use crate::store::Store;
use std::sync::Arc;

/// Builds `platforms` of a package on one endpoint, in one solve, and files the result in the store.
pub(super) async fn solve(
    one: &Prepared,
    platforms: Vec<Platform>,
    endpoint: &Endpoint,
    store: &Arc<Store>,
    options: &BuildOptions,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<Descriptor, OrchestratorError> {
    let mut request = request(one, platforms, store, options)?;
    let caches = options.caches.of(one, &request.platforms)?;
    (request.cache_from, request.cache_to, request.cache_directories) = caches.open(events).await?;
    let index = run(one, &request, endpoint, Arc::clone(store) as _, events, cancel).await?;
    Ok(store.merge_platforms(&one.identity.reference, &index).await?)
}

/// What BuildKit is asked, without caches of other builders.
pub(super) fn request(
    one: &Prepared,
    platforms: Vec<Platform>,
    store: &Store,
    options: &BuildOptions,
) -> Result<BuildRequest, OrchestratorError> {
    let cached_images = if options.ignore_cached {
        Vec::new()
    } else {
        cached_images(one, store)?
    };
    Ok(BuildRequest {
        step: Step::from(one.identity.tag.as_str()),
        context: one.package.directory.clone(),
        extra_sources: one
            .package
            .extra_sources
            .iter()
            .map(|extra| (extra.source.clone(), extra.destination.clone()))
            .collect(),
        dockerfile: one.package.dockerfile.clone(),
        platforms,
        build_args: one.build_args.clone(),
        labels: labels::labels(one),
        has_network: one.package.has_network,
        is_cache_disabled: one.package.is_cache_disabled,
        sbom: options.sbom.clone(),
        secrets: options.secrets.clone(),
        ssh: options.ssh.clone(),
        cached_images,
        cache_from: Vec::new(),
        cache_to: Vec::new(),
        cache_directories: CacheDirectories::default(),
        credentials: options.credentials.clone(),
        name: one.identity.reference.store_name(),
    })
}

/// Has it built into `content`, and gives its index, with nothing in it that is another each time where a time is given.
pub(super) async fn run(
    one: &Prepared,
    request: &BuildRequest,
    endpoint: &Endpoint,
    content: Arc<dyn Content>,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<Descriptor, OrchestratorError> {
    let epoch_s = request.epoch_s();
    if epoch_s.is_some() && !endpoint.rewrites_times() {
        let text = format!(
            "{} is BuildKit {}, which leaves the times in layers as they are: another build gives another digest \
             (BuildKit rewrites them from v0.13 on)",
            endpoint.name, endpoint.version
        );
        events.send(Event::Warning(text)).await;
    }
    let built = build::build(endpoint, request, Arc::clone(&content), events, cancel).await;
    let built = built.map_err(|source| OrchestratorError::Build {
        tag: one.identity.tag.clone(),
        has_network: request.has_network,
        scanner: request.sbom.clone().filter(|scanner| !scanner.is_empty()),
        source: Box::new(source),
    })?;
    match epoch_s {
        None => Ok(built.index),
        Some(epoch_s) => {
            let settled = attest::reproducible(content.as_ref(), &built.index, epoch_s).await;
            settled.map_err(|source| OrchestratorError::Attest {
                image: one.identity.tag.clone(),
                source: Box::new(source),
            })
        }
    }
}

/// Images that the Dockerfile reads from and that the store holds.
fn cached_images(one: &Prepared, store: &Store) -> Result<Vec<CachedImage>, OrchestratorError> {
    let view = store.view()?;
    let mut found = Vec::new();
    for image in one.images.iter().filter(|image| image.kind != Kind::Syntax) {
        let Ok(name) = image.name.parse::<Reference>() else {
            continue;
        };
        if let Some(descriptor) = view.find(&name)? {
            let platforms = view.complete_platforms(&descriptor)?;
            found.push(CachedImage {
                name,
                digest: descriptor.digest,
                platforms,
            });
        }
    }
    Ok(found)
}
