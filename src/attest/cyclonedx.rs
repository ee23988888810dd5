//! CycloneDX documents: the components that are read of others' documents, and those that are written (version 1.6).

use super::spdx::{self, null_is_empty, stated};
use super::{Sbom, image};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A component of a document that somebody else wrote. What is not there is empty.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Component {
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) group: String,
    pub(super) name: String,
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) version: String,
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) purl: String,
    #[serde(deserialize_with = "null_is_empty")]
    licenses: Vec<LicenceChoice>,
    #[serde(deserialize_with = "null_is_empty")]
    components: Vec<Component>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct LicenceChoice {
    expression: String,
    license: Licence,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Licence {
    id: String,
    name: String,
}

impl Component {
    /// Its licences; empty where none is known.
    pub(super) fn licence(&self) -> String {
        let text = |choice: &LicenceChoice| {
            let texts = [&choice.expression, &choice.license.id, &choice.license.name];
            texts.into_iter().find(|text| !text.is_empty()).cloned()
        };
        let all: Vec<String> = self.licenses.iter().filter_map(text).collect();
        all.join(" AND ")
    }

    /// It, and those in it.
    pub(super) fn each(&self, function: &mut impl FnMut(&Self)) {
        function(self);
        self.components.iter().for_each(|below| below.each(function));
    }
}

/// A component that is written.
#[derive(Debug, Default, Serialize)]
pub(super) struct Written {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "bom-ref", skip_serializing_if = "String::is_empty")]
    pub(super) reference: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    supplier: Option<Value>,
    #[serde(skip_serializing_if = "String::is_empty")]
    publisher: String,
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hashes: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    licenses: Vec<Value>,
    #[serde(skip_serializing_if = "String::is_empty")]
    copyright: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    cpe: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) purl: String,
    #[serde(rename = "externalReferences", skip_serializing_if = "Vec::is_empty")]
    external_references: Vec<Value>,
}

impl Written {
    /// The component that stands for an image.
    pub(super) fn of_image(sbom: &Sbom) -> Self {
        let digest = &sbom.attestation.image;
        Self {
            kind: "container",
            reference: image::identifier(digest),
            name: sbom.name.store_name(),
            version: digest.to_string(),
            hashes: vec![json!({"alg": "SHA-256", "content": digest.hex()})],
            purl: image::purl(sbom),
            ..Self::default()
        }
    }

    /// What an SPDX package is as a component. `licence` and `reference` are the package's, made unique.
    pub(super) fn of(package: &spdx::Package, reference: String, licence: &str) -> Self {
        let mut component = Self {
            kind: kind(&package.primary_package_purpose),
            reference,
            publisher: party(&package.originator).to_owned(),
            name: package.name.clone(),
            version: stated(&package.version_info).to_owned(),
            description: stated(&package.description).to_owned(),
            copyright: stated(&package.copyright_text).to_owned(),
            cpe: package.external("cpe23Type").to_owned(),
            purl: package.external("purl").to_owned(),
            ..Self::default()
        };
        let supplier = party(&package.supplier);
        if !supplier.is_empty() {
            component.supplier = Some(json!({"name": supplier}));
        }
        if !licence.is_empty() {
            component.licenses.push(json!({"expression": licence}));
        }
        let hashes = package.checksums.iter().filter_map(|checksum| {
            let (algorithm, length) = hash(&checksum.algorithm)?;
            let value = &checksum.checksum_value;
            let is_hash = value.len() == length && value.bytes().all(|byte| byte.is_ascii_hexdigit());
            is_hash.then(|| json!({"alg": algorithm, "content": value}))
        });
        component.hashes.extend(hashes);
        let homepage = stated(&package.homepage);
        let is_address = homepage.starts_with("https://") || homepage.starts_with("http://");
        if is_address && homepage.bytes().all(|byte| byte.is_ascii_graphic()) {
            let reference = json!({"type": "website", "url": homepage});
            component.external_references.push(reference);
        }
        component
    }
}

/// A type of component, for SPDX's purpose of a package.
fn kind(purpose: &str) -> &'static str {
    match purpose {
        "APPLICATION" => "application",
        "FRAMEWORK" => "framework",
        "CONTAINER" => "container",
        "OPERATING-SYSTEM" | "OPERATING_SYSTEM" => "operating-system",
        "DEVICE" => "device",
        "FIRMWARE" => "firmware",
        "FILE" => "file",
        _ => "library",
    }
}

/// CycloneDX's name of a hash, and its hexadecimal digits.
fn hash(algorithm: &str) -> Option<(&'static str, usize)> {
    Some(match algorithm {
        "MD5" => ("MD5", 32),
        "SHA1" => ("SHA-1", 40),
        "SHA256" => ("SHA-256", 64),
        "SHA384" => ("SHA-384", 96),
        "SHA512" => ("SHA-512", 128),
        "SHA3-256" => ("SHA3-256", 64),
        "SHA3-384" => ("SHA3-384", 96),
        "SHA3-512" => ("SHA3-512", 128),
        "BLAKE2b-256" => ("BLAKE2b-256", 64),
        "BLAKE2b-384" => ("BLAKE2b-384", 96),
        "BLAKE2b-512" => ("BLAKE2b-512", 128),
        _ => return None,
    })
}

/// A name without SPDX's `Organization: ` and `Person: `.
fn party(text: &str) -> &str {
    let text = stated(text);
    let name = text.strip_prefix("Organization:").or(text.strip_prefix("Person:"));
    name.unwrap_or(text).trim()
}
