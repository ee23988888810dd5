//! One repository of a registry, as a source of content.

use super::Registry;
use super::download::Download;
use super::error::RegistryError;
use super::request::{Access, Ask};
use super::response::{bounded, media_type, shown, text};
use crate::content::{BlobReader, ContentError, DOCUMENT_BYTES_MAX, Document, Source};
use crate::oci::{Descriptor, Digest, Reference};
use async_trait::async_trait;
use reqwest::{Method, header};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// What we can read.
pub(super) const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";
/// The header in which registries say what they send.
pub(super) const CONTENT_DIGEST: &str = "docker-content-digest";

/// A repository. Manifests have another address than blobs, so it remembers which digests it has seen as manifests.
/// Cheap to clone.
#[derive(Clone)]
pub struct Repository {
    pub(super) registry: Registry,
    pub(super) host: String,
    pub(super) name: String,
    manifests: Arc<Mutex<BTreeSet<Digest>>>,
    access: Access<'static>,
}

impl Repository {
    pub(super) fn new(registry: Registry, host: &str, name: &str) -> Self {
        Self {
            registry,
            host: host.to_owned(),
            name: name.to_owned(),
            manifests: Arc::default(),
            access: Access::Pull,
        }
    }

    /// The same, for writing: what is read is read from the registry itself and not from a mirror, and the registry is
    /// asked whether we may write.
    pub fn for_writing(&self) -> Self {
        Self {
            access: Access::Push,
            ..self.clone()
        }
    }

    /// Its name with a tag.
    pub(super) fn tagged(&self, tag: &str) -> String {
        format!("{}/{}:{tag}", self.host, self.name)
    }

    pub(super) fn ask(&self, method: Method, path: String, accept: &'static str) -> Ask<'_> {
        Ask {
            accept,
            access: self.access,
            ..Ask::new(method, &self.host, &self.name, path)
        }
    }

    pub(super) fn remember(&self, digests: impl IntoIterator<Item = Digest>) {
        self.manifests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(digests);
    }

    fn is_manifest(&self, digest: &Digest) -> bool {
        self.manifests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(digest)
    }

    /// What a tag or digest stands for: by HEAD, which counts against no limit, and by GET where a registry does not
    /// tell enough that way.
    pub async fn find(&self, object: &str) -> Result<Option<Descriptor>, RegistryError> {
        let path = format!("manifests/{object}");
        match self.registry.ask(&self.ask(Method::HEAD, path, MANIFESTS)).await {
            Ok(None) => return Ok(None),
            Ok(Some(response)) => {
                let digest = text(&response, CONTENT_DIGEST).and_then(|text| text.parse().ok());
                let size = text(&response, header::CONTENT_LENGTH.as_str()).and_then(|text| text.parse().ok());
                let media_type = media_type(&response);
                if let (Some(digest), Some(size), true) = (digest, size, Document::is_type(media_type)) {
                    let found = Descriptor::new(media_type, digest, size);
                    self.remember([found.digest.clone()]);
                    return Ok(Some(found));
                }
            }
            // Not every registry knows HEAD.
            Err(RegistryError::Status { status: 405 | 501, .. }) => {}
            Err(error) => return Err(error),
        }
        let Some((stated, bytes)) = self.document(object, None).await? else {
            return Ok(None);
        };
        Ok(Some(Descriptor::of(&stated, &bytes)))
    }

    /// A manifest by tag or digest, with its media type; checked against `expected`, or else against what the registry
    /// says. Repeated when it breaks off.
    pub(super) async fn document(
        &self,
        object: &str,
        expected: Option<&Digest>,
    ) -> Result<Option<(String, Vec<u8>)>, RegistryError> {
        let ask = self.ask(Method::GET, format!("manifests/{object}"), MANIFESTS);
        let mut attempts = self.registry.inner.retries.begin();
        let (url, stated, stated_type, bytes) = loop {
            let Some(response) = self.registry.ask(&ask).await? else {
                return Ok(None);
            };
            let url = shown(response.url());
            let stated = text(&response, CONTENT_DIGEST).and_then(|text| text.parse::<Digest>().ok());
            let stated_type = media_type(&response).to_owned();
            match bounded(response, DOCUMENT_BYTES_MAX as usize).await {
                Ok(bytes) => break (url, stated, stated_type, bytes),
                Err(broken) => attempts.failed(broken.into()).await?,
            }
        };
        let found = Digest::of(&bytes);
        if let Some(expected) = expected.or(stated.as_ref()).filter(|expected| **expected != found) {
            return Err(RegistryError::Mismatch {
                url,
                expected: expected.clone(),
                found: found.to_string(),
            });
        }
        let media_type = type_of(url, stated_type, &bytes)?;
        if let Ok(document) = Document::parse(&bytes) {
            self.remember([found]);
            self.met(&document);
        }
        Ok(Some((media_type, bytes)))
    }

    /// Remembers what one of its documents points at: what is a manifest, and which blobs can be mounted from here.
    pub(super) fn met(&self, document: &Document) {
        let is_document = |child: &&&Descriptor| Document::is_type(&child.media_type);
        let children = document.children();
        self.remember(children.iter().filter(is_document).map(|child| child.digest.clone()));
        let blobs = children.iter().filter(|child| !is_document(child));
        let places = &self.registry.inner.places;
        places.add_likely(&self.host, &self.name, blobs.map(|child| &child.digest));
    }

    async fn read_manifest(&self, digest: &Digest, offset: u64) -> Result<Option<BlobReader>, RegistryError> {
        let Some((_, bytes)) = self.document(digest.as_str(), Some(digest)).await? else {
            return Ok(None);
        };
        let mut bytes = std::io::Cursor::new(bytes);
        bytes.set_position(offset);
        Ok(Some(Box::pin(bytes)))
    }

    async fn read_blob(&self, digest: &Digest, offset: u64) -> Result<Option<BlobReader>, RegistryError> {
        let path = format!("blobs/{digest}");
        let begun = Download::begin(self, path, offset).await?;
        if begun.is_some() {
            // No more than that: a mirror may have answered.
            self.registry.inner.places.add_likely(&self.host, &self.name, [digest]);
        }
        Ok(begun
            .map(|download| -> BlobReader { Box::pin(tokio_util::io::StreamReader::new(Box::pin(download.stream()))) }))
    }
}

#[async_trait]
impl Source for Repository {
    async fn resolve(&self, name: &str) -> Result<Option<Descriptor>, ContentError> {
        let doing = || format!("ask {} for {name}", self.host);
        let fail = |error: RegistryError| error.into_content(doing());
        let reference: Reference = name.parse().map_err(|source| ContentError::Failed {
            doing: doing(),
            source: Box::new(source),
        })?;
        if (reference.registry(), reference.repository()) != (self.host.as_str(), self.name.as_str()) {
            return Ok(None);
        }
        let object = match reference.digest() {
            Some(digest) => digest.to_string(),
            None => reference.tag().unwrap_or("latest").to_owned(),
        };
        let found = self.find(&object).await.map_err(fail)?;
        if let (Some(found), Some(expected)) = (&found, reference.digest())
            && found.digest != *expected
        {
            return Err(ContentError::Mismatch {
                expected: expected.clone(),
                found: format!("{} gives {}", self.host, found.digest),
            });
        }
        Ok(found)
    }

