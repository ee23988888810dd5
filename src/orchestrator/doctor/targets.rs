//! Which registries and repositories are looked at, and what is wanted of each. Pure.

use super::Checkup;
use crate::oci::Reference;
use crate::oci::credentials::CredentialError;
use std::collections::{BTreeMap, BTreeSet};

/// A registry that is looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Target {
    /// Whether a run fails without it.
    pub(super) is_needed: bool,
    /// Its repositories, by an image of each.
    pub(super) images: BTreeMap<Reference, Want>,
}

/// What is wanted of an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Want {
    /// Whether it is one of the packages, so that it need not be there.
    pub(super) is_own: bool,
    /// Whether a run has to read it: not when it is in the cache.
    pub(super) is_read: bool,
    /// Whether it is to be pushed.
    pub(super) is_pushed: bool,
}

/// By registry: those of the packages and of the images that their Dockerfiles read, and those that were named. Where
/// neither is given, all for which there are credentials.
pub(super) fn targets(
    checkup: &Checkup,
    in_cache: &BTreeSet<String>,
) -> Result<BTreeMap<String, Target>, CredentialError> {
    let mut targets: BTreeMap<String, Target> = BTreeMap::new();
    let mut want = |reference: &Reference, want: Want| {
        let target = targets.entry(reference.registry().to_owned()).or_default();
        target.is_needed |= want.is_read || want.is_pushed;
        let known = target.images.entry(reference.clone()).or_default();
        *known = Want {
            is_own: known.is_own || want.is_own,
            is_read: known.is_read || want.is_read,
            is_pushed: known.is_pushed || want.is_pushed,
        };
    };
    let own: BTreeSet<String> = checkup
        .prepared
        .iter()
        .map(|one| one.identity.reference.store_name())
        .collect();
    for one in &checkup.prepared {
        let package = Want {
            is_own: true,
            is_read: false,
            is_pushed: checkup.is_pushing,
        };
        want(&one.identity.reference, package);
        for image in &one.images {
            let Ok(reference) = image.name.parse::<Reference>() else {
                continue;
            };
            // Another package of the same run is built first.
            if own.contains(&reference.store_name()) {
                continue;
            }
            let is_read = !in_cache.contains(&reference.store_name());
            let read = Want {
                is_read,
                ..Want::default()
            };
            want(&reference, read);
        }
    }
    for registry in &checkup.registries {
        targets.entry(registry.clone()).or_default().is_needed = true;
    }
    if checkup.prepared.is_empty() && checkup.registries.is_empty() {
        for registry in checkup.registry.credentials.registries()? {
            targets.entry(registry).or_default().is_needed = true;
        }
    }
    Ok(targets)
}
