//! Finding and reading on content in memory; merging has a file of its own.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::fixture::*;
use super::*;
use crate::content::ContentError;
use crate::oci::{Descriptor, Digest, Index, Platform, media_type};
use serde_json::{Value, json};
use std::io::Read;

mod merging;

const TIME: &str = "2026-01-02T03:04:05Z";

/// The text of a document.
fn text(document: Spool) -> String {
    let mut text = String::new();
    document.into_reader().unwrap().read_to_string(&mut text).unwrap();
    text
}

fn names(packages: &[Package]) -> Vec<&str> {
    packages.iter().map(|package| package.name.as_str()).collect()
}

#[tokio::test]
async fn a_real_document_is_read() {
    let recorded = include_str!("../../../tests/data/attest/busybox.spdx.intoto.json");
    let about = "sha256:668fe92874908e455718b73cc50dcaa7962de85c03c35be8975cae1c438223a9";
    let shelf = Shelf::default();
    let mut sboms = shelf.stating("busybox", &[(SPDX, recorded.to_owned())]).await;
    assert!(matches!(packages(&sboms).await, Err(AttestError::Foreign { .. })));
    sboms[0].attestation.image = about.parse().unwrap();
    let found = packages(&sboms).await.unwrap();
    let purls: Vec<_> = found.iter().map(|package| package.purl.as_str()).collect();
    assert_eq!(purls, ["pkg:generic/busybox@1.37.0", "pkg:generic/gzip@1.0"]);
    let document = text(original(&sboms[0]).await.unwrap());
    let begin = recorded.find(r#"{"spdxVersion""#).unwrap();
    assert_eq!(document.trim_end(), &recorded[begin..recorded.len() - 1]);
}

#[tokio::test]
async fn statements_are_found_beside_their_images() {
    let shelf = Shelf::default();
    let image = shelf.manifest("a");
    let text = statement(&image.digest, SPDX, &spdx(TIME, &[("x", "1", "MIT")]));
    let other = shelf.0.add("application/octet-stream", b"something else");
    let provenance = shelf.layer("https://slsa.dev/provenance/v1", "{}");
    let root = shelf.index(&image, &[other, provenance, shelf.layer(SPDX, &text)]);
    let all = images(shelf.0.as_ref(), &root).await.unwrap();
    assert_eq!((all.len(), all[0].attested_by.len()), (1, 1));
    let found = find(shelf.0.as_ref(), &all[0], &[]).await.unwrap();
    let kinds: Vec<_> = found.iter().map(Attestation::kind).collect();
    assert_eq!(kinds, [Predicate::Provenance, Predicate::Spdx]);
    // One image without an index is one as well.
    let all = images(shelf.0.as_ref(), &image).await.unwrap();
    assert_eq!(all[0].platform, Some(Platform::linux("amd64")));
    let nothing = shelf
        .0
        .add(media_type::INDEX, &serde_json::to_vec(&Index::of(vec![])).unwrap());
    let error = images(shelf.0.as_ref(), &nothing).await.unwrap_err();
    assert!(matches!(error, AttestError::NotAnImage(digest) if digest == nothing.digest));
}

#[tokio::test]
async fn referrers_count_as_well() {
    let shelf = Shelf::default();
    let image = shelf.manifest("a");
    let root = shelf.index(&image, &[]);
    let all = images(shelf.0.as_ref(), &root).await.unwrap();
    let document = spdx(TIME, &[("x", "1", "MIT")]);
    let layer = shelf.layer(SPDX, &statement(&image.digest, SPDX, &document));
    let bare = shelf.0.add("application/spdx+json", document.to_string().as_bytes());
    let config = shelf.0.add("application/vnd.oci.empty.v1+json", b"{}");
    let about = |subject: &Descriptor, layer: &Descriptor| {
        shelf.document(json!({"schemaVersion": 2, "config": config, "layers": [layer], "subject": subject}))
    };
    let referrers = [about(&image, &layer), about(&image, &bare), about(&image, &config)];
    let found = find(shelf.0.as_ref(), &all[0], &referrers).await.unwrap();
    let bareness: Vec<_> = found.iter().map(|one| one.is_bare).collect();
    assert_eq!(bareness, [false, true]);
    for attestation in found {
        let mut sbom = shelf.with_spdx("any", std::slice::from_ref(&document)).await.remove(0);
        sbom.attestation = attestation;
        assert_eq!(names(&packages(std::slice::from_ref(&sbom)).await.unwrap()), ["x"]);
        assert_eq!(text(original(&sbom).await.unwrap()), format!("{document}\n"));
    }
    let foreign = about(&shelf.manifest("b"), &layer);
    let error = find(shelf.0.as_ref(), &all[0], &[foreign]).await.unwrap_err();
    assert!(matches!(error, AttestError::Foreign { .. }), "{error}");
}

#[test]
fn the_platform_that_is_meant() {
    let image = |platform: &str| Image {
        platform: platform.parse().ok(),
        manifest: Descriptor::of("m", platform.as_bytes()),
        attested_by: Vec::new(),
    };
    let check = |images: &[&str], wanted: Option<&str>, expected: Result<&str, &str>| {
        let images: Vec<_> = images.iter().map(|platform| image(platform)).collect();
        let wanted = wanted.map(|wanted| wanted.parse().unwrap());
        let found = select(&images, wanted.as_ref(), &Platform::linux("amd64"));
        let found = found.map(|image| image.platform.as_ref().unwrap().to_string());
        match (found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected),
            (Err(error), Err(words)) => assert!(error.to_string().contains(words), "{error}"),
            (found, expected) => panic!("{found:?} instead of {expected:?}"),
        }
    };
    let two = ["linux/amd64", "linux/arm64/v8"];
    check(&two, None, Ok("linux/amd64"));
    check(&two, Some("linux/arm64"), Ok("linux/arm64/v8"));
    check(&two, Some("linux/s390x"), Err("linux/amd64, linux/arm64/v8"));
    check(&["linux/riscv64"], None, Ok("linux/riscv64"));
    check(&["linux/arm64", "linux/riscv64"], None, Err("no image for linux/amd64"));
    check(
        &["linux/arm/v6", "linux/arm/v7"],
        Some("linux/arm/v7"),
        Ok("linux/arm/v7"),
    );
}

