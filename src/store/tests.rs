//! The store as its users see it: names, merging, removing, verifying, locks. Files are looked at only to damage them.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::fixture::{blob, build, exported, put, store};
use super::*;
use crate::content::{self, ContentError, Sink, Source};
use crate::event::CancellationToken;
use crate::oci::{Descriptor, Digest, Platform, annotation, media_type};
use std::fs;
use tokio::io::AsyncReadExt;

const NAME: &str = "docker.io/org/x:1";

async fn verify(store: &Store) -> Verification {
    store.verify(&CancellationToken::new()).await.unwrap()
}

fn names(platforms: &[Platform]) -> Vec<String> {
    platforms.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn a_new_store_is_an_empty_layout() {
    let (directory, store) = store();
    assert_eq!(
        fs::read_to_string(directory.path().join("oci-layout")).unwrap(),
        r#"{"imageLayoutVersion":"1.0.0"}"#
    );
    assert!(store.list().await.unwrap().is_empty());
    assert!(verify(&store).await.is_clean());
    Store::open(directory.path()).unwrap();
}

#[tokio::test]
async fn what_is_put_is_read() {
    let (_directory, store) = store();
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| n as u8).collect();
    let descriptor = put(&store, "x", &bytes).await;
    assert_eq!(store.size(&descriptor.digest).await.unwrap(), Some(bytes.len() as u64));
    let mut found = Vec::new();
    let mut reader = store.read(&descriptor.digest, 1_000_000).await.unwrap();
    reader.read_to_end(&mut found).await.unwrap();
    assert!(found == bytes[1_000_000..]);
    let other = Digest::of(b"other");
    assert_eq!(store.size(&other).await.unwrap(), None);
    assert!(matches!(store.read(&other, 0).await, Err(ContentError::Missing(digest)) if digest == other));
}

#[tokio::test]
async fn wrong_bytes_leave_nothing_behind() {
    let (directory, store) = store();
    let descriptor = Descriptor::of("x", b"right");
    for wrong in [b"wrong".as_slice(), b"righ", b"right and more"] {
        let reader = Box::pin(std::io::Cursor::new(wrong.to_vec()));
        let error = store.put(&descriptor, reader).await.unwrap_err();
        assert!(matches!(error, ContentError::Mismatch { .. }), "{error}");
    }
    // A reader that fails half way, and a call that is dropped.
    let broken = tokio_util::io::StreamReader::new(tokio_stream::iter([
        Ok(bytes::Bytes::from_static(b"ri")),
        Err(std::io::Error::other("gone")),
    ]));
    assert!(store.put(&descriptor, Box::pin(broken)).await.is_err());
    let (mut writer, reader) = tokio::io::duplex(64);
    tokio::io::AsyncWriteExt::write_all(&mut writer, b"ri").await.unwrap();
    let put = store.put(&descriptor, Box::pin(reader));
    assert!(tokio::time::timeout(Duration::from_millis(100), put).await.is_err());
    assert_eq!(fs::read_dir(directory.path().join("blobs/sha256")).unwrap().count(), 0);
}

#[tokio::test]
async fn many_may_put_the_same_blob_at_once() {
    let (_directory, store) = store();
    let puts = (0..20).map(|_| put(&store, "x", b"the same"));
    futures_util::future::join_all(puts).await;
    assert_eq!(verify(&store).await.blobs, 1);
}

#[tokio::test]
async fn platforms_are_added_under_linuxkits_names() {
    let (_directory, store) = store();
    build(&store, NAME, &["amd64", "arm64"], "first").await;
    let whole = build(&store, NAME, &["riscv64"], "first").await;
    let list = store.list().await.unwrap();
    let found: Vec<&str> = list.iter().map(|image| image.name.as_str()).collect();
    let arch = |arch: &str| format!("{NAME}-{arch}");
    assert_eq!(found, [NAME, &arch("amd64"), &arch("arm64"), &arch("riscv64")]);
    assert_eq!(
        names(&list[0].platforms),
        ["linux/amd64", "linux/arm64", "linux/riscv64"]
    );
    assert_eq!(names(&list[1].platforms), ["linux/amd64"]);
    assert_eq!(store.resolve_name(NAME).unwrap().unwrap().digest, whole.digest);
    // Everything it lists is here: images, and their attestations.
    assert!(content::validate(&store, &whole).await.is_empty());
    assert!(verify(&store).await.is_clean());
}

