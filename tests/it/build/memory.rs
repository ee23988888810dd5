//! Content in memory, with faults on demand.

use async_trait::async_trait;
use lkpkg::content::{BlobReader, ContentError, Sink, Source};
use lkpkg::oci::{Descriptor, Digest, Index, Manifest};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::AsyncReadExt;

/// Blobs by digest, and a count of what happened to them.
#[derive(Default)]
pub struct Memory {
    pub blobs: Mutex<BTreeMap<Digest, Vec<u8>>>,
    /// Puts that ended well.
    pub written: AtomicUsize,
    /// Puts that did not (yet).
    pub unfinished: AtomicUsize,
    /// Reads.
    pub read: AtomicUsize,
    /// When set, every put fails with this text.
    pub fault: Option<&'static str>,
}

impl Memory {
    pub fn blob(&self, digest: &Digest) -> Vec<u8> {
        self.blobs
            .lock()
            .expect("not poisoned")
            .get(digest)
            .cloned()
            .unwrap_or_default()
    }

    pub fn add(&self, bytes: Vec<u8>) -> Digest {
        let digest = Digest::of(&bytes);
        self.blobs.lock().expect("not poisoned").insert(digest.clone(), bytes);
        digest
    }

    pub fn count(&self, counter: &AtomicUsize) -> usize {
        counter.load(Ordering::SeqCst)
    }

    pub fn index(&self, digest: &Digest) -> Index {
        serde_json::from_slice(&self.blob(digest)).expect("an index")
    }

    /// Manifest, configuration and the paths in all layers of an image of an index.
    pub fn image(&self, entry: &Descriptor) -> (Manifest, serde_json::Value, BTreeMap<String, Vec<u8>>) {
        let manifest: Manifest = serde_json::from_slice(&self.blob(&entry.digest)).expect("a manifest");
        let configuration = serde_json::from_slice(&self.blob(&manifest.config.digest)).expect("a configuration");
        let mut files = BTreeMap::new();
        for layer in &manifest.layers {
            let bytes = self.blob(&layer.digest);
            let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes.as_slice()));
            for entry in archive.entries().expect("a tar") {
                let mut entry = entry.expect("an entry");
                let path = entry.path().expect("a path").display().to_string();
                let mut content = Vec::new();
                std::io::Read::read_to_end(&mut entry, &mut content).expect("content");
                files.insert(path, content);
            }
        }
        (manifest, configuration, files)
    }
}

#[async_trait]
impl Source for Memory {
    async fn resolve(&self, _: &str) -> Result<Option<Descriptor>, ContentError> {
        Ok(None)
    }

    async fn size(&self, digest: &Digest) -> Result<Option<u64>, ContentError> {
        Ok(self
            .blobs
            .lock()
            .expect("not poisoned")
            .get(digest)
            .map(|bytes| bytes.len() as u64))
    }

    async fn read(&self, digest: &Digest, offset: u64) -> Result<BlobReader, ContentError> {
        self.read.fetch_add(1, Ordering::SeqCst);
        let blobs = self.blobs.lock().expect("not poisoned");
        let bytes = blobs.get(digest).ok_or_else(|| ContentError::Missing(digest.clone()))?;
        Ok(Box::pin(std::io::Cursor::new(bytes[offset as usize..].to_vec())))
    }

    async fn referrers(&self, _: &Digest) -> Result<Vec<Descriptor>, ContentError> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl Sink for Memory {
    async fn has(&self, descriptor: &Descriptor) -> Result<bool, ContentError> {
        Ok(self
            .blobs
            .lock()
            .expect("not poisoned")
            .contains_key(&descriptor.digest))
    }

    async fn put(&self, descriptor: &Descriptor, mut bytes: BlobReader) -> Result<(), ContentError> {
        self.unfinished.fetch_add(1, Ordering::SeqCst);
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| ContentError::Failed {
            doing: format!("cannot write {}", descriptor.digest),
            source,
        };
        if let Some(fault) = self.fault {
            return Err(failed(fault.into()));
        }
        let mut all = Vec::new();
        bytes
            .read_to_end(&mut all)
            .await
            .map_err(|error| failed(error.into()))?;
        assert_eq!(
            (Digest::of(&all), all.len() as u64),
            (descriptor.digest.clone(), descriptor.size)
        );
        self.add(all);
        self.written.fetch_add(1, Ordering::SeqCst);
        self.unfinished.fetch_sub(1, Ordering::SeqCst);
        Ok(())
    }

    async fn set(&self, _: &str, _: &Descriptor) -> Result<(), ContentError> {
        Ok(())
    }

    async fn list_referrer(&self, _: &Digest, _: &Descriptor) -> Result<(), ContentError> {
        Ok(())
    }
}
