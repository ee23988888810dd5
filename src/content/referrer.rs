//! Referrers: manifests that are about another one (their subject) and that nothing points at. [`Referrer`] is one that is
//! made here, [`attach`] puts it beside its subject, [`carry_referrers`] takes those of an image along with it.
//!
//! OCI image specification 1.1, manifest.md: "Guidelines for Artifact Usage" and the property `subject`.

use super::{ContentError, Copied, DOCUMENT_BYTES_MAX, Document, Overlay, Sink, Source, copy, read_document};
use crate::oci::{Descriptor, Digest, Manifest, media_type};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// What stands in the place of a configuration.
const EMPTY: &[u8] = b"{}";
/// How many referrers may hang on one another; a signature of an SBoM of an image are two.
const DEPTH_MAX: usize = 4;

/// A referrer that was made here. The same input gives the same bytes.
#[derive(Clone, Debug)]
pub struct Referrer {
    /// What it is about.
    pub subject: Digest,
    /// Its manifest, as it is listed beside the subject.
    pub descriptor: Descriptor,
    content: Vec<Bytes>,
}

impl Referrer {
    /// A manifest with these layers, about `subject`. [`Self::holding`] adds layers' bytes that no source has.
    pub fn new(
        subject: &Descriptor,
        artifact_type: &str,
        layers: Vec<Descriptor>,
        annotations: BTreeMap<String, String>,
    ) -> Self {
        let manifest = Manifest {
            schema_version: 2,
            media_type: media_type::MANIFEST.to_owned(),
            artifact_type: artifact_type.to_owned(),
            config: Descriptor::of(media_type::EMPTY, EMPTY),
            layers,
            subject: Some(Descriptor::new(
                &subject.media_type,
                subject.digest.clone(),
                subject.size,
            )),
            annotations: annotations.clone(),
            extra: BTreeMap::new(),
        };
        // Nothing in a manifest can fail to be written: its maps have strings as keys.
        let bytes = Bytes::from(serde_json::to_vec(&manifest).unwrap_or_default());
        let mut descriptor = Descriptor::of(media_type::MANIFEST, &bytes);
        descriptor.artifact_type = artifact_type.to_owned();
        descriptor.annotations = annotations;
        Self {
            subject: subject.digest.clone(),
            descriptor,
            content: vec![bytes, Bytes::from_static(EMPTY)],
        }
    }

    /// With the bytes of a layer.
    #[must_use]
    pub fn holding(mut self, bytes: impl Into<Bytes>) -> Self {
        self.content.push(bytes.into());
        self
    }

    /// All that it consists of; what it does not hold itself is read from `source`.
    pub fn over<'a>(&self, source: &'a dyn Source) -> Overlay<'a> {
        Overlay::of(source, self.content.iter().cloned())
    }
}

impl Document {
    /// What a document is about, and how it is listed there (OCI distribution specification, "Listing Referrers"); None when
    /// it is about nothing.
    pub fn as_referrer(&self, descriptor: &Descriptor) -> Option<(Digest, Descriptor)> {
        let (subject, artifact_type, annotations) = match self {
            Self::Index(index) => (&index.subject, &index.artifact_type, &index.annotations),
            Self::Manifest(manifest) => {
                let artifact_type = match manifest.artifact_type.as_str() {
                    "" => &manifest.config.media_type,
                    _ => &manifest.artifact_type,
                };
                (&manifest.subject, artifact_type, &manifest.annotations)
            }
        };
        let mut entry = Descriptor::new(self.media_type(), descriptor.digest.clone(), descriptor.size);
        entry.artifact_type = artifact_type.clone();
        entry.annotations = annotations.clone();
        Some((subject.as_ref()?.digest.clone(), entry))
    }
}