#[tokio::test]
async fn the_order_of_builds_does_not_show() {
    let mut indexes = Vec::new();
    for order in [["amd64", "arm64", "s390x"], ["s390x", "amd64", "arm64"]] {
        let (directory, store) = store();
        for architecture in order {
            build(&store, NAME, &[architecture], "same").await;
        }
        build(&store, NAME, &["arm64"], "same").await;
        indexes.push(fs::read(directory.path().join("index.json")).unwrap());
    }
    assert_eq!(indexes[0], indexes[1]);
}

#[tokio::test]
async fn a_rebuilt_platform_takes_the_old_ones_place() {
    let (_directory, store) = store();
    build(&store, NAME, &["amd64", "arm64"], "old").await;
    let whole = build(&store, NAME, &["arm64"], "new").await;
    let (_, document) = content::read_document(&store, &whole).await.unwrap();
    assert_eq!(document.children().len(), 4, "two images and an attestation each");
    assert_eq!(
        names(&store.platforms_of(NAME).unwrap()),
        ["linux/amd64", "linux/arm64"]
    );
}

#[tokio::test]
async fn a_bare_manifest_gets_the_platform_of_its_configuration() {
    let (_directory, store) = store();
    let manifest = fixture::image(&store, "s390x", &[]).await;
    let whole = store.merge_platforms(&NAME.parse().unwrap(), &manifest).await.unwrap();
    assert_eq!(whole.media_type, media_type::INDEX);
    assert_eq!(names(&store.platforms_of(NAME).unwrap()), ["linux/s390x"]);
    let found = store.find_manifest(NAME, &Platform::linux("s390x")).unwrap().unwrap();
    assert_eq!(found.digest, manifest.digest);
}

#[tokio::test]
async fn a_platform_is_found_only_when_all_of_it_is_here() {
    let (directory, store) = store();
    build(&store, NAME, &["amd64", "arm64"], "x").await;
    let arm64: Platform = "linux/arm64/v8".parse().unwrap();
    let manifest = store.find_manifest(NAME, &arm64).unwrap().unwrap();
    let (_, document) = content::read_document(&store, &manifest).await.unwrap();
    fs::remove_file(blob(directory.path(), &document.children()[1].digest)).unwrap();
    assert_eq!(names(&store.platforms_of(NAME).unwrap()), ["linux/amd64"]);
    assert_eq!(store.find_manifest(NAME, &arm64).unwrap(), None);
    assert!(store.platforms_of("docker.io/org/unknown:1").unwrap().is_empty());
    assert_eq!(store.resolve_name("docker.io/org/unknown:1").unwrap(), None);
    let found = store
        .find(&format!("org/x@{}", manifest.digest).parse().unwrap())
        .unwrap();
    assert_eq!(found.unwrap().digest, manifest.digest);
}

#[tokio::test]
async fn a_name_needs_its_content() {
    let (_directory, store) = store();
    let error = store.set(NAME, &Descriptor::of("x", b"not here")).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("is missing from the cache"), "{text}");
}

#[tokio::test]
async fn removing_frees_what_nobody_else_needs() {
    let (_directory, store) = store();
    build(&store, NAME, &["amd64"], "x").await;
    build(&store, "docker.io/org/y:1", &["amd64"], "y").await;
    let removal = store.remove(&[NAME.to_owned()]).await.unwrap();
    assert_eq!(removal.kept_by, [format!("{NAME}-amd64")]);
    assert!(
        removal
            .blobs
            .iter()
            .all(|digest| store.0.blob_size(digest).unwrap().is_none())
    );
    assert!(verify(&store).await.is_clean());
    let before = store.disk_usage().await.unwrap();
    let removal = store.remove(&[format!("{NAME}-amd64")]).await.unwrap();
    // Only the attestation's configuration is shared with y.
    assert!(removal.freed > 0 && removal.kept_by.is_empty(), "{removal:?}");
    let after = store.disk_usage().await.unwrap();
    assert_eq!(after.total, before.total - removal.freed);
    assert_eq!((after.unreferenced, verify(&store).await.unreferenced), (0, 0));
    let error = store.remove(&[NAME.to_owned()]).await.unwrap_err();
    assert_eq!((error.exit_code(), error.to_string().contains(NAME)), (2, true));
}

