//! Which entries an index has after something was added. Pure: values in, values out, always in the same order.

use crate::oci::{Descriptor, Index, Platform, annotation};
use std::collections::{BTreeMap, BTreeSet};

/// Lets `name` point at `descriptor` in the `index.json` of a layout. Other entries, known or foreign, stay as they are.
/// Entries are sorted by name, so that builds that end in another order leave the same file.
pub(super) fn set_name(index: &mut Index, name: &str, descriptor: &Descriptor) {
    let mut entry = descriptor.clone();
    entry
        .annotations
        .insert(annotation::REF_NAME.to_owned(), name.to_owned());
    index.manifests.retain(|known| known.ref_name() != Some(name));
    index.manifests.push(entry);
    index
        .manifests
        .sort_by(|a, b| (a.ref_name().is_none(), a.ref_name()).cmp(&(b.ref_name().is_none(), b.ref_name())));
}

/// Adds the images of `new` and their attestations to `existing`.
///
/// An image of `existing` gives way when `new` has one for the same operating system and architecture; the variant does
/// not count, as in linuxkit. Attestations of images that are gone go too. Nothing is listed twice. The order depends on
/// the entries only: images by platform, each followed by its attestations, then whatever else there is.
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

/// The part of an index that is about one operating system and architecture: its images and their attestations.
pub fn for_platform(index: &Index, platform: &Platform) -> Index {
    let is_other = |entry: &Descriptor| !entry.platform.as_ref().is_some_and(|own| own.matches(platform));
    let kept = index
        .manifests
        .iter()
        .filter(|entry| entry.attests().is_some() || !is_other(entry));
    Index {
        annotations: index.annotations.clone(),
        ..Index::of(in_order(kept))
    }
}

/// The platforms an index has images for, sorted, each operating system and architecture once.
pub(super) fn platforms(index: &Index) -> Vec<Platform> {
    let mut platforms: Vec<Platform> = index.manifests.iter().filter_map(image_platform).cloned().collect();
    platforms.sort();
    platforms.dedup_by(|a, b| a.matches(b));
    platforms
}

/// The platform of an entry that is an image and no attestation.
pub(super) fn image_platform(entry: &Descriptor) -> Option<&Platform> {
    entry
        .platform
        .as_ref()
        .filter(|platform| !platform.is_unknown() && entry.attests().is_none())
}

/// What must be there only once. The version tells Windows images apart; Linux images have none.
fn image_key(entry: &Descriptor) -> Option<(&str, &str, &str)> {
    image_platform(entry).map(|p| (p.os.as_str(), p.architecture.as_str(), p.os_version.as_str()))
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
