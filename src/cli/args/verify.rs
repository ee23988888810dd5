//! The arguments of `lkpkg verify`, as clap sees them.

use super::sbom::From;
use super::{BuilderArgs, Format, PackageArgs, PlatformArgs, Progress};
use crate::cli::environment as env;
use clap::{Args, ValueHint};
use std::path::PathBuf;

/// `lkpkg verify`
#[derive(Clone, Debug, Args)]
pub struct VerifyArgs {
    /// Name of the image
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// Directory of the package that it is said to be made of
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub directory: PathBuf,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Where to look for the image
    #[arg(long, value_enum, default_value = "registry")]
    pub from: From,
    /// File of build args, one KEY=VALUE a line, over those of build.yml. May be repeated
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub build_arg_file: Vec<PathBuf>,
    /// Dockerfile instead of build.yml's, inside the package
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub dockerfile: Option<PathBuf>,
    /// A secret for RUN --mount=type=secret: id=ID,src=FILE or id=ID,env=VARIABLE. May be repeated
    #[arg(long, value_name = "SECRET")]
    pub secret: Vec<String>,
    /// An ssh agent for RUN --mount=type=ssh: default or ID=SOCKET. May be repeated
    #[arg(long, value_name = "AGENT")]
    pub ssh: Vec<String>,
    /// Kind of progress output
    #[arg(long, value_enum, default_value_t, env = env::PROGRESS, hide_env_values = true)]
    pub progress: Progress,
    /// Which packages.
    #[command(flatten)]
    pub package: PackageArgs,
    /// Which platforms.
    #[command(flatten)]
    pub platforms: PlatformArgs,
    /// Where.
    #[command(flatten)]
    pub builder: BuilderArgs,
}
