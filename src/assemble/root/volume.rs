//! Volumes: `containers/volumes/NAME` with what fills them (`lower`), and the places where they are mounted.

use super::ahead::Ahead;
use super::image::{self, Resolv};
use super::stream::Stream;
use super::{AssembleError, Inputs, OpenBlob, Order, TIME, origin};
use crate::assemble::config::Volume;
use crate::layers::{Kind, Member};
use crate::oci::Descriptor;

/// What the records of directories that no image has call their source, as linuxkit has it.
const SOURCE: &str = "linuxkit.volumes";

/// An OCI layout, file by file.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// Small files that are made for it, by path.
    pub documents: Vec<(String, Vec<u8>)>,
    /// Blobs.
    pub blobs: Vec<Descriptor>,
}

pub(super) fn location(number: usize) -> String {
    format!("volume[{number}]")
}

/// Writes a volume.
pub(super) fn write(
    inputs: &Inputs,
    number: usize,
    volume: &Volume,
    order: &Order,
    ahead: &Ahead,
    stream: &mut Stream<'_>,
) -> Result<(), AssembleError> {
    let location = location(number);
    let base = format!("containers/volumes/{}", volume.name);
    let lower = format!("{base}/lower");
    let source = if volume.image.is_empty() {
        "empty"
    } else {
        &volume.image
    };
    let own = origin(source, &location);
    stream.directory(&lower, &own)?;
    if let Some(layers) = order.others.get(&location) {
        let unpacked = image::unpack(ahead, layers.clone(), 0, source, &location)?;
        image::write(unpacked, &format!("{lower}/"), Resolv::Link, &[], &own, stream)?;
    } else if let Some(layout) = inputs.layouts.get(&volume.name) {
        for directory in ["blobs", "blobs/sha256"] {
            stream.directory(&format!("{lower}/{directory}"), &own)?;
        }
        for (path, bytes) in &layout.documents {
            stream.file(&format!("{lower}/{path}"), bytes, &own)?;
        }
        for blob in &layout.blobs {
            let path = format!("{lower}/blobs/sha256/{}", blob.digest.hex());
            let mut content = open(&inputs.open, blob)?;
            let member = Member::new(Kind::File, 0o644, TIME, blob.size);
            stream.entry(path.as_bytes(), &member, &own, &mut content)?;
        }
    }
    let made = origin(SOURCE, &location);
    for directory in ["tmp", "merged"] {
        stream.directory(&format!("{base}/{directory}"), &made)?;
    }
    Ok(())
}

fn open(open: &OpenBlob, blob: &Descriptor) -> Result<Box<dyn std::io::Read + Send>, AssembleError> {
    Ok(open(blob)?)
}
