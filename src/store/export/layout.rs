//! An image as an OCI layout in a tar file, with or without Docker's `manifest.json`.

use super::super::blobs::CHUNK_BYTES;
use super::super::layout::LAYOUT_JSON;
use super::super::{Inner, StoreError};
use super::failed;
use crate::oci::{Descriptor, Digest, Index, Manifest, annotation};
use serde_json::json;
use std::io::{BufReader, Read, Write};
use tar::{Builder, EntryType, Header};

/// What a layout has an entry for.
pub(super) struct Member {
    /// An index or the manifest of an image.
    pub(super) root: Descriptor,
    /// What it is called inside; None: it has no name there.
    pub(super) name: Option<String>,
    /// The manifest that `root` is, where Docker shall be able to load it.
    pub(super) docker: Option<Box<Manifest>>,
}

impl Member {
    fn text(&self) -> &str {
        self.name.as_deref().unwrap_or(self.root.digest.as_str())
    }
}

impl Inner {
    /// Writes the members and everything below them, each blob once.
    pub(super) fn write_layout(&self, members: &[Member], output: &mut dyn Write) -> Result<(), StoreError> {
        let reach = self.reach(members.iter().map(|member| &member.root))?;
        if let Some((digest, reason)) = reach.unreadable.into_iter().next() {
            return Err(StoreError::Damaged {
                path: self.blob_path(&digest),
                reason,
            });
        }
        let mut tar = Builder::new(output);
        let entries = members.iter().map(|member| self.entry_of(member));
        let index = json_bytes(&Index::of(entries.collect::<Result<_, _>>()?));
        add_file(&mut tar, "oci-layout", LAYOUT_JSON.as_bytes())?;
        add_file(&mut tar, "index.json", &index)?;
        if members.iter().any(|member| member.docker.is_some()) {
            add_file(&mut tar, "manifest.json", &docker_manifest(members))?;
        }
        for directory in ["blobs/", "blobs/sha256/"] {
            add(&mut tar, directory, EntryType::Directory, 0, &[][..])?;
        }
        let names: Vec<&str> = members.iter().map(Member::text).collect();
        let needed_by = names.join(", ");
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
            let blob = self.open_checked(&descriptor, &needed_by)?;
            let mut blob = BufReader::with_capacity(CHUNK_BYTES, blob);
            add(&mut tar, &blob_path(digest), EntryType::Regular, *size, &mut blob)?;
            // The digest is checked at the end of the file, which nobody has read yet.
            std::io::copy(&mut blob, &mut std::io::sink()).map_err(failed)?;
        }
        tar.finish().map_err(failed)
    }

    fn entry_of(&self, member: &Member) -> Result<Descriptor, StoreError> {
        let mut entry = member.root.clone();
        if let Some((_, document)) = self.document(&entry.digest)? {
            entry.media_type = document.media_type().to_owned();
        }
        // containerd, Docker and linuxkit look for the one, skopeo and the specification for the other.
        for key in [annotation::REF_NAME, annotation::CONTAINERD_IMAGE_NAME] {
            entry.annotations.remove(key);
            if let Some(name) = &member.name {
                entry.annotations.insert(key.to_owned(), name.clone());
            }
        }
        Ok(entry)
    }
}

/// The `manifest.json` of `docker save`, as Docker writes it since version 25: blobs have their place in the OCI layout.
fn docker_manifest(members: &[Member]) -> Vec<u8> {
    let images = members.iter().filter_map(|member| {
        let manifest = member.docker.as_deref()?;
        let layers: Vec<String> = manifest.layers.iter().map(|layer| blob_path(&layer.digest)).collect();
        let names = member.name.as_ref().map(std::slice::from_ref);
        Some(json!({"Config": blob_path(&manifest.config.digest), "RepoTags": names, "Layers": layers}))
    });
    json_bytes(&images.collect::<Vec<_>>())
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
