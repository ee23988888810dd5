//! A repository as a sink of content. Whoever has the source of what is written uses [`super::push`], which can go on
//! where an upload broke: here, bytes come once.

use super::Repository;
use super::error::RegistryError;
use super::upload::{Presence, Upload};
use crate::content::{BlobReader, ContentError, DOCUMENT_BYTES_MAX, Document, DocumentError, Sink, Source};
use crate::oci::{Descriptor, Digest, Reference};
use async_trait::async_trait;
use std::sync::{Mutex, PoisonError};
use tokio::io::AsyncReadExt;

#[async_trait]
impl Sink for Repository {
    async fn has(&self, descriptor: &Descriptor) -> Result<bool, ContentError> {
        let has = match Document::is_type(&descriptor.media_type) {
            true => self.has_manifest(&descriptor.digest).await,
            false => self.has_blob(&descriptor.digest).await,
        };
        has.map_err(|error| error.into_content(format!("ask {} for {}", self.host, descriptor.digest)))
    }

    async fn put(&self, descriptor: &Descriptor, bytes: BlobReader) -> Result<(), ContentError> {
        let digest = &descriptor.digest;
        let fail = |error: RegistryError| error.into_content(format!("send {digest} to {}/{}", self.host, self.name));
        if Document::is_type(&descriptor.media_type) {
            let bytes = read_whole(descriptor, bytes).await?.into();
            let put = self.put_manifest(digest.as_str(), descriptor, &bytes).await;
            return put.map(drop).map_err(fail);
        }
        let once = Once(Mutex::new(Some(bytes)));
        let mut upload = Upload::new(self, &once, descriptor, None);
        upload.is_repeatable = false;
        upload.run(Presence::Missing).await.map(drop).map_err(fail)
    }

    /// Writes the manifest or index again, under the tag of `name`. What the tag stood for before does not count;
    /// [`super::push`] merges.
    async fn set(&self, name: &str, descriptor: &Descriptor) -> Result<(), ContentError> {
        let fail = |error: RegistryError| error.into_content(format!("write {name}"));
        let reference: Option<Reference> = name.parse().ok();
        let tag = reference
            .as_ref()
            .filter(|reference| (reference.registry(), reference.repository()) == (&self.host, &self.name))
            .and_then(Reference::tag);
        let tag = tag.ok_or_else(|| ContentError::Failed {
            doing: format!("write {name}"),
            source: format!("it is no tag of {}/{}", self.host, self.name).into(),
        })?;
        let own = self.for_writing();
        let digest = &descriptor.digest;
        let found = own.document(digest.as_str(), Some(digest)).await.map_err(fail)?;
        let (media_type, bytes) = found.ok_or_else(|| ContentError::Missing(digest.clone()))?;
        let descriptor = Descriptor::of(&media_type, &bytes);
        let put = self.put_manifest(tag, &descriptor, &bytes.into()).await;
        put.map(drop).map_err(fail)
    }

    /// Asks first: where the registry keeps the list itself, it has the referrer already.
    async fn list_referrer(&self, subject: &Digest, referrer: &Descriptor) -> Result<(), ContentError> {
        let fail = |error: RegistryError| error.into_content(format!("list {} with {subject}", referrer.digest));
        let own = self.for_writing();
        let listed = own.referrers(subject).await.map_err(fail)?;
        if listed.iter().any(|known| known.digest == referrer.digest) {
            return Ok(());
        }
        own.add_referrer(subject, referrer).await.map_err(fail)
    }
}

/// A document's bytes, checked.
async fn read_whole(descriptor: &Descriptor, bytes: BlobReader) -> Result<Vec<u8>, ContentError> {
    let digest = &descriptor.digest;
    let mut whole = Vec::new();
    let read = bytes.take(DOCUMENT_BYTES_MAX + 1).read_to_end(&mut whole).await;
    read.map_err(|error| ContentError::Failed {
        doing: format!("read content {digest}"),
        source: Box::new(error),
    })?;
    if whole.len() as u64 > DOCUMENT_BYTES_MAX {
        return Err(ContentError::Document {
            digest: digest.clone(),
            source: DocumentError::TooLarge(descriptor.size),
        });
    }
    let found = Digest::of(&whole);
    if found != *digest {
        return Err(ContentError::Mismatch {
            expected: digest.clone(),
            found: format!("the bytes are {found}"),
        });
    }
    Ok(whole)
}

/// Bytes that can be read once.
struct Once(Mutex<Option<BlobReader>>);

#[async_trait]
impl Source for Once {
    async fn resolve(&self, _: &str) -> Result<Option<Descriptor>, ContentError> {
        Ok(None)
    }

    async fn size(&self, _: &Digest) -> Result<Option<u64>, ContentError> {
        Ok(None)
    }

    async fn referrers(&self, _: &Digest) -> Result<Vec<Descriptor>, ContentError> {
        Ok(Vec::new())
    }

    async fn read(&self, digest: &Digest, _: u64) -> Result<BlobReader, ContentError> {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        bytes.ok_or_else(|| ContentError::Failed {
            doing: format!("send {digest} again"),
            source: "its bytes came once only".into(),
        })
    }
}