    async fn size(&self, digest: &Digest) -> Result<Option<u64>, ContentError> {
        let kind = if self.is_manifest(digest) { "manifests" } else { "blobs" };
        let ask = self.ask(Method::HEAD, format!("{kind}/{digest}"), MANIFESTS);
        let response = self.registry.ask(&ask).await;
        let response = response.map_err(|error| error.into_content(format!("ask {} for {digest}", self.host)))?;
        Ok(response.and_then(|response| text(&response, header::CONTENT_LENGTH.as_str())?.parse().ok()))
    }

    async fn read(&self, digest: &Digest, offset: u64) -> Result<BlobReader, ContentError> {
        let fail = |error: RegistryError| error.into_content(format!("read {digest} of {}/{}", self.host, self.name));
        let missing = || ContentError::Missing(digest.clone());
        // A manifest that was not met through its parent is not known as one: so what is no blob may be a manifest.
        if !self.is_manifest(digest)
            && let Some(reader) = self.read_blob(digest, offset).await.map_err(fail)?
        {
            return Ok(reader);
        }
        self.read_manifest(digest, offset)
            .await
            .map_err(fail)?
            .ok_or_else(missing)
    }

    async fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, ContentError> {
        let listed = self.referrers(subject).await;
        listed.map_err(|error| error.into_content(format!("ask {} for what is about {subject}", self.host)))
    }
}

/// The media type of a manifest: as the registry states it, or where it states nothing of use, by what it holds.
fn type_of(url: String, stated: String, bytes: &[u8]) -> Result<String, RegistryError> {
    if Document::is_type(&stated) {
        return Ok(stated);
    }
    match Document::parse(bytes) {
        Ok(document) if Document::is_type(document.media_type()) => Ok(document.media_type().to_owned()),
        _ => Err(RegistryError::NotAManifest {
            url,
            media_type: stated,
        }),
    }
}
