//! Stores and images for the tests of this room.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::Store;
use crate::content::Sink;
use crate::oci::{Descriptor, Digest, Index, Platform, annotation, media_type};
use serde_json::json;
use std::io::Write;
use std::path::Path;

/// A store in a directory of its own.
pub(super) fn store() -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open_within(directory.path(), std::time::Duration::from_millis(200)).unwrap();
    (directory, store)
}

pub(super) async fn put(store: &Store, media_type: &str, bytes: &[u8]) -> Descriptor {
    let descriptor = Descriptor::of(media_type, bytes);
    let reader = Box::pin(std::io::Cursor::new(bytes.to_vec()));
    store.put(&descriptor, reader).await.unwrap();
    descriptor
}

/// A layer of one file.
pub(super) fn layer(path: &str, content: &[u8]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, path, content).unwrap();
    tar.into_inner().unwrap()
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The image of one platform with these layers, each plain, gzip or zstd.
pub(super) async fn image(store: &Store, architecture: &str, layers: &[Vec<u8>]) -> Descriptor {
    let config = json!({"architecture": architecture, "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}});
    let config = put(store, media_type::CONFIG, config.to_string().as_bytes()).await;
    let mut descriptors = Vec::new();
    for bytes in layers {
        let media_type = match bytes.first() {
            Some(0x1f) => media_type::LAYER_GZIP,
            Some(0x28) => media_type::LAYER_ZSTD,
            _ => media_type::LAYER,
        };
        descriptors.push(put(store, media_type, bytes).await);
    }
    let manifest = json!({
        "schemaVersion": 2, "mediaType": media_type::MANIFEST, "config": config, "layers": descriptors,
    });
    put(store, media_type::MANIFEST, manifest.to_string().as_bytes()).await
}

/// What BuildKit exports: an index with, for each architecture, an image that holds `text` and its attestation.
pub(super) async fn exported(store: &Store, architectures: &[&str], text: &str) -> Descriptor {
    let (mut images, mut attestations) = (Vec::new(), Vec::new());
    for architecture in architectures {
        let layer = gzip(&layer("file", format!("{text} for {architecture}").as_bytes()));
        let mut child = image(store, architecture, &[layer]).await;
        child.platform = Some(Platform::linux(architecture));
        attestations.push(attestation(store, &child.digest).await);
        images.push(child);
    }
    let index = Index::of(images.into_iter().chain(attestations).collect());
    put(store, media_type::INDEX, &serde_json::to_vec(&index).unwrap()).await
}

async fn attestation(store: &Store, subject: &Digest) -> Descriptor {
    let config = put(
        store,
        media_type::CONFIG,
        br#"{"architecture":"unknown","os":"unknown"}"#,
    )
    .await;
    let statement = json!({"subject": subject});
    let statement = put(store, "application/vnd.in-toto+json", statement.to_string().as_bytes()).await;
    let manifest = json!({
        "schemaVersion": 2, "mediaType": media_type::MANIFEST, "config": config, "layers": [statement],
    });
    let mut entry = put(store, media_type::MANIFEST, manifest.to_string().as_bytes()).await;
    entry.platform = Some("unknown/unknown".parse().unwrap());
    let annotations = [
        (annotation::REFERENCE_TYPE, "attestation-manifest"),
        (annotation::REFERENCE_DIGEST, subject.as_str()),
    ];
    entry.annotations = annotations
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
    entry
}

/// Builds `name` for these architectures, as the hallway does.
pub(super) async fn build(store: &Store, name: &str, architectures: &[&str], text: &str) -> Descriptor {
    let exported = exported(store, architectures, text).await;
    store.merge_platforms(&name.parse().unwrap(), &exported).await.unwrap()
}

/// Where a blob lies.
pub(super) fn blob(directory: &Path, digest: &Digest) -> std::path::PathBuf {
    directory.join("blobs/sha256").join(digest.hex())
}
