//! What is damaged, missing or not what it says: a clear error with what to do.

use super::*;

fn show(workshop: &Workshop) -> crate::program::Run {
    workshop.run(&["sbom", "show", "test/x:1"])
}

#[test]
fn what_is_whole_is_shown() {
    let workshop = Workshop::new();
    Shelf(&workshop).stating(|image| statement(image, SPDX, &spdx()));
    assert_eq!(
        show(&workshop).done(),
        "NAME  VERSION  TYPE  LICENCE\na     1        -     MIT\n"
    );
    let merge = |more: &[&str]| workshop.run(&[&["sbom", "merge", "test/x:1"], more].concat());
    let text = merge(&["-o", "-"]).done();
    merge(&["-o", "out.json"]).done();
    assert_eq!(
        std::fs::read_to_string(workshop.repository().join("out.json")).unwrap(),
        text
    );
    merge(&[]).failed(2, &["--outfile"]);
    merge(&["-o", "nowhere/out.json"]).failed(1, &["cannot write nowhere/out.json"]);
    merge(&["-o", "/dev/full"]).failed(1, &["cannot write /dev/full"]);
}

#[test]
fn an_image_is_looked_at() {
    let workshop = Workshop::new();
    let layer = Shelf(&workshop).stating(|image| statement(image, SPDX, &spdx()));
    let text = workshop.run(&["inspect", "test/x:1"]).done();
    for words in [
        "linux/amd64",
        "'a b'",
        "env           SECRET\n",
        r#"{"pid":"host"}"#,
        "a=b",
        SPDX,
        "7 B in 1 layer",
    ] {
        assert!(text.contains(words), "{words:?} is not in {text}");
    }
    assert!(!text.contains("hidden"), "{text}");
    let json: Value = serde_json::from_str(&workshop.run(&["inspect", "--format", "json", "test/x:1"]).done()).unwrap();
    assert_eq!(
        (&json["from"], &json["images"][0]["config"]["pid"]),
        (&json!("cache"), &json!("host"))
    );
    // A part of it is not here.
    std::fs::remove_file(workshop.blob(layer.digest.as_str())).unwrap();
    let text = workshop.run(&["inspect", "test/x:1"]).done();
    assert!(text.contains(&format!("not here      {}", layer.digest)), "{text}");
}

#[test]
fn damaged_sboms_are_named_with_what_to_do() {
    let workshop = Workshop::new();
    let shelf = Shelf(&workshop);
    shelf.stating(|_| "this is no JSON".to_owned());
    show(&workshop).failed(1, &["test/x:1: the attestation sha256:", "is not JSON", "hint: "]);
    shelf.stating(|image| statement(image, "https://slsa.dev/provenance/v1", &json!({})));
    show(&workshop).failed(
        1,
        &[
            "is filed as https://spdx.dev/Document",
            "slsa.dev/provenance/v1",
            "hint: ",
        ],
    );
    let other = Digest::of(b"another image");
    shelf.stating(|_| statement(&other, SPDX, &spdx()));
    show(&workshop).failed(
        1,
        &[
            "is filed as being about the image",
            other.hex(),
            "hint: do not trust it",
        ],
    );
    shelf.stating(|image| statement(image, SPDX, &json!({"spdxVersion": "SPDX-3.0"})));
    show(&workshop).failed(1, &["is no SPDX document", "versions 2", "hint: "]);
    let cyclonedx = json!({"bomFormat": "CycloneDX"});
    shelf.stating(|image| statement(image, "https://cyclonedx.org/bom", &cyclonedx));
    show(&workshop).failed(1, &["says that it is https://cyclonedx.org/bom"]);

    let layer = shelf.stating(|image| statement(image, SPDX, &spdx()));
    std::fs::write(workshop.blob(layer.digest.as_str()), "other bytes").unwrap();
    show(&workshop).failed(4, &["test/x:1: content sha256:", "is damaged", "lkpkg cache verify"]);
    std::fs::remove_file(workshop.blob(layer.digest.as_str())).unwrap();
    show(&workshop).failed(3, &[layer.digest.as_str(), "is missing", "lkpkg cache pull test/x:1"]);
}

#[test]
fn a_document_of_200_mb_is_refused_before_it_is_read() {
    let workshop = Workshop::new();
    let shelf = Shelf(&workshop);
    let image = shelf.image();
    let layer = Descriptor::new(IN_TOTO, Digest::of(b"large"), 200_000_000);
    let file = std::fs::File::create(workshop.blob(layer.digest.as_str())).unwrap();
    file.set_len(layer.size).unwrap();
    shelf.index(&image, Some(&layer));
    show(&workshop).failed(
        1,
        &[
            "has 200000000 bytes; at most 134217728 are read",
            "hint: make it smaller",
        ],
    );
}

#[test]
fn what_is_not_there_is_said() {
    let workshop = Workshop::new();
    let shelf = Shelf(&workshop);
    let image = shelf.image();
    shelf.index(&image, None);
    show(&workshop).failed(1, &["has no SBoM", "--sbom-scanner"]);
    shelf.stating(|image| statement(image, SPDX, &spdx()));
    workshop
        .run(&["sbom", "show", "test/x:1", "--platform", "linux/s390x"])
        .failed(2, &["no image for linux/s390x", "linux/amd64", "--platform"]);
    workshop
        .run(&["sbom", "show", "test/x:1", "--platform", "nonsense"])
        .failed(2, &["--platform"]);
    workshop
        .run(&["sbom", "show", "test/y:1", "--from", "cache"])
        .failed(2, &["docker.io/test/y:1", "cache pull"]);
    workshop.run(&["inspect", "UPPER"]).failed(2, &["is not an image name"]);
}
