//! Which images there are and what attests them: BuildKit's attestation manifests in the index, and referrers.

use super::AttestError;
use crate::content::{ContentError, DOCUMENT_BYTES_MAX, Document, Source, read_document};
use crate::oci::{Descriptor, Digest, Manifest, Platform, annotation, merge};
use serde::Deserialize;
use tokio::io::AsyncReadExt;

/// A statement about a subject, as JSON.
pub(super) const IN_TOTO: &str = "application/vnd.in-toto+json";
/// An SBoM by itself, as `oras attach` and others hang it on an image.
const BARE: [(&str, &str); 2] = [
    ("application/spdx+json", "https://spdx.dev/Document"),
    ("application/vnd.cyclonedx+json", "https://cyclonedx.org/bom"),
];

/// One image of an index.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// What it runs on; None where neither index nor configuration says it.
    pub platform: Option<Platform>,
    /// Its manifest.
    pub manifest: Descriptor,
    /// The attestation manifests that the index has for it.
    pub attested_by: Vec<Descriptor>,
}

/// Something that is stated about an image. Its bytes have not been read yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Attestation {
    /// The manifest of the image.
    pub image: Digest,
    /// The statement.
    pub content: Descriptor,
    /// Its predicate type.
    pub predicate: String,
    /// Whether the content is the predicate itself, without a statement around it.
    pub is_bare: bool,
}

/// What an attestation is, as far as it is known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Predicate {
    /// An SPDX document.
    Spdx,
    /// A CycloneDX document.
    CycloneDx,
    /// How it was built: SLSA provenance v0.2 or v1.
    Provenance,
    /// Anything else.
    Other,
}

