//! The arguments of `lkpkg assemble`, as clap sees them.

use super::Progress;
use crate::cli::environment as env;
use clap::{ArgAction, Args, ValueEnum, ValueHint};
use std::path::PathBuf;

/// `lkpkg assemble`
#[derive(Clone, Debug, Args)]
pub struct AssembleArgs {
    /// Image YAMLs, merged in their order: files, URLs, or `-` for standard input
    #[arg(required_unless_present = "schema", value_name = "FILE", value_hint = ValueHint::AnyPath)]
    pub files: Vec<String>,
    /// Formats to write: tar, docker, tar-kernel-initrd, kernel+initrd [default: kernel+initrd; with -o tar]
    #[arg(long, short, value_name = "FORMATS", value_delimiter = ',')]
    pub format: Vec<String>,
    /// What the names of written files begin with [default: the name of the last YAML]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Directory for written files [default: the current one]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub dir: Option<PathBuf>,
    /// File to write the one format to, tar or docker; `-` for standard output
    #[arg(long = "o", short = 'o', visible_alias = "output", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// Architecture to assemble for, amd64 say [default: this machine's]
    #[arg(long, value_name = "ARCH", conflicts_with = "platform")]
    pub arch: Option<String>,
    /// The same as a platform, linux/amd64 say
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<String>,
    /// Ask registries for images even where the cache has them
    #[arg(long, action = ArgAction::Set, default_value_t)]
    pub pull: bool,
    /// Print the YAML, merged and with the tags of packages, and do no more
    #[arg(long, action = ArgAction::Set, default_value_t)]
    pub dry_run: bool,
    /// Unpack a kernel that is compressed
    #[arg(long, action = ArgAction::Set, default_value_t)]
    pub decompress_kernel: bool,
    /// How the initial RAM disk is compressed
    #[arg(long, value_enum, default_value_t)]
    pub initrd_compression: InitrdCompression,
    /// Put no merged SBoM into the root
    #[arg(long, action = ArgAction::Set, default_value_t)]
    pub no_sbom: bool,
    /// Name of the merged SBoM in the root
    #[arg(long, value_name = "PATH", default_value = "sbom.spdx.json")]
    pub sbom_output: String,
    /// Let the merged SBoM say that it was made now; the same input then gives other bytes each time
    #[arg(long, action = ArgAction::Set, default_value_t)]
    pub sbom_current_time: bool,
    /// Print the JSON schema of image YAMLs, and do no more
    #[arg(long, action = ArgAction::Set, default_value_t)]
    pub schema: bool,
    /// Kind of progress output
    #[arg(long, value_enum, default_value_t, env = env::PROGRESS, hide_env_values = true)]
    pub progress: Progress,
}

/// How an initial RAM disk is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum InitrdCompression {
    /// On all cores; every kernel reads it
    #[default]
    Gzip,
    /// Faster to write and to read; for kernels since 5.9
    Zstd,
    /// Not at all
    None,
}
