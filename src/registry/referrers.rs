//! What is about something else: signatures, SBoMs. Registries list them; where one does not, a tag does
//! (OCI distribution specification, "Listing Referrers" and "Referrers Tag Schema").

use super::Repository;
use super::error::RegistryError;
use super::push::{PushOptions, Pushed, push};
use super::tags::written;
use crate::content::Source;
use crate::oci::{Descriptor, Digest, Index, media_type};

impl Repository {
    /// What the registry has about the manifest `subject`: with the type of artifact and annotations. In the registry's
    /// order.
    pub async fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, RegistryError> {
        let mut found = Vec::new();
        let read = |body: &[u8]| {
            found.extend(serde_json::from_slice::<Index>(body)?.manifests);
            Ok(())
        };
        match self
            .pages(&format!("referrers/{subject}"), media_type::INDEX, read)
            .await
        {
            Ok(Some(())) => return Ok(found),
            // Those that do not know it say it in several ways.
            Ok(None)
            | Err(RegistryError::Status {
                status: 400 | 405 | 501,
                ..
            }) => {}
            Err(error) => return Err(error),
        }
        let listed = self.index(&fallback_tag(subject)).await?;
        Ok(listed.map(|(_, index)| index.manifests).unwrap_or_default())
    }

    /// Lists a manifest with its subject where the registry does not do it itself ([`super::push`] knows when).
    pub(super) async fn add_referrer(&self, subject: &Digest, referrer: &Descriptor) -> Result<(), RegistryError> {
        let first = written(&Index::of(vec![referrer.clone()]));
        let change = |_: &Descriptor, existing: &Index| {
            let mut index = existing.clone();
            if index.manifests.iter().any(|known| known.digest == referrer.digest) {
                return Ok(None);
            }
            index.manifests.push(referrer.clone());
            // Whoever is first, the list is the same.
            index.manifests.sort_by(|a, b| a.digest.cmp(&b.digest));
            Ok(Some(written(&index)))
        };
        self.rewrite(&fallback_tag(subject), first, change).await?;
        Ok(())
    }
}

/// Brings what is about the manifest `subject` to where that is: `referrer` as `source` lists it, with all that it needs. Where
/// the registry lists it already, nothing is sent.
pub async fn push_referrer(
    source: &dyn Source,
    repository: &Repository,
    subject: &Digest,
    referrer: &Descriptor,
    options: &PushOptions,
) -> Result<Pushed, RegistryError> {
    let listed = repository.for_writing().referrers(subject).await?;
    match listed.iter().any(|known| known.digest == referrer.digest) {
        true => Ok(Pushed::default()),
        false => push(source, repository, referrer, &[], options).await,
    }
}

/// `sha256-<hex>`.
fn fallback_tag(subject: &Digest) -> String {
    subject.as_str().replace(':', "-")
}
