//! Archives that must not come in, and those that must.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::super::fixture::{build, layer, store};
use super::*;
use crate::oci::{Platform, media_type};
use serde_json::{Value, json};
use std::io::Cursor;

/// A tar file from its members: path and content.
fn archive(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, content) in members {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        // Written raw: the tar crate refuses the paths that matter here.
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_cksum();
        tar.append(&header, content.as_slice()).unwrap();
    }
    tar.into_inner().unwrap()
}

fn blob(bytes: &[u8]) -> (String, Vec<u8>) {
    (format!("blobs/sha256/{}", Digest::of(bytes).hex()), bytes.to_vec())
}

/// The members of a good archive of one image, whose entry has these annotations.
fn good(annotations: Value) -> Vec<(String, Vec<u8>)> {
    let config = json!({"architecture": "amd64", "os": "linux"}).to_string().into_bytes();
    let layer = layer("file", b"content");
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": media_type::MANIFEST,
        "config": Descriptor::of(media_type::CONFIG, &config),
        "layers": [Descriptor::of(media_type::LAYER, &layer)],
    });
    let manifest = manifest.to_string().into_bytes();
    let mut entry = json!(Descriptor::of(media_type::MANIFEST, &manifest));
    entry["annotations"] = annotations;
    let index = json!({"schemaVersion": 2, "manifests": [entry]});
    vec![
        blob(&config),
        blob(&layer),
        blob(&manifest),
        ("index.json".to_owned(), index.to_string().into_bytes()),
        ("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
    ]
}

fn named() -> Vec<(String, Vec<u8>)> {
    good(json!({annotation::REF_NAME: "docker.io/org/x:1"}))
}

async fn import(store: &Store, bytes: Vec<u8>) -> Result<Imported, StoreError> {
    let cancel = CancellationToken::new();
    store
        .import(Cursor::new(bytes), &ImportOptions::default(), &cancel)
        .await
}

/// Refused with this reason and exit code 2, and the store is as it was.
async fn check_refused(bytes: Vec<u8>, part: &str) {
    let (directory, store) = store();
    build(&store, "docker.io/org/before:1", &["amd64"], "before").await;
    let index = std::fs::read(directory.path().join("index.json")).unwrap();
    let before = store.disk_usage().await.unwrap();
    let error = import(&store, bytes).await.unwrap_err();
    assert_eq!(error.exit_code(), 2, "{error}");
    assert!(error.to_string().contains(part), "{error} does not contain {part}");
    assert_eq!(std::fs::read(directory.path().join("index.json")).unwrap(), index);
    assert_eq!(store.disk_usage().await.unwrap(), before);
    let verification = store.verify(&CancellationToken::new()).await.unwrap();
    assert!(
        verification.is_clean() && verification.leftovers.is_empty(),
        "{verification:?}"
    );
}

#[tokio::test]
async fn archives_that_are_truncated_are_refused() {
    let whole = archive(&named());
    for length in [700, 1100, 2200, whole.len() - 2600] {
        check_refused(whole[..length].to_vec(), "").await;
    }
    check_refused(super::super::fixture::gzip(&whole)[..300].to_vec(), "truncated").await;
    check_refused(Vec::new(), "not an OCI layout").await;
}

