//! One package of a release: its tags are moved. No blob travels; what was verified is in the registry.

use super::verify::Root;
use super::{Candidate, Hands, OrchestratorError, Release};
use crate::content::{BlobReader, ContentError, Sink as _, Source};
use crate::oci::{Descriptor, Digest, Reference};
use crate::registry::{Existing, PushOptions, RegistryError, Repository, push};
use crate::store::{Store, StoreError};
use async_trait::async_trait;
use bytes::Bytes;
use std::io::Cursor;

/// What came of it.
pub(super) struct Published {
    /// What the name stands for now.
    pub(super) digest: Digest,
    /// What could not be done beside it.
    pub(super) warnings: Vec<String>,
}

/// Lets the release's tag stand for the first of `roots`, and then those of the platforms for the others. What the store
/// has as well gets these names there too.
pub(super) async fn publish(
    release: &Release,
    package: &Candidate,
    roots: Vec<Root>,
    hands: &Hands,
) -> Result<Published, OrchestratorError> {
    let reference = &package.identity.reference;
    let repository = hands.registry.repository(reference).for_writing();
    if let Some(whole) = roots.first() {
        // So that the repository knows it as a manifest, and does not look for a blob first.
        repository.resolve(&pinned(reference, &whole.descriptor)).await?;
    }
    let mut released = Vec::new();
    // The whole first: whoever sees the tag of a platform finds the release.
    for root in roots.iter().take(1) {
        released.push(move_tag(&repository, root).await?);
    }
    let others = roots.iter().skip(1).map(|root| move_tag(&repository, root));
    released.extend(futures_util::future::try_join_all(others).await?);
    let mut warnings = Vec::new();
    for root in &roots {
        let name = reference.with_tag(&root.tag);
        if let Err(error) = name_in_store(&hands.store, reference, &root.descriptor, &name).await {
            warnings.push(format!(
                "{name} is released, but the cache does not know the name: {error}"
            ));
        }
    }
    let first = released.into_iter().next().map(|descriptor| descriptor.digest);
    let digest = first.ok_or_else(|| nothing(release, package))?;
    Ok(Published { digest, warnings })
}

/// Only what was verified gets here, and that has a root.
fn nothing(release: &Release, package: &Candidate) -> OrchestratorError {
    OrchestratorError::Panic(format!("nothing was verified of {}", release.name_of(package)))
}

async fn move_tag(repository: &Repository, root: &Root) -> Result<Descriptor, RegistryError> {
    let source = Pinned {
        repository: repository.clone(),
        part: root.bytes.clone().map(|bytes| (root.descriptor.digest.clone(), bytes)),
    };
    let options = PushOptions {
        existing: Existing::Extend,
        ..PushOptions::default()
    };
    let pushed = push(
        &source,
        repository,
        &root.descriptor,
        std::slice::from_ref(&root.tag),
        &options,
    )
    .await?;
    let moved = pushed.tags.into_iter().next().map(|(_, descriptor)| descriptor);
    Ok(moved.unwrap_or_else(|| root.descriptor.clone()))
}

/// The name of a package by a digest alone.
fn pinned(package: &Reference, root: &Descriptor) -> String {
    format!("{}@{}", package.locator(), root.digest)
}

/// Names in the store what is there.
async fn name_in_store(
    store: &Store,
    package: &Reference,
    root: &Descriptor,
    name: &Reference,
) -> Result<(), ContentError> {
    let pinned = pinned(package, root);
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| ContentError::Failed {
        doing: format!("look for {pinned} in the cache"),
        source,
    };
    let pinned_name: Reference = pinned.parse().map_err(|error| failed(Box::new(error)))?;
    let found = store
        .find(&pinned_name)
        .map_err(|error: StoreError| failed(Box::new(error)))?;
    match found {
        Some(descriptor) => store.set(&name.store_name(), &descriptor).await,
        None => Ok(()),
    }
}

/// The repository itself, and an index of some of its manifests that it may not have yet.
struct Pinned {
    repository: Repository,
    part: Option<(Digest, Bytes)>,
}

#[async_trait]
impl Source for Pinned {
    async fn resolve(&self, name: &str) -> Result<Option<Descriptor>, ContentError> {
        self.repository.resolve(name).await
    }

    async fn size(&self, digest: &Digest) -> Result<Option<u64>, ContentError> {
        match &self.part {
            Some((own, bytes)) if own == digest => Ok(Some(bytes.len() as u64)),
            _ => self.repository.size(digest).await,
        }
    }

    async fn read(&self, digest: &Digest, offset: u64) -> Result<BlobReader, ContentError> {
        match &self.part {
            Some((own, bytes)) if own == digest => {
                let mut bytes = Cursor::new(bytes.clone());
                bytes.set_position(offset);
                Ok(Box::pin(bytes))
            }
            _ => self.repository.read(digest, offset).await,
        }
    }
}
