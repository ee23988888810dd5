//! Exports, read again by this store's import, by the tar crate, and damaged on purpose.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::super::fixture::{blob, build, gzip, image, layer, store};
use super::super::{ExportFormat, ExportOptions, ImportOptions, Store, StoreError};
use crate::event::CancellationToken;
use crate::oci::Platform;
use std::collections::BTreeMap;
use std::io::{Cursor, Read};

const NAME: &str = "docker.io/org/x:1";

fn options(format: ExportFormat, platform: Option<&str>) -> ExportOptions {
    ExportOptions {
        format,
        platform: platform.map(Platform::linux),
        name: None,
    }
}

async fn export(store: &Store, options: &ExportOptions) -> Result<Vec<u8>, StoreError> {
    let cancel = CancellationToken::new();
    store.export(&NAME.parse().unwrap(), options, Vec::new(), &cancel).await
}

/// Every member in its order: path, type, content.
fn members(tar: &[u8]) -> Vec<(String, tar::EntryType, Vec<u8>)> {
    let mut archive = tar::Archive::new(tar);
    let read = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        let path = entry.path().unwrap().display().to_string();
        (path, entry.header().entry_type(), content)
    };
    archive.entries().unwrap().map(read).collect()
}

#[tokio::test]
async fn a_whole_index_goes_out_and_comes_in_again() {
    let ((_a, from), (_b, to)) = (store(), store());
    let whole = build(&from, NAME, &["amd64", "arm64"], "x").await;
    let tar = export(&from, &options(ExportFormat::Oci, None)).await.unwrap();
    assert!(
        tar == export(&from, &options(ExportFormat::Oci, None)).await.unwrap(),
        "same bytes twice"
    );
    for packed in [tar.clone(), gzip(&tar), zstd::encode_all(tar.as_slice(), 1).unwrap()] {
        let cancel = CancellationToken::new();
        let imported = to
            .import(Cursor::new(packed), &ImportOptions::default(), &cancel)
            .await
            .unwrap();
        assert_eq!(imported.images.len(), 1);
        assert_eq!(
            (imported.images[0].0.as_str(), &imported.images[0].1.digest),
            (NAME, &whole.digest)
        );
    }
    assert!(crate::content::validate(&to, &whole).await.is_empty());
    assert!(to.verify(&CancellationToken::new()).await.unwrap().is_clean());
}

#[tokio::test]
async fn one_platform_goes_out_under_another_name() {
    let (_directory, store) = store();
    build(&store, NAME, &["amd64", "arm64"], "x").await;
    let options = ExportOptions {
        name: Some("other/name:2".parse().unwrap()),
        ..options(ExportFormat::Docker, Some("arm64"))
    };
    let members: BTreeMap<_, _> = members(&export(&store, &options).await.unwrap())
        .into_iter()
        .map(|(path, _, content)| (path, content))
        .collect();
    let manifest: serde_json::Value = serde_json::from_slice(&members["manifest.json"]).unwrap();
    assert_eq!(manifest[0]["RepoTags"][0], "docker.io/other/name:2");
    for path in [&manifest[0]["Config"], &manifest[0]["Layers"][0]] {
        assert!(members.contains_key(path.as_str().unwrap()), "{path}");
    }
    assert_eq!(
        members.keys().filter(|path| path.len() > 64).count(),
        3,
        "manifest, configuration, layer"
    );
    let error = export(&store, &self::options(ExportFormat::Oci, Some("s390x")))
        .await
        .unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert!(
        error.to_string().ends_with("it is there for: linux/amd64, linux/arm64"),
        "{error}"
    );
}

