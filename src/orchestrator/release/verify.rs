//! What a registry has of the packages of a release, and whether that will do: facts → [`State`] and [`Problem`]s.

use super::{Candidate, PACKAGES_AT_ONCE, Release};
use crate::oci::merge::{image_platform, platforms};
use crate::oci::{Descriptor, Digest, Index, Platform};
use crate::registry::{Extension, Registry, RegistryError, Repository};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;

/// Manifests of one package that are asked for at the same time.
const MANIFESTS_AT_ONCE: usize = 4;

/// What was found, of all packages.
#[derive(Clone, Debug, Serialize)]
pub struct Checked {
    /// The tag of the release.
    pub release: String,
    /// In the order in which they were named.
    pub packages: Vec<CheckedPackage>,
}

/// What was found of one package.
#[derive(Clone, Debug, Serialize)]
pub struct CheckedPackage {
    /// `org/image:hash`.
    pub tag: String,
    /// `org/image:TAG`.
    pub name: String,
    /// What is released under this name, or will be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// How far it is.
    pub state: State,
    /// What is in the way.
    pub problems: Vec<Problem>,
    /// What was verified, and is released.
    #[serde(skip)]
    pub(super) verified: Option<Descriptor>,
}

/// How far a package is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It can be released.
    Ready,
    /// It is released.
    Released,
    /// It cannot be released.
    NotReady,
}

/// What keeps a package from being released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The registry does not have it.
    NotThere,
    /// The registry does not have what an interrupted release began with.
    Lost(Digest),
    /// The registry does not have it for these platforms.
    NoPlatforms(Vec<Platform>),
    /// Its index lists what the registry does not have.
    NoManifests(Vec<Digest>),
    /// A tag of the release is another image.
    Taken {
        /// The tag.
        tag: String,
        /// What it is.
        found: Digest,
    },
    /// The registry cannot be asked.
    Unknown {
        /// Why.
        reason: String,
        /// The program's exit code for that.
        exit_code: u8,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotThere => f.write_str("not in the registry"),
            Self::Lost(digest) => write!(f, "{digest}, with which the release began, is not in the registry"),
            Self::NoPlatforms(platforms) => write!(f, "missing platforms {}", list(platforms)),
            Self::NoManifests(digests) => {
                write!(f, "the registry does not have {}, which its index lists", list(digests))
            }
            Self::Taken { tag, found } => write!(f, "{tag} is another image already: {found}"),
            Self::Unknown { reason, .. } => f.write_str(reason),
        }
    }
}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

