//! The decisions: [`plan`].

use super::{
    Action, Candidate, Facts, InRegistry, Plan, PlanError, PlannedPackage, PlannedPlatform, PlannedPush, Reason, Wish,
    graph,
};
use crate::oci::{KNOWN_ARCHITECTURES, Platform, Reference, ReferenceError};
use std::collections::{BTreeMap, BTreeSet};

/// Decides for each platform of each package.
pub fn plan(candidates: &[Candidate<'_>], wish: &Wish, facts: &Facts) -> Result<Plan, PlanError> {
    check_wish(wish)?;
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
            push: push(candidate, wish, &platforms)?,
            platforms,
            needs,
        })
    };
    let packages = candidates
        .iter()
        .zip(needs)
        .map(plan_one)
        .collect::<Result<Vec<_>, _>>()?;
    let is_pushed = |(candidate, planned): &(&Candidate<'_>, &PlannedPackage)| {
        planned.push.is_some() && candidate.identity.is_dirty
    };
    let dirty = candidates.iter().zip(&packages).filter(is_pushed);
    let dirty: Vec<_> = dirty.map(|(_, planned)| planned.tag.clone()).collect();
    if !dirty.is_empty() {
        return Err(PlanError::Dirty(dirty));
    }
    Ok(Plan { packages })
}

fn check_wish(wish: &Wish) -> Result<(), PlanError> {
    let conflicts = [
        (
            !wish.platforms.is_empty() && !wish.skip_platforms.is_empty(),
            ("--platforms", "--skip-platforms"),
        ),
        (wish.force && wish.no_build, ("--force", "--nobuild")),
        (wish.force && wish.pull, ("--force", "--pull")),
    ];
    if let Some((_, (one, other))) = conflicts.into_iter().find(|(is_conflict, _)| *is_conflict) {
        return Err(PlanError::Conflict(one, other));
    }
    let mut platforms = wish.platforms.iter().chain(&wish.skip_platforms);
    platforms.try_for_each(check_known)
}

/// A package without platforms is not pushed, as it is not built.
fn push(
    candidate: &Candidate<'_>,
    wish: &Wish,
    platforms: &[PlannedPlatform],
) -> Result<Option<PlannedPush>, PlanError> {
    let is_left_out = |planned: &PlannedPlatform| planned.reason == Reason::SkippedByFlag;
    if !wish.push || platforms.iter().all(is_left_out) {
        return Ok(None);
    }
    let releases = match &wish.release {
        Some(release) => vec![release.clone()],
        None => candidate.releases.to_vec(),
    };
    for release in &releases {
        check_release(candidate, release)?;
    }
    Ok(Some(PlannedPush {
        name: candidate.identity.reference.store_name(),
        releases,
    }))
}

/// Whether the text can be a tag; the grammar of names tells.
fn check_release(candidate: &Candidate<'_>, release: &str) -> Result<(), PlanError> {
    let name = format!("{}:{release}", candidate.identity.reference.locator());
    let refused = |reason: String| PlanError::Release(release.to_owned(), reason);
    let parsed: Reference = name
        .parse()
        .map_err(|error: ReferenceError| refused(error.to_string()))?;
    match parsed.tag() == Some(release) {
        true => Ok(()),
        false => Err(refused("it is more than a tag".to_owned())),
    }
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
    let mut seen = BTreeSet::new();
    let each_once = wanted.into_iter().filter(|platform| seen.insert(platform.clone()));
    let decide = |platform: Platform| {
        let (action, reason) = decide(&candidate.identity.reference.store_name(), &platform, wish, facts);
        PlannedPlatform {
            is_emulated: None,
            platform,
            action,
            reason,
        }
    };
    each_once.map(decide).collect()
}

/// What is done for a platform of the image `name`.
fn decide(name: &str, platform: &Platform, wish: &Wish, facts: &Facts) -> (Action, Reason) {
    let has = |found: &Vec<Platform>| found.iter().any(|one| one.matches(platform));
    if wish.skip_platforms.iter().any(|skipped| skipped.matches(platform)) {
        return (Action::Skip, Reason::SkippedByFlag);
    }
    if wish.force {
        return (Action::Build, Reason::Forced);
    }
    if facts.in_cache.get(name).is_some_and(has) {
        return (Action::Found, Reason::InCache);
    }
    let missing = match facts.in_registry.get(name) {
        Some(InRegistry::Platforms(found)) if has(found) => {
            let action = if wish.pull { Action::Pull } else { Action::Found };
            return (action, Reason::InRegistry);
        }
        Some(InRegistry::Platforms(_)) => Reason::Nowhere,
        Some(InRegistry::Unknown) => Reason::RegistryUnknown,
        None => Reason::NotInCache,
    };
    let action = if wish.no_build { Action::Skip } else { Action::Build };
    (action, missing)
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
