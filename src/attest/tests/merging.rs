//! Documents that are made of several.

use super::*;
use std::collections::BTreeSet;

const NEWER: &str = "2026-05-05T05:05:05Z";

/// A document with everything in it that refers to something.
fn full() -> Value {
    let mut document = spdx(
        NEWER,
        &[("x", "1", "MIT AND LicenseRef-own"), ("y", "2", "NOASSERTION")],
    );
    document["documentDescribes"] = json!(["SPDXRef-Root", "SPDXRef-Package-x"]);
    document["hasExtractedLicensingInfos"] = json!([{"licenseId": "LicenseRef-own", "extractedText": "Own"}]);
    document["externalDocumentRefs"] = json!([{
        "externalDocumentId": "DocumentRef-far", "spdxDocument": "https://example.org/far",
        "checksum": {"algorithm": "SHA1", "checksumValue": "0".repeat(40)},
    }]);
    document["files"] = json!([{
        "SPDXID": "SPDXRef-File", "fileName": "./a \u{1F600} \"b\"", "licenseConcluded": "(LicenseRef-own)",
        "licenseInfoInFiles": ["LicenseRef-own", "DocumentRef-far:LicenseRef-z"], "fileDependencies": ["SPDXRef-File"],
        "checksums": [{"algorithm": "SHA1", "checksumValue": "0".repeat(40)}],
    }]);
    document["snippets"] = json!([{
        "SPDXID": "SPDXRef-Snippet", "snippetFromFile": "SPDXRef-File", "name": "SPDXRef-is-a-name",
        "ranges": [{"startPointer": {"reference": "SPDXRef-File", "offset": 1},
                    "endPointer": {"reference": "SPDXRef-File", "offset": 18_446_744_073_709_551_615_u64}}],
    }]);
    document["packages"][0]["hasFiles"] = json!(["SPDXRef-File"]);
    let relationships = document["relationships"].as_array_mut().unwrap();
    relationships.push(relationship(
        "SPDXRef-Package-x",
        "DEPENDS_ON",
        "DocumentRef-far:SPDXRef-Package",
    ));
    relationships.push(relationship("SPDXRef-Package-x", "GENERATED_FROM", "NOASSERTION"));
    document
}

async fn merge(sboms: &[Sbom], format: DocumentFormat) -> (String, Value) {
    let text = text(merged(sboms.to_vec(), format).await.unwrap());
    let value = serde_json::from_str(&text).unwrap();
    (text, value)
}

/// All strings under the key, wherever it is.
fn under<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                match value {
                    Value::String(text) if name == key => found.push(text),
                    _ => under(value, key, found),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| under(value, key, found)),
        _ => {}
    }
}

#[tokio::test]
async fn the_order_of_the_inputs_does_not_matter() {
    let shelf = Shelf::default();
    let mut all = shelf.with_spdx("a", &[full()]).await;
    all.extend(shelf.with_spdx("b", &[spdx(TIME, &[("x", "1", "MIT")]), full()]).await);
    let reversed: Vec<_> = all.iter().rev().cloned().collect();
    let twice: Vec<_> = all.iter().chain(&reversed).cloned().collect();
    for format in [DocumentFormat::Spdx, DocumentFormat::CycloneDx] {
        let (expected, _) = merge(&all, format).await;
        assert_eq!(merge(&reversed, format).await.0, expected);
        assert_eq!(merge(&twice, format).await.0, expected);
        assert!(expected.contains(NEWER) && !expected.contains(TIME));
    }
    let (one, other) = (
        merge(&all[..1], DocumentFormat::Spdx).await.1,
        merge(&all, DocumentFormat::Spdx).await.1,
    );
    assert_ne!(one["documentNamespace"], other["documentNamespace"]);
    assert_eq!(
        (&one["name"], &other["name"]),
        (&json!("registry.example/a:1"), &json!("2 images"))
    );
}

