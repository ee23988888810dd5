//! One repository of a registry, as a source of content.

use super::Registry;
use super::download::Download;
use super::error::RegistryError;
use super::request::{Ask, bounded};
use crate::content::{BlobReader, ContentError, Source};
use crate::oci::{Descriptor, Digest, Index, Reference, media_type};
use async_trait::async_trait;
use reqwest::{Method, Response, header};
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// The most that a manifest may have (distribution specification, "Pushing Manifests": 4 MiB is what registries must take).
const MANIFEST_LIMIT_BYTES: u64 = 4 << 20;
/// What we can read.
const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";
/// The header in which registries say what they send.
const CONTENT_DIGEST: &str = "docker-content-digest";

/// A repository. Manifests have another address than blobs, so it remembers which digests it has seen as manifests.
pub struct Repository {
    registry: Registry,
    host: String,
    name: String,
    manifests: Mutex<BTreeSet<Digest>>,
}

impl Repository {
    pub(super) fn new(registry: Registry, host: &str, name: &str) -> Self {
        Self {
            registry,
            host: host.to_owned(),
            name: name.to_owned(),
            manifests: Mutex::default(),
        }
    }

    fn ask(&self, method: Method, path: String, accept: &'static str) -> Ask<'_> {
        Ask {
            method,
            registry: &self.host,
            repository: &self.name,
            path,
            accept,
            offset: 0,
        }
    }

    fn remember(&self, digests: impl IntoIterator<Item = Digest>) {
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
    /// tell the digest.
    async fn find(&self, object: &str) -> Result<Option<Descriptor>, RegistryError> {
        let path = format!("manifests/{object}");
        let Some(response) = self
            .registry
            .ask(&self.ask(Method::HEAD, path.clone(), MANIFESTS))
            .await?
        else {
            return Ok(None);
        };
        let digest = text(&response, CONTENT_DIGEST).and_then(|text| text.parse().ok());
        let size = text(&response, header::CONTENT_LENGTH.as_str()).and_then(|text| text.parse().ok());
        if let (Some(digest), Some(size)) = (digest, size) {
            return Ok(Some(Descriptor::new(&manifest_type(&response)?, digest, size)));
        }
        let Some(response) = self
            .registry
            .ask(&self.ask(Method::GET, path.clone(), MANIFESTS))
            .await?
        else {
            return Ok(None);
        };
        let media_type = manifest_type(&response)?;
        let bytes = bounded(response, &path, MANIFEST_LIMIT_BYTES as usize).await?;
        Ok(Some(Descriptor::of(&media_type, &bytes)))
    }

    /// A manifest's bytes, checked; its children that are manifests are remembered.
    async fn manifest(&self, digest: &Digest) -> Result<Option<Vec<u8>>, RegistryError> {
        let path = format!("manifests/{digest}");
        let Some(response) = self
            .registry
            .ask(&self.ask(Method::GET, path.clone(), MANIFESTS))
            .await?
        else {
            return Ok(None);
        };
        let bytes = bounded(response, &path, MANIFEST_LIMIT_BYTES as usize).await?;
        let found = Digest::of(&bytes);
        if &found != digest {
            return Err(RegistryError::Mismatch {
                url: path,
                expected: digest.clone(),
                found: found.to_string(),
            });
        }
        if let Ok(index) = serde_json::from_slice::<Index>(&bytes) {
            self.remember(index.manifests.into_iter().map(|child| child.digest));
        }
        Ok(Some(bytes))
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
        let object = match reference.digest() {
            Some(digest) => digest.to_string(),
            None => reference.tag().unwrap_or("latest").to_owned(),
        };
        let found = self.find(&object).await.map_err(fail)?;
        self.remember(found.iter().map(|descriptor| descriptor.digest.clone()));
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
        if self.is_manifest(digest) {
            let bytes = self.manifest(digest).await.map_err(fail)?;
            let mut bytes = std::io::Cursor::new(bytes.ok_or_else(|| ContentError::Missing(digest.clone()))?);
            bytes.set_position(offset);
            return Ok(Box::pin(bytes));
        }
        let begun = Download::begin(
            &self.registry,
            &self.host,
            &self.name,
            format!("blobs/{digest}"),
            offset,
        )
        .await;
        let download = begun
            .map_err(fail)?
            .ok_or_else(|| ContentError::Missing(digest.clone()))?;
        Ok(Box::pin(tokio_util::io::StreamReader::new(Box::pin(download.stream()))))
    }
}

fn text<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

/// The media type of a manifest; anything else at its address is an error.
fn manifest_type(response: &Response) -> Result<String, RegistryError> {
    let media_type = text(response, header::CONTENT_TYPE.as_str()).unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim().to_owned();
    if media_type::is_index(&media_type) || media_type::is_manifest(&media_type) {
        return Ok(media_type);
    }
    Err(RegistryError::NotAManifest {
        url: response.url().path().to_owned(),
        media_type,
    })
}