/// What reading an SBoM of this text comes to.
async fn reading(make: impl FnOnce(&Digest) -> String) -> Result<Vec<Package>, AttestError> {
    let shelf = Shelf::default();
    let digest = shelf.manifest("a").digest;
    packages(&shelf.stating("a", &[(SPDX, make(&digest))]).await).await
}

#[tokio::test]
async fn statements_are_checked() {
    let document = || spdx(TIME, &[("x", "1", "MIT")]);
    let good = |digest: &Digest| statement(digest, SPDX, &document());
    assert_eq!(names(&reading(good).await.unwrap()), ["x"]);
    let newer = |digest: &Digest| good(digest).replace("v0.1", "v1");
    assert_eq!(names(&reading(newer).await.unwrap()), ["x"]);
    // As who sorts keys writes it.
    let sorted = |digest: &Digest| serde_json::from_str::<Value>(&good(digest)).unwrap().to_string();
    assert_eq!(names(&reading(sorted).await.unwrap()), ["x"]);

    let foreign = reading(|_| good(&Digest::of(b"another"))).await.unwrap_err();
    assert!(
        foreign.to_string().contains(Digest::of(b"another").as_str()),
        "{foreign}"
    );
    assert!(matches!(foreign, AttestError::Foreign { .. }));
    let nobody = reading(|_| {
        format!(
            r#"{{"_type":"https://in-toto.io/Statement/v1","predicateType":"{SPDX}","subject":[],"predicate":{}}}"#,
            document()
        )
    });
    assert!(nobody.await.unwrap_err().to_string().ends_with("is about nothing"));
    let other = |digest: &Digest| statement(digest, CYCLONEDX, &json!({"bomFormat": "CycloneDX"}));
    let other_sorted = |digest: &Digest| serde_json::from_str::<Value>(&other(digest)).unwrap().to_string();
    for error in [reading(other).await, reading(other_sorted).await] {
        assert!(
            matches!(&error, Err(AttestError::Predicate { found, .. }) if found == CYCLONEDX),
            "{error:?}"
        );
    }
    for (text, words) in [
        ("nonsense", "is not JSON"),
        ("", "is not JSON"),
        (r#"{"_type":"https://in-toto.io/Statement/v0.1","predi"#, "is not JSON"),
        ("[]", "is no SPDX document"),
        ("{}", "is no in-toto statement"),
        (r#"{"spdxVersion":"SPDX-2.3"}"#, "is no in-toto statement"),
    ] {
        let error = reading(|_| text.to_owned()).await.unwrap_err();
        assert!(error.to_string().contains(words), "{text}: {error}");
    }
    for (predicate, words) in [
        (json!([1]), "is no SPDX document"),
        (json!({"packages": 3}), "is no SPDX document"),
        (json!({"spdxVersion": "SPDX-3.0"}), "versions 2"),
        (
            json!({"@context": "https://spdx.org/rdf/3.0.1/spdx-context.jsonld"}),
            "versions 2",
        ),
    ] {
        let error = reading(|digest| statement(digest, SPDX, &predicate)).await.unwrap_err();
        assert!(error.to_string().contains(words), "{predicate}: {error}");
    }
}

#[tokio::test]
async fn what_is_missing_or_damaged_is_said() {
    let shelf = Shelf::default();
    let sboms = shelf.with_spdx("a", &[spdx(TIME, &[("x", "1", "")])]).await;
    let content = sboms[0].attestation.content.digest.clone();
    shelf.0.corrupt(&content);
    let error = packages(&sboms).await.unwrap_err();
    assert!(
        matches!(error, AttestError::Content(ContentError::Mismatch { .. })),
        "{error}"
    );
    shelf.0.lose(&content);
    let error = packages(&sboms).await.unwrap_err();
    assert!(matches!(error, AttestError::Missing { digest, .. } if digest == content));

    let image = shelf.manifest("b");
    let root = shelf.index(&image, &[]);
    let error = shelf.sboms("b", &root).await.err().unwrap();
    assert!(
        matches!(&error, AttestError::NoSbom { found, .. } if found.is_empty()),
        "{error}"
    );
    let attestation = images(shelf.0.as_ref(), &root).await.unwrap()[0].attested_by[0]
        .digest
        .clone();
    shelf.0.lose(&attestation);
    let error = shelf.sboms("b", &root).await.err().unwrap();
    assert!(matches!(error, AttestError::Missing { digest, .. } if digest == attestation));
}

#[tokio::test]
async fn sizes_have_a_limit_and_are_not_believed() {
    let shelf = Shelf::default();
    let mut sboms = shelf.with_spdx("a", &[spdx(TIME, &[("x", "1", "")])]).await;
    let size = sboms[0].attestation.content.size;
    sboms[0].attestation.content.size = 200_000_000;
    let error = packages(&sboms).await.unwrap_err();
    assert!(
        matches!(error, AttestError::TooLarge { bytes: 200_000_000, .. }),
        "{error}"
    );
    for wrong in [size - 1, size + 1, SBOM_BYTES_MAX] {
        sboms[0].attestation.content.size = wrong;
        let error = packages(&sboms).await.unwrap_err();
        assert!(
            matches!(error, AttestError::Content(ContentError::Mismatch { .. })),
            "{wrong}: {error}"
        );
    }
}

/// Larger than what is held: the same comes of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_document_is_read_as_it_comes() {
    let shelf = Shelf::default();
    let mut document = spdx(TIME, &[("x", "1", "")]);
    document["comment"] = "\\\"}]".repeat(3 << 20).into();
    let sboms = shelf.with_spdx("a", &[document.clone()]).await;
    assert!(sboms[0].attestation.content.size > 16 << 20);
    assert_eq!(names(&packages(&sboms).await.unwrap()), ["x"]);
    assert!(text(original(&sboms[0]).await.unwrap()) == format!("{document}\n"));
    let content = &sboms[0].attestation.content.digest;
    shelf.0.corrupt(content);
    let error = packages(&sboms).await.unwrap_err();
    assert!(
        matches!(error, AttestError::Content(ContentError::Mismatch { .. })),
        "{error}"
    );
}

#[tokio::test]
async fn cyclonedx_is_read_where_there_is_no_spdx() {
    let shelf = Shelf::default();
    let digest = shelf.manifest("a").digest;
    let document = json!({
        "bomFormat": "CycloneDX", "specVersion": "1.5",
        "components": [
            {"type": "library", "group": "org.example", "name": "y", "version": "2", "purl": "pkg:maven/org.example/y@2",
             "licenses": [{"license": {"id": "MIT"}}, {"license": {"name": "Own"}}],
             "components": [{"type": "library", "name": "inner", "licenses": [{"expression": "MIT OR ISC"}]}]},
            {"type": "file", "name": "/etc/passwd"},
        ],
    });
    let cyclonedx = (CYCLONEDX, statement(&digest, CYCLONEDX, &document));
    let spdx = (SPDX, statement(&digest, SPDX, &spdx(TIME, &[("x", "1", "MIT")])));
    let both = shelf.stating("a", &[cyclonedx.clone(), spdx]).await;
    assert_eq!(names(&packages(&both).await.unwrap()), ["x"]);
    let only = shelf.stating("a", &[cyclonedx]).await;
    let found = packages(&only).await.unwrap();
    let licences: Vec<_> = found
        .iter()
        .map(|one| (one.name.as_str(), one.licence.as_str()))
        .collect();
    assert_eq!(licences, [("inner", "MIT OR ISC"), ("org.example/y", "MIT AND Own")]);
    assert_eq!(text(original(&only[0]).await.unwrap()), format!("{document}\n"));
    let error = merged(only, DocumentFormat::CycloneDx).await.unwrap_err();
    assert!(matches!(error, AttestError::CycloneDxOnly { .. }), "{error}");
}
