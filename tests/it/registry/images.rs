//! Images as builders make them: for several platforms, each with an attestation that holds an SBoM and a provenance.

use lkpkg::content::Sink;
use lkpkg::oci::{Descriptor, Index, Platform, annotation, media_type};
use serde_json::{Value, json};
use std::io::Cursor;

/// Configuration, layer, and what an attestation has: a configuration and two statements.
pub const BLOBS_A_PLATFORM: usize = 5;

pub async fn put(sink: &dyn Sink, media_type: &str, bytes: &[u8]) -> Descriptor {
    let descriptor = Descriptor::of(media_type, bytes);
    let bytes = Cursor::new(bytes.to_vec());
    sink.put(&descriptor, Box::pin(bytes)).await.unwrap();
    descriptor
}

pub async fn put_index(sink: &dyn Sink, index: &Index) -> Descriptor {
    put(sink, &index.media_type, &serde_json::to_vec(index).unwrap()).await
}

async fn put_manifest(sink: &dyn Sink, config: &Value, layers: &[Descriptor]) -> Descriptor {
    let config = put(sink, media_type::CONFIG, config.to_string().as_bytes()).await;
    let manifest = json!({"schemaVersion": 2, "mediaType": media_type::MANIFEST, "config": config, "layers": layers});
    put(sink, media_type::MANIFEST, manifest.to_string().as_bytes()).await
}

/// The entries of an index: the image `name` for one architecture, and its attestation.
pub async fn attested(sink: &dyn Sink, name: &str, architecture: &str) -> Vec<Descriptor> {
    let layer = format!("layer of {name} for {architecture}");
    let layer = put(sink, media_type::LAYER, layer.as_bytes()).await;
    let config = json!({"os": "linux", "architecture": architecture, "config": {"Labels": {"name": name}}});
    let mut image = put_manifest(sink, &config, &[layer]).await;
    image.platform = Some(Platform::linux(architecture));

    let mut statements = Vec::new();
    for predicate in ["https://spdx.dev/Document", "https://slsa.dev/provenance/v0.2"] {
        let text = json!({"predicateType": predicate, "subject": image.digest}).to_string();
        let mut statement = put(sink, "application/vnd.in-toto+json", text.as_bytes()).await;
        let annotations = &mut statement.annotations;
        annotations.insert(annotation::PREDICATE_TYPE.into(), predicate.into());
        statements.push(statement);
    }
    let config = json!({"os": "unknown", "architecture": "unknown", "rootfs": {"diff_ids": [image.digest]}});
    let mut attestation = put_manifest(sink, &config, &statements).await;
    attestation.platform = Some("unknown/unknown".parse().unwrap());
    let annotations = &mut attestation.annotations;
    annotations.insert(annotation::REFERENCE_TYPE.into(), "attestation-manifest".into());
    annotations.insert(annotation::REFERENCE_DIGEST.into(), image.digest.to_string());
    vec![image, attestation]
}

/// The index of the image `name` for some architectures, attested.
pub async fn image(sink: &dyn Sink, name: &str, architectures: &[&str]) -> (Descriptor, Index) {
    let mut entries = Vec::new();
    for architecture in architectures {
        entries.extend(attested(sink, name, architecture).await);
    }
    let index = Index::of(entries);
    (put_index(sink, &index).await, index)
}
