//! Images from registries into the store: whole ones, and platforms of a package that need not be built then.

use super::tags::short;
use super::transfer::{Moved, Transfer};
use super::{OrchestratorError, Prepared, Remote};
use crate::content::{self, Document, Pulled, Sink as _, read_document};
use crate::event::{CancellationToken, Events};
use crate::oci::merge;
use crate::oci::{Descriptor, Platform, Reference};
use crate::store::Store;
use std::io::Cursor;
use std::sync::Arc;

/// Brings `platforms` of the package into the store, beside those that it has.
pub(super) async fn pull(
    one: &Prepared,
    platforms: &[Platform],
    store: &Store,
    remote: &Remote,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<(), OrchestratorError> {
    let reference = &one.identity.reference;
    let doing = format!("pulling {reference}");
    let transfer = Transfer::begin(events, &one.identity.tag, reference.registry(), &doing).await;
    let work = async {
        let pulled = fetch(reference, platforms, store, remote, &transfer).await?;
        // Only what was brought: for what else the registry has, the store may have something of its own.
        let part = part(store, &pulled.root, platforms).await?;
        let merged = store.merge_platforms(reference, &part).await?;
        Ok(((), Moved::pulled(&merged.digest, pulled.copied)))
    };
    transfer.end(cancel, work).await
}

/// Copies an image for these platforms, for all when none is named; nothing is named yet.
async fn fetch(
    image: &Reference,
    platforms: &[Platform],
    store: &Store,
    remote: &Remote,
    transfer: &Arc<Transfer>,
) -> Result<Pulled, OrchestratorError> {
    let absent = |reason: String| OrchestratorError::Absent {
        image: image.to_string(),
        reason,
    };
    let source = remote(image);
    let root = source.resolve(&image.pinned_name()).await?;
    let root = root.ok_or_else(|| absent("its registry has no such image".to_owned()))?;
    let wanted = Some(platforms).filter(|platforms| !platforms.is_empty());
    let pulled = content::fetch(source.as_ref(), &transfer.watch(store), root, wanted).await?;
    if !pulled.missing.is_empty() {
        let missing: Vec<String> = pulled.missing.iter().map(Platform::to_string).collect();
        return Err(absent(format!("there is none for {}", missing.join(", "))));
    }
    Ok(pulled)
}

/// The part of an image of the store that is about these platforms, about all when none is named; written to the store
/// where it is not the whole.
async fn part(store: &Store, root: &Descriptor, platforms: &[Platform]) -> Result<Descriptor, OrchestratorError> {
    let (_, document) = read_document(store, root).await?;
    let Document::Index(index) = document else {
        return Ok(root.clone());
    };
    if platforms.is_empty() {
        return Ok(root.clone());
    }
    let (descriptor, bytes) = merge::for_platforms(&index, platforms).written();
    store.put(&descriptor, Box::pin(Cursor::new(bytes))).await?;
    Ok(descriptor)
}

/// Brings an image into the store, for all its platforms when none is named, and gives its name there and what it stands
/// for. Each platform's image gets a name of its own, `name:tag-arch`, as in linuxkit.
pub async fn pull_image(
    image: &Reference,
    platforms: &[Platform],
    store: &Store,
    remote: &Remote,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<(String, Descriptor), OrchestratorError> {
    let (step, doing) = (short(image), format!("pulling {image}"));
    let transfer = Transfer::begin(events, &step, image.registry(), &doing).await;
    let work = async {
        let (pulled, name) = (
            fetch(image, platforms, store, remote, &transfer).await?,
            image.pinned_name(),
        );
        let standing = name_image(store, image, &name, &pulled.root, platforms).await?;
        let moved = Moved::pulled(&standing.digest, pulled.copied);
        Ok(((name, standing), moved))
    };
    transfer.end(cancel, work).await
}

/// Lets the name stand for what was pulled; where the store has images under it that the registry does not have, for both.
async fn name_image(
    store: &Store,
    image: &Reference,
    name: &str,
    root: &Descriptor,
    platforms: &[Platform],
) -> Result<Descriptor, OrchestratorError> {
    if image.digest().is_none() && keeps_own(store, name, root, platforms).await? {
        let part = part(store, root, platforms).await?;
        return Ok(store.merge_platforms(image, &part).await?);
    }
    store.set(name, root).await?;
    if image.digest().is_none() {
        for platform in store.platforms_of(name)? {
            if let Some(manifest) = store.find_manifest(name, &platform)? {
                let own = image.with_architecture(&platform.architecture).store_name();
                store.set(&own, &manifest).await?;
            }
        }
    }
    Ok(root.clone())
}

/// Whether the store has an image under this name that was not pulled now and that the index that was does not list.
async fn keeps_own(
    store: &Store,
    name: &str,
    root: &Descriptor,
    platforms: &[Platform],
) -> Result<bool, OrchestratorError> {
    let view = store.view()?;
    let own = view
        .resolve(name)?
        .map(|own| view.complete(&own))
        .transpose()?
        .flatten();
    let (_, document) = read_document(store, root).await?;
    let listed = document.children();
    let is_kept = |entry: &Descriptor| {
        let platform = merge::image_platform(entry);
        let is_listed = listed.iter().any(|known| known.digest == entry.digest);
        let is_pulled = |own: &Platform| {
            let is_wanted = platforms.is_empty() || platforms.iter().any(|wanted| own.matches(wanted));
            let has = |known: &&Descriptor| known.platform.as_ref().is_some_and(|theirs| theirs.matches(own));
            is_wanted && listed.iter().any(has)
        };
        platform.is_some_and(|platform| !is_listed && !is_pulled(platform))
    };
    Ok(own.is_some_and(|own| own.index.manifests.iter().any(is_kept)))
}
