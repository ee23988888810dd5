//! Images with statements about them, in memory, for tests.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::{AttestError, Image, Sbom, find, images};
use crate::content::Source;
use crate::content::memory::Memory;
use crate::oci::{Descriptor, Digest, Index, Platform, annotation, media_type};
use serde_json::{Value, json};
use std::sync::Arc;

pub(super) const SPDX: &str = "https://spdx.dev/Document";
pub(super) const CYCLONEDX: &str = "https://cyclonedx.org/bom";
pub(super) const IN_TOTO: &str = "application/vnd.in-toto+json";

/// A place for images.
#[derive(Clone, Default)]
pub(super) struct Shelf(pub(super) Arc<Memory>);

impl Shelf {
    /// The manifest of an image, whose layer is its name.
    pub(super) fn manifest(&self, name: &str) -> Descriptor {
        let config = json!({"os": "linux", "architecture": "amd64"}).to_string();
        let config = self.0.add(media_type::CONFIG, config.as_bytes());
        let layer = self.0.add(media_type::LAYER, name.as_bytes());
        self.document(json!({"schemaVersion": 2, "config": config, "layers": [layer]}))
    }

    pub(super) fn document(&self, manifest: Value) -> Descriptor {
        self.0.add(media_type::MANIFEST, manifest.to_string().as_bytes())
    }

    /// A layer that states something.
    pub(super) fn layer(&self, predicate_type: &str, text: &str) -> Descriptor {
        let mut layer = self.0.add(IN_TOTO, text.as_bytes());
        let annotations = &mut layer.annotations;
        annotations.insert(annotation::PREDICATE_TYPE.into(), predicate_type.into());
        layer
    }

    /// An index with one image for amd64, and the layers that state something about it.
    pub(super) fn index(&self, image: &Descriptor, layers: &[Descriptor]) -> Descriptor {
        let config = self.0.add(media_type::CONFIG, b"{}");
        let mut attestation = self.document(json!({"schemaVersion": 2, "config": config, "layers": layers}));
        attestation.platform = "unknown/unknown".parse().ok();
        let annotations = &mut attestation.annotations;
        annotations.insert(annotation::REFERENCE_DIGEST.into(), image.digest.to_string());
        let mut image = image.clone();
        image.platform = Some(Platform::linux("amd64"));
        let index = Index::of(vec![image, attestation]);
        self.0.add(media_type::INDEX, &serde_json::to_vec(&index).unwrap())
    }

    /// The SBoMs of an image about which these texts are stated.
    pub(super) async fn stating(&self, name: &str, texts: &[(&str, String)]) -> Vec<Sbom> {
        let image = self.manifest(name);
        let layers: Vec<_> = texts.iter().map(|(kind, text)| self.layer(kind, text)).collect();
        self.sboms(name, &self.index(&image, &layers)).await.unwrap()
    }

    /// The SBoMs of an image with these SPDX documents.
    pub(super) async fn with_spdx(&self, name: &str, documents: &[Value]) -> Vec<Sbom> {
        let digest = self.manifest(name).digest;
        let texts: Vec<_> = documents
            .iter()
            .map(|document| (SPDX, statement(&digest, SPDX, document)))
            .collect();
        self.stating(name, &texts).await
    }

    pub(super) async fn sboms(&self, name: &str, root: &Descriptor) -> Result<Vec<Sbom>, AttestError> {
        let source: Arc<dyn Source> = self.0.clone();
        let image: Image = images(source.as_ref(), root).await?.remove(0);
        let found = find(source.as_ref(), &image, &[]).await?;
        let own = Sbom::among(&found).map_err(|found| AttestError::NoSbom {
            image: image.manifest.digest.clone(),
            found,
        })?;
        let sbom = |attestation: &super::Attestation| Sbom {
            name: format!("registry.example/{name}:1").parse().unwrap(),
            platform: image.platform.clone(),
            source: source.clone(),
            attestation: attestation.clone(),
        };
        Ok(own.into_iter().map(sbom).collect())
    }
}

/// A statement about an image.
pub(super) fn statement(image: &Digest, predicate_type: &str, predicate: &Value) -> String {
    let subject = json!([{"name": "it", "digest": {"sha256": image.hex()}}]);
    format!(
        r#"{{"_type":"https://in-toto.io/Statement/v0.1","predicateType":"{predicate_type}","subject":{subject},"predicate":{predicate}}}"#
    )
}

/// An SPDX document as syft writes it: a root that is the scanned directory, and packages that depend on the first.
pub(super) fn spdx(created: &str, packages: &[(&str, &str, &str)]) -> Value {
    let package = |(name, version, licence): &(&str, &str, &str)| {
        json!({
            "name": name, "SPDXID": format!("SPDXRef-Package-{name}"), "versionInfo": version,
            "downloadLocation": "NOASSERTION", "licenseConcluded": "NOASSERTION", "licenseDeclared": licence,
            "externalRefs": [{
                "referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
                "referenceLocator": format!("pkg:apk/{name}@{version}"),
            }],
        })
    };
    let mut all: Vec<Value> = packages.iter().map(package).collect();
    all.push(json!({"name": "sbom", "SPDXID": "SPDXRef-Root", "downloadLocation": "NOASSERTION"}));
    let mut relationships = vec![relationship("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-Root")];
    for (name, _, _) in packages.iter().skip(1) {
        let first = format!("SPDXRef-Package-{}", packages[0].0);
        relationships.push(relationship(
            &first,
            "DEPENDENCY_OF",
            &format!("SPDXRef-Package-{name}"),
        ));
    }
    json!({
        "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": "sbom",
        "documentNamespace": format!("https://example.org/{created}"),
        "creationInfo": {"created": created, "creators": ["Tool: syft-1.18.1"], "licenseListVersion": "3.25"},
        "packages": all, "files": null, "relationships": relationships,
    })
}

pub(super) fn relationship(from: &str, how: &str, to: &str) -> Value {
    json!({"spdxElementId": from, "relationshipType": how, "relatedSpdxElement": to})
}
