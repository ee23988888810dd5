//! Which entries an index has after another was merged into it: [`merge_indexes`]. Pure: values in, values out, always in
//! the same order. The local store and registries merge by the same rules.

use super::{Descriptor, Index, Platform};
use std::collections::{BTreeMap, BTreeSet};

/// Adds the images of `new` and their attestations to `existing`.
///
/// An image of `existing` gives way when `new` has one for the same platform. A variant that an architecture has anyhow
/// (`v8` of arm64) is none; other variants are platforms of their own, so that none is lost. Attestations of images that
/// are gone go too. Nothing is listed twice. The order depends on the entries only: images by platform, each followed by
/// its attestations, then whatever else there is. The result is an OCI index, also where `existing` is a Docker manifest
/// list; the entries themselves are not touched.
pub fn merge_indexes(existing: &Index, new: &Index) -> Index {
    let replaced: BTreeSet<_> = new.manifests.iter().filter_map(image_key).collect();
    let kept = existing
        .manifests
        .iter()
        .filter(|entry| image_key(entry).is_none_or(|key| !replaced.contains(&key)));
    let annotations = existing.annotations.iter().chain(&new.annotations);
    Index {
        annotations: annotations.map(|(key, value)| (key.clone(), value.clone())).collect(),
        ..Index::of(in_order(kept.chain(&new.manifests)))
    }
}

/// The part of an index that is about these operating systems and architectures: their images and their attestations.
pub fn for_platforms(index: &Index, platforms: &[Platform]) -> Index {
    let is_one = |own: &Platform| platforms.iter().any(|platform| own.matches(platform));
    let kept = index
        .manifests
        .iter()
        .filter(|entry| entry.attests().is_some() || entry.platform.as_ref().is_some_and(is_one));
    Index {
        annotations: index.annotations.clone(),
        ..Index::of(in_order(kept))
    }
}

/// The platforms an index has images for, sorted, each operating system and architecture once.
pub fn platforms(index: &Index) -> Vec<Platform> {
    let mut platforms: Vec<Platform> = index.manifests.iter().filter_map(image_platform).cloned().collect();
    platforms.sort();
    platforms.dedup_by(|a, b| a.matches(b));
    platforms
}

/// The platform of an entry that is an image and no attestation.
pub fn image_platform(entry: &Descriptor) -> Option<&Platform> {
    entry
        .platform
        .as_ref()
        .filter(|platform| !platform.is_unknown() && entry.attests().is_none())
}

/// What must be there only once. The version tells Windows images apart; Linux images have none.
fn image_key(entry: &Descriptor) -> Option<[&str; 4]> {
    image_platform(entry).map(|p| [&p.os, &p.architecture, variant(p), &p.os_version].map(AsRef::as_ref))
}

/// The variant, unless it is the one that is meant where none is given (containerd's platforms.Normalize).
fn variant(platform: &Platform) -> &str {
    match (platform.architecture.as_str(), platform.variant.as_str()) {
        ("arm64", "v8") | ("arm", "v7") | ("amd64", "v1") => "",
        (_, variant) => variant,
    }
}

fn in_order<'a>(entries: impl Iterator<Item = &'a Descriptor>) -> Vec<Descriptor> {
    let (mut images, mut attestations, mut others) = (Vec::new(), BTreeMap::<&str, Vec<_>>::new(), Vec::new());
    // The later entry of the same content is the newer one.
    let unique: BTreeMap<_, &Descriptor> = entries
        .map(|entry| ((&entry.digest, entry.platform.as_ref(), entry.attests()), entry))
        .collect();
    for entry in unique.into_values() {
        match (entry.attests(), image_platform(entry)) {
            (Some(subject), _) => attestations.entry(subject).or_default().push(entry),
            (None, Some(_)) => images.push(entry),
            (None, None) => others.push(entry),
        }
    }
    images.sort_by_key(|entry| (&entry.platform, &entry.digest));
    let mut ordered = Vec::new();
    for image in images.into_iter().chain(others) {
        ordered.push(image.clone());
        // Taken out, so that an image that is listed under two platforms has its attestations once.
        let own = attestations.remove(image.digest.as_str()).unwrap_or_default();
        ordered.extend(own.into_iter().cloned());
    }
    ordered
}

#[cfg(test)]
mod tests;
