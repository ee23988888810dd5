//! What is about something else: signatures, SBoMs. Registries list them; where one does not, a tag does
//! (OCI distribution specification, "Listing Referrers" and "Referrers Tag Schema").

use super::Repository;
use super::error::RegistryError;
use super::tags::written;
use crate::content::Document;
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

    /// Lists a manifest with its subject where the registry does not do it itself.
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

/// `sha256-<hex>`.
fn fallback_tag(subject: &Digest) -> String {
    subject.as_str().replace(':', "-")
}

/// A document's subject and how it is listed there; None when it is about nothing.
pub(super) fn referrer_of(descriptor: &Descriptor, document: &Document) -> Option<(Digest, Descriptor)> {
    let (subject, artifact_type, annotations) = match document {
        Document::Index(index) => (&index.subject, &index.artifact_type, &index.annotations),
        Document::Manifest(manifest) => {
            let stated = &manifest.artifact_type;
            let artifact_type = if stated.is_empty() {
                &manifest.config.media_type
            } else {
                stated
            };
            (&manifest.subject, artifact_type, &manifest.annotations)
        }
    };
    let mut entry = Descriptor::new(document.media_type(), descriptor.digest.clone(), descriptor.size);
    entry.artifact_type = artifact_type.clone();
    entry.annotations = annotations.clone();
    Some((subject.as_ref()?.digest.clone(), entry))
}
