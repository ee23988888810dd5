//! The arguments of `lkpkg sbom …` and of `lkpkg inspect`, as clap sees them.

use super::Format;
use clap::{ArgAction, Args, Subcommand, ValueEnum, ValueHint};
use std::path::PathBuf;

/// `lkpkg sbom VERB`
#[derive(Debug, Subcommand)]
pub enum SbomVerb {
    /// Show what is in an image
    Show(ShowArgs),
    /// Make one SBoM of those of several images; the same images always give the same bytes
    Merge(MergeArgs),
    /// Show how the packages in two images differ
    Diff(DiffArgs),
}

/// `lkpkg sbom show`
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Name of the image
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    pub format: ShowFormat,
    /// Platform whose image is meant [default: this machine's, or the only one]
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<String>,
    /// Where to look for the image
    #[arg(long, value_enum, default_value_t)]
    pub from: From,
}

/// `lkpkg sbom merge`
#[derive(Debug, Args)]
pub struct MergeArgs {
    /// Names of images
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<String>,
    /// Where to write it; `-` for standard output
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub outfile: PathBuf,
    /// What to write
    #[arg(long, value_enum, default_value_t)]
    pub format: MergeFormat,
    /// Platform whose images are meant, or `all` [default: this machine's, or the only one of an image]
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<String>,
    /// Where to look for the images
    #[arg(long, value_enum, default_value_t)]
    pub from: From,
}

/// `lkpkg sbom diff`
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// Name of the first image
    #[arg(value_name = "OLD")]
    pub old: String,
    /// Name of the second image
    #[arg(value_name = "NEW")]
    pub new: String,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// End with exit code 1 where they differ, as `git diff --exit-code` does
    #[arg(long, action = ArgAction::Set, default_value_t)]
    pub exit_code: bool,
    /// Platform whose images are meant [default: this machine's, or the only one of an image]
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<String>,
    /// Where to look for the images
    #[arg(long, value_enum, default_value_t)]
    pub from: From,
}

/// `lkpkg inspect`
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// Name of the image
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Where to look for the image
    #[arg(long, value_enum, default_value_t)]
    pub from: From,
}

/// Where an image is looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum From {
    /// In the cache, and where it is not there, in its registry
    #[default]
    Auto,
    /// In the cache only
    Cache,
    /// In its registry only
    Registry,
}

/// How `sbom show` prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ShowFormat {
    /// The packages, for people
    #[default]
    Table,
    /// The SPDX document as it is; where an image has several, one made of them
    Spdx,
    /// CycloneDX 1.6
    Cyclonedx,
}

/// What `sbom merge` writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum MergeFormat {
    /// SPDX 2.3
    #[default]
    Spdx,
    /// CycloneDX 1.6
    Cyclonedx,
}
