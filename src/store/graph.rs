//! What an entry of `index.json` needs: the blobs below it, as far as they can be known.

use super::referrers::Referring;
use super::{Inner, StoreError};
use crate::content::Document;
use crate::oci::{Descriptor, Digest, Index};
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
    /// Everything below `roots` that belongs here (see [`Self::fetched`]). What is missing or damaged is noted, not an error;
    /// a disk that cannot be read is.
    pub(super) fn reach<'a>(&self, roots: impl IntoIterator<Item = &'a Descriptor>) -> Result<Reach, StoreError> {
        let mut reach = Reach::default();
        self.walk(&mut reach, roots, |index| self.fetched(index))?;
        Ok(reach)
    }

    /// [`Self::reach`], with those of `referrers` that are about something in it, and about them in turn.
    pub(super) fn reach_with<'a>(
        &self,
        roots: impl IntoIterator<Item = &'a Descriptor>,
        referrers: &[Referring],
    ) -> Result<Reach, StoreError> {
        let mut reach = self.reach(roots)?;
        loop {
            let is_next = |one: &&Referring| {
                reach.blobs.contains_key(&one.subject) && !reach.blobs.contains_key(&one.entry.digest)
            };
            let next: Vec<&Referring> = referrers.iter().filter(is_next).collect();
            if next.is_empty() {
                return Ok(reach);
            }
            let entries = next.into_iter().map(|one| &one.entry);
            self.walk(&mut reach, entries, |index| self.fetched(index))?;
        }
    }

    /// Everything below `root`, every child of every index included.
    pub(super) fn reach_all(&self, root: &Descriptor) -> Result<Reach, StoreError> {
        let mut reach = Reach::default();
        self.walk(&mut reach, [root], |index| index.manifests.clone())?;
        Ok(reach)
    }

    fn walk<'a>(
        &self,
        reach: &mut Reach,
        roots: impl IntoIterator<Item = &'a Descriptor>,
        children: impl Fn(&Index) -> Vec<Descriptor>,
    ) -> Result<(), StoreError> {
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
                    match &document {
                        Document::Index(index) => pending.extend(children(index)),
                        Document::Manifest(_) => pending.extend(document.children().into_iter().cloned()),
                    }
                    reach.documents.insert(digest);
                }
                Ok(None) => drop(reach.missing.insert(digest)),
                Err(StoreError::Damaged { reason, .. }) => drop(reach.unreadable.insert(digest, reason)),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The children of an index that belong here. Of an image that was pulled for some platforms only, linuxkit and we keep
    /// the index whole: children of which nothing is here were never fetched. Where no child is here at all, or only
    /// what attests one that is, something was lost.
    fn fetched(&self, index: &Index) -> Vec<Descriptor> {
        let is_here = |digest: &Digest| self.blob_path(digest).exists();
        let here: BTreeSet<&str> = index
            .manifests
            .iter()
            .filter(|child| child.attests().is_none() && is_here(&child.digest))
            .map(|child| child.digest.as_str())
            .collect();
        let belongs = |child: &&Descriptor| {
            here.is_empty() || is_here(&child.digest) || child.attests().is_some_and(|subject| here.contains(subject))
        };
        index.manifests.iter().filter(belongs).cloned().collect()
    }
}
