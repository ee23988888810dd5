//! Packages × platforms + facts → what is built, pulled, found or skipped, in which order, and why; and what is pushed.
//! Pure.
//!
//! The main type is [`Plan`]; `lkpkg plan` prints it, `lkpkg build` and `lkpkg push` carry it out. Nothing here looks at a
//! disk, a clock or a network: what exists where comes in as [`Facts`].

mod decide;
mod error;
mod graph;

pub use decide::plan;
pub use error::PlanError;

use crate::identity::Identity;
use crate::oci::Platform;
use crate::package::Package;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// A package that may have to be built.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// What its build.yml says.
    pub package: &'a Package,
    /// Its tag.
    pub identity: &'a Identity,
    /// Full names ([`crate::oci::Reference::store_name`]) of the images that its Dockerfile reads from.
    pub images: &'a BTreeSet<String>,
    /// Releases that git tags at HEAD ask for ([`crate::identity::releases`]).
    pub releases: &'a [String],
}

/// What the user asked for.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// `--platforms`: instead of the packages' own architectures.
    pub platforms: Vec<Platform>,
    /// `--skip-platforms`: left out of the packages' own architectures.
    pub skip_platforms: Vec<Platform>,
    /// `--force`: built even where it exists.
    pub force: bool,
    /// `--pull`: what only the registry has is brought into the cache.
    pub pull: bool,
    /// `--nobuild`: nothing is built.
    pub no_build: bool,
    /// `--push`: what is in the cache in the end goes to the registry.
    pub push: bool,
    /// `--release`: what is pushed gets this tag as well, instead of those that git tags ask for.
    pub release: Option<String>,
}

/// What exists where, for the images that are asked about.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Full name → platforms that are wholly in the local cache.
    pub in_cache: BTreeMap<String, Vec<Platform>>,
    /// Full name → what the image's registry says. Of those that are left out, it was not asked.
    pub in_registry: BTreeMap<String, InRegistry>,
}

/// What a registry says about an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InRegistry {
    /// It has the image for these platforms; none when it does not know the name.
    Platforms(Vec<Platform>),
    /// Nothing: it cannot be reached, or does not let us look.
    Unknown,
}

/// What is to be done: one entry a package, in the order in which they were named.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// The packages.
    pub packages: Vec<PlannedPackage>,
}

/// What is to be done for one package.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlannedPackage {
    /// `org/image:tag`.
    pub tag: String,
    /// The package's directory.
    pub directory: String,
    /// One entry a platform, in the order of build.yml or of `--platforms`.
    pub platforms: Vec<PlannedPlatform>,
    /// Tags of the packages of this plan that have to be there first.
    pub needs: Vec<String>,
    /// Where it is pushed to; None when it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub push: Option<PlannedPush>,
}

/// Where a package is pushed to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlannedPush {
    /// Full name, `docker.io/org/image:tag`.
    pub name: String,
    /// Tags that stand for the same image then: `v1.0.0`.
    pub releases: Vec<String>,
}

/// What is to be done for one platform of a package.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlannedPlatform {
    /// `linux/arm64`.
    #[serde(serialize_with = "as_text")]
    pub platform: Platform,
    /// What is done.
    pub action: Action,
    /// Why.
    pub reason: Reason,
    /// Whether the builder would emulate it; None where it is not built or that is not known.
    #[serde(rename = "emulated", skip_serializing_if = "Option::is_none")]
    pub is_emulated: Option<bool>,
}

/// What is done for a platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// BuildKit builds it.
    Build,
    /// It is brought from the registry into the cache.
    Pull,
    /// It exists; nothing is done.
    Found,
    /// It was asked to be left out.
    Skip,
}

/// Why an [`Action`] was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// `--force` was given.
    Forced,
    /// It is not in the local cache, and the registry was not asked.
    NotInCache,
    /// It is neither in the local cache nor in its registry.
    Nowhere,
    /// It is not in the local cache, and the registry says nothing.
    RegistryUnknown,
    /// It is in the local cache.
    InCache,
    /// It is in its registry, and not in the local cache.
    InRegistry,
    /// `--skip-platforms` names it.
    SkippedByFlag,
}

fn as_text<S: serde::Serializer>(platform: &Platform, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(platform)
}

impl Reason {
    /// The reason in words.
    pub fn text(self) -> &'static str {
        match self {
            Reason::Forced => "--force",
            Reason::NotInCache => "not in the cache",
            Reason::Nowhere => "neither in the cache nor in its registry",
            Reason::RegistryUnknown => "not in the cache, and its registry does not say whether it has it",
            Reason::InCache => "in the cache",
            Reason::InRegistry => "in its registry",
            Reason::SkippedByFlag => "--skip-platforms",
        }
    }
}

impl Action {
    /// The action in one word.
    pub fn text(self) -> &'static str {
        match self {
            Action::Build => "build",
            Action::Pull => "pull",
            Action::Found => "found",
            Action::Skip => "skip",
        }
    }
}

impl PlannedPackage {
    /// The platforms that BuildKit has to build.
    pub fn to_build(&self) -> Vec<Platform> {
        self.having(|planned| planned.action == Action::Build)
    }

    /// The platforms that have to be pulled.
    pub fn to_pull(&self) -> Vec<Platform> {
        self.having(|planned| planned.action == Action::Pull)
    }

    /// The platforms that are in the cache in the end.
    pub fn in_cache(&self) -> Vec<Platform> {
        self.having(|planned| match planned.action {
            Action::Build | Action::Pull => true,
            Action::Found => planned.reason == Reason::InCache,
            Action::Skip => false,
        })
    }

    /// Whether what is to be done may depend on what the registry has.
    pub fn asks_registry(&self) -> bool {
        self.platforms
            .iter()
            .any(|planned| planned.reason == Reason::NotInCache)
    }

    fn having(&self, is_wanted: impl Fn(&PlannedPlatform) -> bool) -> Vec<Platform> {
        let wanted = self.platforms.iter().filter(|planned| is_wanted(planned));
        wanted.map(|planned| planned.platform.clone()).collect()
    }
}

impl Plan {
    /// Writes down which builds would be emulated.
    pub fn mark_emulated(&mut self, emulated: &BTreeMap<Platform, bool>) {
        let all = self.packages.iter_mut().flat_map(|package| &mut package.platforms);
        for one in all.filter(|one| one.action == Action::Build) {
            one.is_emulated = emulated.get(&one.platform).copied();
        }
    }

    /// Whether what is to be done may depend on what registries have.
    pub fn asks_registry(&self) -> bool {
        self.packages.iter().any(PlannedPackage::asks_registry)
    }

    /// Whether anything has to be done.
    pub fn has_work(&self) -> bool {
        let has_work = |package: &PlannedPackage| {
            package.push.is_some() || !package.to_build().is_empty() || !package.to_pull().is_empty()
        };
        self.packages.iter().any(has_work)
    }
}

#[cfg(test)]
mod tests;
