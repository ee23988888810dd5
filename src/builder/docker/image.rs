//! Pulling the builder's image, told as every other pull: a step with a line for each layer.

use super::super::BuilderError;
use crate::event::{Event, Events, Outcome, Progress, Step, Vertex};
use crate::oci::credentials::{CredentialSource, Credentials};
use crate::oci::{Digest, Reference};
use bollard::Docker;
use bollard::auth::DockerCredentials;
use bollard::models::CreateImageInfo;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::StreamExt;
use std::collections::BTreeMap;
use std::time::{Instant, SystemTime};

/// What the daemon says of a layer whose bytes come.
const COMES: &str = "Downloading";
/// What it says of one whose bytes are here now.
const HERE: [&str; 2] = ["Download complete", "Pull complete"];
/// What it says before the digest of the image.
const DIGEST: &str = "Digest: ";

/// Pulls `image` into the daemon with the credentials that there are for its registry.
pub(super) async fn pull(
    docker: &Docker,
    image: &str,
    credentials: &CredentialSource,
    events: &Events,
) -> Result<(), BuilderError> {
    let registry = image.parse::<Reference>().ok();
    let place = registry
        .map(|reference| reference.registry().to_owned())
        .unwrap_or_default();
    let mut told = Told::begin(image, place, events).await;
    let result = work(docker, image, credentials, &mut told).await;
    told.end(result.as_ref().err()).await;
    result.map_err(|reason| BuilderError::NoImage {
        image: image.into(),
        reason,
    })
}

/// The error is a sentence's end.
async fn work(docker: &Docker, image: &str, credentials: &CredentialSource, told: &mut Told<'_>) -> Result<(), String> {
    // Without a tag, the daemon would pull all that there are.
    let has_tag = image.contains('@') || image.rsplit('/').next().is_some_and(|last| last.contains(':'));
    let reference = if has_tag {
        image.to_owned()
    } else {
        format!("{image}:latest")
    };
    let options = CreateImageOptionsBuilder::default().from_image(&reference).build();
    let credentials = lookup(credentials.clone(), image).await?;
    let mut progress = docker.create_image(Some(options), None, credentials);
    while let Some(step) = progress.next().await {
        let step = step.map_err(|error| error.to_string())?;
        if let Some(error) = step.error_detail.and_then(|detail| detail.message) {
            return Err(error);
        }
        told.tell(CreateImageInfo {
            error_detail: None,
            ..step
        });
    }
    Ok(())
}

/// A pull, as events.
struct Told<'a> {
    events: &'a Events,
    step: Step,
    vertex: Vertex,
    begun: Instant,
    layers: BTreeMap<String, Layer>,
    digest: String,
}

/// A layer that travels.
struct Layer {
    began: SystemTime,
    bytes: i64,
    total: i64,
    is_here: bool,
}

impl<'a> Told<'a> {
    async fn begin(image: &str, place: String, events: &'a Events) -> Self {
        let name = format!("pulling {image}");
        let told = Self {
            events,
            step: image.into(),
            vertex: Vertex {
                digest: Digest::of(name.as_bytes()).to_string(),
                name,
                started: Some(SystemTime::now()),
                ..Vertex::default()
            },
            begun: Instant::now(),
            layers: BTreeMap::new(),
            digest: String::new(),
        };
        let started = Event::StepStarted {
            step: told.step.clone(),
            platforms: Vec::new(),
            endpoint: place,
        };
        events.send(started).await;
        told.tell_vertex().await;
        told
    }

    async fn tell_vertex(&self) {
        let (step, vertex) = (self.step.clone(), self.vertex.clone());
        self.events.send(Event::Vertex { step, vertex }).await;
    }

    /// What the daemon says.
    fn tell(&mut self, info: CreateImageInfo) {
        let status = info.status.unwrap_or_default();
        if let Some(digest) = status.strip_prefix(DIGEST) {
            digest.clone_into(&mut self.digest);
        }
        let Some(id) = info.id else { return };
        let is_here = HERE.contains(&status.as_str());
        // A small layer is here before anything was said of its bytes; one that was here before does not travel.
        if status != COMES && !(is_here && self.layers.get(&id).is_some_and(|layer| !layer.is_here)) {
            return;
        }
        let layer = self.layers.entry(id.clone()).or_insert_with(|| Layer {
            began: SystemTime::now(),
            bytes: 0,
            total: 0,
            is_here: false,
        });
        if let Some(detail) = info.progress_detail.filter(|_| !is_here) {
            layer.total = detail.total.unwrap_or(layer.total);
            layer.bytes = detail.current.unwrap_or(layer.bytes);
        }
        if is_here {
            layer.is_here = true;
            layer.bytes = layer.bytes.max(layer.total);
        }
        let progress = Progress {
            id,
            vertex: self.vertex.digest.clone(),
            name: "transferring".to_owned(),
            current: layer.bytes,
            total: layer.total,
            started: Some(layer.began),
            completed: is_here.then(SystemTime::now),
        };
        let step = self.step.clone();
        self.events.offer(Event::Progress { step, progress });
    }

    async fn end(mut self, failure: Option<&String>) {
        let outcome = match failure {
            None => {
                self.vertex.completed = Some(SystemTime::now());
                self.tell_vertex().await;
                let bytes = self
                    .layers
                    .values()
                    .map(|layer| u64::try_from(layer.bytes).unwrap_or_default());
                Outcome::Moved {
                    how: "pulled",
                    digest: self.digest,
                    blobs: self.layers.len(),
                    bytes: bytes.sum(),
                }
            }
            Some(reason) => Outcome::Failed(reason.clone()),
        };
        let (step, took) = (self.step, self.begun.elapsed());
        self.events.send(Event::StepFinished { step, outcome, took }).await;
    }
}

/// What the daemon shows to the image's registry; None for nothing. The error is a sentence's end.
async fn lookup(source: CredentialSource, image: &str) -> Result<Option<DockerCredentials>, String> {
    // A name that is none is the daemon's to refuse.
    let Ok(reference) = image.parse::<Reference>() else {
        return Ok(None);
    };
    // Helpers are programs that are waited for.
    let found = tokio::task::spawn_blocking(move || source.lookup(reference.registry())).await;
    let found = found
        .map_err(|error| error.to_string())?
        .map_err(|error| error.to_string())?;
    let none = DockerCredentials::default();
    Ok(match found {
        Credentials::Anonymous => None,
        Credentials::Basic { username, password } => Some(DockerCredentials {
            username: Some(username),
            password: Some(password),
            ..none
        }),
        Credentials::IdentityToken(token) => Some(DockerCredentials {
            identitytoken: Some(token),
            ..none
        }),
        Credentials::RegistryToken(token) => Some(DockerCredentials {
            registrytoken: Some(token),
            ..none
        }),
    })
}
