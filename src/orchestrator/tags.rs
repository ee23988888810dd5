//! Tags in registries: of releases, of single platforms, and of images that are there already. No layer travels, but between
//! registries.

use super::OrchestratorError;
use super::transfer::{Moved, Transfer};
use crate::content::{Overlay, Source};
use crate::event::{CancellationToken, Events};
use crate::oci::merge::{self, merge_indexes};
use crate::oci::{Descriptor, Index, KNOWN_ARCHITECTURES, Platform, Reference};
use crate::registry::{Existing, PushOptions, Registry, RegistryError, Repository, push};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Tags that are written at once; each is one or two small requests.
const TAGS_AT_ONCE: usize = 4;

/// The tag of a name.
pub(super) fn tag(name: &Reference) -> String {
    name.tag().unwrap_or("latest").to_owned()
}

/// The name as packages have it, `org/image:tag`: what is done with an image is shown under this name.
pub(super) fn short(name: &Reference) -> String {
    let tagged = name.tag().is_some_and(|tag| tag != "latest") || name.digest().is_some();
    match tagged {
        true => name.familiar(),
        false => format!("{}:latest", name.familiar()),
    }
}

/// What went wrong, with the name in front.
pub(super) fn failed(name: &Reference, source: RegistryError) -> OrchestratorError {
    OrchestratorError::Push {
        name: name.to_string(),
        source: Box::new(source),
    }
}

/// Lets `name:tag-arch` stand for the image of each platform of `index`; the images are in the repository.
pub(super) async fn tag_platforms(
    source: &dyn Source,
    repository: &Repository,
    index: &Index,
    name: &Reference,
    existing: Existing,
) -> Result<(), OrchestratorError> {
    let mut images = BTreeMap::new();
    for entry in &index.manifests {
        if let Some(platform) = merge::image_platform(entry) {
            images.entry(platform.architecture.as_str()).or_insert(entry);
        }
    }
    let options = PushOptions {
        existing,
        progress: None,
    };
    let tag_one = async |architecture: &str, image: &Descriptor| {
        let name = name.with_architecture(architecture);
        let pushed = push(source, repository, image, &[tag(&name)], &options).await;
        pushed.map(drop).map_err(|error| failed(&name, error))
    };
    let tags: Vec<_> = images
        .into_iter()
        .map(|(architecture, image)| tag_one(architecture, image))
        .collect();
    stream::iter(tags).buffer_unordered(TAGS_AT_ONCE).try_collect().await
}

/// Lets the tag `release` stand for what the repository has as `found`, and gives its full name and what it stands for
/// then. It may gain platforms, and never changes an image that it has.
pub(super) async fn release(
    repository: &Repository,
    name: &Reference,
    found: &Descriptor,
    release: &str,
    has_architecture_tags: bool,
) -> Result<(Reference, Descriptor), OrchestratorError> {
    let name = name.with_tag(release);
    let fail = |error| failed(&name, error);
    let options = PushOptions {
        existing: Existing::Extend,
        progress: None,
    };
    let pushed = push(repository, repository, found, &[release.to_owned()], &options).await;
    let standing = pushed
        .map_err(fail)?
        .tags
        .pop()
        .map_or_else(|| found.clone(), |(_, standing)| standing);
    if has_architecture_tags && let Some((_, index)) = repository.index(standing.digest.as_str()).await.map_err(fail)? {
        tag_platforms(repository, repository, &index, &name, Existing::Extend).await?;
    }
    Ok((name, standing))
}

/// Lets `name` stand for all images that the registry has as `name:tag-arch`, beside what it has of other platforms, and
/// then `releases` for the same. Gives the names and what they stand for.
pub async fn rebuild_index(
    registry: &Registry,
    name: &Reference,
    releases: &[String],
    has_architecture_tags: bool,
) -> Result<Vec<(Reference, Descriptor)>, OrchestratorError> {
    let repository = registry.repository(name).for_writing();
    let questions = stream::iter(KNOWN_ARCHITECTURES).map(async |architecture| {
        let own = name.with_architecture(architecture);
        let found = repository
            .index(&tag(&own))
            .await
            .map_err(|error| failed(&own, error))?;
        let own = [Platform::linux(architecture)];
        Ok::<_, OrchestratorError>(found.map(|(_, index)| merge::for_platforms(&index, &own)))
    });
    let parts: Vec<Option<Index>> = questions.buffered(TAGS_AT_ONCE).try_collect().await?;
    let whole = parts
        .iter()
        .flatten()
        .fold(Index::of(Vec::new()), |whole, part| merge_indexes(&whole, part));
    if whole.manifests.is_empty() {
        return Err(OrchestratorError::NoArchitectureTags { name: name.to_string() });
    }
    let (root, bytes) = whole.written();
    let source = Overlay::new(&repository, bytes);
    let pushed = push(&source, &repository, &root, &[tag(name)], &PushOptions::default()).await;
    let mut tags = pushed.map_err(|error| failed(name, error))?.tags;
    let found = tags.pop().map_or(root, |(_, standing)| standing);
    let mut names = vec![(name.clone(), found.clone())];
    for one in releases {
        names.push(release(&repository, name, &found, one, has_architecture_tags).await?);
    }
    Ok(names)
}

/// Lets `to` stand for the image that `from` stands for, and gives its descriptor. Between repositories of one registry
/// nothing is sent where the registry can mount.
pub async fn copy_image(
    registry: &Registry,
    from: &Reference,
    to: &Reference,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<Descriptor, OrchestratorError> {
    let target = registry.repository(to).for_writing();
    let source = match from.locator() == to.locator() {
        true => target.clone(),
        false => registry.repository(from),
    };
    let (step, doing) = (short(to), format!("copying {from}"));
    let transfer = Transfer::begin(events, &step, to.registry(), &doing).await;
    let watcher = Arc::clone(&transfer);
    let options = PushOptions {
        existing: Existing::Replace,
        progress: Some(Arc::new(move |progress| watcher.pushed(&progress))),
    };
    let work = async {
        let object = from.digest().map_or_else(|| tag(from), ToString::to_string);
        let found = source.find(&object).await.map_err(|source| OrchestratorError::Ask {
            name: from.to_string(),
            source: Box::new(source),
        })?;
        let found = found.ok_or_else(|| OrchestratorError::Absent {
            image: from.to_string(),
            reason: "its registry has no such image".to_owned(),
        })?;
        let pushed = push(&source, &target, &found, &[tag(to)], &options).await;
        let pushed = pushed.map_err(|error| failed(to, error))?;
        let moved = Moved::pushed(&found.digest, &pushed);
        Ok((found, moved))
    };
    transfer.end(cancel, work).await
}
