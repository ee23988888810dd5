//! What can go wrong when an image is assembled.

use crate::layers::LayersError;
use crate::yaml::Diagnostic;
use std::io;
use std::path::{Path, PathBuf};

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// The image YAMLs do not hold.
    #[error("{}", list(.0))]
    Yaml(Vec<Diagnostic>),
    /// An image that does not do for what it is wanted for.
    #[error("{location}: the image {image} {reason}")]
    Image {
        /// The image.
        image: String,
        /// Where the YAML names it: `services[1]`.
        location: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An image that cannot be unpacked.
    #[error("{location}: cannot unpack the image {image}: {source}")]
    Unpack {
        /// The image.
        image: String,
        /// Where the YAML names it.
        location: String,
        /// Why.
        source: Box<LayersError>,
    },
    /// A file of `files` that is not as it should be.
    #[error("{location}: cannot read {}: {source}", path.display())]
    Source {
        /// The file on this machine.
        path: PathBuf,
        /// Where the YAML names it.
        location: String,
        /// Why not.
        source: io::Error,
    },
    /// What was unpacked on disk could not be read back.
    #[error("cannot read back what was unpacked: {0}")]
    Scratch(#[from] io::Error),
    /// The image could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Output {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A format that there cannot be here.
    #[error("{0}")]
    Format(String),
    /// The user changed their mind.
    #[error("cancelled")]
    Cancelled,
}

impl AssembleError {
    /// The program's exit code for this error: 1 failed, 2 bad input, 4 the cache is damaged, 130 cancelled.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Scratch(_) | Self::Output { .. } => 1,
            Self::Yaml(_) | Self::Image { .. } | Self::Source { .. } | Self::Format(_) => 2,
            Self::Unpack { source, .. } => match **source {
                LayersError::Layer { .. } => 4,
                LayersError::Scratch { .. } => 1,
            },
            Self::Cancelled => 130,
        }
    }

    pub(super) fn output(path: &Path, source: io::Error) -> Self {
        Self::Output {
            path: path.to_owned(),
            source,
        }
    }
}

fn list(problems: &[Diagnostic]) -> String {
    let texts: Vec<String> = problems.iter().map(Diagnostic::to_string).collect();
    texts.join("\n")
}
