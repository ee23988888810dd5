//! What is asked of a build, and what comes back. Values only.

use super::{CacheDirectories, CacheEntry, SecretSource, SshSource};
use crate::event::Step;
use crate::oci::credentials::CredentialSource;
use crate::oci::{Descriptor, Digest, Platform, Reference};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// One solve: one package for all the platforms that one endpoint builds.
#[derive(Clone, Debug)]
pub struct BuildRequest {
    /// Under which its events are sent.
    pub step: Step,
    /// Directory that is the build context, absolute.
    pub context: PathBuf,
    /// Files and directories that appear in the context besides: (where they are, where they appear relative to its top).
    pub extra_sources: Vec<(PathBuf, PathBuf)>,
    /// The Dockerfile, relative to the context's top.
    pub dockerfile: PathBuf,
    /// What it is built for; at least one.
    pub platforms: Vec<Platform>,
    /// Build arguments, those for proxies and `SOURCE_DATE_EPOCH` included.
    pub build_args: BTreeMap<String, String>,
    /// Labels of the image's configuration.
    pub labels: BTreeMap<String, String>,
    /// Whether RUN gets the network; without it only the loopback is there.
    pub has_network: bool,
    /// Whether BuildKit's cache is passed over.
    pub is_cache_disabled: bool,
    /// The SBoM: `None` makes none, an empty text one by BuildKit's default generator, any other by that image.
    pub sbom: Option<String>,
    /// Secrets that RUN can mount.
    pub secrets: Vec<SecretSource>,
    /// SSH agents that RUN can mount.
    pub ssh: Vec<SshSource>,
    /// Images that are read from the content instead of a registry.
    pub cached_images: Vec<CachedImage>,
    /// Caches that are read from, their templates filled in. One that cannot be read is a warning.
    pub cache_from: Vec<CacheEntry>,
    /// Caches that are written to, their templates filled in.
    pub cache_to: Vec<CacheEntry>,
    /// The directories of those that are local.
    pub cache_directories: CacheDirectories,
    /// What registries are shown.
    pub credentials: CredentialSource,
    /// Full name with tag; BuildKit shows it and writes it nowhere.
    pub name: String,
}

/// The build arg that says which time it is.
const SOURCE_DATE_EPOCH: &str = "SOURCE_DATE_EPOCH";

impl BuildRequest {
    /// The time that everything new in the image has at most, in seconds since 1970, where one is given.
    pub fn epoch_s(&self) -> Option<i64> {
        self.build_args.get(SOURCE_DATE_EPOCH)?.parse().ok()
    }
}

/// An image that a Dockerfile names and that the content holds.
#[derive(Clone, Debug)]
pub struct CachedImage {
    /// Its name in the Dockerfile, ARGs expanded.
    pub name: Reference,
    /// Digest of its index or manifest.
    pub digest: Digest,
    /// The platforms for which it is wholly there; others are left to BuildKit, which pulls them.
    pub platforms: Vec<Platform>,
}

/// What a build has made.
#[derive(Clone, Debug)]
pub struct Built {
    /// The index; it and everything below it is in the content. Media type, digest and size only: BuildKit's annotations
    /// hold the time of the export.
    pub index: Descriptor,
    /// The cache that was written; None where there was nothing to write. As `index`.
    pub cache: Option<Descriptor>,
    /// What the frontend found to complain about, in its order.
    pub warnings: Vec<BuildWarning>,
}

/// A complaint of BuildKit's frontend about the Dockerfile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildWarning {
    /// One line.
    pub text: String,
    /// Line of the Dockerfile, counted from 1; 0 when unknown.
    pub line: u32,
}
