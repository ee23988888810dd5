//! Archives that cannot be imported: the cache is as it was.

use super::*;
use std::fs;
use std::path::PathBuf;

/// An OCI archive of the base images.
fn archive(workshop: &Workshop) -> Vec<u8> {
    let file = workshop.path().join("good.tar");
    let arguments = ["cache", "export", "busybox:1.37", "--platform", "all", "--outfile"];
    workshop
        .run(&[&arguments[..], &[file.to_str().unwrap()]].concat())
        .done();
    fs::read(file).unwrap()
}

/// Imports `bytes` into an empty cache: refused for this reason, and nothing is left.
fn refused(workshop: &Workshop, bytes: &[u8], reason: &str) {
    let file = workshop.path().join("bad.tar");
    fs::write(&file, bytes).unwrap();
    let cache = workshop.path().join("empty");
    let cache = cache.to_str().unwrap();
    let file = file.to_str().unwrap();
    let run = workshop.run(&["cache", "import", "--cache", cache, file]);
    let run = run.failed(2, &["the archive cannot be imported", reason]);
    assert_eq!(run.stdout, "");
    let run = workshop.run(&["cache", "verify", "--cache", cache]);
    assert!(
        run.stderr.contains("0 names, 0 blobs, 0 B: 0 problems"),
        "{reason}: {run:?}"
    );
    run.done();
    let blobs = fs::read_dir(PathBuf::from(cache).join("blobs/sha256")).unwrap();
    assert_eq!(blobs.count(), 0, "{reason}");
}

fn tar(members: &[(&str, tar::EntryType, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, kind, content) in members {
        let mut header = tar::Header::new_gnu();
        // By hand: the library refuses to write what is tried here.
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append(&header, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

#[test]
fn an_archive_that_is_cut_off() {
    let Some(workshop) = Workshop::with_bases() else { return };
    let whole = archive(&workshop);
    for part in [1000, whole.len() / 3, whole.len() * 2 / 3, whole.len() - 2048] {
        refused(&workshop, &whole[..part], "");
    }
    refused(&workshop, &whole[..whole.len() / 2], "truncated");
}

#[test]
fn what_is_no_oci_archive() {
    use tar::EntryType::{Regular, Symlink};
    let workshop = Workshop::new();
    for (bytes, reason) in [
        (b"hello".to_vec(), "it is no tar archive, or it is truncated"),
        (Vec::new(), "not an OCI layout"),
        (
            tar(&[("file", Regular, b"x")]),
            "it is not an OCI layout: it has neither oci-layout nor index.json",
        ),
        (tar(&[("manifest.json", Regular, b"[]")]), "old Docker archive"),
        (tar(&[("oci-layout", Regular, b"{}")]), "its oci-layout makes no sense"),
        (tar(&[("index.json", Regular, b"{}")]), "its index.json makes no sense"),
        (tar(&[("../escape", Regular, b"x")]), "\"../escape\" leads outside"),
        (tar(&[("blobs/sha256/../../../escape", Regular, b"x")]), "leads outside"),
        (tar(&[("/absolute", Regular, b"x")]), "\"/absolute\" leads outside"),
        (tar(&[("blobs", Symlink, b"")]), "is neither file nor directory"),
        (
            tar(&[("blobs/sha256/nope", Regular, b"x")]),
            "is not named by a sha256 digest",
        ),
    ] {
        refused(&workshop, &bytes, reason);
    }
    assert!(!workshop.path().join("escape").exists());
    let digest = format!("blobs/sha256/{}", "0".repeat(64));
    refused(
        &workshop,
        &tar(&[(&digest, Regular, b"x")]),
        "is not what its name says",
    );
    workshop
        .run(&["cache", "import", "nowhere"])
        .failed(2, &["cannot read nowhere: No such file"]);
    workshop
        .run(&["cache", "import", "."])
        .failed(2, &["is not an OCI layout: it has no oci-layout"]);
}

#[test]
fn an_archive_that_lacks_a_name_can_be_given_one() {
    let Some(workshop) = Workshop::with_bases() else { return };
    let layout = workshop.path().join("layout");
    let status = std::process::Command::new("cp")
        .arg("-r")
        .arg(workshop.cache())
        .arg(&layout)
        .status();
    assert!(status.unwrap().success());
    let index = fs::read_to_string(layout.join("index.json")).unwrap();
    fs::write(
        layout.join("index.json"),
        index.replace("docker.io/library/busybox:1.37", "1.37"),
    )
    .unwrap();
    let layout = layout.to_str().unwrap();
    workshop
        .run(&["cache", "import", layout])
        .failed(2, &["only the tag \"1.37\" and no name", "--name"]);
    let imported = workshop
        .run(&["cache", "import", layout, "--name", "org/given:1"])
        .done();
    assert!(imported.starts_with("docker.io/org/given:1@sha256:"), "{imported}");
    workshop.verify();
}
