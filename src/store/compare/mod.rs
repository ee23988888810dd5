//! What tells two images apart, down to the field of a file: [`Store::compare`].
//!
//! Only what has another digest is looked into. Of layers nothing is held but a short record of each entry of one of them:
//! both are read as streams.

mod layer;

use super::{Inner, Store, StoreError};
use crate::content::{DOCUMENT_BYTES_MAX, Document};
use crate::event::CancellationToken;
use crate::oci::{Descriptor, Digest, Index, Manifest, Platform, annotation, merge};
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// How many differences are told of one platform's image: who has not found the cause by then needs no more of them.
const DIFFERENCES_MAX: usize = 1000;

/// Predicate types of what is stated about one run of a build, and cannot be the same of another.
const PROVENANCE: &str = "https://slsa.dev/provenance/";

/// The images of one platform, compared.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compared {
    /// What they run on.
    pub platform: String,
    /// The manifest of the first.
    pub first: Digest,
    /// The manifest of the second; None where there is none.
    pub second: Option<Digest>,
    /// What differs; empty where they are the same. At most some hundreds of them.
    pub differences: Vec<Difference>,
}

/// One thing that differs.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Difference {
    /// The layer that it is in, counted from 1; None for what is in no layer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer: Option<usize>,
    /// The step that made this layer, as the image's history has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// The file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// `mode`, `time`, `owner`, `size`, `content`, `link`, `type`, `device`, `xattr …` or `presence` of a file; `order` or
    /// `bytes` of a layer; `config …` or `manifest …` with the name of a field; `layers`; `attestation …`.
    pub field: String,
    /// What the first has; None where it has none.
    pub first: Option<String>,
    /// What the second has.
    pub second: Option<String>,
}

impl Compared {
    /// Whether nothing differs.
    pub fn is_same(&self) -> bool {
        self.differences.is_empty()
    }
}

impl Store {
    /// Compares the images of `first` with those of `second` that run on the same, all that `first` has of `platforms`. Each
    /// blob is read from whichever store has it, this one or one of `others`. With `statements`, also what is stated about them, where
    /// something of the same kind is stated about both; provenance never.
    pub async fn compare(
        &self,
        first: &Descriptor,
        others: &[Self],
        second: &Descriptor,
        platforms: &[Platform],
        statements: bool,
        cancel: &CancellationToken,
    ) -> Result<Vec<Compared>, StoreError> {
        let (others, first, second) = (others.to_vec(), first.clone(), second.clone());
        let (platforms, cancel) = (platforms.to_vec(), cancel.clone());
        self.blocking(move |inner| {
            let others = others.iter().map(|other| other.0.as_ref());
            let pair = Pair {
                stores: std::iter::once(inner).chain(others).collect(),
                cancel: &cancel,
            };
            pair.compare(&first, &second, &platforms, statements)
        })
        .await
    }
}

/// The stores in which the blobs of both are looked for.
struct Pair<'a> {
    stores: Vec<&'a Inner>,
    cancel: &'a CancellationToken,
}

/// The part of a configuration that says which step made which layer.
#[derive(serde::Deserialize)]
struct Config {
    #[serde(default)]
    history: Vec<Step>,
}

#[derive(serde::Deserialize)]
struct Step {
    #[serde(default)]
    created_by: String,
    #[serde(default)]
    empty_layer: bool,
}

