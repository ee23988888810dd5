//! Images from packages: an image YAML ([`config`]) → a root file system (`Root`) → [`Format`]s, one file a format.
//!
//! The root file system is a stream of entries that is made once; every format takes each entry as it comes. Nothing here
//! knows the store, registries or packages: images come in as [`Inputs`], and their blobs through a function.

pub mod config;
pub mod container;
mod error;
mod format;
mod root;

pub use error::AssembleError;
pub use format::{Compression, Destination, Format, FormatKind};
pub use root::{Image, Inputs, Layout, OpenBlob};

use crate::event::CancellationToken;

/// Makes the root file system and gives it to every format. The files of a format appear when all formats are whole.
///
/// It blocks: call it where that is allowed.
pub fn assemble(
    inputs: Inputs,
    mut formats: Vec<Format>,
    cancel: &CancellationToken,
) -> Result<Vec<std::path::PathBuf>, AssembleError> {
    root::write(inputs, &mut formats, cancel)?;
    let mut finished = Vec::new();
    for format in formats {
        finished.extend(format.finish()?);
    }
    // Nothing bears its final name before everything is there.
    finished
        .into_iter()
        .map(format::Finished::appear)
        .filter_map(Result::transpose)
        .collect()
}