#[tokio::test]
async fn a_collection_takes_only_what_has_no_name() {
    let (directory, store) = store();
    let kept = build(&store, NAME, &["amd64"], "x").await;
    let unnamed = put(&store, "x", b"unnamed").await;
    fs::write(directory.path().join("blobs/sha256/.lkpkg-dead.tmp"), b"half").unwrap();
    assert_eq!(verify(&store).await.leftovers.len(), 1);
    assert_eq!(store.disk_usage().await.unwrap().images.len(), 2);
    let removal = store.collect().await.unwrap();
    assert!(removal.blobs.contains(&unnamed.digest));
    assert!(content::validate(&store, &kept).await.is_empty());
    let verification = verify(&store).await;
    assert_eq!((verification.leftovers.len(), verification.unreferenced), (0, 0));
}

#[tokio::test]
async fn nothing_is_removed_while_somebody_else_has_the_store_open() {
    let (directory, store) = store();
    build(&store, NAME, &["amd64"], "x").await;
    let other = Store::open(directory.path()).unwrap();
    let error = store.remove(&[NAME.to_owned()]).await.unwrap_err();
    assert_eq!(error.exit_code(), 4);
    assert!(
        error
            .to_string()
            .contains(&format!("this process ({})", std::process::id())),
        "{error}"
    );
    assert!(store.resolve_name(NAME).unwrap().is_some(), "nothing was changed");
    drop(other);
    store.remove(&[NAME.to_owned()]).await.unwrap();
}

#[tokio::test]
async fn verify_names_what_is_wrong_and_for_whom() {
    let (directory, store) = store();
    build(&store, NAME, &["amd64", "arm64"], "x").await;
    let path = |digest: &Digest| blob(directory.path(), digest);
    let manifest = async |architecture| {
        let platform = Platform::linux(architecture);
        store.find_manifest(NAME, &platform).unwrap().unwrap()
    };
    let (amd64, arm64) = (manifest("amd64").await, manifest("arm64").await);
    let (_, document) = content::read_document(&store, &amd64).await.unwrap();
    let layer = document.children()[1].clone();
    let mut bytes = fs::read(path(&layer.digest)).unwrap();
    bytes[0] ^= 1;
    fs::write(path(&layer.digest), &bytes).unwrap();
    fs::remove_file(path(&arm64.digest)).unwrap();
    fs::write(directory.path().join("blobs/sha256/stranger"), b"").unwrap();
    let found = verify(&store).await;
    let texts: Vec<String> = found.problems.iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), 3, "{texts:#?}");
    let has = |parts: &[&str]| texts.iter().any(|text| parts.iter().all(|part| text.contains(part)));
    assert!(
        has(&[layer.digest.hex(), "its bytes are sha256:", NAME, "x:1-amd64"]),
        "{texts:#?}"
    );
    assert!(has(&[arm64.digest.hex(), "missing", "x:1-arm64"]), "{texts:#?}");
    assert!(has(&["stranger", "not a blob"]), "{texts:#?}");
    fs::write(path(&layer.digest), b"short").unwrap();
    let texts: Vec<String> = verify(&store).await.problems.iter().map(ToString::to_string).collect();
    assert!(
        texts.iter().any(|text| text.contains("5 bytes instead of")),
        "{texts:#?}"
    );
}

