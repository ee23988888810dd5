//! Image YAMLs into what is assembled: packages resolved to their tags, images brought into the store, SBoMs merged.

use super::inspect::{self, Platforms};
use super::prepare::{self, Request};
use super::pull::pull_image;
use super::{OrchestratorError, Remote};
use crate::assemble::config::{self, ImageYaml, SourceText};
use crate::assemble::container::ImageConfig;
use crate::assemble::{self, AssembleError, Format, Image, Inputs, Layout};
use crate::attest::{self, AttestError, Sbom, Spool};
use crate::content::{Document, read_document};
use crate::event::{CancellationToken, Event, Events};
use crate::oci::{Index, Platform, Reference, annotation, merge};
use crate::store::Store;
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Images that are pulled at the same time; the blobs of each come side by side anyway.
const PULLS: usize = 4;
/// Which file says that a directory is an OCI layout, and what it says.
const LAYOUT_FILE: (&str, &str) = ("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);

/// How images are found and put together.
#[derive(Clone, Debug)]
pub struct AssembleOptions {
    /// The platform that is assembled for.
    pub platform: Platform,
    /// Whether registries are asked even for images that the store has.
    pub pull: bool,
    /// The name of the merged SBoM in the root; None where it is not wanted.
    pub sbom: Option<String>,
    /// When the merged SBoM was made; None for the time of its newest part.
    pub sbom_created: Option<String>,
    /// Whether a compressed kernel is unpacked.
    pub decompress_kernel: bool,
    /// What `~/` stands for in `files`.
    pub home: Option<PathBuf>,
}

/// Reads image YAMLs and merges them; packages that they name are resolved to their tags.
pub fn describe(sources: &[SourceText]) -> Result<ImageYaml, OrchestratorError> {
    let mut package = |directory: &Path| {
        let request = Request {
            directories: vec![directory.to_owned()],
            ..Request::default()
        };
        let loaded = prepare::load(&request).map_err(|error| error.to_string())?;
        let tag = loaded.into_iter().next().map(|(_, identity)| identity.tag);
        tag.ok_or_else(|| format!("{} is not a package directory", directory.display()))
    };
    Ok(config::load(sources, &mut package).map_err(AssembleError::Yaml)?)
}

/// Finds all images of a description, and assembles it. What was written comes back.
pub async fn assemble(
    yaml: ImageYaml,
    options: &AssembleOptions,
    formats: Vec<Format>,
    store: &Store,
    remote: &Remote,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<Vec<PathBuf>, OrchestratorError> {
    let find = Find {
        options,
        store,
        remote,
        events,
        cancel,
    };
    let inputs = find.inputs(yaml).await?;
    let cancel = cancel.clone();
    Ok(super::blocking::blocking(move || assemble::assemble(inputs, formats, &cancel)).await??)
}

struct Find<'a> {
    options: &'a AssembleOptions,
    store: &'a Store,
    remote: &'a Remote,
    events: &'a Events,
    cancel: &'a CancellationToken,
}

impl Find<'_> {
    async fn inputs(&self, yaml: ImageYaml) -> Result<Inputs, OrchestratorError> {
        let names = named(&yaml);
        let found = futures_util::stream::iter(names.iter().map(|(name, location)| self.image(name, location)));
        let found: Vec<(Reference, Image)> = found.buffered(PULLS).try_collect().await?;
        let mut layouts = BTreeMap::new();
        for (number, volume) in yaml
            .volumes
            .iter()
            .enumerate()
            .filter(|(_, volume)| volume.format == "oci")
        {
            let layout = self
                .layout(&volume.image, &format!("volumes[{number}]"), &volume.platforms)
                .await?;
            layouts.insert(volume.name.clone(), layout);
        }
        let sbom = match &self.options.sbom {
            Some(name) => Some((
                name.clone(),
                self.sbom(found.iter().map(|(reference, _)| reference)).await?,
            )),
            None => None,
        };
        let store = self.store.clone();
        Ok(Inputs {
            yaml,
            images: names
                .into_keys()
                .zip(found.into_iter().map(|(_, image)| image))
                .collect(),
            layouts,
            open: std::sync::Arc::new(move |blob| store.open_blob(blob).map_err(std::io::Error::other)),
            scratch: self.store.directory().to_owned(),
            home: self.options.home.clone(),
            sbom,
            decompress_kernel: self.options.decompress_kernel,
        })
    }

    /// An image for the platform: from the store, else from its registry.
    async fn image(&self, name: &str, location: &str) -> Result<(Reference, Image), OrchestratorError> {
        let reference = parsed(name, location)?;
        let platform = &self.options.platform;
        let mut found = match self.options.pull {
            true => None,
            false => self.store.find_image(&reference, platform)?,
        };
        if found.is_none() {
            self.pull(&reference, location, std::slice::from_ref(platform)).await?;
            found = self.store.find_image(&reference, platform)?;
        }
        let unusable = |reason: String| unavailable(&reference, location, reason);
        let manifest = found.ok_or_else(|| unusable(format!("there is none for {platform}")))?;
        let (_, Document::Manifest(manifest)) = read_document(self.store, &manifest).await? else {
            return Err(unusable("it is an index of indexes".to_owned()));
        };
        let bytes = inspect::small(self.store, &manifest).await?;
        let config: Config = serde_json::from_slice(&bytes)
            .map_err(|error| unusable(format!("its configuration makes no sense: {error}")))?;
        let image = Image {
            layers: manifest.layers,
            config: config.config.unwrap_or_default(),
        };
        Ok((reference, image))
    }

    async fn pull(
        &self,
        reference: &Reference,
        location: &str,
        platforms: &[Platform],
    ) -> Result<(), OrchestratorError> {
        let pulled = pull_image(reference, platforms, self.store, self.remote, self.events, self.cancel).await;
        pulled.map(drop).map_err(|error| match error {
            error if error.is_cancelled() => error,
            OrchestratorError::Absent { reason, .. } => unavailable(reference, location, reason),
            error => unavailable(reference, location, error.to_string()),
        })
    }

    /// An image as a layout, for these platforms; for all that it has when none is named.
    async fn layout(&self, name: &str, location: &str, platforms: &[String]) -> Result<Layout, OrchestratorError> {
        let reference = parsed(name, location)?;
        // They were checked with the YAML.
        let platforms: Vec<Platform> = platforms.iter().filter_map(|platform| platform.parse().ok()).collect();
        if self.options.pull || !self.has_all(&reference, &platforms)? {
            self.pull(&reference, location, &platforms).await?;
        }
        let root = self.store.find(&reference)?;
        let mut root = root.ok_or_else(|| unavailable(&reference, location, "it is nowhere".to_owned()))?;
        let mut layout = Layout::default();
        let (file, text) = LAYOUT_FILE;
        layout.documents.push((file.to_owned(), text.as_bytes().to_vec()));
        let mut left = vec![root.clone()];
        if let (_, Document::Index(index)) = read_document(self.store, &root).await?
            && !platforms.is_empty()
        {
            let part = merge::for_platforms(&index, &platforms);
            let (descriptor, bytes) = part.written();
            layout
                .documents
                .push((format!("blobs/sha256/{}", descriptor.digest.hex()), bytes));
            left = part.manifests;
            root = descriptor;
        }
        root.annotations
            .insert(annotation::REF_NAME.to_owned(), reference.store_name());
        let (_, index) = Index::of(vec![root]).written();
        layout.documents.push(("index.json".to_owned(), index));
        let mut seen = BTreeSet::new();
        while let Some(one) = left.pop() {
            if !seen.insert(one.digest.clone()) {
                continue;
            }
            if Document::is_type(&one.media_type) {
                let (_, document) = read_document(self.store, &one).await?;
                left.extend(document.children().into_iter().cloned());
            }
            layout.blobs.push(one);
        }
        layout.blobs.sort_by(|a, b| a.digest.cmp(&b.digest));
        Ok(layout)
    }

    /// Whether the store has the image for these platforms; for all that its index lists when none is named.
    fn has_all(&self, reference: &Reference, platforms: &[Platform]) -> Result<bool, OrchestratorError> {
        let view = self.store.view()?;
        let Some(root) = view.find(reference)? else {
            return Ok(false);
        };
        let complete = view.complete(&root)?;
        Ok(complete.is_some_and(|complete| match platforms {
            [] => complete.is_whole,
            wanted => {
                let here = merge::platforms(&complete.index);
                wanted.iter().all(|wanted| here.iter().any(|own| own.matches(wanted)))
            }
        }))
    }

    /// The SBoMs of all images in one document. An image that has none has no part in it.
    async fn sbom(&self, images: impl Iterator<Item = &Reference>) -> Result<Spool, OrchestratorError> {
        let mut all: Vec<Sbom> = Vec::new();
        for reference in images {
            let Some(located) = inspect::in_cache(reference, self.store)? else {
                continue;
            };
            let platforms = Platforms::Of(self.options.platform.clone());
            match inspect::sboms(&located, &platforms).await {
                Ok(found) => all.extend(found),
                Err(OrchestratorError::Attest { source, .. }) if matches!(*source, AttestError::NoSbom { .. }) => {}
                Err(OrchestratorError::Attest { source, .. }) if matches!(*source, AttestError::Missing { .. }) => {
                    let text = format!("the merged SBoM lacks that of {reference}: {source}");
                    self.events.send(Event::Warning(text)).await;
                }
                Err(error) => return Err(error),
            }
        }
        let merged = attest::merged_spdx(all, self.options.sbom_created.as_deref()).await;
        merged.map_err(|source| OrchestratorError::Attest {
            image: "the image that is assembled".to_owned(),
            source: Box::new(source),
        })
    }
}

