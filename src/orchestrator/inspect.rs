//! Looking at an image, wherever it is: what it is made of, and what is stated about it.

use super::OrchestratorError;
use crate::attest::{self, AttestError, Attestation, Image, Sbom};
use crate::content::{ContentError, DOCUMENT_BYTES_MAX, Document, Source, read_document};
use crate::oci::{Descriptor, Digest, Manifest, Platform, Reference};
use crate::registry::{Registry, Repository};
use crate::store::Store;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::io::AsyncReadExt as _;

/// The label in which linuxkit, and lkpkg, keep what build.yml says about running an image.
const CONFIG_LABEL: &str = "org.mobyproject.config";

/// An image that was found.
#[derive(Clone)]
pub struct Located {
    /// How it was called.
    pub name: Reference,
    /// What that stands for.
    pub root: Descriptor,
    source: Arc<dyn Source>,
    /// Where its referrers are listed; None in the cache, which has none.
    repository: Option<Repository>,
}

/// Which images of an index are meant.
#[derive(Clone, Debug)]
pub enum Platforms {
    /// That for this machine, or the only one that there is.
    Usual,
    /// That for this platform.
    Of(Platform),
    /// All.
    All,
}

/// What an image is made of.
#[derive(Clone, Debug, Serialize)]
pub struct Inspection {
    /// Its name.
    pub name: String,
    /// What that stands for.
    pub digest: Digest,
    /// Media type of that.
    pub media_type: String,
    /// `cache` or `registry`.
    pub from: &'static str,
    /// The images for its platforms.
    pub images: Vec<InspectedImage>,
    /// What its registry lists as being about all of it.
    pub referrers: Vec<Listed>,
}

/// What one platform's image is made of.
#[derive(Clone, Debug, Default, Serialize)]
pub struct InspectedImage {
    /// What it runs on; None where nobody says it.
    pub platform: Option<String>,
    /// Its manifest.
    pub digest: Option<Digest>,
    /// Sum of the sizes of its layers, in bytes.
    pub size: u64,
    /// How many those are.
    pub layers: usize,
    /// When it was made, as its configuration has it.
    pub created: Option<String>,
    /// Its labels, but for [`Self::config`].
    pub labels: BTreeMap<String, String>,
    /// What build.yml says about running it: the label `org.mobyproject.config`.
    pub config: Option<Value>,
    /// What runs.
    pub entrypoint: Vec<String>,
    /// Its arguments.
    pub cmd: Vec<String>,
    /// Names of the variables that it sets; their values are not for everybody.
    pub env: Vec<String>,
    /// What is stated about it.
    pub attestations: Vec<Listed>,
    /// What its registry lists as being about it.
    pub referrers: Vec<Listed>,
    /// Documents of it that are not there.
    pub missing: Vec<Digest>,
}

/// Something about an image.
#[derive(Clone, Debug, Serialize)]
pub struct Listed {
    /// Predicate type of a statement; type of artifact of a referrer.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

/// The image as the cache has it.
pub fn in_cache(image: &Reference, store: &Store) -> Result<Option<Located>, OrchestratorError> {
    let root = store.find(image)?;
    Ok(root.map(|root| Located {
        name: image.clone(),
        root,
        source: Arc::new(store.clone()),
        repository: None,
    }))
}

/// The image as its registry has it.
pub async fn in_registry(image: &Reference, registry: &Registry) -> Result<Located, OrchestratorError> {
    let repository = registry.repository(image);
    let root = repository.resolve(&image.pinned_name()).await?;
    let root = root.ok_or_else(|| OrchestratorError::Nowhere {
        image: image.to_string(),
        place: image.registry().to_owned(),
    })?;
    Ok(Located {
        name: image.clone(),
        root,
        source: Arc::new(repository.clone()),
        repository: Some(repository),
    })
}

impl Located {
    fn failed(&self, source: AttestError) -> OrchestratorError {
        OrchestratorError::Attest {
            image: self.name.to_string(),
            source: Box::new(source),
        }
    }

    async fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, OrchestratorError> {
        let Some(repository) = &self.repository else {
            return Ok(Vec::new());
        };
        let listed = repository.referrers(subject).await;
        listed.map_err(|source| OrchestratorError::Ask {
            name: format!("what is about {}", self.name),
            source: Box::new(source),
        })
    }

    async fn images(&self) -> Result<Vec<Image>, OrchestratorError> {
        let images = attest::images(self.source.as_ref(), &self.root).await;
        images.map_err(|error| self.failed(error))
    }

