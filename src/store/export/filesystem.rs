//! An image's file system as one tar file.

use super::super::blobs::CHUNK_BYTES;
use super::super::{Inner, StoreError};
use crate::layers::{FileSystem, Flattener, LayersError, Spool, TarWriter};
use crate::oci::Descriptor;
use std::collections::BTreeMap;
use std::io::{self, Read, Write};

impl Inner {
    pub(super) fn write_filesystem(
        &self,
        layers: &[Descriptor],
        name: &str,
        output: &mut dyn Write,
    ) -> Result<(), StoreError> {
        let (mut flattener, mut spools) = (Flattener::default(), BTreeMap::new());
        for layer in layers {
            let blob = self.open_checked(layer, name)?;
            let (spool, entries) = Spool::read(blob, &layer.digest, &self.directory).map_err(unpacking)?;
            spools.insert(flattener.next_layer(), spool);
            flattener.apply(&entries).map_err(|error| StoreError::Layer {
                digest: layer.digest.clone(),
                source: io::Error::other(error),
            })?;
        }
        let mut tar = TarWriter::new(output);
        let mut buffer = vec![0; CHUNK_BYTES];
        FileSystem::new(flattener, spools)
            .each(|path, layer, member, mut content| {
                if layer.is_none() {
                    // Whoever unpacks it makes directories that are not listed, by their own rules.
                    return Ok(());
                }
                tar.begin(path, &member)?;
                while let count @ 1.. = content.read(&mut buffer)? {
                    tar.data(&buffer[..count])?;
                }
                tar.end()
            })
            .map_err(super::failed)?;
        tar.finish().map(drop).map_err(super::failed)
    }
}

/// Whose error it is can be told from what it carries.
fn unpacking(error: LayersError) -> StoreError {
    match error {
        LayersError::Layer { digest, source } => match source.downcast::<StoreError>() {
            Ok(error) => error,
            Err(source) => StoreError::Layer { digest, source },
        },
        LayersError::Scratch { directory, source } => StoreError::io("write to", &directory, source),
    }
}
