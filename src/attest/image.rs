//! How an image stands in a document that is made here: identifiers, package URL, and what belongs to all inputs.

use super::Sbom;
use super::spdx::CreationInfo;
use super::transcode::Prefix;
use crate::oci::{Digest, Hasher};
use std::collections::BTreeSet;

/// Digits of an image's digest in identifiers: enough that no two images of one document have the same.
const DIGITS: usize = 16;
/// The time of a document of which no input says when it was made.
const EPOCH: &str = "1970-01-01T00:00:00Z";

/// The SPDX identifier of the package that stands for the image.
pub(super) fn identifier(image: &Digest) -> String {
    format!("SPDXRef-Image-{}", &image.hex()[..DIGITS])
}

/// What the identifiers of each of these (in this order) get: the image's, and a number where it has several SBoMs.
pub(super) fn prefixes(sboms: &[Sbom]) -> Vec<Prefix> {
    let image = |at: usize| sboms.get(at).map(|sbom| &sbom.attestation.image);
    let mut number = 0;
    let prefix = |at: usize| {
        let is_first = at == 0 || image(at - 1) != image(at);
        number = if is_first { 1 } else { number + 1 };
        let is_only = is_first && image(at + 1) != image(at);
        let digits = &sboms[at].attestation.image.hex()[..DIGITS];
        Prefix(match is_only {
            true => format!("{digits}-"),
            false => format!("{digits}-{number}-"),
        })
    };
    (0..sboms.len()).map(prefix).collect()
}

/// The package URL of the image (purl-spec, type `oci`).
pub(super) fn purl(sbom: &Sbom) -> String {
    let locator = sbom.name.locator();
    let name = locator.rsplit('/').next().unwrap_or_default();
    let digest = sbom.attestation.image.as_str().replace(':', "%3A");
    let platform = sbom.platform.as_ref();
    let arch = platform.map_or(String::new(), |platform| format!("arch={}&", platform.architecture));
    // What may stand in a name is what may stand in a qualifier, but for the colon of a port.
    let locator = locator.replace(':', "%3A");
    format!("pkg:oci/{name}@{digest}?{arch}repository_url={locator}")
}

/// A digest of which images and SBoMs these are.
pub(super) fn fingerprint(sboms: &[Sbom]) -> Digest {
    let mut hasher = Hasher::default();
    for sbom in sboms {
        let parts = [&sbom.attestation.image, &sbom.attestation.content.digest];
        parts
            .iter()
            .for_each(|digest| hasher.update(digest.as_str().as_bytes()));
    }
    hasher.finish()
}

/// What a document about these is called.
pub(super) fn title(sboms: &[Sbom]) -> String {
    let mut images: Vec<_> = sboms.iter().map(|sbom| &sbom.attestation.image).collect();
    images.dedup();
    match sboms.first() {
        Some(first) if images.len() == 1 => first.name.store_name(),
        _ => format!("{} images", images.len()),
    }
}

/// Who made the inputs, and when the newest was made.
#[derive(Debug, Default)]
pub(super) struct Creation {
    created: String,
    /// The time that goes before the inputs'.
    pub(super) fixed: Option<String>,
    pub(super) creators: BTreeSet<String>,
    pub(super) licence_list: Option<(Vec<u32>, String)>,
}

impl Creation {
    pub(super) fn add(&mut self, info: CreationInfo) {
        if is_time(&info.created) && info.created > self.created {
            self.created = info.created;
        }
        self.creators.extend(info.creators);
        let numbers: Option<Vec<u32>> = info
            .license_list_version
            .split('.')
            .map(|part| part.parse().ok())
            .collect();
        let version = numbers.map(|numbers| (numbers, info.license_list_version));
        self.licence_list = self.licence_list.take().max(version);
    }

    /// The time of the newest.
    pub(super) fn created(&self) -> &str {
        match (&self.fixed, self.created.as_str()) {
            (Some(fixed), _) => fixed,
            (None, "") => EPOCH,
            (None, created) => created,
        }
    }
}

/// Whether the text is a time as SPDX writes it; two of those are compared as texts.
fn is_time(text: &str) -> bool {
    let pattern = EPOCH.bytes();
    let is_like = |(found, model): (u8, u8)| match model.is_ascii_digit() {
        true => found.is_ascii_digit(),
        false => found == model,
    };
    text.len() == EPOCH.len() && text.bytes().zip(pattern).all(is_like)
}
