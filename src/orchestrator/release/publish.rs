//! One package of a release: its tags are moved. No blob travels; what was verified is in the registry.

use super::super::tags;
use super::{Candidate, Hands, OrchestratorError, Release};
use crate::content::{Sink as _, Source as _};
use crate::oci::{Descriptor, Digest, Reference};
use crate::store::Store;

/// What came of it.
pub(super) struct Published {
    /// What the name stands for now.
    pub(super) digest: Digest,
    /// What could not be done beside it.
    pub(super) warning: Option<String>,
}

/// Lets the release's tag stand for `verified`, and then those of the platforms for its images. Where the store has the
/// same, it gets the name there too.
pub(super) async fn publish(
    release: &Release,
    package: &Candidate,
    verified: &Descriptor,
    hands: &Hands,
) -> Result<Published, OrchestratorError> {
    let reference = &package.identity.reference;
    let pinned = format!("{}@{}", reference.locator(), verified.digest);
    let repository = hands.registry.repository(reference).for_writing();
    // So that the repository knows it as a manifest, and does not look for a blob first.
    repository.resolve(&pinned).await?;
    let moved = tags::release(&repository, reference, verified, &release.tag, release.has_arch_tags).await;
    let (name, standing) = moved?;
    let named = name_in_store(&hands.store, &pinned, &name).await;
    Ok(Published {
        digest: standing.digest,
        warning: named
            .err()
            .map(|error| format!("{name} is released, but the cache does not know the name: {error}")),
    })
}

/// Names in the store what is there.
async fn name_in_store(store: &Store, pinned: &str, name: &Reference) -> Result<(), OrchestratorError> {
    let Ok(pinned) = pinned.parse::<Reference>() else {
        return Ok(());
    };
    if let Some(found) = store.find(&pinned)? {
        store.set(&name.store_name(), &found).await?;
    }
    Ok(())
}