fn list(all: &[impl ToString]) -> String {
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

impl Checked {
    /// Whether every package is ready or released.
    pub fn is_right(&self) -> bool {
        self.packages.iter().all(|one| one.state != State::NotReady)
    }

    /// How many packages are released.
    pub fn released(&self) -> usize {
        self.packages.iter().filter(|one| one.state == State::Released).count()
    }
}

/// A tag and what it is to stand for.
#[derive(Clone, Debug, PartialEq)]
struct Root {
    tag: String,
    descriptor: Descriptor,
    index: Index,
}

/// What a registry says of one package.
#[derive(Clone, Debug, Default)]
struct Facts {
    /// What interrupted release began with, when there is one.
    pin: Option<Digest>,
    /// What is to be released: the whole first, and then each platform.
    roots: Vec<Root>,
    /// What it lists and the registry does not have.
    absent: Vec<Digest>,
    /// What the tags of the release stand for, in the order of `roots`.
    standing: Vec<Option<(Descriptor, Index)>>,
}

/// Asks for all packages. `pins` are the images with which the release began, by full name.
pub(super) async fn verify(release: &Release, registry: &Registry, pins: &BTreeMap<String, Digest>) -> Checked {
    let looked = release.packages.iter().map(async |package| {
        let pin = pins.get(&package.name());
        let facts = gather(release, package, &registry.repository(&package.identity.reference), pin).await;
        let (state, digest, problems) = match &facts {
            Ok(facts) => judge(facts, &package.platforms),
            Err(error) => (State::NotReady, None, vec![unknown(error)]),
        };
        CheckedPackage {
            tag: package.identity.tag.clone(),
            name: release.name_of(package),
            digest,
            state,
            problems,
            verified: facts
                .ok()
                .and_then(|facts| Some(facts.roots.into_iter().next()?.descriptor)),
        }
    });
    Checked {
        release: release.tag.clone(),
        packages: stream::iter(looked).buffered(PACKAGES_AT_ONCE).collect().await,
    }
}

fn unknown(error: &RegistryError) -> Problem {
    Problem::Unknown {
        reason: error.to_string(),
        exit_code: error.exit_code(),
    }
}

async fn gather(
    release: &Release,
    package: &Candidate,
    repository: &Repository,
    pin: Option<&Digest>,
) -> Result<Facts, RegistryError> {
    let tag = package.identity.reference.tag().unwrap_or("latest");
    let object = pin.map_or(tag, Digest::as_str);
    let mut facts = Facts {
        pin: pin.cloned(),
        ..Facts::default()
    };
    let Some((descriptor, index)) = repository.index(object).await? else {
        return Ok(facts);
    };
    facts.roots = roots(release, descriptor, index);
    let whole = facts.roots.first().map(|root| &root.index.manifests);
    let children = whole.into_iter().flatten().map(|child| &child.digest);
    let absent = stream::iter(children).map(async |child| {
        let is_there = repository.find(child.as_str()).await?.is_some();
        Ok::<_, RegistryError>((!is_there).then(|| child.clone()))
    });
    let absent: Vec<_> = absent.buffered(MANIFESTS_AT_ONCE).try_collect().await?;
    facts.absent = absent.into_iter().flatten().collect();
    let standing = stream::iter(&facts.roots).map(async |root| standing(repository, root).await);
    facts.standing = standing.buffered(MANIFESTS_AT_ONCE).try_collect().await?;
    Ok(facts)
}

/// What a tag of the release stands for; what is right already is not read.
async fn standing(repository: &Repository, root: &Root) -> Result<Option<(Descriptor, Index)>, RegistryError> {
    match repository.find(&root.tag).await? {
        None => Ok(None),
        Some(found) if found.digest == root.descriptor.digest => Ok(Some((found, root.index.clone()))),
        Some(_) => repository.index(&root.tag).await,
    }
}

/// The whole, and the image of each architecture under a tag of its own, as a push makes it.
fn roots(release: &Release, descriptor: Descriptor, index: Index) -> Vec<Root> {
    let mut images: BTreeMap<String, Descriptor> = BTreeMap::new();
    for entry in index.manifests.iter().filter(|_| release.has_arch_tags) {
        if let Some(platform) = image_platform(entry) {
            images
                .entry(platform.architecture.clone())
                .or_insert_with(|| entry.clone());
        }
    }
    let images = images.into_iter().map(|(architecture, image)| Root {
        tag: format!("{}-{architecture}", release.tag),
        index: Index::of(vec![image.clone()]),
        descriptor: image,
    });
    let whole = Root {
        tag: release.tag.clone(),
        descriptor,
        index,
    };
    std::iter::once(whole).chain(images).collect()
}

/// What that means: how far the package is, what its name stands for or will, and what is in the way.
fn judge(facts: &Facts, wanted: &[Platform]) -> (State, Option<Digest>, Vec<Problem>) {
    let Some(whole) = facts.roots.first() else {
        let problem = facts.pin.clone().map_or(Problem::NotThere, Problem::Lost);
        return (State::NotReady, None, vec![problem]);
    };
    let mut problems = Vec::new();
    let there = platforms(&whole.index);
    let is_missing = |platform: &&Platform| !there.iter().any(|one| one.matches(platform));
    let missing: Vec<Platform> = wanted.iter().filter(is_missing).cloned().collect();
    if !missing.is_empty() {
        problems.push(Problem::NoPlatforms(missing));
    }
    if !facts.absent.is_empty() {
        problems.push(Problem::NoManifests(facts.absent.clone()));
    }
    let mut is_released = true;
    for (root, standing) in facts.roots.iter().zip(&facts.standing) {
        let Some((found, index)) = standing else {
            is_released = false;
            continue;
        };
        match Extension::of(index, &root.descriptor, &root.index) {
            Extension::Right => {}
            Extension::Possible => is_released = false,
            Extension::Taken => problems.push(Problem::Taken {
                tag: root.tag.clone(),
                found: found.digest.clone(),
            }),
        }
    }
    if !problems.is_empty() {
        return (State::NotReady, Some(whole.descriptor.digest.clone()), problems);
    }
    match (is_released, facts.standing.first()) {
        // It may have more platforms than were asked for.
        (true, Some(Some((found, _)))) => (State::Released, Some(found.digest.clone()), problems),
        _ => (State::Ready, Some(whole.descriptor.digest.clone()), problems),
    }
}

#[cfg(test)]
mod tests;
