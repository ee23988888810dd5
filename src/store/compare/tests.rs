//! Images that differ in one thing, made for it.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::super::fixture::{gzip, image, store};
use super::*;
use tar::{Builder, EntryType, Header};

/// An entry of a layer.
#[derive(Clone)]
struct File {
    path: &'static str,
    kind: EntryType,
    mode: u32,
    uid: u64,
    time: u64,
    content: &'static str,
    xattr: Option<&'static str>,
}

const FILE: File = File {
    path: "etc/file",
    kind: EntryType::Regular,
    mode: 0o644,
    uid: 0,
    time: 1_700_000_000,
    content: "one",
    xattr: None,
};

fn tar(files: &[File]) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    for file in files {
        if let Some(value) = file.xattr {
            tar.append_pax_extensions([("SCHILY.xattr.user.x", value.as_bytes())])
                .unwrap();
        }
        let mut header = Header::new_ustar();
        header.set_entry_type(file.kind);
        header.set_mode(file.mode);
        header.set_uid(file.uid);
        header.set_gid(0);
        header.set_mtime(file.time);
        if file.kind == EntryType::Symlink {
            header.set_size(0);
            tar.append_link(&mut header, file.path, file.content).unwrap();
        } else {
            header.set_size(file.content.len() as u64);
            tar.append_data(&mut header, file.path, file.content.as_bytes())
                .unwrap();
        }
    }
    tar.into_inner().unwrap()
}

/// As [`gzip`], with more effort.
fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut encoder, bytes).unwrap();
    encoder.finish().unwrap()
}

/// `field: first | second` of all that differs between images of one layer each.
async fn found(one: Vec<u8>, other: Vec<u8>) -> Vec<String> {
    let ((_a, first), (_b, second)) = (store(), store());
    let one = image(&first, "amd64", &[one]).await;
    let other = image(&second, "amd64", &[other]).await;
    let amd64 = [Platform::linux("amd64")];
    let cancel = CancellationToken::new();
    let compared = first
        .compare(&one, &[second], &other, &amd64, true, &cancel)
        .await
        .unwrap();
    assert_eq!(compared.len(), 1);
    assert_eq!(compared[0].is_same(), one.digest == other.digest);
    let shown = |text: &Option<String>| text.clone().unwrap_or("-".to_owned());
    let line = |difference: &Difference| {
        assert_eq!(difference.layer, Some(1), "{difference:?}");
        let path = shown(&difference.path);
        format!(
            "{path} {}: {} | {}",
            difference.field,
            shown(&difference.first),
            shown(&difference.second)
        )
    };
    compared[0].differences.iter().map(line).collect()
}

#[tokio::test]
async fn each_field_of_a_file_is_told() {
    let check = async |other: File, expected: &[&str]| {
        assert_eq!(found(gzip(&tar(&[FILE])), gzip(&tar(&[other]))).await, expected);
    };
    check(FILE, &[]).await;
    check(File { mode: 0o755, ..FILE }, &["etc/file mode: 0644 | 0755"]).await;
    check(File { uid: 7, ..FILE }, &["etc/file owner: 0:0 | 7:0"]).await;
    let later = File {
        time: 1_700_000_001,
        ..FILE
    };
    check(later, &["etc/file time: 2023-11-14T22:13:20Z | 2023-11-14T22:13:21Z"]).await;
    let two = "etc/file content: sha256:7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed | \
        sha256:3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3";
    check(File { content: "two", ..FILE }, &[two]).await;
    check(
        File {
            xattr: Some("v"),
            ..FILE
        },
        &["etc/file xattr user.x: - | v"],
    )
    .await;
    check(
        File {
            path: "etc/other",
            ..FILE
        },
        &["etc/other presence: - | there", "etc/file presence: there | -"],
    )
    .await;
    let link = |target| File {
        kind: EntryType::Symlink,
        content: target,
        ..FILE
    };
    let links = found(tar(&[link("a")]), tar(&[link("b")])).await;
    assert_eq!(links, ["etc/file link: a | b"]);
}

#[tokio::test]
async fn the_same_entries_can_stand_otherwise() {
    let other = File { path: "b", ..FILE };
    let (in_order, turned) = (tar(&[FILE, other.clone()]), tar(&[other, FILE]));
    assert_eq!(
        found(in_order.clone(), turned).await,
        ["- order: one order of entries | another"]
    );
    assert_eq!(
        found(gzip(&in_order), packed(&in_order)).await,
        ["- bytes: one compression of the same bytes | another"]
    );
}

#[tokio::test]
async fn fields_of_documents_are_told_with_the_way_to_them() {
    let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let mut differences = Differences::default();
    let one = read(r#"{"a":{"b":[1,"x"]},"rootfs":{"c":1},"same":[]}"#);
    let other = read(r#"{"a":{"b":[1,"y",2]},"rootfs":{"c":2},"same":[]}"#);
    differences.json("config", &one, &other, &|path| path.starts_with("rootfs"));
    let found: Vec<_> = differences
        .0
        .iter()
        .map(|one| (one.field.as_str(), one.first.as_deref(), one.second.as_deref()))
        .collect();
    assert_eq!(
        found,
        [
            ("config a.b[1]", Some("x"), Some("y")),
            ("config a.b[2]", None, Some("2"))
        ]
    );
}
