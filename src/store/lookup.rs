//! Finding images by name and platform. [`View`] is `index.json` as it was at one moment.

use super::{Inner, Store, StoreError};
use crate::content::Document;
use crate::oci::merge;
use crate::oci::{Descriptor, Digest, Index, Manifest, Platform, Reference, media_type};
use serde::Deserialize;
use std::collections::BTreeSet;

/// The store's names at one moment: take one for many lookups. Blobs are looked up when they are asked for. What is not
/// there, or only in part, is not found, which is no error; what is damaged is one.
pub struct View<'a> {
    inner: &'a Inner,
    pub(super) index: Index,
}

/// What is completely here of an image.
#[derive(Clone, Debug, PartialEq)]
pub struct Complete {
    /// What the image lists, without what is missing: another platform's image, say, that nobody pulled, and its
    /// attestations.
    pub index: Index,
    /// Whether nothing is missing.
    pub is_whole: bool,
}

/// The part of an image's configuration that says what it runs on.
#[derive(Deserialize)]
struct Config {
    #[serde(flatten)]
    platform: Platform,
}

impl Store {
    /// Reads `index.json`.
    pub fn view(&self) -> Result<View<'_>, StoreError> {
        self.0.view()
    }

    /// What `name` (see [`Reference::store_name`]) points at.
    pub fn resolve_name(&self, name: &str) -> Result<Option<Descriptor>, StoreError> {
        self.view()?.resolve(name)
    }

    /// [`View::platforms_of`], now.
    pub fn platforms_of(&self, name: &str) -> Result<Vec<Platform>, StoreError> {
        self.view()?.platforms_of(name)
    }

    /// [`View::find_manifest`], now.
    pub fn find_manifest(&self, name: &str, platform: &Platform) -> Result<Option<Descriptor>, StoreError> {
        self.view()?.find_manifest(name, platform)
    }

    /// Looks an image up as linuxkit does: by its digest where the reference has one, else by its name.
    pub fn find(&self, reference: &Reference) -> Result<Option<Descriptor>, StoreError> {
        self.view()?.find(reference)
    }

    /// [`View::find_image`], now.
    pub fn find_image(&self, reference: &Reference, platform: &Platform) -> Result<Option<Descriptor>, StoreError> {
        self.view()?.find_image(reference, platform)
    }
}

