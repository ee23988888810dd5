//! Packages × platforms + facts → what is built, found or skipped, in which order, and why. Pure.
//!
//! The main type is [`Plan`]; `lkpkg plan` prints it and `lkpkg build` carries it out. Nothing here looks at a disk, a
//! clock or a network: what exists where comes in as [`Facts`].

mod graph;

use crate::identity::Identity;
use crate::oci::{KNOWN_ARCHITECTURES, Platform};
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
}

/// What exists where, for the images that are asked about.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Full name → platforms that are wholly in the local cache.
    pub in_cache: BTreeMap<String, Vec<Platform>>,
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
}

/// What is done for a platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// BuildKit builds it.
    Build,
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
    /// It is not in the local cache.
    NotInCache,
    /// It is in the local cache.
    InCache,
    /// `--skip-platforms` names it.
    SkippedByFlag,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PlanError {
    /// `--platforms` and `--skip-platforms` together.
    #[error("--platforms and --skip-platforms cannot be used together")]
    PlatformsAndSkipPlatforms,
    /// An operating system or architecture for which packages are not built.
    #[error("unknown platform {0}: packages are built for {known}", known = known_platforms())]
    UnknownPlatform(String),
    /// `--hash-commit` names another commit than HEAD, whose files are not in the work tree.
    #[error("cannot build {tag}: its tag was taken from a commit that is not HEAD, but what is built is the work tree")]
    NotHead {
        /// The package.
        tag: String,
    },
    /// Two packages would be built under one tag.
    #[error("{first} and {second} both have the tag {tag}; give them different image names")]
    SameTag {
        /// The tag.
        tag: String,
        /// A package's directory.
        first: String,
        /// Another package's directory.
        second: String,
    },
    /// Packages that wait for each other.
    #[error("packages need each other in a circle: {}", .0.join(" → "))]
    Cycle(Vec<String>),
}

fn known_platforms() -> String {
    KNOWN_ARCHITECTURES
        .map(|architecture| Platform::linux(architecture).to_string())
        .join(", ")
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
            Reason::InCache => "in the cache",
            Reason::SkippedByFlag => "--skip-platforms",
        }
    }
}

impl Action {
    /// The action in one word.
    pub fn text(self) -> &'static str {
        match self {
            Action::Build => "build",
            Action::Found => "found",
            Action::Skip => "skip",
        }
    }
}

impl PlannedPackage {
    /// The platforms that BuildKit has to build.
    pub fn to_build(&self) -> Vec<Platform> {
        let build = self.platforms.iter().filter(|planned| planned.action == Action::Build);
        build.map(|planned| planned.platform.clone()).collect()
    }

    /// The platforms that are there in the end: built or found.
    pub fn wanted(&self) -> Vec<Platform> {
        let wanted = self.platforms.iter().filter(|planned| planned.action != Action::Skip);
        wanted.map(|planned| planned.platform.clone()).collect()
    }
}

impl Plan {
    /// Whether anything has to be built.
    pub fn has_work(&self) -> bool {
        self.packages.iter().any(|package| !package.to_build().is_empty())
    }
}

/// Decides for each platform of each package.
pub fn plan(candidates: &[Candidate<'_>], wish: &Wish, facts: &Facts) -> Result<Plan, PlanError> {
    if !wish.platforms.is_empty() && !wish.skip_platforms.is_empty() {
        return Err(PlanError::PlatformsAndSkipPlatforms);
    }
    wish.platforms
        .iter()
        .chain(&wish.skip_platforms)
        .try_for_each(check_known)?;
    check_tags(candidates)?;
    let needs = graph::needs(candidates)?;
    let plan_one = |(candidate, needs): (&Candidate<'_>, Vec<String>)| {
        let platforms = platforms(candidate, wish, facts);
        let builds = platforms.iter().any(|planned| planned.action == Action::Build);
        if builds && !candidate.identity.is_hash_commit_head {
            return Err(PlanError::NotHead {
                tag: candidate.identity.tag.clone(),
            });
        }
        Ok(PlannedPackage {
            tag: candidate.identity.tag.clone(),
            directory: candidate.package.directory.display().to_string(),
            platforms,
            needs,
        })
    };
    let packages = candidates.iter().zip(needs).map(plan_one).collect::<Result<_, _>>()?;
    Ok(Plan { packages })
}

fn platforms(candidate: &Candidate<'_>, wish: &Wish, facts: &Facts) -> Vec<PlannedPlatform> {
    let own = || {
        candidate
            .package
            .architectures
            .iter()
            .map(|architecture| Platform::linux(architecture))
            .collect()
    };
    let wanted: Vec<Platform> = if wish.platforms.is_empty() {
        own()
    } else {
        wish.platforms.clone()
    };
    let found = facts.in_cache.get(&candidate.identity.reference.store_name());
    let is_in_cache = |platform: &Platform| found.is_some_and(|found| found.iter().any(|one| one.matches(platform)));
    let mut seen = BTreeSet::new();
    let each_once = wanted.into_iter().filter(|platform| seen.insert(platform.clone()));
    each_once
        .map(|platform| {
            let (action, reason) = if wish.skip_platforms.iter().any(|skipped| skipped.matches(&platform)) {
                (Action::Skip, Reason::SkippedByFlag)
            } else if wish.force {
                (Action::Build, Reason::Forced)
            } else if is_in_cache(&platform) {
                (Action::Found, Reason::InCache)
            } else {
                (Action::Build, Reason::NotInCache)
            };
            PlannedPlatform {
                platform,
                action,
                reason,
            }
        })
        .collect()
}

fn check_known(platform: &Platform) -> Result<(), PlanError> {
    let is_known = platform.os == "linux" && KNOWN_ARCHITECTURES.contains(&platform.architecture.as_str());
    if is_known {
        Ok(())
    } else {
        Err(PlanError::UnknownPlatform(platform.to_string()))
    }
}

fn check_tags(candidates: &[Candidate<'_>]) -> Result<(), PlanError> {
    let mut seen = BTreeMap::new();
    for candidate in candidates {
        let directory = candidate.package.directory.display().to_string();
        if let Some(first) = seen.insert(candidate.identity.reference.store_name(), directory.clone()) {
            return Err(PlanError::SameTag {
                tag: candidate.identity.tag.clone(),
                first,
                second: directory,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
