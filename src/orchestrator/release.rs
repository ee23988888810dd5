//! Releasing: a tag of many packages, moved when all of them are there. [`read`] the packages, [`check`] what the registry
//! has of them, [`carry_out`].
//!
//! What the registry says is gathered and judged in `verify.rs`. What has been begun stands in a journal in the store's
//! directory (`journal.rs`), so that a release that was interrupted goes on with the images that it began with.

mod journal;
mod publish;
mod verify;

pub use verify::{Checked, CheckedPackage, Problem, State};

use super::blocking::blocking;
use super::{OrchestratorError, Request, load, wanted};
use crate::event::{CancellationToken, Event, Events};
use crate::identity::Identity;
use crate::oci::{Descriptor, Digest, Platform, Reference};
use crate::plan::{PlanError, Wish};
use crate::registry::Registry;
use crate::store::Store;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use journal::{Journal, Record};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Packages that are looked at, or whose tags are moved, at the same time: enough to hide the latency of a registry, few
/// enough for its limits, as each makes several requests at once.
const PACKAGES_AT_ONCE: usize = 4;

/// What is to be released.
#[derive(Clone, Debug)]
pub struct Release {
    /// The tag that all packages get.
    pub tag: String,
    /// Whether each platform gets a tag of its own too, `TAG-ARCH`.
    pub has_arch_tags: bool,
    /// The packages, in the order in which they were named.
    pub packages: Vec<Candidate>,
}

/// A package that is to be released.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Its directory, as it was named.
    pub directory: PathBuf,
    /// Its name and tag.
    pub identity: Identity,
    /// Platforms for which it has to be in the registry.
    pub platforms: Vec<Platform>,
}

impl Candidate {
    /// The name by which the journal knows it.
    fn name(&self) -> String {
        self.identity.reference.store_name()
    }
}

impl Release {
    /// `org/image:TAG` of a package.
    fn name_of(&self, package: &Candidate) -> String {
        format!("{}:{}", package.identity.image, self.tag)
    }

    /// Full names of all packages, sorted.
    fn names(&self) -> BTreeSet<String> {
        self.packages.iter().map(Candidate::name).collect()
    }
}

/// With what a release is carried out.
#[derive(Clone)]
pub struct Hands {
    /// A client that asks no mirror: what is released is what the registry itself has.
    pub registry: Registry,
    /// The local store, which keeps the journal and gets the new names.
    pub store: Arc<Store>,
    /// How long another process is waited for that makes the same release.
    pub wait: Duration,
}

/// Reads the packages, each directory once.
///
/// # Errors
/// A tag that is none, dirty packages, two packages of one name, and what is wrong with a package.
pub fn read(request: &Request, wish: &Wish, tag: &str, has_arch_tags: bool) -> Result<Release, OrchestratorError> {
    check_tag(tag)?;
    let mut seen = BTreeSet::new();
    let mut loaded: Vec<_> = load(request)?.into_iter().zip(&request.directories).collect();
    loaded.retain(|((package, _), _)| seen.insert(package.build_yml.clone()));
    let platforms = wanted::platforms(loaded.iter().map(|((package, identity), _)| (package, identity)), wish)?;
    // Tags of releases have no hash, so that the image's name alone has to tell packages apart.
    let mut by_name = BTreeMap::new();
    for ((package, identity), _) in &loaded {
        let directory = package.directory.display().to_string();
        if let Some(first) = by_name.insert(identity.reference.locator(), directory.clone()) {
            return Err(PlanError::SameTag {
                tag: format!("{}:{tag}", identity.image),
                first,
                second: directory,
            }
            .into());
        }
    }
    let candidate = |(((_, identity), directory), platforms): (((_, Identity), &PathBuf), Vec<Platform>)| Candidate {
        directory: directory.clone(),
        identity,
        platforms,
    };
    let packages: Vec<Candidate> = loaded.into_iter().zip(platforms).map(candidate).collect();
    let dirty = packages.iter().filter(|one| one.identity.is_dirty);
    let dirty: Vec<String> = dirty.map(|one| one.identity.tag.clone()).collect();
    if !dirty.is_empty() {
        return Err(PlanError::Dirty(dirty).into());
    }
    Ok(Release {
        tag: tag.to_owned(),
        has_arch_tags,
        packages,
    })
}

/// The longest architecture that is put behind a tag.
const LONGEST_ARCHITECTURE: &str = "riscv64";

fn check_tag(tag: &str) -> Result<(), OrchestratorError> {
    let parse = |tag: &str| {
        let named = format!("x/x:{tag}").parse::<Reference>();
        named.is_ok_and(|name| name.tag() == Some(tag) && name.digest().is_none())
    };
    let error = |reason: &str| PlanError::Release(tag.to_owned(), reason.to_owned()).into();
    match (parse(tag), parse(&format!("{tag}-{LONGEST_ARCHITECTURE}"))) {
        (true, true) => Ok(()),
        (true, false) => Err(error(
            "it is too long: an architecture is put behind it, and 128 signs are the most",
        )),
        (false, _) => Err(error(
            "a tag is at most 128 letters, digits, '_', '.' and '-', and begins with none of the last two",
        )),
    }
}