#[tokio::test]
async fn an_index_that_makes_no_sense_is_an_error_and_stays_as_it_is() {
    let (directory, store) = store();
    let descriptor = build(&store, NAME, &["amd64"], "x").await;
    let path = directory.path().join("index.json");
    let index = fs::read_to_string(&path).unwrap();
    for damaged in [
        "",
        &index[..index.len() / 2],
        "[]",
        r#"{"schemaVersion":1,"manifests":[]}"#,
    ] {
        fs::write(&path, damaged).unwrap();
        let error = store.view().err().unwrap();
        assert_eq!(
            (error.exit_code(), error.to_string().contains("index.json is damaged")),
            (4, true),
            "{error}"
        );
        assert!(store.set(NAME, &descriptor).await.is_err());
        assert!(store.remove(&[NAME.to_owned()]).await.is_err());
        assert!(store.collect().await.is_err());
        assert!(!verify(&store).await.is_clean());
        assert_eq!(fs::read_to_string(&path).unwrap(), damaged);
    }
    fs::remove_file(&path).unwrap();
    assert_eq!(
        Store::open(directory.path()).unwrap().view().err().unwrap().exit_code(),
        4
    );
}

#[tokio::test]
async fn a_damaged_manifest_stops_a_collection() {
    let (directory, store) = store();
    build(&store, NAME, &["amd64"], "x").await;
    build(&store, "docker.io/org/y:1", &["amd64"], "y").await;
    let manifest = store.find_manifest(NAME, &Platform::linux("amd64")).unwrap().unwrap();
    fs::write(
        blob(directory.path(), &manifest.digest),
        vec![b'{'; manifest.size as usize],
    )
    .unwrap();
    assert_eq!(store.collect().await.unwrap_err().exit_code(), 4);
    store.remove(&[NAME.to_owned(), format!("{NAME}-amd64")]).await.unwrap();
    assert!(verify(&store).await.is_clean());
    assert_eq!(store.list().await.unwrap().len(), 2);
}

#[test]
fn a_store_of_another_version_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("oci-layout"), r#"{"imageLayoutVersion":"2.0.0"}"#).unwrap();
    let error = Store::open(directory.path()).unwrap_err();
    assert_eq!(
        (error.exit_code(), error.to_string().contains("version 2.0.0")),
        (4, true),
        "{error}"
    );
    assert!(!directory.path().join("index.json").exists());
}

#[tokio::test]
async fn many_writers_lose_no_name() {
    const WRITERS: usize = 8;
    const NAMES_EACH: usize = 50;
    let (directory, _) = store();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        // Each has a store of its own, as processes have.
        let store = Store::open(directory.path()).unwrap();
        writers.spawn(async move {
            for number in 0..NAMES_EACH {
                let descriptor = put(&store, "x", format!("{writer} {number}").as_bytes()).await;
                store
                    .set(&format!("docker.io/org/x:{writer}-{number}"), &descriptor)
                    .await
                    .unwrap();
            }
        });
    }
    writers.join_all().await;
    let store = Store::open(directory.path()).unwrap();
    assert_eq!(store.view().unwrap().names().len(), WRITERS * NAMES_EACH);
    assert!(verify(&store).await.is_clean());
}

#[tokio::test]
async fn platforms_that_are_added_at_once_all_stay() {
    let (directory, store) = store();
    let architectures = ["amd64", "arm64", "riscv64", "s390x"];
    let mut builds = tokio::task::JoinSet::new();
    for architecture in architectures {
        let store = Store::open(directory.path()).unwrap();
        builds.spawn(async move { build(&store, NAME, &[architecture], "x").await });
    }
    builds.join_all().await;
    assert_eq!(store.platforms_of(NAME).unwrap().len(), architectures.len());
}

#[tokio::test]
async fn whole_images_are_copied_between_stores() {
    let ((_from, from), (_to, to)) = (store(), store());
    let root = exported(&from, &["amd64", "arm64"], "x").await;
    // Owned by a task, as everything is that the hallway does.
    let (source, sink, copied) = (from.clone(), to.clone(), root.clone());
    let copied = tokio::spawn(async move { content::copy(&source, &sink, &copied).await })
        .await
        .unwrap()
        .unwrap();
    assert_eq!(copied.skipped, 0);
    assert!(content::validate(&to, &root).await.is_empty());
}

