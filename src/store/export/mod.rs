//! Writing an image into a tar file: [`ExportFormat`] says which. The same image gives the same bytes every time.

mod filesystem;
mod flatten;
mod layout;

pub(super) use filesystem::decompress;

use super::blobs::{CHUNK_BYTES, Stoppable};
use super::{Inner, Store, StoreError};
use crate::content::Document;
use crate::event::CancellationToken;
use crate::oci::merge;
use crate::oci::{Descriptor, Manifest, Platform, Reference};
use std::io::{self, BufWriter, Write};
use std::str::FromStr;

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

impl FromStr for ExportFormat {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "oci" => Ok(Self::Oci),
            "docker" => Ok(Self::Docker),
            "filesystem" => Ok(Self::Filesystem),
            other => Err(format!("unknown format {other:?}: one of oci, docker, filesystem")),
        }
    }
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
        let (reference, options, cancel) = (reference.clone(), options.clone(), cancel.clone());
        self.blocking(move |inner| {
            let mut output = Stoppable { inner: output, cancel };
            let result = inner.export(&reference, &options, &mut output);
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
        let mut output = BufWriter::with_capacity(CHUNK_BYTES, output);
        let platform = match (options.format, &options.platform) {
            (ExportFormat::Oci, None) => None,
            (_, None) => Some(Platform::host()),
            (_, Some(platform)) => Some(platform.clone()),
        };
        let Some(platform) = platform else {
            self.write_layout(&root, &name, None, &mut output)?;
            return output.flush().map_err(failed);
        };
        let image = self.image_for(&root, &stored, &platform)?;
        match options.format {
            ExportFormat::Oci => self.write_layout(&image, &name, None, &mut output)?,
            ExportFormat::Docker => {
                let manifest = self.manifest(&image, &stored)?;
                self.write_layout(&image, &name, Some(&manifest), &mut output)?;
            }
            ExportFormat::Filesystem => {
                let manifest = self.manifest(&image, &stored)?;
                self.write_filesystem(&manifest.layers, &stored, &mut output)?;
            }
        }
        output.flush().map_err(failed)
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
