//! What is in the store, and how much room it takes.

use super::{Inner, Store, StoreError};
use crate::oci::{Digest, Platform};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// One name of the store.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StoredImage {
    /// Full name; empty for an entry that has none.
    pub name: String,
    /// What it points at.
    pub digest: Digest,
    /// Media type of that.
    pub media_type: String,
    /// The platforms it lists images for, sorted, whether they are here or not.
    pub platforms: Vec<Platform>,
    /// The platforms that are completely here, sorted.
    pub complete: Vec<Platform>,
    /// Size in bytes of everything it needs and that is here; what it shares with others counts.
    pub size: u64,
}

/// Room that one name takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImageUsage {
    /// Full name; empty for an entry that has none.
    pub name: String,
    /// Size in bytes of everything it needs and that is here.
    pub total: u64,
    /// The part of it that no other name needs: what removing the name would free.
    pub unique: u64,
}

/// Room that the store takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DiskUsage {
    /// By name, sorted.
    pub images: Vec<ImageUsage>,
    /// All blobs, in bytes.
    pub total: u64,
    /// Blobs that no name needs, in bytes: what a collection would free.
    pub unreferenced: u64,
}

impl Store {
    /// Everything in the store, sorted by name.
    pub async fn list(&self) -> Result<Vec<StoredImage>, StoreError> {
        self.blocking(Inner::list).await
    }

    /// How much room each name, and the whole store, takes.
    pub async fn disk_usage(&self) -> Result<DiskUsage, StoreError> {
        self.blocking(Inner::disk_usage).await
    }
}

impl Inner {
    fn list(&self) -> Result<Vec<StoredImage>, StoreError> {
        let view = self.view()?;
        let mut images = Vec::new();
        let (own, referrers) = self.apart(&view.index)?;
        for entry in &own {
            let reach = self.reach_with([entry], &referrers)?;
            images.push(StoredImage {
                name: entry.ref_name().unwrap_or_default().to_owned(),
                digest: entry.digest.clone(),
                media_type: entry.media_type.clone(),
                platforms: known(view.listed_platforms(entry))?,
                complete: known(view.complete_platforms(entry))?,
                size: self.sizes(reach.blobs.keys())?.values().sum(),
            });
        }
        images.sort_by(|a, b| (&a.name, &a.digest).cmp(&(&b.name, &b.digest)));
        Ok(images)
    }

    fn disk_usage(&self) -> Result<DiskUsage, StoreError> {
        let mut needed_by = BTreeMap::<Digest, usize>::new();
        let mut reached = Vec::new();
        let (own, referrers) = self.apart(&self.read_index()?)?;
        for entry in &own {
            let blobs: BTreeSet<Digest> = self.reach_with([entry], &referrers)?.blobs.into_keys().collect();
            for digest in &blobs {
                *needed_by.entry(digest.clone()).or_default() += 1;
            }
            reached.push((entry.ref_name().unwrap_or_default().to_owned(), blobs));
        }
        let there = self.blobs()?;
        let size = |digest: &Digest| there.get(digest).copied().unwrap_or_default();
        let mut images: Vec<ImageUsage> = reached
            .into_iter()
            .map(|(name, blobs)| ImageUsage {
                name,
                total: blobs.iter().map(size).sum(),
                unique: blobs.iter().filter(|digest| needed_by[digest] == 1).map(size).sum(),
            })
            .collect();
        images.sort_by(|a, b| a.name.cmp(&b.name));
        let is_needed = |digest: &Digest| needed_by.contains_key(digest);
        Ok(DiskUsage {
            images,
            total: there.values().sum(),
            unreferenced: there
                .iter()
                .filter(|(digest, _)| !is_needed(digest))
                .map(|(_, size)| size)
                .sum(),
        })
    }

    /// The sizes in bytes of those blobs that are here.
    fn sizes<'a>(&self, digests: impl Iterator<Item = &'a Digest>) -> Result<BTreeMap<Digest, u64>, StoreError> {
        let mut sizes = BTreeMap::new();
        for digest in digests {
            if let Some(size) = self.blob_size(digest)? {
                sizes.insert(digest.clone(), size);
            }
        }
        Ok(sizes)
    }

    /// All blobs that are here, with their sizes in bytes.
    pub(super) fn blobs(&self) -> Result<BTreeMap<Digest, u64>, StoreError> {
        let directory = self.blobs_directory();
        let failed = |e| StoreError::io("read directory", &directory, e);
        let mut blobs = BTreeMap::new();
        for entry in std::fs::read_dir(&directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let Some(digest) = name.to_str().and_then(|name| format!("sha256:{name}").parse().ok()) else {
                continue;
            };
            match entry.metadata() {
                Ok(metadata) if metadata.is_file() => drop(blobs.insert(digest, metadata.len())),
                Ok(_) => {}
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => return Err(failed(e)),
            }
        }
        Ok(blobs)
    }
}

/// A damaged image is listed all the same; `verify` says what is wrong with it.
fn known(platforms: Result<Vec<Platform>, StoreError>) -> Result<Vec<Platform>, StoreError> {
    match platforms {
        Err(StoreError::Damaged { .. }) => Ok(Vec::new()),
        other => other,
    }
}