    /// What is stated about one of its images.
    async fn attestations(&self, image: &Image, referrers: &[Descriptor]) -> Result<Vec<Attestation>, AttestError> {
        attest::find(self.source.as_ref(), image, referrers).await
    }
}

/// The SBoMs of these platforms' images. An image that has none is an error.
pub async fn sboms(located: &Located, platforms: &Platforms) -> Result<Vec<Sbom>, OrchestratorError> {
    let images = located.images().await?;
    let one = |wanted| attest::select(&images, wanted, &Platform::host()).map(|image| vec![image]);
    let chosen = match platforms {
        Platforms::Usual => one(None),
        Platforms::Of(platform) => one(Some(platform)),
        Platforms::All => Ok(images.iter().collect()),
    };
    let mut found = Vec::new();
    for image in chosen.map_err(|error| located.failed(error))? {
        let referrers = located.referrers(&image.manifest.digest).await?;
        let attestations = located.attestations(image, &referrers).await;
        let attestations = attestations.map_err(|error| located.failed(error))?;
        let own = Sbom::among(&attestations).map_err(|found| {
            located.failed(AttestError::NoSbom {
                image: image.manifest.digest.clone(),
                found,
            })
        })?;
        found.extend(own.into_iter().map(|attestation| Sbom {
            name: located.name.clone(),
            platform: image.platform.clone(),
            source: Arc::clone(&located.source),
            attestation: attestation.clone(),
        }));
    }
    Ok(found)
}

/// What the image is made of. What is not there, of an image that was pulled in part, is named and no error.
pub async fn inspect(located: &Located) -> Result<Inspection, OrchestratorError> {
    let images = match read_document(located.source.as_ref(), &located.root).await? {
        // What is no image can be looked at as well: an artifact, say.
        (_, Document::Index(index)) if index.manifests.is_empty() => Vec::new(),
        _ => located.images().await?,
    };
    let mut inspected = Vec::new();
    for image in &images {
        inspected.push(inspect_image(located, image).await?);
    }
    let is_single = images.iter().any(|image| image.manifest.digest == located.root.digest);
    Ok(Inspection {
        name: located.name.to_string(),
        digest: located.root.digest.clone(),
        media_type: located.root.media_type.clone(),
        from: match located.repository {
            Some(_) => "registry",
            None => "cache",
        },
        images: inspected,
        referrers: match is_single {
            true => Vec::new(),
            false => listed(&located.referrers(&located.root.digest).await?),
        },
    })
}

fn listed(referrers: &[Descriptor]) -> Vec<Listed> {
    let listed = |one: &Descriptor| Listed {
        kind: one.artifact_type.clone(),
        digest: one.digest.clone(),
        size: one.size,
    };
    referrers.iter().map(listed).collect()
}

/// The part of an image's configuration that is shown.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Config {
    created: Option<String>,
    config: Option<Run>,
}

/// How an image is run.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Run {
    labels: Option<BTreeMap<String, String>>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    env: Option<Vec<String>>,
}

async fn inspect_image(located: &Located, image: &Image) -> Result<InspectedImage, OrchestratorError> {
    let source = located.source.as_ref();
    let mut shown = InspectedImage {
        platform: image.platform.as_ref().map(Platform::to_string),
        digest: Some(image.manifest.digest.clone()),
        ..InspectedImage::default()
    };
    let manifest = here(read_document(source, &image.manifest).await, &mut shown)?;
    if let Some((_, Document::Manifest(manifest))) = manifest {
        shown.size = manifest.layers.iter().map(|layer| layer.size).sum();
        shown.layers = manifest.layers.len();
        if let Some(bytes) = here(small(source, &manifest).await, &mut shown)? {
            // An artifact's configuration can be anything.
            configure(&mut shown, serde_json::from_slice(&bytes).unwrap_or_default());
        }
    }
    let referrers = located.referrers(&image.manifest.digest).await?;
    match located.attestations(image, &referrers).await {
        Ok(found) => {
            let stated = |one: Attestation| Listed {
                kind: one.predicate,
                digest: one.content.digest,
                size: one.content.size,
            };
            shown.attestations.extend(found.into_iter().map(stated));
        }
        Err(AttestError::Missing { digest, .. }) => shown.missing.push(digest),
        Err(error) => return Err(located.failed(error)),
    }
    for one in &shown.attestations {
        if source.size(&one.digest).await?.is_none() {
            shown.missing.push(one.digest.clone());
        }
    }
    shown.referrers = listed(&referrers);
    Ok(shown)
}

/// What was read; None, and noted, where it is missing.
fn here<T>(read: Result<T, ContentError>, shown: &mut InspectedImage) -> Result<Option<T>, ContentError> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(ContentError::Missing(digest)) => {
            shown.missing.push(digest);
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// An image's configuration.
pub(super) async fn small(source: &dyn Source, manifest: &Manifest) -> Result<Vec<u8>, ContentError> {
    let config = &manifest.config;
    let (mut bytes, reader) = (Vec::new(), source.read(&config.digest, 0).await?);
    let read = reader.take(DOCUMENT_BYTES_MAX).read_to_end(&mut bytes).await;
    read.map_err(|error| ContentError::Failed {
        doing: format!("read the configuration {}", config.digest),
        source: Box::new(error),
    })?;
    let found = Digest::of(&bytes);
    match found == config.digest {
        true => Ok(bytes),
        false => Err(ContentError::Mismatch {
            expected: config.digest.clone(),
            found: format!("the bytes are {found}"),
        }),
    }
}

fn configure(shown: &mut InspectedImage, config: Config) {
    let run = config.config.unwrap_or_default();
    shown.created = config.created;
    shown.labels = run.labels.unwrap_or_default();
    shown.config = shown.labels.remove(CONFIG_LABEL).map(|text| {
        // What is no JSON is shown as it is.
        serde_json::from_str(&text).unwrap_or(Value::String(text))
    });
    shown.entrypoint = run.entrypoint.unwrap_or_default();
    shown.cmd = run.cmd.unwrap_or_default();
    let name = |variable: String| variable.split('=').next().unwrap_or_default().to_owned();
    shown.env = run.env.unwrap_or_default().into_iter().map(name).collect();
}
