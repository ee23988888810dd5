//! Referrers: what is about an image of the store, as entries of `index.json` without a name (so does oras, and so the OCI
//! image specification allows it). An entry is one when its manifest has a subject; it lives as long as that does.

use super::{Inner, Store, StoreError, names};
use crate::content::Document;
use crate::oci::{Descriptor, Digest, Index};

/// An entry of `index.json` that is about something else.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Referring {
    /// What it is about; it may be gone.
    pub(super) subject: Digest,
    /// The entry, with its manifest's type and annotations.
    pub(super) entry: Descriptor,
}

impl Store {
    /// What is about `subject`, sorted by digest.
    pub async fn referrers_of(&self, subject: &Digest) -> Result<Vec<Descriptor>, StoreError> {
        let subject = subject.clone();
        self.blocking(move |inner| inner.referrers_of(&subject)).await
    }

    /// Lists the manifest `referrer`, which is here with all that it needs, as being about `subject`.
    pub async fn add_referrer(&self, subject: &Digest, referrer: &Descriptor) -> Result<(), StoreError> {
        let (subject, referrer) = (subject.clone(), referrer.clone());
        self.blocking(move |inner| inner.add_referrer(&subject, &referrer))
            .await
    }

    /// Lists these referrers no more; what they consist of stays until it is collected.
    pub async fn drop_referrers(&self, digests: &[Digest]) -> Result<(), StoreError> {
        let digests = digests.to_vec();
        self.blocking(move |inner| {
            inner.update_index(|index| {
                let is_one = |entry: &Descriptor| entry.ref_name().is_none() && digests.contains(&entry.digest);
                index.manifests.retain(|entry| !is_one(entry));
                Ok(())
            })
        })
        .await
    }
}

impl Inner {
    fn referrers_of(&self, subject: &Digest) -> Result<Vec<Descriptor>, StoreError> {
        let (_, referrers) = self.apart(&self.read_index()?)?;
        let own = referrers.into_iter().filter(|one| one.subject == *subject);
        Ok(own.map(|one| one.entry).collect())
    }

    fn add_referrer(&self, subject: &Digest, referrer: &Descriptor) -> Result<(), StoreError> {
        let missing = || StoreError::Missing {
            digest: referrer.digest.clone(),
            needed_by: format!("what is about {subject}"),
        };
        let (_, document) = self.document(&referrer.digest)?.ok_or_else(missing)?;
        match document.as_referrer(referrer) {
            Some((found, entry)) if found == *subject => self.update_index(|index| {
                names::add_referrer(index, &entry);
                Ok(())
            }),
            found => Err(StoreError::Damaged {
                path: self.blob_path(&referrer.digest),
                reason: match found {
                    Some((found, _)) => format!("it is listed as being about {subject}, and is about {found}"),
                    None => format!("it is listed as being about {subject}, and is about nothing"),
                },
            }),
        }
    }

    /// The entries that stand for themselves, and those that are about something else, sorted by digest. What is listed as
    /// an artifact and cannot be read is about nothing, so that it is removed with the next collection and hinders none.
    pub(super) fn apart(&self, index: &Index) -> Result<(Vec<Descriptor>, Vec<Referring>), StoreError> {
        let (mut own, mut referrers) = (Vec::new(), Vec::new());
        for entry in &index.manifests {
            let may_be = entry.ref_name().is_none() && Document::is_type(&entry.media_type);
            let document = match may_be.then(|| self.document(&entry.digest)) {
                None => None,
                Some(Ok(None) | Err(StoreError::Damaged { .. })) if !entry.artifact_type.is_empty() => continue,
                Some(Err(StoreError::Damaged { .. })) => None,
                Some(read) => read?,
            };
            match document.and_then(|(_, document)| document.as_referrer(entry)) {
                Some((subject, entry)) => referrers.push(Referring { subject, entry }),
                None => own.push(entry.clone()),
            }
        }
        referrers.sort_by(|a, b| a.entry.digest.cmp(&b.entry.digest));
        Ok((own, referrers))
    }

    /// Takes away what is about nothing that is still needed.
    pub(super) fn without_orphans(&self, index: &mut Index) -> Result<(), StoreError> {
        let (own, referrers) = self.apart(index)?;
        if own.len() == index.manifests.len() {
            return Ok(());
        }
        let reach = self.reach_with(&own, &referrers)?;
        let is_kept = |entry: &Descriptor| own.contains(entry) || reach.blobs.contains_key(&entry.digest);
        index.manifests.retain(is_kept);
        Ok(())
    }
}