#[tokio::test]
async fn identifiers_are_unique_and_everything_is_kept() {
    let shelf = Shelf::default();
    let mut all = shelf.with_spdx("a", &[full()]).await;
    all.extend(shelf.with_spdx("b", &[spdx(TIME, &[("x", "1", "MIT")]), full()]).await);
    let (_, document) = merge(&all, DocumentFormat::Spdx).await;
    let mut identifiers = Vec::new();
    under(&document, "SPDXID", &mut identifiers);
    let unique: BTreeSet<_> = identifiers.iter().copied().collect();
    // The document, two images, and of two documents: three packages, a file, a snippet; of one: two packages.
    assert_eq!((identifiers.len(), unique.len()), (1 + 2 + 2 * 5 + 2, unique.len()));
    let relationships = document["relationships"].as_array().unwrap();
    for one in relationships {
        for end in ["spdxElementId", "relatedSpdxElement"] {
            let end = one[end].as_str().unwrap();
            let is_elsewhere = end.starts_with("DocumentRef-") || end == "NOASSERTION";
            assert!(unique.contains(end) || is_elsewhere, "{one}");
        }
    }
    // Each input's own; DESCRIBES of what is only in documentDescribes; per image, one that describes it; and what it contains.
    assert_eq!(relationships.len(), (4 + 1 + 2) * 2 + (1 + 1) + 2);
    let (mut licences, mut references) = (Vec::new(), Vec::new());
    under(&document, "licenseId", &mut licences);
    under(&document, "licenseDeclared", &mut references);
    under(&document, "licenseConcluded", &mut references);
    for licence in licences {
        let users = references.iter().filter(|text| text.contains(licence)).count();
        assert_eq!(users, 2, "{licence} in {references:?}");
    }
    let file = &document["files"][0];
    assert_eq!(file["fileName"], "./a \u{1F600} \"b\"");
    assert_eq!(file["fileDependencies"][0], file["SPDXID"]);
    let external = document["externalDocumentRefs"][0]["externalDocumentId"]
        .as_str()
        .unwrap();
    assert_eq!(file["licenseInfoInFiles"][1], format!("{external}:LicenseRef-z"));
    let snippet = &document["snippets"][0];
    assert_eq!(
        (&snippet["snippetFromFile"], &snippet["name"]),
        (&file["SPDXID"], &json!("SPDXRef-is-a-name"))
    );
    let pointer = &snippet["ranges"][0]["endPointer"];
    assert_eq!(
        (&pointer["reference"], &pointer["offset"]),
        (&file["SPDXID"], &json!(u64::MAX))
    );
    let creators = document["creationInfo"]["creators"].as_array().unwrap();
    assert_eq!(creators.len(), 2, "{creators:?}");
}

#[tokio::test]
async fn packages_become_components() {
    let shelf = Shelf::default();
    let mut document = full();
    document["packages"][0]["supplier"] = "Organization: Example".into();
    document["packages"][0]["homepage"] = "https://example.org/x".into();
    document["packages"][0]["checksums"] = json!([
        {"algorithm": "SHA256", "checksumValue": "ab".repeat(32)},
        {"algorithm": "SHA256", "checksumValue": "damaged"},
        {"algorithm": "ADLER32", "checksumValue": "03da0195"},
    ]);
    let one = shelf.with_spdx("a", &[document]).await;
    let (_, found) = merge(&one, DocumentFormat::CycloneDx).await;
    let components = found["components"].as_array().unwrap();
    // Not the root, which is nothing but the scanned directory.
    assert_eq!(components.len(), 2);
    let x = &components[0];
    assert_eq!(
        (&x["name"], &x["version"], &x["purl"]),
        (&json!("x"), &json!("1"), &json!("pkg:apk/x@1"))
    );
    assert_eq!(x["supplier"]["name"], "Example");
    assert_eq!(x["externalReferences"][0]["url"], "https://example.org/x");
    assert_eq!(x["hashes"], json!([{"alg": "SHA-256", "content": "ab".repeat(32)}]));
    let licence = x["licenses"][0]["expression"].as_str().unwrap();
    assert!(
        licence.starts_with("MIT AND LicenseRef-") && licence.ends_with("-own"),
        "{licence}"
    );
    assert_eq!(components[1]["licenses"], Value::Null);
    let image = &found["metadata"]["component"];
    assert_eq!(
        (&image["type"], &image["name"]),
        (&json!("container"), &json!("registry.example/a:1"))
    );
    let (x, y) = (&x["bom-ref"], &components[1]["bom-ref"]);
    let dependencies = found["dependencies"].as_array().unwrap();
    let needs = |reference: &Value| {
        let found = dependencies.iter().find(|one| one["ref"] == *reference).unwrap();
        found["dependsOn"].clone()
    };
    assert_eq!((needs(y), needs(&image["bom-ref"])), (json!([x]), json!([x, y])));
    let uuid = found["serialNumber"].as_str().unwrap();
    assert_eq!(
        (uuid.len(), uuid.as_bytes()[23], uuid.as_bytes()[28]),
        (45, b'8', b'8'),
        "{uuid}"
    );
}

#[tokio::test]
async fn what_cannot_be_merged_is_an_error() {
    let shelf = Shelf::default();
    for (change, words) in [
        (json!({"spdxVersion": "SPDX-3.0"}), "versions 2"),
        (json!({"packages": {"no": "list"}}), "a list"),
        (json!({"relationships": [{"spdxElementId": "x"}]}), "missing field"),
    ] {
        let mut document = spdx(TIME, &[("x", "1", "MIT")]);
        for (key, value) in change.as_object().unwrap() {
            document[key] = value.clone();
        }
        let sboms = shelf.with_spdx("a", &[document]).await;
        for format in [DocumentFormat::Spdx, DocumentFormat::CycloneDx] {
            let error = merged(sboms.clone(), format).await.unwrap_err();
            assert!(matches!(error, AttestError::Shape { .. }), "{error}");
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}
