//! Removing names, and the blobs that no name needs any more.
//!
//! `index.json` comes first and blobs after it, so that a crash leaves blobs too many and never a name without its blobs.
//! Blobs are removed only while nobody else has the store open: what a build has written and not yet named is needed.

use super::{Inner, Store, StoreError};
use crate::fsx;
use crate::oci::{Descriptor, Digest, Index};
use serde::Serialize;
use std::collections::BTreeSet;

/// What was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Removal {
    /// The names that were removed, sorted.
    pub names: Vec<String>,
    /// The blobs that were removed, sorted.
    pub blobs: Vec<Digest>,
    /// Their sizes, in bytes.
    pub freed: u64,
    /// Names that still point at an image that a removed name pointed at, sorted: `name:tag-arch` and `name:tag` do, for
    /// example.
    pub kept_by: Vec<String>,
}

impl Store {
    /// Removes these full names, all or none, and the blobs that no other name needs. Waits until nobody else has the
    /// store open. A name that is not there is [`StoreError::NotFound`].
    ///
    /// Do not write through a clone of this store at the same time.
    pub async fn remove(&self, names: &[String]) -> Result<Removal, StoreError> {
        let names: BTreeSet<String> = names.iter().cloned().collect();
        self.blocking(move |inner| inner.exclusively(inner.wait, || inner.remove(names)))
            .await
    }

    /// Removes all names and all blobs. Waits until nobody else has the store open.
    ///
    /// Do not write through a clone of this store at the same time.
    pub async fn clear(&self) -> Result<Removal, StoreError> {
        self.blocking(move |inner| inner.exclusively(inner.wait, || inner.clear()))
            .await
    }

    /// Removes the blobs that no name needs, and what dead processes left. Waits until nobody else has the store open.
    ///
    /// Do not write through a clone of this store at the same time.
    pub async fn collect(&self) -> Result<Removal, StoreError> {
        self.blocking(move |inner| inner.exclusively(inner.wait, || inner.remove(BTreeSet::new())))
            .await
    }
}

impl Inner {
    /// The caller has seen to it that nobody else has the store open.
    fn remove(&self, names: BTreeSet<String>) -> Result<Removal, StoreError> {
        let kept_by = self.update_index(|index| {
            let is_named = |entry: &Descriptor| entry.ref_name().is_some_and(|name| names.contains(name));
            let (gone, left): (Vec<_>, Vec<_>) = index.manifests.iter().cloned().partition(is_named);
            let found: BTreeSet<&str> = gone.iter().filter_map(Descriptor::ref_name).collect();
            if let Some(name) = names.iter().find(|name| !found.contains(name.as_str())) {
                return Err(StoreError::NotFound { name: name.clone() });
            }
            index.manifests.clone_from(&left);
            // Before anything is changed: what a damaged manifest needs is not known.
            self.needed(index)?;
            self.without_orphans(index)?;
            self.sharing(&gone, &left)
        })?;
        let mut removal = self.collect_locked()?;
        removal.kept_by = kept_by;
        removal.names = names.into_iter().collect();
        Ok(removal)
    }

    /// As [`Self::remove`]. What the images need does not matter, so that a damaged store can be cleared as well.
    fn clear(&self) -> Result<Removal, StoreError> {
        let names = self.update_index(|index| {
            let gone = std::mem::take(&mut index.manifests);
            Ok(gone
                .iter()
                .filter_map(Descriptor::ref_name)
                .map(str::to_owned)
                .collect::<BTreeSet<_>>())
        })?;
        let mut removal = self.collect_locked()?;
        removal.names = names.into_iter().collect();
        Ok(removal)
    }

    /// Removes what nobody needs. linuxkit is kept out by its own lock while it lasts.
    fn collect_locked(&self) -> Result<Removal, StoreError> {
        let lock = self.lock_index()?;
        let needed = self.needed(&self.read_index_locked(&lock)?)?;
        let mut removal = Removal::default();
        for (digest, size) in self.blobs()? {
            if !needed.contains(&digest) {
                self.remove_blob(&digest)?;
                removal.blobs.push(digest);
                removal.freed += size;
            }
        }
        fsx::sweep(&self.blobs_directory())?;
        fsx::sweep(&self.directory)?;
        fsx::sync_directory(&self.blobs_directory())?;
        Ok(removal)
    }

    /// Removes those of `blobs` that no name needs, if nobody else has the store open; else they stay until somebody
    /// collects. For taking back what was written in vain.
    pub(super) fn remove_unneeded(&self, blobs: &BTreeSet<Digest>) -> Result<(), StoreError> {
        self.exclusively(std::time::Duration::ZERO, || {
            let lock = self.lock_index()?;
            let needed = self.needed(&self.read_index_locked(&lock)?)?;
            blobs
                .difference(&needed)
                .try_for_each(|digest| self.remove_blob(digest))
        })
    }

    fn remove_blob(&self, digest: &Digest) -> Result<(), StoreError> {
        let path = self.blob_path(digest);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(StoreError::io("remove", &path, e)),
            _ => Ok(()),
        }
    }

    /// Everything that the entries of an index need. Where a manifest is damaged that is not known, and nothing may be removed.
    fn needed(&self, index: &Index) -> Result<BTreeSet<Digest>, StoreError> {
        let (own, referrers) = self.apart(index)?;
        let reach = self.reach_with(&own, &referrers)?;
        if let Some((digest, reason)) = reach.unreadable.first_key_value() {
            return Err(StoreError::Damaged {
                path: self.blob_path(digest),
                reason: format!("{reason}; remove the images that need it first, `cache verify` names them"),
            });
        }
        Ok(reach.blobs.into_keys().collect())
    }

    fn sharing(&self, gone: &[Descriptor], left: &[Descriptor]) -> Result<Vec<String>, StoreError> {
        let images = self.reach(gone)?.documents;
        let mut names = Vec::new();
        for entry in left {
            let is_sharing = !images.is_disjoint(&self.reach([entry])?.documents);
            names.extend(entry.ref_name().filter(|_| is_sharing).map(str::to_owned));
        }
        names.sort();
        Ok(names)
    }
}
