//! A place for content beside another one: [`Beside`].

use super::{BlobReader, Content, ContentError, Sink, Source};
use crate::oci::{Descriptor, Digest};
use async_trait::async_trait;
use std::sync::Arc;

/// Takes what is written into one place, and has what another has as well, to which nothing is written.
pub struct Beside {
    own: Arc<dyn Content>,
    other: Arc<dyn Source>,
}

impl Beside {
    /// `own` beside `other`.
    pub fn new(own: Arc<dyn Content>, other: Arc<dyn Source>) -> Self {
        Self { own, other }
    }
}

#[async_trait]
impl Source for Beside {
    async fn resolve(&self, name: &str) -> Result<Option<Descriptor>, ContentError> {
        match self.own.resolve(name).await? {
            Some(found) => Ok(Some(found)),
            None => self.other.resolve(name).await,
        }
    }

    async fn size(&self, digest: &Digest) -> Result<Option<u64>, ContentError> {
        match self.own.size(digest).await? {
            Some(size) => Ok(Some(size)),
            None => self.other.size(digest).await,
        }
    }

    async fn read(&self, digest: &Digest, offset: u64) -> Result<BlobReader, ContentError> {
        match self.own.read(digest, offset).await {
            Err(ContentError::Missing(_)) => self.other.read(digest, offset).await,
            result => result,
        }
    }

    async fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, ContentError> {
        self.own.referrers(subject).await
    }
}

#[async_trait]
impl Sink for Beside {
    async fn has(&self, descriptor: &Descriptor) -> Result<bool, ContentError> {
        Ok(self.size(&descriptor.digest).await? == Some(descriptor.size))
    }

    async fn put(&self, descriptor: &Descriptor, bytes: BlobReader) -> Result<(), ContentError> {
        self.own.put(descriptor, bytes).await
    }

    async fn set(&self, name: &str, descriptor: &Descriptor) -> Result<(), ContentError> {
        self.own.set(name, descriptor).await
    }

    async fn list_referrer(&self, subject: &Digest, referrer: &Descriptor) -> Result<(), ContentError> {
        self.own.list_referrer(subject, referrer).await
    }
}
