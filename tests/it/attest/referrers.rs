//! SBoMs that hang on an image in a registry, where the image's index knows nothing of them.

use super::*;
use lkpkg::oci::credentials::CredentialSource;
use lkpkg::registry::{self, Mirrors, PushOptions, Registry, RegistrySettings};
use lkpkg::store::Store;
use std::collections::BTreeMap;
use std::sync::Arc;

#[tokio::test(flavor = "multi_thread")]
async fn an_sbom_of_a_referrer_is_found() {
    let Some(host) = server("LKPKG_TEST_REGISTRY") else {
        return;
    };
    let workshop = Workshop::new();
    let shelf = Shelf(&workshop);
    let image = shelf.image();
    let index = shelf.index(&image, None);
    let empty = shelf.blob("application/vnd.oci.empty.v1+json", b"{}");
    let mut layer = shelf.blob(IN_TOTO, statement(&image.digest, SPDX, &spdx()).as_bytes());
    layer
        .annotations
        .insert("in-toto.io/predicate-type".into(), SPDX.into());
    let referrer = shelf.json(
        media_type::MANIFEST,
        &json!({
            "schemaVersion": 2, "mediaType": media_type::MANIFEST, "artifactType": IN_TOTO,
            "config": empty, "layers": [layer], "subject": image,
        }),
    );
    let name = format!("{host}/{}/x:1", unique());
    let registry = Registry::new(RegistrySettings {
        credentials: Arc::new(CredentialSource::given(BTreeMap::new())),
        mirrors: Mirrors::default(),
        certificates: Vec::new(),
        certificate_directories: Vec::new(),
        jobs: registry::JOBS,
    });
    let repository = registry.unwrap().repository(&name.parse().unwrap());
    let store = Store::open(&workshop.cache()).unwrap();
    let options = PushOptions::default();
    registry::push(&store, &repository, &index, &["1".to_owned()], &options)
        .await
        .unwrap();

    workshop
        .run(&["sbom", "show", &name])
        .failed(1, &[&name, "has no SBoM", "--sbom-scanner"]);
    registry::push(&store, &repository, &referrer, &[], &options)
        .await
        .unwrap();
    let shown = workshop.run(&["sbom", "show", &name]).done();
    assert_eq!(shown.lines().nth(1).unwrap(), "a     1        -     MIT");
    let text = workshop.run(&["inspect", "--format", "json", &name]).done();
    let found: Value = serde_json::from_str(&text).unwrap();
    let one = &found["images"][0];
    assert_eq!(
        (&found["from"], &one["attestations"][0]["type"]),
        (&json!("registry"), &json!(SPDX))
    );
    assert_eq!(
        one["referrers"],
        json!([{"type": IN_TOTO, "digest": referrer.digest, "size": referrer.size}])
    );
    // The cache knows none.
    workshop.run(&["cache", "pull", &name]).done();
    workshop
        .run(&["sbom", "show", &name])
        .failed(1, &["has no SBoM", "--sbom-scanner"]);
    workshop.run(&["sbom", "show", "--from", "registry", &name]).done();
    let absent = format!("{name}0");
    workshop.run(&["inspect", &absent]).failed(3, &[&host, &absent, "hint"]);
}
