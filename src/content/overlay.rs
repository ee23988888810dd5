//! A source with something more: [`Overlay`].

use super::{BlobReader, ContentError, Source};
use crate::oci::{Descriptor, Digest};
use async_trait::async_trait;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::io::Cursor;

/// What `source` has, and documents that it need not have: an index that was made only to be sent, say.
pub struct Overlay<'a> {
    source: &'a dyn Source,
    above: BTreeMap<Digest, Bytes>,
}

impl<'a> Overlay<'a> {
    /// `document` over `source`.
    pub fn new(source: &'a dyn Source, document: impl Into<Bytes>) -> Self {
        Self::of(source, [document.into()])
    }

    /// Several of them.
    pub fn of(source: &'a dyn Source, documents: impl IntoIterator<Item = Bytes>) -> Self {
        let named = documents.into_iter().map(|bytes| (Digest::of(&bytes), bytes));
        Self {
            source,
            above: named.collect(),
        }
    }
}

#[async_trait]
impl Source for Overlay<'_> {
    async fn resolve(&self, name: &str) -> Result<Option<Descriptor>, ContentError> {
        self.source.resolve(name).await
    }

    async fn size(&self, digest: &Digest) -> Result<Option<u64>, ContentError> {
        match self.above.get(digest) {
            Some(bytes) => Ok(Some(bytes.len() as u64)),
            None => self.source.size(digest).await,
        }
    }

    async fn read(&self, digest: &Digest, offset: u64) -> Result<BlobReader, ContentError> {
        let Some(bytes) = self.above.get(digest) else {
            return self.source.read(digest, offset).await;
        };
        let mut bytes = Cursor::new(bytes.clone());
        bytes.set_position(offset);
        Ok(Box::pin(bytes))
    }

    async fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, ContentError> {
        self.source.referrers(subject).await
    }
}