impl Inner {
    pub(super) fn view(&self) -> Result<View<'_>, StoreError> {
        Ok(View {
            inner: self,
            index: self.read_index()?,
        })
    }

    /// The images and attestations that a root stands for: its index, or an index of the one manifest that it is, with
    /// the platform that its configuration states. None when the root, or that configuration, is not there.
    pub(super) fn index_of(&self, root: &Descriptor) -> Result<Option<Index>, StoreError> {
        match self.document(&root.digest)? {
            None => Ok(None),
            Some((_, Document::Index(index))) => self.with_platforms(*index).map(Some),
            Some((bytes, Document::Manifest(manifest))) => {
                let Some(platform) = self.platform_in_config(&manifest)? else {
                    return Ok(None);
                };
                let media_type = match manifest.media_type.as_str() {
                    "" => media_type::MANIFEST,
                    stated => stated,
                };
                let mut entry = Descriptor::new(media_type, root.digest.clone(), bytes.len() as u64);
                entry.platform = Some(platform);
                Ok(Some(Index::of(vec![entry])))
            }
        }
    }

    /// Adds the platform to images that are listed without one.
    fn with_platforms(&self, mut index: Index) -> Result<Index, StoreError> {
        for entry in &mut index.manifests {
            if entry.platform.is_none()
                && entry.attests().is_none()
                && media_type::is_manifest(&entry.media_type)
                && let Some((_, Document::Manifest(manifest))) = self.document(&entry.digest)?
            {
                entry.platform = self.platform_in_config(&manifest)?;
            }
        }
        Ok(index)
    }

    fn platform_in_config(&self, manifest: &Manifest) -> Result<Option<Platform>, StoreError> {
        let path = self.blob_path(&manifest.config.digest);
        if self.blob_size(&manifest.config.digest)?.is_none() {
            return Ok(None);
        }
        let bytes = super::layout::read_limited(&path, crate::content::DOCUMENT_BYTES_MAX)?;
        // An artifact's configuration can be anything.
        let config: Option<Config> = serde_json::from_slice(&bytes).ok();
        Ok(config
            .map(|config| config.platform)
            .filter(|platform| !platform.os.is_empty() && !platform.architecture.is_empty()))
    }

    /// Whether the image that an entry of an index points at is here with its configuration and all its layers.
    fn is_complete(&self, entry: &Descriptor) -> Result<bool, StoreError> {
        let Some((_, document)) = self.document(&entry.digest)? else {
            return Ok(false);
        };
        for child in document.children() {
            if !self.has_blob(child)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl View<'_> {
    /// All names, sorted.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.index.manifests.iter().filter_map(Descriptor::ref_name).collect();
        names.sort_unstable();
        names
    }

    /// What `name` points at, when that is here.
    pub fn resolve(&self, name: &str) -> Result<Option<Descriptor>, StoreError> {
        self.entry(name).map_or(Ok(None), |entry| self.if_here(entry))
    }

    /// The platforms that an entry lists images for, whether they are here or not. Sorted.
    pub(super) fn listed_platforms(&self, entry: &Descriptor) -> Result<Vec<Platform>, StoreError> {
        let index = self.inner.index_of(entry)?;
        Ok(index.map(|index| merge::platforms(&index)).unwrap_or_default())
    }

    /// What the reference means, when that is here: the content of its digest where it has one, else what its name points
    /// at.
    pub fn find(&self, reference: &Reference) -> Result<Option<Descriptor>, StoreError> {
        match reference.digest() {
            Some(digest) => self.by_digest(digest),
            None => self.resolve(&reference.store_name()),
        }
    }

    /// The platforms for which `name` is completely here: manifest, configuration and every layer in its full length.
    /// Nothing is hashed but manifests. Sorted.
    pub fn platforms_of(&self, name: &str) -> Result<Vec<Platform>, StoreError> {
        self.entry(name)
            .map_or(Ok(Vec::new()), |root| self.complete_platforms(root))
    }

    /// [`Self::platforms_of`] for content that may have no name.
    pub fn complete_platforms(&self, root: &Descriptor) -> Result<Vec<Platform>, StoreError> {
        let complete = self.complete(root)?;
        Ok(complete.map(|part| merge::platforms(&part.index)).unwrap_or_default())
    }

    /// What is completely here of the images that `root` stands for. None when `root` itself is not here.
    pub fn complete(&self, root: &Descriptor) -> Result<Option<Complete>, StoreError> {
        let Some(mut index) = self.inner.index_of(root)? else {
            return Ok(None);
        };
        let listed = std::mem::take(&mut index.manifests);
        let count = listed.len();
        for entry in listed {
            if self.inner.is_complete(&entry)? {
                index.manifests.push(entry);
            }
        }
        let images: BTreeSet<_> = index.manifests.iter().map(|entry| entry.digest.to_string()).collect();
        let is_about_something = |entry: &Descriptor| entry.attests().is_none_or(|image| images.contains(image));
        index.manifests.retain(is_about_something);
        Ok(Some(Complete {
            is_whole: index.manifests.len() == count,
            index,
        }))
    }

    /// The manifest of `name` for a platform, when it is completely here. The variant does not count.
    pub fn find_manifest(&self, name: &str, platform: &Platform) -> Result<Option<Descriptor>, StoreError> {
        let Some(root) = self.entry(name) else {
            return Ok(None);
        };
        let index = self.inner.index_of(root)?.unwrap_or_else(|| Index::of(Vec::new()));
        for entry in index.manifests {
            if merge::image_platform(&entry).is_some_and(|own| own.matches(platform))
                && self.inner.is_complete(&entry)?
            {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// The manifest of what the reference means, when it is completely here: of an index that for the platform, while a
    /// digest of one image means that image.
    pub fn find_image(&self, reference: &Reference, platform: &Platform) -> Result<Option<Descriptor>, StoreError> {
        let Some(root) = self.find(reference)? else {
            return Ok(None);
        };
        let index = self.inner.index_of(&root)?.unwrap_or_else(|| Index::of(Vec::new()));
        for entry in index.manifests {
            let is_for = |own: &Platform| own.matches(platform) || entry.digest == root.digest;
            if merge::image_platform(&entry).is_some_and(is_for) && self.inner.is_complete(&entry)? {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// The entry of a name, whether its content is here or not.
    pub(super) fn entry(&self, name: &str) -> Option<&Descriptor> {
        self.index.manifests.iter().find(|entry| entry.ref_name() == Some(name))
    }

    fn if_here(&self, entry: &Descriptor) -> Result<Option<Descriptor>, StoreError> {
        Ok(self.inner.blob_size(&entry.digest)?.map(|_| entry.clone()))
    }

    fn by_digest(&self, digest: &Digest) -> Result<Option<Descriptor>, StoreError> {
        if let Some(entry) = self.index.manifests.iter().find(|entry| entry.digest == *digest) {
            return self.if_here(entry);
        }
        // Not a root of its own: the manifest of one platform, for example.
        let document = self.inner.document(digest)?;
        Ok(
            document
                .map(|(bytes, document)| Descriptor::new(document.media_type(), digest.clone(), bytes.len() as u64)),
        )
    }
}
