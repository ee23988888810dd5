//! An image as an OCI layout in a tar file, with or without Docker's `manifest.json`.

use super::super::blobs::CHUNK_BYTES;
use super::super::layout::LAYOUT_JSON;
use super::super::{Inner, StoreError};
use super::failed;
use crate::oci::{Descriptor, Digest, Index, Manifest, annotation};
use serde_json::json;
use std::io::{BufReader, Read, Write};
use tar::{Builder, EntryType, Header};

impl Inner {
    /// Writes everything below `root`, which is called `name` inside. With `docker`, the manifest that `root` is, Docker
    /// can load the file too.
    pub(super) fn write_layout(
        &self,
        root: &Descriptor,
        name: &str,
        docker: Option<&Manifest>,
        output: &mut dyn Write,
    ) -> Result<(), StoreError> {
        let reach = self.reach([root])?;
        if let Some((digest, reason)) = reach.unreadable.into_iter().next() {
            return Err(StoreError::Damaged {
                path: self.blob_path(&digest),
                reason,
            });
        }
        let mut tar = Builder::new(output);
        let index = json_bytes(&Index::of(vec![self.named(root, name)?]));
        add_file(&mut tar, "oci-layout", LAYOUT_JSON.as_bytes())?;
        add_file(&mut tar, "index.json", &index)?;
        if let Some(manifest) = docker {
            add_file(&mut tar, "manifest.json", &docker_manifest(manifest, name))?;
        }
        for directory in ["blobs/", "blobs/sha256/"] {
            add(&mut tar, directory, EntryType::Directory, 0, &[][..])?;
        }
        for (digest, size) in &reach.blobs {
            let descriptor = Descriptor::new("", digest.clone(), *size);
            // The header states the size before the bytes come, so that it has to be right.
            match self.blob_size(digest)? {
                Some(found) if found != *size => {
                    return Err(StoreError::Damaged {
                        path: self.blob_path(digest),
                        reason: format!("{found} bytes instead of {size}"),
                    });
                }
                _ => {}
            }
            let blob = self.open_checked(&descriptor, name)?;
            let mut blob = BufReader::with_capacity(CHUNK_BYTES, blob);
            add(&mut tar, &blob_path(digest), EntryType::Regular, *size, &mut blob)?;
            // The digest is checked at the end of the file, which nobody has read yet.
            std::io::copy(&mut blob, &mut std::io::sink()).map_err(failed)?;
        }
        tar.finish().map_err(failed)
    }

    fn named(&self, root: &Descriptor, name: &str) -> Result<Descriptor, StoreError> {
        let mut entry = root.clone();
        if let Some((_, document)) = self.document(&root.digest)? {
            entry.media_type = document.media_type().to_owned();
        }
        // containerd, Docker and linuxkit look for the one, skopeo and the specification for the other.
        for key in [annotation::REF_NAME, annotation::CONTAINERD_IMAGE_NAME] {
            entry.annotations.insert(key.to_owned(), name.to_owned());
        }
        Ok(entry)
    }
}

/// The `manifest.json` of `docker save`, as Docker writes it since version 25: blobs have their place in the OCI layout.
fn docker_manifest(manifest: &Manifest, name: &str) -> Vec<u8> {
    let layers: Vec<String> = manifest.layers.iter().map(|layer| blob_path(&layer.digest)).collect();
    json_bytes(&json!([{"Config": blob_path(&manifest.config.digest), "RepoTags": [name], "Layers": layers}]))
}

fn blob_path(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm(), digest.hex())
}

fn json_bytes(value: &impl serde::Serialize) -> Vec<u8> {
    // Maps with text for keys can always be written.
    serde_json::to_vec(value).unwrap_or_default()
}

fn add_file(tar: &mut Builder<&mut dyn Write>, path: &str, bytes: &[u8]) -> Result<(), StoreError> {
    add(tar, path, EntryType::Regular, bytes.len() as u64, bytes)
}

fn add(
    tar: &mut Builder<&mut dyn Write>,
    path: &str,
    kind: EntryType,
    size: u64,
    bytes: impl Read,
) -> Result<(), StoreError> {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(if kind == EntryType::Directory { 0o755 } else { 0o644 });
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    tar.append_data(&mut header, path, bytes.take(size)).map_err(failed)
}