/// A referrer of `subject` that holds `text`, put beside it.
async fn attach(store: &Store, subject: &Descriptor, text: &'static str) -> content::Referrer {
    let layer = Descriptor::of("text/plain", text.as_bytes());
    // A name among its annotations must not become one of the store's.
    let annotations = [(annotation::REF_NAME.to_owned(), NAME.to_owned())].into();
    let referrer = content::Referrer::new(subject, "application/x", vec![layer], annotations).holding(text);
    content::attach(store, store, &referrer).await.unwrap();
    referrer
}

#[tokio::test]
async fn referrers_live_as_long_as_what_they_are_about() {
    let (directory, store) = store();
    let root = build(&store, NAME, &["amd64", "arm64"], "one").await;
    let image = store.find_manifest(NAME, &Platform::linux("amd64")).unwrap().unwrap();
    let before = store.list().await.unwrap();
    let sbom = attach(&store, &image, "an SBoM").await;
    let signature = attach(&store, &sbom.descriptor, "its signature").await;
    let of_index = attach(&store, &root, "about both").await;
    let file = fs::read(directory.path().join("index.json")).unwrap();
    attach(&store, &image, "an SBoM").await;
    assert_eq!(
        fs::read(directory.path().join("index.json")).unwrap(),
        file,
        "twice is once"
    );

    assert_eq!(
        store.referrers(&image.digest).await.unwrap(),
        std::slice::from_ref(&sbom.descriptor)
    );
    assert_eq!(
        store.referrers(&root.digest).await.unwrap(),
        std::slice::from_ref(&of_index.descriptor)
    );
    assert_eq!(store.resolve_name(NAME).unwrap().unwrap().digest, root.digest);
    let after = store.list().await.unwrap();
    assert_eq!(after.len(), before.len(), "they are no images");
    assert!(after[0].size > before[0].size);
    assert!(verify(&store).await.is_clean());

    // Kept while it is needed, whatever else is collected.
    build(&store, "docker.io/org/y:1", &["amd64"], "other").await;
    let others = ["docker.io/org/y:1", "docker.io/org/y:1-amd64"].map(str::to_owned);
    store.remove(&others).await.unwrap();
    assert_eq!(
        store.referrers(&sbom.descriptor.digest).await.unwrap(),
        [signature.descriptor]
    );
    assert_eq!(verify(&store).await.unreferenced, 0);

    // The index changes, and so nothing is about it any more; the image of amd64 is what it was.
    build(&store, NAME, &["arm64"], "two").await;
    store.collect().await.unwrap();
    assert!(store.referrers(&root.digest).await.unwrap().is_empty());
    assert_eq!(
        store.referrers(&image.digest).await.unwrap(),
        std::slice::from_ref(&sbom.descriptor)
    );

    store
        .drop_referrers(std::slice::from_ref(&sbom.descriptor.digest))
        .await
        .unwrap();
    store.collect().await.unwrap();
    assert!(store.referrers(&image.digest).await.unwrap().is_empty());
    assert_eq!(
        store.view().unwrap().index.manifests.len(),
        3,
        "the signature went with it"
    );
}

#[tokio::test]
async fn a_damaged_referrer_hinders_nothing_and_is_told() {
    let (directory, store) = store();
    build(&store, NAME, &["amd64"], "one").await;
    let image = store.find_manifest(NAME, &Platform::linux("amd64")).unwrap().unwrap();
    let sbom = attach(&store, &image, "an SBoM").await;
    fs::write(blob(directory.path(), &sbom.descriptor.digest), "{}").unwrap();
    assert!(!verify(&store).await.is_clean());
    assert!(store.referrers(&image.digest).await.unwrap().is_empty());
    store.collect().await.unwrap();
    assert!(verify(&store).await.is_clean());

    let stranger = content::Referrer::new(
        &Descriptor::of("m", b"other"),
        "application/x",
        Vec::new(),
        Default::default(),
    );
    content::copy(&stranger.over(&store), &store, &stranger.descriptor)
        .await
        .unwrap();
    let error = store
        .add_referrer(&image.digest, &stranger.descriptor)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("and is about"), "{error}");
}
