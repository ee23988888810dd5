//! Descriptor, manifest and index as they stand in JSON.
//!
//! oci-spec's types are not used here: they keep annotations in a hash map, so that what they write has another order
//! in every process, and they drop fields that they do not know.

use super::{Digest, Platform};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Names of annotations.
pub mod annotation {
    /// The name of an image in an OCI layout's `index.json` (OCI image specification, annotations.md).
    pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
    /// The full name that BuildKit and containerd write beside [`REF_NAME`].
    pub const CONTAINERD_IMAGE_NAME: &str = "io.containerd.image.name";
    /// On an entry of an index: what the manifest is; `attestation-manifest` for SBoMs and provenance (BuildKit).
    pub const REFERENCE_TYPE: &str = "vnd.docker.reference.type";
    /// On an entry of an index: the digest of the manifest that an attestation is about (BuildKit).
    pub const REFERENCE_DIGEST: &str = "vnd.docker.reference.digest";
    /// On a layer of an attestation manifest: its in-toto predicate type.
    pub const PREDICATE_TYPE: &str = "in-toto.io/predicate-type";
}

/// A pointer to content (OCI image specification, descriptor.md). Unknown fields are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// Media type of the content.
    pub media_type: String,
    /// Digest of the content.
    pub digest: Digest,
    /// Size of the content in bytes.
    pub size: u64,
    /// Type of an artifact; empty when none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub artifact_type: String,
    /// Platform, on entries of an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Annotations, sorted by key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Every other field.
    #[serde(flatten)]
    pub extra: BTreeMap<String, serde_json::Value>,
}

impl Descriptor {
    /// The descriptor of `bytes`.
    pub fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self::new(media_type, Digest::of(bytes), bytes.len() as u64)
    }

    /// A descriptor without platform and annotations.
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest,
            size,
            artifact_type: String::new(),
            platform: None,
            annotations: BTreeMap::new(),
            extra: BTreeMap::new(),
        }
    }

    /// The name in an OCI layout ([`annotation::REF_NAME`]).
    pub fn ref_name(&self) -> Option<&str> {
        self.annotations.get(annotation::REF_NAME).map(String::as_str)
    }

    /// The digest that this entry of an index attests, when it is one of BuildKit's attestation manifests.
    pub fn attests(&self) -> Option<&str> {
        self.annotations.get(annotation::REFERENCE_DIGEST).map(String::as_str)
    }
}

/// An image index (OCI image specification, image-index.md). Unknown fields are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// [`super::media_type::INDEX`], or empty where an old writer left it out.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    /// Type of an artifact; empty when none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub artifact_type: String,
    /// The children, in their order.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub manifests: Vec<Descriptor>,
    /// The content that this is about, when it is a referrer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Annotations, sorted by key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Every other field.
    #[serde(flatten)]
    pub extra: BTreeMap<String, serde_json::Value>,
}

impl Index {
    /// An index with these children.
    pub fn of(manifests: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: super::media_type::INDEX.to_owned(),
            artifact_type: String::new(),
            manifests,
            subject: None,
            annotations: BTreeMap::new(),
            extra: BTreeMap::new(),
        }
    }

    /// The index as it is written to stores and registries, as an OCI index, with its descriptor.
    pub fn written(&self) -> (Descriptor, Vec<u8>) {
        // Nothing in an index can fail to be written: its maps have strings as keys.
        let bytes = serde_json::to_vec(self).unwrap_or_default();
        (Descriptor::of(super::media_type::INDEX, &bytes), bytes)
    }
}

/// An image manifest (OCI image specification, manifest.md). Unknown fields are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// [`super::media_type::MANIFEST`], or empty where an old writer left it out.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    /// Type of an artifact; empty when none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub artifact_type: String,
    /// The configuration.
    pub config: Descriptor,
    /// The layers, lowest first.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub layers: Vec<Descriptor>,
    /// The content that this is about, when it is a referrer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Annotations, sorted by key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Every other field.
    #[serde(flatten)]
    pub extra: BTreeMap<String, serde_json::Value>,
}

/// Go writes an empty list as `null`.
fn null_is_empty<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Descriptor>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_survive() {
        let text = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"m","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0,"platform":{"os":"linux","architecture":"arm","variant":"v7"},"annotations":{"a":"1","b":"2"},"urls":["u"]}],"later":true}"#;
        let index: Index = serde_json::from_str(text).expect("parses");
        assert_eq!(serde_json::to_string(&index).expect("writes"), text);
    }

    #[test]
    fn null_manifests_are_none() {
        let index: Index = serde_json::from_str(r#"{"schemaVersion":2,"manifests":null}"#).expect("parses");
        assert!(index.manifests.is_empty());
    }
}
