//! A source with one document more: [`Overlay`].

use super::{BlobReader, ContentError, Source};
use crate::oci::{Descriptor, Digest};
use async_trait::async_trait;
use bytes::Bytes;
use std::io::Cursor;

/// What `source` has, and a document that it need not have: an index that was made only to be sent, say.
pub struct Overlay<'a> {
    source: &'a dyn Source,
    digest: Digest,
    bytes: Bytes,
}

impl<'a> Overlay<'a> {
    /// `document` over `source`.
    pub fn new(source: &'a dyn Source, document: impl Into<Bytes>) -> Self {
        let bytes = document.into();
        Self {
            source,
            digest: Digest::of(&bytes),
            bytes,
        }
    }
}

#[async_trait]
impl Source for Overlay<'_> {
    async fn resolve(&self, name: &str) -> Result<Option<Descriptor>, ContentError> {
        self.source.resolve(name).await
    }

    async fn size(&self, digest: &Digest) -> Result<Option<u64>, ContentError> {
        match *digest == self.digest {
            true => Ok(Some(self.bytes.len() as u64)),
            false => self.source.size(digest).await,
        }
    }

    async fn read(&self, digest: &Digest, offset: u64) -> Result<BlobReader, ContentError> {
        if *digest != self.digest {
            return self.source.read(digest, offset).await;
        }
        let mut bytes = Cursor::new(self.bytes.clone());
        bytes.set_position(offset);
        Ok(Box::pin(bytes))
    }
}
