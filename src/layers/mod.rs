//! The layers of an image → its files. The store's export and the assembly of bootable images both read images here.
//!
//! A layer is read once, into a [`Spool`] on disk; which of its entries count is decided when all layers are known
//! ([`Flattener`]), and then the files are read back in their order ([`FileSystem`]). Nothing of the content is held in
//! memory, only paths. Nothing here knows where layers come from, or what becomes of the files.

mod decompress;
mod filesystem;
mod flatten;
mod member;
mod spool;
mod tar_writer;

pub use decompress::decompress;
pub use filesystem::{Content, FileSystem};
pub use flatten::{Flattener, LinkLoop, Path, Place, normalize};
pub use member::{Kind, Member, XATTR};
pub use spool::{Listed, Spool};
pub use tar_writer::TarWriter;

use crate::oci::Digest;
use std::io;
use std::path::PathBuf;

/// Why layers cannot be turned into files.
#[derive(Debug, thiserror::Error)]
pub enum LayersError {
    /// The layer's bytes are not those of a layer, or cannot be read.
    #[error("layer {digest} cannot be unpacked: {source}")]
    Layer {
        /// The layer.
        digest: Digest,
        /// What is wrong with it.
        source: io::Error,
    },
    /// There is no room for the unpacked layer, say.
    #[error("cannot write a temporary file in {}: {source}", directory.display())]
    Scratch {
        /// Where.
        directory: PathBuf,
        /// Why not.
        source: io::Error,
    },
}
