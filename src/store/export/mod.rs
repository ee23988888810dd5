//! Writing an image into a tar file: [`ExportFormat`] says which. The same image gives the same bytes every time.

mod filesystem;
mod layout;

use super::blobs::{CHUNK_BYTES, Stoppable};
use super::{Inner, Store, StoreError};
use crate::content::Document;
use crate::event::CancellationToken;
use crate::oci::merge;
use crate::oci::{Descriptor, Manifest, Platform, Reference};
use layout::Member;
use std::io::{self, BufWriter, Write};

/// What an export looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// An OCI layout in a tar file.
    Oci,
    /// What `docker load` takes: an OCI layout with Docker's `manifest.json` beside it.
    Docker,
    /// The files of the image, its layers applied one upon the other.
    Filesystem,
}

/// What is exported, and how.
#[derive(Clone, Debug)]
pub struct ExportOptions {
    /// What the export looks like.
    pub format: ExportFormat,
    /// The platform whose image is exported. None: all of them with their attestations for [`ExportFormat::Oci`]; this
    /// machine's for the others.
    pub platform: Option<Platform>,
    /// The name that the export has inside; None: the name in the store.
    pub name: Option<Reference>,
}

impl Store {
    /// Writes the image `reference` into `output`, as it goes, and gives `output` back. On an error, or when cancelled,
    /// what was written so far is of no use.
    pub async fn export<W: Write + Send + 'static>(
        &self,
        reference: &Reference,
        options: &ExportOptions,
        output: W,
        cancel: &CancellationToken,
    ) -> Result<W, StoreError> {
        let (reference, options) = (reference.clone(), options.clone());
        self.write_with(output, cancel, move |inner, output| {
            inner.export(&reference, &options, output)
        })
        .await
    }

    /// Writes several images into one archive for `docker load`, as [`Self::export`] does with one. Each is the manifest of
    /// one platform, see [`Self::find_image`], with the name that it has inside, if any.
    pub async fn export_images<W: Write + Send + 'static>(
        &self,
        images: Vec<(Descriptor, Option<Reference>)>,
        output: W,
        cancel: &CancellationToken,
    ) -> Result<W, StoreError> {
        self.write_with(output, cancel, move |inner, output| inner.export_images(images, output))
            .await
    }

    async fn write_with<W: Write + Send + 'static>(
        &self,
        output: W,
        cancel: &CancellationToken,
        work: impl FnOnce(&Inner, &mut dyn Write) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<W, StoreError> {
        let mut output = Stoppable {
            inner: output,
            cancel: cancel.clone(),
        };
        self.blocking(move |inner| {
            let mut buffered = BufWriter::with_capacity(CHUNK_BYTES, &mut output);
            let result = work(inner, &mut buffered).and_then(|()| buffered.flush().map_err(failed));
            // What is left in it after an error is of no use; its writer may be the reason.
            let _ = buffered.into_parts();
            if output.cancel.is_cancelled() {
                return Err(StoreError::Cancelled);
            }
            result.map(|()| output.inner)
        })
        .await
    }
}

impl Inner {
    fn export(&self, reference: &Reference, options: &ExportOptions, output: &mut dyn Write) -> Result<(), StoreError> {
        let stored = reference.store_name();
        let root = self.view()?.find(reference)?;
        let root = root.ok_or_else(|| StoreError::NotFound { name: stored.clone() })?;
        let name = options
            .name
            .as_ref()
            .map_or_else(|| stored.clone(), Reference::store_name);
        let platform = match (options.format, &options.platform) {
            (ExportFormat::Oci, None) => None,
            (_, None) => Some(Platform::host()),
            (_, Some(platform)) => Some(platform.clone()),
        };
        let root = match platform {
            Some(platform) => self.image_for(&root, &stored, &platform)?,
            None => root,
        };
        let docker = match options.format {
            ExportFormat::Oci => None,
            ExportFormat::Docker => Some(self.manifest(&root, &stored)?),
            ExportFormat::Filesystem => {
                let manifest = self.manifest(&root, &stored)?;
                return self.write_filesystem(&manifest.layers, &stored, output);
            }
        };
        let name = Some(name);
        self.write_layout(&[Member { root, name, docker }], output)
    }

    fn export_images(
        &self,
        images: Vec<(Descriptor, Option<Reference>)>,
        output: &mut dyn Write,
    ) -> Result<(), StoreError> {
        let member = |(root, name): (Descriptor, Option<Reference>)| {
            let name = name.as_ref().map(Reference::store_name);
            let manifest = self.manifest(&root, name.as_deref().unwrap_or(root.digest.as_str()))?;
            let docker = Some(manifest);
            Ok(Member { root, name, docker })
        };
        let members = images.into_iter().map(member).collect::<Result<Vec<_>, StoreError>>()?;
        self.write_layout(&members, output)
    }

    fn image_for(&self, root: &Descriptor, name: &str, platform: &Platform) -> Result<Descriptor, StoreError> {
        let index = self.index_of(root)?.ok_or_else(|| StoreError::Missing {
            digest: root.digest.clone(),
            needed_by: name.to_owned(),
        })?;
        let is_wanted = |entry: &&Descriptor| merge::image_platform(entry).is_some_and(|own| own.matches(platform));
        let found = index.manifests.iter().find(is_wanted).cloned();
        found.ok_or_else(|| StoreError::NoPlatform {
            name: name.to_owned(),
            platform: Box::new(platform.clone()),
            found: merge::platforms(&index),
        })
    }

    fn manifest(&self, image: &Descriptor, name: &str) -> Result<Box<Manifest>, StoreError> {
        match self.document(&image.digest)? {
            Some((_, Document::Manifest(manifest))) => Ok(manifest),
            Some((_, Document::Index(_))) => Err(StoreError::Damaged {
                path: self.blob_path(&image.digest),
                reason: "it is an index where an image was expected".to_owned(),
            }),
            None => Err(StoreError::Missing {
                digest: image.digest.clone(),
                needed_by: name.to_owned(),
            }),
        }
    }
}

/// An error while copying from the store to the output: the store's own when it was the store's.
fn failed(error: io::Error) -> StoreError {
    match error.downcast::<StoreError>() {
        Ok(error) => error,
        Err(error) => StoreError::Output(error),
    }
}

#[cfg(test)]
mod tests;