impl Pair<'_> {
    fn compare(
        &self,
        first: &Descriptor,
        second: &Descriptor,
        platforms: &[Platform],
        statements: bool,
    ) -> Result<Vec<Compared>, StoreError> {
        let (first, second) = (self.index(first)?, self.index(second)?);
        let images = |index: &Index| -> Vec<(Platform, Descriptor)> {
            let of = |entry: &Descriptor| Some((merge::image_platform(entry)?.clone(), entry.clone()));
            index.manifests.iter().filter_map(of).collect()
        };
        let theirs = images(&second);
        let mut compared = Vec::new();
        for (platform, one) in images(&first) {
            if !platforms.iter().any(|wanted| wanted.matches(&platform)) {
                continue;
            }
            let other = theirs
                .iter()
                .find(|(their, _)| their.matches(&platform))
                .map(|(_, entry)| entry);
            let mut differences = Differences::default();
            match other {
                None => differences.add(Difference {
                    field: "presence".to_owned(),
                    first: Some(one.digest.to_string()),
                    ..Difference::default()
                }),
                Some(other) if other.digest != one.digest => self.images(&one, other, &mut differences)?,
                Some(other) if statements => {
                    let of = |index: &Index, image| self.statements(index, image);
                    let (own, theirs) = (of(&first, &one.digest)?, of(&second, &other.digest)?);
                    for (kind, digest) in own {
                        if let Some(their) = theirs.get(&kind) {
                            differences.text(&format!("attestation {kind}"), &digest, their);
                        }
                    }
                }
                Some(_) => {}
            }
            compared.push(Compared {
                platform: platform.to_string(),
                first: one.digest,
                second: other.map(|other| other.digest.clone()),
                differences: differences.0,
            });
        }
        Ok(compared)
    }

    fn index(&self, root: &Descriptor) -> Result<Index, StoreError> {
        for store in &self.stores {
            if let Some(index) = store.index_of(root)? {
                return Ok(index);
            }
        }
        Err(missing(root))
    }

    fn document(&self, descriptor: &Descriptor) -> Result<(Vec<u8>, Document), StoreError> {
        for store in &self.stores {
            if let Some(document) = store.document(&descriptor.digest)? {
                return Ok(document);
            }
        }
        Err(missing(descriptor))
    }

    fn manifest(&self, descriptor: &Descriptor) -> Result<(Value, Manifest), StoreError> {
        let store = self.holder(descriptor)?;
        let damaged = |reason: String| StoreError::Damaged {
            path: store.blob_path(&descriptor.digest),
            reason,
        };
        let (bytes, document) = self.document(descriptor)?;
        match document {
            Document::Manifest(manifest) => {
                let value = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
                Ok((value, *manifest))
            }
            Document::Index(_) => Err(damaged("it is an index and not the image of one platform".to_owned())),
        }
    }

    fn config(&self, descriptor: &Descriptor) -> Result<Value, StoreError> {
        let path = self.holder(descriptor)?.blob_path(&descriptor.digest);
        let bytes = super::layout::read_limited(&path, DOCUMENT_BYTES_MAX)?;
        serde_json::from_slice(&bytes).map_err(|error| StoreError::Damaged {
            path,
            reason: error.to_string(),
        })
    }

    fn holder(&self, descriptor: &Descriptor) -> Result<&Inner, StoreError> {
        for store in &self.stores {
            if store.blob_size(&descriptor.digest)?.is_some() {
                return Ok(store);
            }
        }
        Err(missing(descriptor))
    }

    /// What is stated about an image in its index, by predicate type.
    fn statements(&self, index: &Index, image: &Digest) -> Result<BTreeMap<String, String>, StoreError> {
        let mut found = BTreeMap::new();
        let own = index
            .manifests
            .iter()
            .filter(|entry| entry.attests() == Some(image.as_str()));
        for entry in own {
            for layer in self.manifest(entry)?.1.layers {
                if let Some(kind) = layer.annotations.get(annotation::PREDICATE_TYPE)
                    && !kind.starts_with(PROVENANCE)
                {
                    found.insert(kind.clone(), layer.digest.to_string());
                }
            }
        }
        Ok(found)
    }

    fn images(&self, one: &Descriptor, other: &Descriptor, differences: &mut Differences) -> Result<(), StoreError> {
        let ((one_value, one), (other_value, other)) = (self.manifest(one)?, self.manifest(other)?);
        let (one_config, other_config) = (self.config(&one.config)?, self.config(&other.config)?);
        let steps = steps(&one_config);
        if one.layers.len() != other.layers.len() {
            differences.text("layers", &one.layers.len().to_string(), &other.layers.len().to_string());
        }
        for (at, (own, their)) in one.layers.iter().zip(&other.layers).enumerate() {
            if own.digest != their.digest {
                let place = Difference {
                    layer: Some(at + 1),
                    step: steps.get(at).cloned(),
                    ..Difference::default()
                };
                self.layers(own, their, &place, differences)?;
            }
        }
        let layers_differ = !differences.0.is_empty();
        // Digests and sizes follow from what they are of.
        let is_explained = |path: &str| path.ends_with("digest") || path.ends_with("size") || path.ends_with("layers");
        differences.json("config", &one_config, &other_config, &|path| {
            layers_differ && path.starts_with("rootfs")
        });
        differences.json("manifest", &one_value, &other_value, &is_explained);
        Ok(())
    }

    fn layers(
        &self,
        one: &Descriptor,
        other: &Descriptor,
        place: &Difference,
        differences: &mut Differences,
    ) -> Result<(), StoreError> {
        let open = |descriptor: &Descriptor| -> Result<_, StoreError> {
            let store = self.holder(descriptor)?;
            Ok(layer::Layer {
                digest: descriptor.digest.clone(),
                reader: store.open_checked(descriptor, "the image that is compared")?,
                cancel: self.cancel,
            })
        };
        let (one, other) = (open(one)?, open(other)?);
        layer::compare(one, other, &mut |difference| {
            differences.add(Difference {
                layer: place.layer,
                step: place.step.clone(),
                ..difference
            });
        })
    }
}

