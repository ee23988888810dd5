//! The arguments of `lkpkg cache …`, and of what travels to registries.

use super::{Format, Progress};
use crate::cli::environment as env;
use clap::{ArgAction, Args, Subcommand, ValueEnum, ValueHint};
use std::path::PathBuf;

/// `lkpkg cache VERB`
#[derive(Debug, Subcommand)]
pub enum CacheVerb {
    /// List the images in the cache
    Ls {
        /// How to print it
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Remove images, and what only they need, from the cache
    Rm {
        /// Names of images
        #[arg(required = true, value_name = "IMAGE")]
        images: Vec<String>,
        /// Only those that their registry has as they are here
        #[arg(long, action = ArgAction::Set, default_value_t)]
        published_only: bool,
    },
    /// Remove all images from the cache
    Clean {
        /// Only those that their registry has as they are here
        #[arg(long, action = ArgAction::Set, default_value_t)]
        published_only: bool,
    },
    /// Write an image of the cache to a file
    Export(ExportArgs),
    /// Read images from a file into the cache
    Import {
        /// OCI archive (tar, or tar.gz, tar.zst), OCI layout directory, or `-` for standard input
        #[arg(value_name = "FILE", value_hint = ValueHint::AnyPath)]
        file: PathBuf,
        /// Name of the image, instead of the one that the file gives it
        #[arg(long, value_name = "IMAGE")]
        name: Option<String>,
    },
    /// Bring images from their registries into the cache; what is there already does not travel again
    Pull(PullArgs),
    /// Send images to their registries; a tag may gain platforms there, and keeps the images that it has
    Push(PushArgs),
    /// Show how much disk the images use
    Du {
        /// How to print it
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Rehash everything in the cache and name what is wrong
    Verify {
        /// How to print it
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
}

/// `lkpkg cache pull`
#[derive(Debug, Args)]
pub struct PullArgs {
    /// Names of images
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<String>,
    /// Platforms to bring, for example linux/amd64,linux/arm64 [default: all that the image has]
    #[arg(long, value_name = "PLATFORMS", value_delimiter = ',')]
    pub platforms: Vec<String>,
    /// Kind of progress output
    #[arg(long, value_enum, default_value_t, env = env::PROGRESS, hide_env_values = true)]
    pub progress: Progress,
}

/// `lkpkg cache push`
#[derive(Debug, Args)]
pub struct PushArgs {
    /// Names of images
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<String>,
    /// Name in the registry, instead of the one in the cache
    #[arg(long, value_name = "IMAGE", default_value = "", hide_default_value = true)]
    pub remote_name: String,
    /// A tag for each platform's image too, TAG-ARCH
    #[arg(long, action = ArgAction::Set, default_value_t)]
    pub with_arch_tags: bool,
    /// Replace images that the tag has for the same platforms
    #[arg(long, action = ArgAction::Set, default_value_t)]
    pub r#override: bool,
    /// How.
    #[command(flatten)]
    pub transfer: TransferArgs,
}

/// Flags of what travels to registries.
#[derive(Clone, Debug, Args)]
pub struct TransferArgs {
    /// Blobs sent at the same time
    #[arg(long, short, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: Option<u16>,
    /// Kind of progress output
    #[arg(long, value_enum, default_value_t, env = env::PROGRESS, hide_env_values = true)]
    pub progress: Progress,
}

/// `lkpkg cache export`
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Name of the image
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// What to write
    #[arg(long, value_enum, default_value_t)]
    pub format: ExportFormat,
    /// Platform to export, or `all` for the whole index (format oci) [default: this machine's]
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<String>,
    /// Where to write it; `-` for standard output
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub outfile: PathBuf,
    /// Another name for the image in the archive
    #[arg(long, value_name = "IMAGE")]
    pub name: Option<String>,
}

/// What `cache export` writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// An OCI archive
    #[default]
    Oci,
    /// An archive for `docker load`
    Docker,
    /// The file system of the image, as tar
    Filesystem,
}
