//! What an entry of `index.json` needs: the blobs below it, as far as they can be known.

use super::{Inner, StoreError};
use crate::content::Document;
use crate::oci::{Descriptor, Digest};
use std::collections::{BTreeMap, BTreeSet};

/// Everything below one or more entries.
#[derive(Debug, Default)]
pub(super) struct Reach {
    /// What is needed, with the size that its descriptor states; there or not.
    pub(super) blobs: BTreeMap<Digest, u64>,
    /// Documents that are there and can be read.
    pub(super) documents: BTreeSet<Digest>,
    /// Documents that are not there, so that what is below them is not known.
    pub(super) missing: BTreeSet<Digest>,
    /// Documents that cannot be read, and why.
    pub(super) unreadable: BTreeMap<Digest, String>,
}

impl Inner {
    /// Everything below `roots`. What is missing or damaged is noted, not an error; a disk that cannot be read is.
    pub(super) fn reach<'a>(&self, roots: impl IntoIterator<Item = &'a Descriptor>) -> Result<Reach, StoreError> {
        let mut reach = Reach::default();
        let mut pending: Vec<Descriptor> = roots.into_iter().cloned().collect();
        while let Some(descriptor) = pending.pop() {
            let digest = descriptor.digest;
            if reach.blobs.insert(digest.clone(), descriptor.size).is_some()
                || !Document::is_type(&descriptor.media_type)
            {
                continue;
            }
            match self.document(&digest) {
                Ok(Some((_, document))) => {
                    pending.extend(document.children().into_iter().cloned());
                    reach.documents.insert(digest);
                }
                Ok(None) => drop(reach.missing.insert(digest)),
                Err(StoreError::Damaged { reason, .. }) => drop(reach.unreadable.insert(digest, reason)),
                Err(error) => return Err(error),
            }
        }
        Ok(reach)
    }
}