/// A layer with everything: directories, links, devices, PAX records, long names.
fn rich_layer() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |kind: tar::EntryType, path: &str, link: &str, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o4755);
        header.set_uid(7);
        header.set_gid(8);
        header.set_mtime(1_000_000_000);
        header.set_size(content.len() as u64);
        header.set_device_major(1).unwrap();
        header.set_device_minor(3).unwrap();
        if path == "usr/bin/ping" {
            tar.append_pax_extensions([("SCHILY.xattr.security.capability", b"\x01\x00\xff".as_slice())])
                .unwrap();
        }
        if link.is_empty() {
            tar.append_data(&mut header, path, content).unwrap();
        } else {
            tar.append_link(&mut header, path, link).unwrap();
        }
    };
    use tar::EntryType as T;
    add(T::Regular, "usr/bin/ping", "", b"ping");
    add(T::Link, "usr/bin/pong", "usr/bin/ping", b"");
    add(T::Symlink, "bin", "usr/bin", b"");
    add(T::Directory, "usr/bin/", "", b"");
    add(T::Directory, "usr/", "", b"");
    add(T::Regular, &format!("usr/{}", "long/".repeat(40)), "", b"deep");
    add(T::Char, "dev/null", "", b"");
    add(T::Fifo, "fifo", "", b"");
    add(T::Regular, "gone", "", b"gone");
    tar.into_inner().unwrap()
}

#[tokio::test]
async fn a_file_system_is_what_all_layers_say() {
    let (_directory, store) = store();
    let second = gzip(&layer(".wh.gone", b""));
    let third = zstd::encode_all(layer("usr/bin/.wh.ping", b"").as_slice(), 1).unwrap();
    let manifest = image(&store, "amd64", &[rich_layer(), second, third]).await;
    store.merge_platforms(&NAME.parse().unwrap(), &manifest).await.unwrap();
    let tar = export(&store, &options(ExportFormat::Filesystem, Some("amd64")))
        .await
        .unwrap();
    assert!(
        tar == export(&store, &options(ExportFormat::Filesystem, Some("amd64")))
            .await
            .unwrap()
    );
    let members = members(&tar);
    let paths: Vec<&str> = members.iter().map(|(path, ..)| path.as_str()).collect();
    let long = format!("usr/{}", "long/".repeat(40));
    assert_eq!(
        paths,
        [
            "usr/",
            "usr/bin/",
            "usr/bin/pong",
            "bin",
            long.trim_end_matches('/'),
            "dev/null",
            "fifo"
        ]
    );
    // The file lives on under its other name, with its content and its capability.
    assert_eq!(
        (members[2].1, members[2].2.as_slice()),
        (tar::EntryType::Regular, b"ping".as_slice())
    );
    let mut archive = tar::Archive::new(tar.as_slice());
    let mut entries = archive.entries().unwrap();
    let mut pong = entries
        .find(|e| e.as_ref().unwrap().path_bytes().ends_with(b"pong"))
        .unwrap()
        .unwrap();
    assert_eq!(
        (pong.header().uid().unwrap(), pong.header().mode().unwrap()),
        (7, 0o4755)
    );
    let mut records = pong.pax_extensions().unwrap().unwrap();
    let record = records.next().unwrap().unwrap();
    assert_eq!(record.key(), Ok("SCHILY.xattr.security.capability"));
    assert_eq!(record.value_bytes(), b"\x01\x00\xff");
}

#[tokio::test]
async fn what_is_damaged_does_not_go_out() {
    let (directory, store) = store();
    let manifest = image(&store, "amd64", &[layer("a", b"a")]).await;
    store.merge_platforms(&NAME.parse().unwrap(), &manifest).await.unwrap();
    let path = blob(directory.path(), &crate::oci::Digest::of(&layer("a", b"a")));
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[600] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    for format in [ExportFormat::Oci, ExportFormat::Docker, ExportFormat::Filesystem] {
        let error = export(&store, &options(format, Some("amd64"))).await.unwrap_err();
        assert_eq!(error.exit_code(), 4);
        assert!(error.to_string().contains("the bytes are sha256:"), "{error}");
    }
    std::fs::remove_file(&path).unwrap();
    let error = export(&store, &options(ExportFormat::Filesystem, Some("amd64")))
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::Missing { .. }), "{error}");
}

#[tokio::test]
async fn an_output_that_is_full_is_not_the_stores_fault() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let (_directory, store) = store();
    build(&store, NAME, &["amd64"], "x").await;
    for format in [ExportFormat::Oci, ExportFormat::Filesystem] {
        let options = options(format, Some("amd64"));
        let cancel = CancellationToken::new();
        let result = store.export(&NAME.parse().unwrap(), &options, Full, &cancel).await;
        let error = result.err().unwrap();
        assert!(matches!(error, StoreError::Output(_)), "{error:?}");
    }
}