/// Writes a referrer to `sink` and lists it beside its subject; layers that it does not hold are read from `source`. One
/// that is there already stays as it is.
pub async fn attach(source: &dyn Source, sink: &dyn Sink, referrer: &Referrer) -> Result<Copied, ContentError> {
    let copied = copy(&referrer.over(source), sink, &referrer.descriptor).await?;
    sink.list_referrer(&referrer.subject, &referrer.descriptor).await?;
    Ok(copied)
}

/// Copies what `source` lists as being about these manifests and indexes, and about that in turn. What it lists and does
/// not have is passed over: nobody who pulls an image can mend that.
pub async fn carry_referrers(
    source: &dyn Source,
    sink: &dyn Sink,
    subjects: impl IntoIterator<Item = Digest>,
) -> Result<Copied, ContentError> {
    let (mut total, mut seen) = (Copied::default(), BTreeSet::new());
    let mut level: Vec<Digest> = subjects.into_iter().collect();
    for _ in 0..DEPTH_MAX {
        let mut next = Vec::new();
        for subject in level.into_iter().filter(|subject| seen.insert(subject.clone())) {
            for referrer in source.referrers(&subject).await? {
                // What is too large to be a manifest is none.
                if !Document::is_type(&referrer.media_type) || referrer.size > DOCUMENT_BYTES_MAX {
                    continue;
                }
                match read_document(source, &referrer).await {
                    Ok((_, document)) if document.as_referrer(&referrer).is_some_and(|(own, _)| own == subject) => {}
                    Ok(_) | Err(ContentError::Missing(_)) => continue,
                    Err(error) => return Err(error),
                }
                total = total + copy(source, sink, &referrer).await?;
                sink.list_referrer(&subject, &referrer).await?;
                next.push(referrer.digest);
            }
        }
        if next.is_empty() {
            break;
        }
        level = next;
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::super::memory::Memory;
    use super::*;

    fn referrer(subject: &Descriptor, text: &'static str) -> Referrer {
        let layer = Descriptor::of("text/plain", text.as_bytes());
        let annotations = [("a".to_owned(), "1".to_owned())].into();
        Referrer::new(subject, "application/x", vec![layer], annotations).holding(text)
    }

    #[tokio::test]
    async fn what_is_attached_is_found_and_carried() {
        let (place, elsewhere) = (Memory::default(), Memory::default());
        let image = place.image_index(&["amd64"]);
        let first = referrer(&image, "an SBoM");
        let signature = referrer(&first.descriptor, "a signature of the SBoM");
        for _ in 0..2 {
            attach(&place, &place, &first).await.expect("attaches");
            attach(&place, &place, &signature).await.expect("attaches");
        }
        assert_eq!(
            place.referrers(&image.digest).await.expect("lists"),
            std::slice::from_ref(&first.descriptor)
        );
        let (_, document) = read_document(&place, &first.descriptor).await.expect("is there");
        assert_eq!(
            document.as_referrer(&first.descriptor),
            Some((image.digest.clone(), first.descriptor.clone()))
        );
        // Two manifests, two layers, and the one empty configuration.
        let copied = carry_referrers(&place, &elsewhere, [image.digest.clone()])
            .await
            .expect("copies");
        assert_eq!((copied.sent, elsewhere.len()), (5, 5));
        let found = elsewhere.referrers(&first.descriptor.digest).await.expect("lists");
        assert_eq!(found, [signature.descriptor]);
    }

    #[tokio::test]
    async fn what_is_listed_and_not_there_is_passed_over() {
        let (place, elsewhere) = (Memory::default(), Memory::default());
        let image = place.image_index(&["amd64"]);
        let (first, other) = (referrer(&image, "one"), referrer(&image, "two"));
        attach(&place, &place, &first).await.expect("attaches");
        attach(&place, &place, &other).await.expect("attaches");
        place.lose(&first.descriptor.digest);
        carry_referrers(&place, &elsewhere, [image.digest.clone()])
            .await
            .expect("copies");
        let found = elsewhere.referrers(&image.digest).await.expect("lists");
        assert_eq!(found, [other.descriptor]);
    }
}