/// The steps that made layers, in the order of these.
fn steps(config: &Value) -> Vec<String> {
    let config: Option<Config> = serde::Deserialize::deserialize(config).ok();
    let history = config.map(|config| config.history).unwrap_or_default();
    let made = history.into_iter().filter(|step| !step.empty_layer);
    made.map(|step| step.created_by).collect()
}

/// Differences while they are found.
#[derive(Default)]
struct Differences(Vec<Difference>);

impl Differences {
    fn add(&mut self, difference: Difference) {
        if self.0.len() < DIFFERENCES_MAX {
            self.0.push(difference);
        }
    }

    fn text(&mut self, field: &str, first: &str, second: &str) {
        if first != second {
            self.add(Difference {
                field: field.to_owned(),
                first: Some(first.to_owned()),
                second: Some(second.to_owned()),
                ..Difference::default()
            });
        }
    }

    /// The fields in which two documents differ, but for those that are passed over.
    fn json(&mut self, document: &str, first: &Value, second: &Value, is_passed: &dyn Fn(&str) -> bool) {
        let (mut one, mut other) = (BTreeMap::new(), BTreeMap::new());
        flatten(first, String::new(), &mut one);
        flatten(second, String::new(), &mut other);
        let keys: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
        for key in keys {
            if one.get(key) != other.get(key) && !is_passed(key) {
                self.add(Difference {
                    field: format!("{document} {key}"),
                    first: one.get(key).cloned(),
                    second: other.get(key).cloned(),
                    ..Difference::default()
                });
            }
        }
    }
}

/// The leaves of a document, by the way to them.
fn flatten(value: &Value, path: String, leaves: &mut BTreeMap<String, String>) {
    let below = |key: &str| match path.as_str() {
        "" => key.to_owned(),
        path => format!("{path}.{key}"),
    };
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (key, value) in fields {
                flatten(value, below(key), leaves);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (at, item) in items.iter().enumerate() {
                flatten(item, format!("{path}[{at}]"), leaves);
            }
        }
        Value::String(text) => _ = leaves.insert(path, text.clone()),
        leaf => _ = leaves.insert(path, leaf.to_string()),
    }
}

fn missing(descriptor: &Descriptor) -> StoreError {
    StoreError::Missing {
        digest: descriptor.digest.clone(),
        needed_by: "the comparison".to_owned(),
    }
}

#[cfg(test)]
mod tests;
