//! One package: what BuildKit is asked, and what becomes of its answer.

use super::{BuildOptions, OrchestratorError, Prepared, labels};
use crate::build::{self, BuildRequest, CachedImage};
use crate::builder::Endpoint;
use crate::event::{CancellationToken, Events, Step};
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
    let cached_images = if options.ignore_cached {
        Vec::new()
    } else {
        cached_images(one, store)?
    };
    let caches = options.caches.of(one, &platforms)?;
    let (cache_from, cache_to, cache_directories) = caches.open(events).await?;
    let request = BuildRequest {
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
        labels: labels::labels(&one.package, &one.identity),
        has_network: one.package.has_network,
        is_cache_disabled: one.package.is_cache_disabled,
        sbom: options.sbom.clone(),
        secrets: options.secrets.clone(),
        ssh: options.ssh.clone(),
        cached_images,
        cache_from,
        cache_to,
        cache_directories,
        credentials: options.credentials.clone(),
        name: one.identity.reference.store_name(),
    };
    let built = build::build(endpoint, &request, Arc::clone(store) as _, events, cancel).await;
    let built = built.map_err(|source| OrchestratorError::Build {
        tag: one.identity.tag.clone(),
        has_network: one.package.has_network,
        scanner: options.sbom.clone().filter(|scanner| !scanner.is_empty()),
        source: Box::new(source),
    })?;
    Ok(store.merge_platforms(&one.identity.reference, &built.index).await?)
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
