//! Images of the store to registries: [`publish`].

use super::OrchestratorError;
use super::tags::{self, failed, short, tag};
use super::transfer::{Moved, Transfer};
use crate::content::{Overlay, Sink as _};
use crate::event::{CancellationToken, Events};
use crate::oci::merge;
use crate::oci::{Descriptor, Index, Reference};
use crate::registry::{Existing, PushOptions, Pushed, Registry, Repository, push};
use crate::store::Store;
use std::sync::Arc;

/// An image that goes to a registry.
#[derive(Clone, Debug)]
pub struct Publication {
    /// Its name in the store.
    pub from: Reference,
    /// Its name in the registry.
    pub to: Reference,
    /// What happens to a tag that stands for something else.
    pub existing: Existing,
    /// Whether each platform's image gets a tag of its own, `name:tag-arch`.
    pub has_architecture_tags: bool,
    /// Tags that stand for the same image then. They may gain platforms, and never change an image that they have.
    pub releases: Vec<String>,
}

/// What stands in the registry now: full names and digests, the image's own name first and then its releases.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Published {
    /// Names, and what they stand for.
    pub names: Vec<(Reference, Descriptor)>,
}

/// Sends what the store has of an image, merges it into what the registry has, and lets releases stand for the result.
///
/// An image of which nothing is in the store is not sent; its releases are made of what the registry has. None when it is
/// nowhere and there is nothing to release.
pub async fn publish(
    publication: &Publication,
    store: &Store,
    registry: &Registry,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<Option<Published>, OrchestratorError> {
    let to = &publication.to;
    let local = local(&publication.from, store)?;
    if local.is_none() && publication.releases.is_empty() {
        return Ok(None);
    }
    let (step, doing) = (short(to), format!("pushing to {}", to.locator()));
    let run = Run {
        publication,
        store,
        repository: registry.repository(to).for_writing(),
        transfer: Transfer::begin(events, &step, to.registry(), &doing).await,
    };
    run.transfer.end(cancel, run.run(local)).await.map(Some)
}

struct Run<'a> {
    publication: &'a Publication,
    store: &'a Store,
    repository: Repository,
    transfer: Arc<Transfer>,
}

/// What the store has of an image.
struct Local {
    /// What its name stands for there.
    named: Descriptor,
    /// What it has completely.
    index: Index,
    /// What stands for that: the image's own root, where nothing is left out.
    root: Descriptor,
    bytes: Vec<u8>,
}

/// What the store has completely; None when that is no image.
fn local(image: &Reference, store: &Store) -> Result<Option<Local>, OrchestratorError> {
    let view = store.view()?;
    let Some(named) = view.find(image)? else {
        return Ok(None);
    };
    let Some(complete) = view.complete(&named)? else {
        return Ok(None);
    };
    let platforms = merge::platforms(&complete.index);
    if platforms.is_empty() {
        return Ok(None);
    }
    if complete.is_whole {
        return Ok(Some(Local {
            root: named.clone(),
            index: complete.index,
            named,
            bytes: Vec::new(),
        }));
    }
    let index = merge::for_platforms(&complete.index, &platforms);
    let (root, bytes) = index.written();
    Ok(Some(Local {
        named,
        root,
        index,
        bytes,
    }))
}

impl Run<'_> {
    async fn run(&self, local: Option<Local>) -> Result<(Published, Moved), OrchestratorError> {
        let Publication { to, releases, .. } = self.publication;
        let (mut published, mut pushed) = (Published::default(), Pushed::default());
        let found = match &local {
            Some(local) => {
                pushed = self.push(local).await?;
                let standing = pushed.tags.first().map(|(_, standing)| standing.clone());
                let found = standing.unwrap_or_else(|| local.root.clone());
                published.names.push((to.clone(), found.clone()));
                found
            }
            None => self.found().await?,
        };
        for release in releases {
            let is_tagged = self.publication.has_architecture_tags;
            let (name, standing) = tags::release(&self.repository, to, &found, release, is_tagged).await?;
            if let Some(local) = &local {
                // As in linuxkit, so that who builds on the release finds it here.
                self.store.set(&name.store_name(), &local.named).await?;
            }
            published.names.push((name, standing));
        }
        let moved = Moved::pushed(&found.digest, &pushed);
        Ok((published, moved))
    }

    /// The image, and then the images of its platforms under tags of their own.
    async fn push(&self, local: &Local) -> Result<Pushed, OrchestratorError> {
        let Publication { to, existing, .. } = self.publication;
        let transfer = Arc::clone(&self.transfer);
        let options = PushOptions {
            existing: *existing,
            progress: Some(Arc::new(move |progress| transfer.pushed(&progress))),
        };
        let source = Overlay::new(self.store, local.bytes.clone());
        let pushed = push(&source, &self.repository, &local.root, &[tag(to)], &options).await;
        let pushed = pushed.map_err(|error| failed(to, error))?;
        if self.publication.has_architecture_tags {
            let existing = match existing {
                Existing::Merge => Existing::Replace,
                other => *other,
            };
            tags::tag_platforms(&source, &self.repository, &local.index, to, existing).await?;
        }
        Ok(pushed)
    }

    /// What the registry has under the image's name.
    async fn found(&self) -> Result<Descriptor, OrchestratorError> {
        let to = &self.publication.to;
        let found = self.repository.find(&tag(to)).await;
        let found = found.map_err(|error| failed(to, error))?;
        found.ok_or_else(|| OrchestratorError::NothingToRelease { name: to.to_string() })
    }
}
