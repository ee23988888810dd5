//! SBoMs and what else is known about images: those that a real scanner wrote, and damaged ones.
#![expect(clippy::unwrap_used, reason = "tests")]

mod damaged;
mod referrers;
mod scanned;

use crate::program::{Workshop, unique};
use crate::servers::server;
use lkpkg::oci::{Descriptor, Digest, media_type};
use serde_json::{Value, json};

const SPDX: &str = "https://spdx.dev/Document";
const IN_TOTO: &str = "application/vnd.in-toto+json";

/// Writes blobs into the cache as they are, and a name for one of them.
struct Shelf<'a>(&'a Workshop);

impl Shelf<'_> {
    fn blob(&self, media_type: &str, bytes: &[u8]) -> Descriptor {
        let descriptor = Descriptor::of(media_type, bytes);
        let path = self.0.blob(descriptor.digest.as_str());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
        descriptor
    }

    fn json(&self, media_type: &str, value: &Value) -> Descriptor {
        self.blob(media_type, value.to_string().as_bytes())
    }

    /// The manifest of an image of one layer.
    fn image(&self) -> Descriptor {
        let config = json!({"os": "linux", "architecture": "amd64", "created": "2026-01-01T00:00:00Z", "config": {
            "Entrypoint": ["/bin/x", "a b"], "Env": ["SECRET=hidden"],
            "Labels": {"a": "b", "org.mobyproject.config": "{\"pid\":\"host\"}"},
        }});
        let config = self.json(media_type::CONFIG, &config);
        let layer = self.blob(media_type::LAYER, b"a layer");
        self.json(
            media_type::MANIFEST,
            &json!({"schemaVersion": 2, "mediaType": media_type::MANIFEST, "config": config, "layers": [layer]}),
        )
    }

    /// An index with the image, and a layer that states something about it; `docker.io/test/x:1` stands for it.
    fn index(&self, image: &Descriptor, layer: Option<&Descriptor>) -> Descriptor {
        let config = self.blob(media_type::CONFIG, b"{}");
        let mut entries = vec![json!({
            "mediaType": image.media_type, "digest": image.digest, "size": image.size,
            "platform": {"os": "linux", "architecture": "amd64"},
        })];
        if let Some(layer) = layer {
            let mut layer = json!(layer);
            layer["annotations"] = json!({"in-toto.io/predicate-type": SPDX});
            let manifest = json!({"schemaVersion": 2, "config": config, "layers": [layer]});
            let manifest = self.json(media_type::MANIFEST, &manifest);
            entries.push(json!({
                "mediaType": manifest.media_type, "digest": manifest.digest, "size": manifest.size,
                "platform": {"os": "unknown", "architecture": "unknown"},
                "annotations": {"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": image.digest},
            }));
        }
        let index = json!({"schemaVersion": 2, "mediaType": media_type::INDEX, "manifests": entries});
        let index = self.json(media_type::INDEX, &index);
        let name = json!({
            "mediaType": index.media_type, "digest": index.digest, "size": index.size,
            "annotations": {"org.opencontainers.image.ref.name": "docker.io/test/x:1"},
        });
        let names = json!({"schemaVersion": 2, "manifests": [name]}).to_string();
        std::fs::write(self.0.cache().join("index.json"), names).unwrap();
        std::fs::write(self.0.cache().join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        index
    }

    /// The image with this text about it.
    fn stating(&self, text: impl FnOnce(&Digest) -> String) -> Descriptor {
        let image = self.image();
        let layer = self.blob(IN_TOTO, text(&image.digest).as_bytes());
        self.index(&image, Some(&layer));
        layer
    }
}

/// A statement about an image.
fn statement(image: &Digest, predicate_type: &str, predicate: &Value) -> String {
    json!({
        "_type": "https://in-toto.io/Statement/v1", "predicateType": predicate_type,
        "subject": [{"name": "it", "digest": {"sha256": image.hex()}}], "predicate": predicate,
    })
    .to_string()
}

/// A small SPDX document.
fn spdx() -> Value {
    json!({
        "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": "small",
        "documentNamespace": "https://example.org/small",
        "creationInfo": {"created": "2026-01-01T00:00:00Z", "creators": ["Tool: test-1"]},
        "packages": [{"SPDXID": "SPDXRef-a", "name": "a", "versionInfo": "1", "downloadLocation": "NOASSERTION",
            "licenseDeclared": "MIT"}],
        "relationships": [{"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": "SPDXRef-a"}],
    })
}
