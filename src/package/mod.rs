//! build.yml → [`Package`]: what one package directory says about itself, checked.
//!
//! Reads files below the package directory only. No git, no network, no environment.

mod build_args;
mod build_yml;
mod config;
mod depends;
pub mod dockerfile;
mod error;
mod load;
mod paths;

pub use crate::yaml::{Diagnostic, Position};
pub use build_args::parse_build_arg_file;
pub use error::PackageError;
pub use load::load;

use std::path::PathBuf;

/// What the command line says about every package that it names; each wins over build.yml.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overrides {
    /// `--build-yml`: another name for build.yml, relative to the package's directory.
    pub build_yml: Option<String>,
    /// `--org`.
    pub org: Option<String>,
    /// `--tag`: another tag template; empty is "not given".
    pub tag: Option<String>,
    /// `--dockerfile`: relative to the package's directory, or absolute and inside it.
    pub dockerfile: Option<PathBuf>,
    /// `--network`.
    pub has_network: Option<bool>,
    /// `--disable-cache`.
    pub is_cache_disabled: Option<bool>,
}

/// A package as its build.yml describes it, with flags applied and defaults filled in; only valid values travel.
#[derive(Clone, Debug, PartialEq)]
pub struct Package {
    /// The package's directory, absolute, symbolic links resolved.
    pub directory: PathBuf,
    /// The build.yml that was read, absolute.
    pub build_yml: PathBuf,
    /// `image`: last part of the image's name.
    pub image: String,
    /// `org`: what stands before it.
    pub org: String,
    /// `tag`: the template, as written (`{{.Hash}}`).
    pub tag: String,
    /// `dockerfile`, relative to the package's directory.
    pub dockerfile: PathBuf,
    /// `arches`: GOARCH names, in their order, each once.
    pub architectures: Vec<String>,
    /// `extra-sources`, in their order.
    pub extra_sources: Vec<ExtraSource>,
    /// `gitrepo`: becomes a label and the build arg `SOURCE`.
    pub git_repository: String,
    /// `network`: whether RUN steps get the network.
    pub has_network: bool,
    /// `disable-cache`: whether BuildKit's cache is passed over.
    pub is_cache_disabled: bool,
    /// `config`: the value of the label `org.mobyproject.config`, as JSON text with linuxkit's field names and order.
    pub config: Option<String>,
    /// `buildArgs`, as written, `@lkt:` values not yet resolved.
    pub build_args: Vec<String>,
    /// `depends.docker-images`.
    pub depends: Option<DockerImages>,
}

/// One entry of `extra-sources`.
#[derive(Clone, Debug, PartialEq)]
pub struct ExtraSource {
    /// File or directory outside (or inside) the package, absolute.
    pub source: PathBuf,
    /// Where it appears in the build context, relative to the context's top, normalised.
    pub destination: PathBuf,
}

/// `depends.docker-images`: images that are saved into the package directory before it is built.
#[derive(Clone, Debug, PartialEq)]
pub struct DockerImages {
    /// Images, each with a digest.
    pub images: Vec<String>,
    /// Where they go, absolute, inside the package directory.
    pub target: DockerImagesTarget,
}

/// Where [`DockerImages`] are saved.
#[derive(Clone, Debug, PartialEq)]
pub enum DockerImagesTarget {
    /// All images in one tar file.
    File(PathBuf),
    /// One tar file an image, in a directory that is emptied first.
    Directory(PathBuf),
}
