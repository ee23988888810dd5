//! Where content is known to be: what need not be asked for, what can be mounted, and who is sending what just now.

use crate::oci::Digest;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::OwnedMutexGuard;

/// Of all registries, as far as this process has met it.
#[derive(Default)]
pub(super) struct Places(Mutex<BTreeMap<Key, Place>>);

/// Registry and digest.
type Key = (String, Digest);

#[derive(Default)]
struct Place {
    repositories: BTreeSet<String>,
    /// Those of which a manifest was met that needs it, by a mirror perhaps.
    likely: BTreeSet<String>,
    /// Held by whoever sends it.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Places {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Place>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The repository has it.
    pub(super) fn add(&self, host: &str, repository: &str, digest: &Digest) {
        let mut known = self.lock();
        let place = known.entry((host.to_owned(), digest.clone())).or_default();
        place.repositories.insert(repository.to_owned());
    }

    /// The repository has it in all likelihood: enough to have it mounted from there, which a registry can refuse, and
    /// not enough to believe that it is there.
    pub(super) fn add_likely<'a>(&self, host: &str, repository: &str, digests: impl IntoIterator<Item = &'a Digest>) {
        let mut known = self.lock();
        for digest in digests {
            let place = known.entry((host.to_owned(), digest.clone())).or_default();
            place.likely.insert(repository.to_owned());
        }
    }

    /// It was not there after all.
    pub(super) fn forget(&self, host: &str, repository: &str, digest: &Digest) {
        if let Some(place) = self.lock().get_mut(&(host.to_owned(), digest.clone())) {
            place.repositories.remove(repository);
            place.likely.remove(repository);
        }
    }

    /// Whether the repository is known to have it.
    pub(super) fn has(&self, host: &str, repository: &str, digest: &Digest) -> bool {
        let known = self.lock();
        let place = known.get(&(host.to_owned(), digest.clone()));
        place.is_some_and(|place| place.repositories.contains(repository))
    }

    /// Another repository of the same registry that has it, or is likely to.
    pub(super) fn elsewhere(&self, host: &str, repository: &str, digest: &Digest) -> Option<String> {
        let known = self.lock();
        let place = known.get(&(host.to_owned(), digest.clone()))?;
        let mut all = place.repositories.iter().chain(&place.likely);
        all.find(|other| *other != repository).cloned()
    }

    /// Waits until nobody else sends it to this registry.
    pub(super) async fn turn(&self, host: &str, digest: &Digest) -> OwnedMutexGuard<()> {
        let turn = {
            let mut known = self.lock();
            Arc::clone(&known.entry((host.to_owned(), digest.clone())).or_default().turn)
        };
        turn.lock_owned().await
    }
}
