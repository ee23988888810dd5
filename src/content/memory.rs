//! Content in memory, for tests of what moves content. It can be damaged on purpose.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::{BlobReader, ContentError, Sink, Source};
use crate::oci::{Descriptor, Digest, Index, Platform, media_type};
use async_trait::async_trait;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Mutex;
use tokio::io::AsyncReadExt;

/// A place for content that is forgotten with the test.
#[derive(Default)]
pub(crate) struct Memory {
    blobs: Mutex<BTreeMap<Digest, Vec<u8>>>,
    names: Mutex<BTreeMap<String, Descriptor>>,
    order: Mutex<Vec<Digest>>,
    referrers: Mutex<Vec<(Digest, Descriptor)>>,
}

impl Memory {
    pub(crate) fn add(&self, media_type: &str, bytes: &[u8]) -> Descriptor {
        let descriptor = Descriptor::of(media_type, bytes);
        self.blobs
            .lock()
            .unwrap()
            .insert(descriptor.digest.clone(), bytes.to_vec());
        descriptor
    }

    /// An index with an image of one layer for each architecture.
    pub(crate) fn image_index(&self, architectures: &[&str]) -> Descriptor {
        let children = architectures
            .iter()
            .map(|architecture| {
                let config = json!({"os": "linux", "architecture": architecture});
                let config = self.add(media_type::CONFIG, config.to_string().as_bytes());
                let layer = self.add(media_type::LAYER, format!("layer of {architecture}").as_bytes());
                let manifest =
                    json!({"schemaVersion": 2, "mediaType": media_type::MANIFEST, "config": config, "layers": [layer]});
                let mut child = self.add(media_type::MANIFEST, manifest.to_string().as_bytes());
                child.platform = Some(Platform::linux(architecture));
                child
            })
            .collect();
        self.add(media_type::INDEX, &serde_json::to_vec(&Index::of(children)).unwrap())
    }

    pub(crate) fn len(&self) -> usize {
        self.blobs.lock().unwrap().len()
    }

    pub(crate) fn digests(&self) -> Vec<Digest> {
        self.blobs.lock().unwrap().keys().cloned().collect()
    }

    pub(crate) fn any_layer(&self) -> Digest {
        let blobs = self.blobs.lock().unwrap();
        let (digest, _) = blobs.iter().find(|(_, bytes)| bytes.starts_with(b"layer")).unwrap();
        digest.clone()
    }

    pub(crate) fn corrupt(&self, digest: &Digest) {
        self.blobs.lock().unwrap().get_mut(digest).unwrap()[0] ^= 1;
    }

    pub(crate) fn lose(&self, digest: &Digest) {
        self.blobs.lock().unwrap().remove(digest);
    }

    pub(crate) fn order(&self) -> Vec<Digest> {
        self.order.lock().unwrap().clone()
    }
}

#[async_trait]
impl Source for Memory {
    async fn resolve(&self, name: &str) -> Result<Option<Descriptor>, ContentError> {
        Ok(self.names.lock().unwrap().get(name).cloned())
    }

    async fn size(&self, digest: &Digest) -> Result<Option<u64>, ContentError> {
        Ok(self.blobs.lock().unwrap().get(digest).map(|bytes| bytes.len() as u64))
    }

    async fn read(&self, digest: &Digest, offset: u64) -> Result<BlobReader, ContentError> {
        let bytes = self.blobs.lock().unwrap().get(digest).cloned();
        let bytes = bytes.ok_or_else(|| ContentError::Missing(digest.clone()))?;
        Ok(Box::pin(std::io::Cursor::new(bytes[offset as usize..].to_vec())))
    }

    async fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, ContentError> {
        let all = self.referrers.lock().unwrap();
        let own = all.iter().filter(|(about, _)| about == subject);
        Ok(own.map(|(_, referrer)| referrer.clone()).collect())
    }
}

#[async_trait]
impl Sink for Memory {
    async fn has(&self, descriptor: &Descriptor) -> Result<bool, ContentError> {
        Ok(self.blobs.lock().unwrap().contains_key(&descriptor.digest))
    }

    async fn put(&self, descriptor: &Descriptor, mut bytes: BlobReader) -> Result<(), ContentError> {
        let mut all = Vec::new();
        bytes.read_to_end(&mut all).await.unwrap();
        super::copy::compare(descriptor, &Digest::of(&all), all.len() as u64)?;
        self.blobs.lock().unwrap().insert(descriptor.digest.clone(), all);
        self.order.lock().unwrap().push(descriptor.digest.clone());
        Ok(())
    }

    async fn set(&self, name: &str, descriptor: &Descriptor) -> Result<(), ContentError> {
        self.names.lock().unwrap().insert(name.to_owned(), descriptor.clone());
        Ok(())
    }

    async fn list_referrer(&self, subject: &Digest, referrer: &Descriptor) -> Result<(), ContentError> {
        let entry = (subject.clone(), referrer.clone());
        let mut all = self.referrers.lock().unwrap();
        all.retain(|known| *known != entry);
        all.push(entry);
        Ok(())
    }
}