impl Predicate {
    /// What a predicate type stands for; some writers add the version of the format.
    pub fn of(predicate_type: &str) -> Self {
        let is = |base: &str| {
            let rest = predicate_type.strip_prefix(base);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        match predicate_type {
            "https://slsa.dev/provenance/v0.2" | "https://slsa.dev/provenance/v1" => Self::Provenance,
            _ if is("https://spdx.dev/Document") => Self::Spdx,
            _ if is("https://cyclonedx.org/bom") => Self::CycloneDx,
            _ => Self::Other,
        }
    }
}

impl Attestation {
    /// What it is.
    pub fn kind(&self) -> Predicate {
        Predicate::of(&self.predicate)
    }
}

/// The images that `root` (an index, or one manifest) stands for, in its order.
pub async fn images(source: &dyn Source, root: &Descriptor) -> Result<Vec<Image>, AttestError> {
    match read_document(source, root).await?.1 {
        Document::Manifest(manifest) => {
            let platform = platform_in_config(source, &manifest).await?;
            Ok(vec![Image {
                platform,
                manifest: root.clone(),
                attested_by: Vec::new(),
            }])
        }
        Document::Index(index) => {
            let is_image = |entry: &&Descriptor| {
                let is_listed = entry.platform.is_none() || merge::image_platform(entry).is_some();
                Document::is_type(&entry.media_type) && entry.attests().is_none() && is_listed
            };
            let image = |entry: &Descriptor| Image {
                platform: entry.platform.clone(),
                manifest: entry.clone(),
                attested_by: attestations_of(&index.manifests, &entry.digest),
            };
            let found: Vec<_> = index.manifests.iter().filter(is_image).map(image).collect();
            match found.is_empty() {
                true => Err(AttestError::NotAnImage(root.digest.clone())),
                false => Ok(found),
            }
        }
    }
}

fn attestations_of(entries: &[Descriptor], image: &Digest) -> Vec<Descriptor> {
    let is_about = |entry: &&Descriptor| entry.attests() == Some(image.as_str());
    entries.iter().filter(is_about).cloned().collect()
}

/// The part of a configuration that says what the image runs on.
#[derive(Deserialize)]
struct Config {
    #[serde(flatten)]
    platform: Platform,
}

async fn platform_in_config(source: &dyn Source, manifest: &Manifest) -> Result<Option<Platform>, AttestError> {
    let mut bytes = Vec::new();
    let reader = match source.read(&manifest.config.digest, 0).await {
        Ok(reader) => reader,
        Err(ContentError::Missing(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    reader.take(DOCUMENT_BYTES_MAX).read_to_end(&mut bytes).await?;
    // An artifact's configuration can be anything.
    let config: Option<Config> = serde_json::from_slice(&bytes).ok();
    Ok(config.map(|config| config.platform))
}

/// The image for the platform that is wanted. Where none is: the one for `host`, or the only one that there is.
pub fn select<'a>(images: &'a [Image], wanted: Option<&Platform>, host: &Platform) -> Result<&'a Image, AttestError> {
    let is_for = |image: &&Image, platform: &Platform| {
        let own = image.platform.as_ref();
        own.is_some_and(|own| own.matches(platform) && (platform.variant.is_empty() || own.variant == platform.variant))
    };
    let find = |platform: &Platform| images.iter().find(|image| is_for(image, platform));
    let found = match (wanted, images) {
        (Some(wanted), _) => find(wanted),
        (None, [only]) => Some(only),
        (None, _) => find(host),
    };
    found.ok_or_else(|| AttestError::NoPlatform {
        wanted: Box::new(wanted.unwrap_or(host).clone()),
        found: images.iter().filter_map(|image| image.platform.clone()).collect(),
    })
}

/// What is stated about an image: by the attestation manifests of its index, and by those of `referrers` (what a registry
/// lists as being about it; empty where there is no registry) that state something.
///
/// A referrer is looked at only where its manifest names the image as its subject, and what it holds is known to be a
/// statement or an SBoM. Nothing is listed twice.
pub async fn find(
    source: &dyn Source,
    image: &Image,
    referrers: &[Descriptor],
) -> Result<Vec<Attestation>, AttestError> {
    let mut found: Vec<Attestation> = Vec::new();
    let own = image.attested_by.iter().map(|entry| (entry, false));
    let others = referrers.iter().filter(|entry| Document::is_type(&entry.media_type));
    for (entry, is_referrer) in own.chain(others.map(|entry| (entry, true))) {
        let image = &image.manifest.digest;
        let document = read_document(source, entry).await.map_err(|error| match error {
            ContentError::Missing(digest) => AttestError::Missing {
                what: "the attestation manifest",
                digest,
                image: image.clone(),
            },
            error => error.into(),
        });
        let (_, Document::Manifest(manifest)) = document? else {
            continue;
        };
        let subject = manifest.subject.as_ref().map(|subject| &subject.digest);
        if is_referrer && subject != Some(image) {
            return Err(AttestError::Foreign {
                digest: entry.digest.clone(),
                image: image.clone(),
                found: subject.map(Digest::to_string).into_iter().collect(),
            });
        }
        for one in stated(image, &manifest) {
            if !found.iter().any(|known| known.content.digest == one.content.digest) {
                found.push(one);
            }
        }
    }
    Ok(found)
}

/// What a manifest holds that states something.
fn stated<'a>(image: &'a Digest, manifest: &'a Manifest) -> impl Iterator<Item = Attestation> + 'a {
    manifest.layers.iter().filter_map(|layer| {
        let bare = BARE.iter().find(|(media_type, _)| layer.media_type == *media_type);
        let predicate = match bare {
            Some((_, predicate)) => (*predicate).to_owned(),
            None if layer.media_type == IN_TOTO => {
                let places = [&layer.annotations, &manifest.annotations];
                places
                    .iter()
                    .find_map(|place| place.get(annotation::PREDICATE_TYPE))?
                    .clone()
            }
            None => return None,
        };
        Some(Attestation {
            image: image.clone(),
            content: layer.clone(),
            predicate,
            is_bare: bare.is_some(),
        })
    })
}