#[tokio::test]
async fn what_is_no_oci_archive_is_refused() {
    check_refused(b"hello".to_vec(), "").await;
    check_refused(vec![b'x'; 4096], "cannot be read").await;
    check_refused(
        archive(&[("file".into(), b"x".to_vec())]),
        "neither oci-layout nor index.json",
    )
    .await;
    check_refused(
        archive(&[("manifest.json".into(), b"[]".to_vec())]),
        "old Docker archive",
    )
    .await;
    let without = |name: &str| archive(&named().into_iter().filter(|(path, _)| path != name).collect::<Vec<_>>());
    check_refused(without("index.json"), "no index.json").await;
    let with = |name: &str, content: &[u8]| {
        let others = named().into_iter().filter(|(path, _)| path != name);
        archive(&others.chain([(name.to_owned(), content.to_vec())]).collect::<Vec<_>>())
    };
    check_refused(with("index.json", b"{"), "index.json makes no sense").await;
    check_refused(
        with("index.json", br#"{"schemaVersion":2,"manifests":[]}"#),
        "lists no image",
    )
    .await;
    check_refused(
        with("index.json", &vec![b' '; (DOCUMENT_BYTES_MAX + 1) as usize]),
        "larger than",
    )
    .await;
    check_refused(
        with("oci-layout", br#"{"imageLayoutVersion":"2.0.0"}"#),
        "version is 2.0.0",
    )
    .await;
}

#[tokio::test]
async fn paths_that_lead_outside_are_refused() {
    for path in ["../evil", "/evil", "blobs/sha256/../../../evil", "x/../../evil"] {
        let mut members = named();
        members.push((path.to_owned(), b"evil".to_vec()));
        check_refused(archive(&members), "leads outside").await;
    }
    for kind in [EntryType::Symlink, EntryType::Link, EntryType::Char] {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_size(0);
        tar.append_link(&mut header, "index.json", "/etc/passwd").unwrap();
        check_refused(tar.into_inner().unwrap(), "neither file nor directory").await;
    }
}

#[tokio::test]
async fn blobs_have_to_be_what_they_are_called() {
    let mut members = named();
    members[1].1[600] ^= 1;
    check_refused(archive(&members), "not what its name says").await;
    let mut members = named();
    members[0].0 = "blobs/sha256/abc".to_owned();
    check_refused(archive(&members), "not named by a sha256 digest").await;
    for number in [0, 1, 2] {
        let mut members = named();
        members.remove(number);
        check_refused(archive(&members), "which is not in it").await;
    }
}

#[tokio::test]
async fn the_name_is_found_where_each_program_writes_it() {
    let check = async |annotations: Value, wanted: Result<&str, &str>| {
        let bytes = archive(&good(annotations));
        match wanted {
            Err(part) => check_refused(bytes, part).await,
            Ok(name) => {
                let (_directory, store) = store();
                let imported = import(&store, bytes).await.unwrap();
                assert_eq!(imported.images[0].0, name);
                assert_eq!(store.platforms_of(name).unwrap(), [Platform::linux("amd64")]);
            }
        }
    };
    let full = "docker.io/org/x:1";
    check(json!({annotation::REF_NAME: full}), Ok(full)).await;
    check(json!({annotation::REF_NAME: "org/x:1"}), Ok(full)).await;
    check(
        json!({annotation::REF_NAME: "1", annotation::CONTAINERD_IMAGE_NAME: full}),
        Ok(full),
    )
    .await;
    check(json!({annotation::REF_NAME: "latest"}), Err("only the tag \"latest\"")).await;
    check(json!({}), Err("no name")).await;
    check(json!({annotation::REF_NAME: "No/Name:1"}), Err("not an image name")).await;
    let (_directory, store) = store();
    let options = ImportOptions {
        name: Some("org/given".parse().unwrap()),
    };
    let bytes = Cursor::new(archive(&good(json!({}))));
    let imported = store.import(bytes, &options, &CancellationToken::new()).await.unwrap();
    assert_eq!(imported.images[0].0, "docker.io/org/given:latest");
}

#[tokio::test]
async fn the_wrong_media_type_that_linuxkit_exports_is_put_right() {
    let mut members = named();
    let index = String::from_utf8(members[3].1.clone()).unwrap();
    members[3].1 = index.replace(media_type::MANIFEST, media_type::INDEX).into_bytes();
    let (_directory, store) = store();
    let imported = import(&store, archive(&members)).await.unwrap();
    assert_eq!(imported.images[0].1.media_type, media_type::MANIFEST);
    assert!(store.verify(&CancellationToken::new()).await.unwrap().is_clean());
}

#[tokio::test]
async fn a_directory_is_imported() {
    let ((from, source), (_to, to)) = (store(), store());
    let whole = build(&source, "docker.io/org/x:1", &["amd64", "arm64"], "x").await;
    let cancel = CancellationToken::new();
    let imported = to
        .import_directory(from.path(), &ImportOptions::default(), &cancel)
        .await
        .unwrap();
    assert_eq!(imported.images.len(), 3);
    assert!(crate::content::validate(&to, &whole).await.is_empty());
    let nothing = tempfile::tempdir().unwrap();
    let error = to
        .import_directory(nothing.path(), &ImportOptions::default(), &cancel)
        .await
        .unwrap_err();
    assert_eq!(
        (error.exit_code(), error.to_string().contains("not an OCI layout")),
        (2, true)
    );
}

#[tokio::test]
async fn a_cancelled_import_leaves_nothing() {
    let (_directory, store) = store();
    let cancel = CancellationToken::new();
    cancel.cancel();
    let bytes = Cursor::new(archive(&named()));
    let error = store
        .import(bytes, &ImportOptions::default(), &cancel)
        .await
        .unwrap_err();
    assert_eq!(error.exit_code(), 130);
    assert_eq!(store.disk_usage().await.unwrap().total, 0);
}
