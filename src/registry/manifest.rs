//! Writing manifests, and asking whether something is there. What may be written where is decided by the callers.

use super::Repository;
use super::body::Body;
use super::error::RegistryError;
use super::repository::MANIFESTS;
use super::request::{Access, Ask};
use super::response::{bounded, media_type, shown, text};
use super::upload::{is_created, same};
use crate::content::{ContentError, DOCUMENT_BYTES_MAX, Document, DocumentError, Source};
use crate::oci::{Descriptor, Digest, Index, Platform};
use bytes::Bytes;
use reqwest::{Method, Response, StatusCode, header};
use tokio::io::AsyncReadExt;

/// The header by which a registry says that it keeps the list of referrers itself (OCI distribution specification,
/// "Pushing Manifests with Subject").
const SUBJECT: &str = "oci-subject";
/// The largest image configuration that is read, in bytes; real ones have some kilobytes.
const CONFIG_BYTES_MAX: u64 = 4 << 20;
/// Pages of a list that are read; a registry that has more is answering in circles.
const PAGES_MAX: usize = 10_000;

impl Repository {
    /// Whether the blob is there; not asked again once it was.
    pub(super) async fn has_blob(&self, digest: &Digest) -> Result<bool, RegistryError> {
        self.has_at(digest, "blobs", "").await
    }

    /// Whether the manifest is there; not asked again once it was.
    pub(super) async fn has_manifest(&self, digest: &Digest) -> Result<bool, RegistryError> {
        self.has_at(digest, "manifests", MANIFESTS).await
    }

    async fn has_at(&self, digest: &Digest, kind: &str, accept: &'static str) -> Result<bool, RegistryError> {
        let places = &self.registry.inner.places;
        if places.has(&self.host, &self.name, digest) {
            return Ok(true);
        }
        let ask = Ask {
            access: Access::Push,
            ..self.ask(Method::HEAD, format!("{kind}/{digest}"), accept)
        };
        let has = self.registry.ask(&ask).await?.is_some();
        if has {
            places.add(&self.host, &self.name, digest);
        }
        Ok(has)
    }

    /// Writes a manifest or an index under a tag or its digest; its children must be there. Gives whether the registry
    /// lists it with its subject, where it has one.
    pub(super) async fn put_manifest(
        &self,
        object: &str,
        descriptor: &Descriptor,
        bytes: &Bytes,
    ) -> Result<bool, RegistryError> {
        let ask = Ask {
            access: Access::Push,
            body: Body::Bytes(bytes.clone()),
            content_type: &descriptor.media_type,
            ..self.ask(Method::PUT, format!("manifests/{object}"), "")
        };
        let response = self.registry.tell(&ask).await?;
        // Some answer 200 here.
        if response.status() != StatusCode::OK {
            is_created(&response)?;
        }
        same(&response, &descriptor.digest)?;
        self.remember([descriptor.digest.clone()]);
        self.registry
            .inner
            .places
            .add(&self.host, &self.name, &descriptor.digest);
        Ok(text(&response, SUBJECT).is_some())
    }

    /// What a tag or digest stands for, and the same as an index. A single manifest becomes an index of one, for the
    /// platform that its configuration names. None where there is no such thing.
    pub async fn index(&self, object: &str) -> Result<Option<(Descriptor, Index)>, RegistryError> {
        let expected = object.parse().ok();
        let Some((stated, bytes)) = self.document(object, expected.as_ref()).await? else {
            return Ok(None);
        };
        let descriptor = Descriptor::of(&stated, &bytes);
        let document = Document::parse(&bytes).map_err(|source| damaged(&descriptor, source))?;
        let index = index_of(self, &descriptor, &document).await?;
        Ok(Some((descriptor, index)))
    }

    /// Reads a list of several pages: `read` gets the body of each. None when there is none (404).
    pub(super) async fn pages(
        &self,
        path: &str,
        accept: &'static str,
        mut read: impl FnMut(&[u8]) -> Result<(), serde_json::Error>,
    ) -> Result<Option<()>, RegistryError> {
        let mut ask = self.ask(Method::GET, path.to_owned(), accept);
        for _ in 0..PAGES_MAX {
            let Some(response) = self.registry.ask(&ask).await? else {
                return Ok(None);
            };
            let url = response.url().clone();
            ask.at = next_page(&response);
            let found = media_type(&response).to_owned();
            let body = bounded(response, DOCUMENT_BYTES_MAX as usize).await?;
            read(&body).map_err(|_| RegistryError::NotARegistry {
                url: shown(&url),
                found: format!("its list is {found:?}"),
            })?;
            if ask.at.is_none() {
                return Ok(Some(()));
            }
        }
        Err(RegistryError::NotARegistry {
            url: format!("{}/v2/{}/{path}", self.host, self.name),
            found: format!("its list has more than {PAGES_MAX} pages"),
        })
    }
}

/// `Link: </v2/x/tags/list?last=1>; rel="next"` (RFC 8288), on the same host.
fn next_page(response: &Response) -> Option<reqwest::Url> {
    let link = text(response, header::LINK.as_str())?;
    let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
    let next = response.url().join(target).ok()?;
    let is_next = parameters.contains("rel=\"next\"") || parameters.contains("rel=next");
    (is_next && next.origin() == response.url().origin()).then_some(next)
}

fn damaged(descriptor: &Descriptor, source: DocumentError) -> ContentError {
    ContentError::Document {
        digest: descriptor.digest.clone(),
        source,
    }
}

/// A document as an index: itself, or an index that has this one manifest, for the platform that its configuration names.
/// The index has the media type of what it was made of.
pub(super) async fn index_of(
    source: &dyn Source,
    descriptor: &Descriptor,
    document: &Document,
) -> Result<Index, ContentError> {
    let manifest = match document {
        Document::Index(index) => return Ok(Index::clone(index)),
        Document::Manifest(manifest) => manifest,
    };
    let mut bytes = Vec::new();
    let config = &manifest.config;
    let reader = source.read(&config.digest, 0).await?;
    let read = reader.take(CONFIG_BYTES_MAX).read_to_end(&mut bytes).await;
    read.map_err(|error| ContentError::Failed {
        doing: format!("read the image configuration {}", config.digest),
        source: Box::new(error),
    })?;
    // An artifact has another configuration, and no platform.
    let platform: Option<Platform> = serde_json::from_slice(&bytes).ok();
    let mut entry = Descriptor::new(document.media_type(), descriptor.digest.clone(), descriptor.size);
    entry.platform = platform.filter(|platform| !platform.os.is_empty());
    Ok(Index {
        media_type: document.media_type().to_owned(),
        ..Index::of(vec![entry])
    })
}