/// Says what the registry has of each package, and changes nothing.
pub async fn check(release: &Release, hands: &Hands, events: &Events) -> Result<Checked, OrchestratorError> {
    let (directory, known) = (hands.store.directory().to_owned(), Known::of(release));
    let record = blocking(move || journal::read(&directory, &known.tag, &known.names)).await??;
    if let Some(record) = &record {
        let (released, all) = (record.released(), record.packages.len());
        events
            .notice(format!("this release was begun: {released} of {all} are released"))
            .await;
    }
    warn_of_others(release, hands, events).await?;
    Ok(verify::verify(release, &hands.registry, &pins(record.as_ref())).await)
}

/// A release of the same tag that was begun with other packages, or with other content of these, is not forgotten.
async fn warn_of_others(release: &Release, hands: &Hands, events: &Events) -> Result<(), OrchestratorError> {
    let (directory, known) = (hands.store.directory().to_owned(), Known::of(release));
    for path in blocking(move || journal::others(&directory, &known.tag, &known.names)).await? {
        let text = format!(
            "{} was begun with other packages and not finished; remove {} when that is meant to be so",
            release.tag,
            path.display()
        );
        events.send(Event::Warning(text)).await;
    }
    Ok(())
}

/// What a journal is found by.
struct Known {
    tag: String,
    names: BTreeSet<String>,
}

impl Known {
    fn of(release: &Release) -> Self {
        Self {
            tag: release.tag.clone(),
            names: release.names(),
        }
    }
}

fn pins(record: Option<&Record>) -> BTreeMap<String, Digest> {
    let packages = record.into_iter().flat_map(|record| &record.packages);
    packages.map(|one| (one.name.clone(), one.digest.clone())).collect()
}

/// Verifies everything, and then moves the tags. Where something is not right, nothing is changed, and what was found is
/// given back; else all packages are released.
///
/// Cancelled, it ends when the packages are done whose tags are being moved; the journal says what is left.
pub async fn carry_out(
    release: &Release,
    hands: &Hands,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<Checked, OrchestratorError> {
    let (directory, known) = (hands.store.directory().to_owned(), Known::of(release));
    let opening = Journal::open(directory, known.tag, known.names, hands.wait, events);
    let mut journal = unless(cancel, opening).await??;
    if let Some(record) = journal.record() {
        let (released, all) = (record.released(), record.packages.len());
        events
            .notice(format!("resuming: {released} of {all} are released"))
            .await;
    }
    warn_of_others(release, hands, events).await?;
    let pins = pins(journal.record());
    let mut checked = unless(cancel, verify::verify(release, &hands.registry, &pins)).await?;
    if !checked.is_right() {
        return Ok(checked);
    }
    if checked.packages.iter().any(|one| one.state == State::Ready) {
        let names: Vec<String> = release.packages.iter().map(Candidate::name).collect();
        journal.begin(&checked, &names).await?;
        move_tags(release, hands, &mut checked, &mut journal, events, cancel).await?;
    }
    journal.end().await?;
    Ok(checked)
}

/// Leaves work that changes nothing where it stands.
async fn unless<T>(cancel: &CancellationToken, work: impl Future<Output = T>) -> Result<T, OrchestratorError> {
    cancel
        .run_until_cancelled(work)
        .await
        .ok_or(OrchestratorError::Cancelled)
}

/// Releases what is ready, a few packages at once. None is begun after a failure or the user's signal, and those that have
/// begun are finished.
async fn move_tags(
    release: &Release,
    hands: &Hands,
    checked: &mut Checked,
    journal: &mut Journal,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<(), OrchestratorError> {
    let ready = |one: &CheckedPackage| one.verified.clone().filter(|_| one.state == State::Ready);
    let each = checked.packages.iter().enumerate();
    let mut waiting: Vec<(usize, Descriptor)> = each.filter_map(|(at, one)| Some((at, ready(one)?))).rev().collect();
    let (mut running, mut failure) = (FuturesUnordered::new(), None);
    let all = checked.packages.len();
    loop {
        while running.len() < PACKAGES_AT_ONCE && failure.is_none() && !cancel.is_cancelled() {
            let Some((at, verified)) = waiting.pop() else { break };
            let package = &release.packages[at];
            running.push(async move { (at, publish::publish(release, package, &verified, hands).await) });
        }
        let Some((at, result)) = running.next().await else {
            break;
        };
        let name = release.name_of(&release.packages[at]);
        let noted = match result {
            Ok(published) => {
                if let Some(warning) = published.warning {
                    events.send(Event::Warning(warning)).await;
                }
                checked.packages[at].state = State::Released;
                checked.packages[at].digest = Some(published.digest);
                let released = checked.released();
                events.notice(format!("released {name} ({released} of {all})")).await;
                journal.note(&release.packages[at].name()).await
            }
            Err(error) => Err(error),
        };
        if let Err(source) = noted {
            failure.get_or_insert((format!("cannot release {name}"), source));
        }
    }
    let (doing, source) = match failure {
        Some(failure) => failure,
        None if checked.released() == all => return Ok(()),
        None => ("the release was stopped".to_owned(), OrchestratorError::Cancelled),
    };
    Err(OrchestratorError::Release {
        doing,
        released: checked.released(),
        all,
        source: Box::new(source),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tags_are_taken() {
        let long = |length: usize| "v".repeat(length);
        for (tag, expected) in [
            ("v1.0", true),
            ("1_0-rc.1", true),
            ("", false),
            ("-v1", false),
            (".v1", false),
            ("v 1", false),
            ("a/b", false),
            ("a:b", false),
            (
                "v1@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                false,
            ),
            (&long(120), true),
            (&long(121), false),
            (&long(129), false),
        ] {
            assert_eq!(check_tag(tag).is_ok(), expected, "{tag}");
        }
    }
}