/// The images that are unpacked, by name, each with the place that names it first.
fn named(yaml: &ImageYaml) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut add = |name: &str, location: String| {
        if !name.is_empty() {
            all.entry(name.to_owned()).or_insert(location);
        }
    };
    add(&yaml.kernel.image, "kernel".to_owned());
    for (number, name) in yaml.init.iter().enumerate() {
        add(name, format!("init[{number}]"));
    }
    for (number, volume) in yaml
        .volumes
        .iter()
        .enumerate()
        .filter(|(_, volume)| volume.format != "oci")
    {
        add(&volume.image, format!("volumes[{number}]"));
    }
    for (section, number, container) in yaml.containers() {
        add(&container.image, format!("{section}[{number}]"));
    }
    all
}

fn parsed(name: &str, location: &str) -> Result<Reference, OrchestratorError> {
    // They were checked with the YAML, but for tags of packages.
    name.parse().map_err(|error| OrchestratorError::Image {
        image: name.to_owned(),
        named_by: location.to_owned(),
        reason: format!("{error}"),
    })
}

fn unavailable(image: &Reference, location: &str, reason: String) -> OrchestratorError {
    OrchestratorError::Image {
        image: image.to_string(),
        named_by: location.to_owned(),
        reason,
    }
}

/// The part of an image's configuration that says how it runs.
#[derive(Deserialize)]
struct Config {
    config: Option<ImageConfig>,
}
