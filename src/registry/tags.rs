//! Tags: listing them, and letting one stand for something that others may change at the same time.
//!
//! The protocol has no "write if it still is". So after writing, and after everybody who read before has written as well,
//! the tag is read again; where it is not what was written, what is there now is merged and written once more.

use super::Repository;
use super::error::RegistryError;
use crate::oci::merge::merge_indexes;
use crate::oci::{Descriptor, Digest, Index, media_type};
use bytes::Bytes;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// How long after writing a tag it is read again, at least. Somebody who read it before we wrote writes within this time;
/// the pause is longer where our own reading and writing shows that the registry is slow.
pub(super) const SETTLE: Duration = Duration::from_millis(200);
/// The longest such pause: nobody waits longer for a registry that is that slow.
const SETTLE_MAX: Duration = Duration::from_secs(5);
/// Times that a tag is written before others have it: as many as may build one image at the same time, and then some.
const ROUNDS: u32 = 10;

/// What became of a tag.
pub(super) struct Rewritten {
    /// What it stands for.
    pub(super) descriptor: Descriptor,
    /// Whether the registry has listed it with its subject; also where nothing was written.
    pub(super) is_listed: bool,
}

#[derive(serde::Deserialize)]
struct TagList {
    /// Go writes an empty list as `null`.
    tags: Option<Vec<String>>,
}

impl Repository {
    /// All tags, sorted; none where there is no such repository.
    pub async fn tags(&self) -> Result<Vec<String>, RegistryError> {
        let mut tags = Vec::new();
        let read = |body: &[u8]| {
            tags.extend(serde_json::from_slice::<TagList>(body)?.tags.unwrap_or_default());
            Ok(())
        };
        self.pages("tags/list", "application/json", read).await?;
        tags.sort();
        tags.dedup();
        Ok(tags)
    }

    /// Lets a tag stand for `first`, or where it stands for something already, for what `change` makes of that; None from
    /// `change`: it is right as it is. Its error ends it: the tag is left alone.
    ///
    /// `change` is called again when somebody else changes the tag meanwhile. It must come to rest: what it made of
    /// something, it leaves alone.
    pub(super) async fn rewrite(
        &self,
        tag: &str,
        first: (Descriptor, Bytes),
        change: impl Fn(&Descriptor, &Index) -> Result<Option<(Descriptor, Bytes)>, RegistryError>,
    ) -> Result<Rewritten, RegistryError> {
        let mut is_listed = true;
        let retries = self.registry.inner.retries;
        for round in 0..ROUNDS {
            if round > 0 {
                // Not in step with the others.
                tokio::time::sleep(retries.settle.mul_f64(fastrand::f64())).await;
            }
            let began = Instant::now();
            let (wanted, bytes) = match self.index(tag).await? {
                None => first.clone(),
                Some((descriptor, existing)) => match change(&descriptor, &existing)? {
                    Some(changed) => changed,
                    None => return Ok(Rewritten { descriptor, is_listed }),
                },
            };
            is_listed = self.put_manifest(tag, &wanted, &bytes).await?;
            let pause = retries.settle.max((began.elapsed() * 2).min(SETTLE_MAX));
            tokio::time::sleep(pause).await;
            if self.find(tag).await?.is_some_and(|found| found.digest == wanted.digest) {
                let descriptor = wanted;
                return Ok(Rewritten { descriptor, is_listed });
            }
        }
        Err(RegistryError::TagContested {
            name: self.tagged(tag),
            rounds: ROUNDS,
        })
    }

    /// Adds `ours` to what a tag stands for. Where it stands for nothing, it gets `first`, which is `ours` as it was
    /// written.
    pub(super) async fn merge_into(
        &self,
        tag: &str,
        ours: &Index,
        first: (Descriptor, Bytes),
    ) -> Result<Rewritten, RegistryError> {
        let first = match first.0.media_type.as_str() {
            media_type::INDEX => first,
            _ => written(&merge_indexes(&Index::of(Vec::new()), ours)),
        };
        self.rewrite(tag, first, |_, existing| Ok(merged(existing, ours))).await
    }

    /// Lets a tag stand for `root`, which is `ours` as an index, unless it has something that `ours` lacks
    /// ([`Extension`]).
    pub(super) async fn extend_to(
        &self,
        tag: &str,
        ours: &Index,
        root: (Descriptor, Bytes),
    ) -> Result<Rewritten, RegistryError> {
        let change = |found: &Descriptor, existing: &Index| match Extension::of(existing, &root.0, ours) {
            Extension::Right => Ok(None),
            Extension::Possible => Ok(Some(root.clone())),
            Extension::Taken => Err(self.taken(tag, &found.digest, &root.0.digest)),
        };
        self.rewrite(tag, root.clone(), change).await
    }

    pub(super) fn taken(&self, tag: &str, found: &Digest, wanted: &Digest) -> RegistryError {
        RegistryError::TagTaken {
            name: self.tagged(tag),
            found: found.clone(),
            wanted: wanted.clone(),
        }
    }
}

/// Whether a tag may be moved that never changes an image that it has, but may gain some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extension {
    /// It has everything already.
    Right,
    /// It has nothing else than what it is to get.
    Possible,
    /// It has something else.
    Taken,
}

impl Extension {
    /// For a tag that has `existing`, and is to stand for `root`, which is `ours` as an index.
    pub fn of(existing: &Index, root: &Descriptor, ours: &Index) -> Self {
        let digests = |index: &Index| -> BTreeSet<Digest> {
            let entries = index.manifests.iter();
            entries.map(|entry| entry.digest.clone()).collect()
        };
        let (existing, ours) = (digests(existing), digests(ours));
        // An index never gives way to a single manifest.
        let is_single = ours.contains(&root.digest);
        match (ours.is_subset(&existing), existing.is_subset(&ours)) {
            (true, _) => Self::Right,
            (false, true) if !is_single => Self::Possible,
            _ => Self::Taken,
        }
    }
}

/// The two together; None when nothing is new.
pub(super) fn merged(existing: &Index, ours: &Index) -> Option<(Descriptor, Bytes)> {
    let merged = merge_indexes(existing, ours);
    (merged != *existing).then(|| written(&merged))
}

/// An index as bytes.
pub(super) fn written(index: &Index) -> (Descriptor, Bytes) {
    let (descriptor, bytes) = index.written();
    (descriptor, bytes.into())
}
