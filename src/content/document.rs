//! A manifest or an index, told apart by what it holds and not by what somebody says it is.

use super::{ContentError, Source};
use crate::oci::{Descriptor, Index, Manifest, media_type};
use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;
use tokio::io::AsyncReadExt;

/// The largest manifest or index that is read, in bytes: what the distribution specification says a registry should
/// take at least, and registries do take at most.
pub const DOCUMENT_BYTES_MAX: u64 = 4 << 20;

/// A manifest or an index.
#[derive(Clone, Debug, PartialEq)]
pub enum Document {
    /// A list of manifests.
    Index(Box<Index>),
    /// One image, or one attestation.
    Manifest(Box<Manifest>),
}

/// Why bytes are neither a manifest nor an index.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// Not the JSON that was expected.
    #[error("neither an image manifest nor an index: {0}")]
    Json(#[from] serde_json::Error),
    /// Fields of both or of neither.
    #[error("neither an image manifest nor an index: it has {0}")]
    Shape(&'static str),
    /// Larger than [`DOCUMENT_BYTES_MAX`].
    #[error("an image manifest or index of {0} bytes is too large, at most {DOCUMENT_BYTES_MAX} are read")]
    TooLarge(u64),
}

#[derive(Deserialize)]
struct Shape {
    manifests: Option<IgnoredAny>,
    config: Option<IgnoredAny>,
    layers: Option<IgnoredAny>,
}

impl Document {
    /// Whether content of this type is a document, so that it has children.
    pub fn is_type(media_type: &str) -> bool {
        media_type::is_index(media_type) || media_type::is_manifest(media_type)
    }

    /// Reads a document. One that could be read both ways is refused (OCI image specification, manifest.md, on ambiguous
    /// documents).
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        let shape: Shape = serde_json::from_slice(bytes)?;
        match (
            shape.manifests.is_some(),
            shape.config.is_some() || shape.layers.is_some(),
        ) {
            (true, false) => Ok(Self::Index(Box::new(serde_json::from_slice(bytes)?))),
            (false, true) => Ok(Self::Manifest(Box::new(serde_json::from_slice(bytes)?))),
            (true, true) => Err(DocumentError::Shape("both manifests and layers")),
            (false, false) => Err(DocumentError::Shape("no manifests and no layers")),
        }
    }

    /// Its media type; where an old writer left it out, OCI's.
    pub fn media_type(&self) -> &str {
        let (stated, default) = match self {
            Self::Index(index) => (&index.media_type, media_type::INDEX),
            Self::Manifest(manifest) => (&manifest.media_type, media_type::MANIFEST),
        };
        if stated.is_empty() { default } else { stated }
    }

    /// What it points at: manifests, or configuration and layers. Not its subject, which is nothing it needs.
    pub fn children(&self) -> Vec<&Descriptor> {
        match self {
            Self::Index(index) => index.manifests.iter().collect(),
            Self::Manifest(manifest) => std::iter::once(&manifest.config).chain(&manifest.layers).collect(),
        }
    }
}

/// Reads the document that `descriptor` points at, checked against its digest: its raw bytes and what they say.
pub async fn read_document(source: &dyn Source, descriptor: &Descriptor) -> Result<(Bytes, Document), ContentError> {
    let digest = &descriptor.digest;
    let damaged = |source| ContentError::Document {
        digest: digest.clone(),
        source,
    };
    if descriptor.size > DOCUMENT_BYTES_MAX {
        return Err(damaged(DocumentError::TooLarge(descriptor.size)));
    }
    let mut bytes = Vec::new();
    source
        .read(digest, 0)
        .await?
        .take(DOCUMENT_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .await
        .map_err(|e| super::copy::unreadable(digest, e))?;
    let found = Descriptor::of(&descriptor.media_type, &bytes);
    super::copy::compare(descriptor, &found.digest, found.size)?;
    let document = Document::parse(&bytes).map_err(damaged)?;
    Ok((bytes.into(), document))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_holds_decides_what_it_is() {
        let check = |text: &str, wanted: Result<&str, &str>| match (Document::parse(text.as_bytes()), wanted) {
            (Ok(document), Ok(media_type)) => assert_eq!(document.media_type(), media_type),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (found, _) => panic!("{text}: {found:?}"),
        };
        let config = r#"{"mediaType":"c","size":0,"digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}"#;
        check(r#"{"schemaVersion":2,"manifests":[]}"#, Ok(media_type::INDEX));
        check(
            r#"{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.list.v2+json","manifests":[]}"#,
            Ok(media_type::DOCKER_MANIFEST_LIST),
        );
        check(
            &format!(r#"{{"schemaVersion":2,"config":{config},"layers":[]}}"#),
            Ok(media_type::MANIFEST),
        );
        check(
            &format!(r#"{{"schemaVersion":2,"manifests":[],"config":{config},"layers":[]}}"#),
            Err("both manifests and layers"),
        );
        check("{}", Err("no manifests and no layers"));
        check("truncated", Err("neither"));
    }
}
