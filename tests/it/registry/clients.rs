//! Other hands: crane and skopeo read what we push and we read what they push, with two implementations of registries.

use super::daemon::{Bed, Daemon};
use super::images::{attested, image, put_index};
use super::push::{attach, client, index_at, push_as, repository};
use crate::servers::{program, server, skopeo};
use lkpkg::content::{Referrer, Source as _, pull, read_document, validate};
use lkpkg::oci::{Descriptor, Digest, Index, Platform, annotation, media_type};
use lkpkg::registry::Existing;
use lkpkg::store::Store;
use serde_json::json;
use std::collections::BTreeMap;
use std::process::Command;

/// crane's output, or None after a SKIP line.
#[track_caller]
fn crane(arguments: &[&str]) -> Option<Vec<u8>> {
    let output = Command::new(program("crane")?).args(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "crane {arguments:?}: {errors}");
    Some(output.stdout)
}

/// Two registries, and a store with an attested image.
struct Room {
    bed: Bed,
    crane: Daemon,
    directory: tempfile::TempDir,
    store: Store,
    root: Descriptor,
    index: Index,
}

impl Room {
    async fn new() -> Option<Self> {
        let (bed, crane) = (Bed::start().await?, Daemon::crane()?);
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("store")).unwrap();
        let (root, index) = image(&store, "ours", &["amd64", "arm64"]).await;
        Some(Self {
            bed,
            crane,
            directory,
            store,
            root,
            index,
        })
    }

    fn hosts(&self) -> [&str; 2] {
        [self.bed.plain(), self.crane.host()]
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }
}

/// Pulls an image into a new store and checks it there; gives what its name stands for, and its platforms.
async fn pulled(host: &str, name: &str) -> (Descriptor, Vec<String>) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let (name, repository) = (format!("{host}/{name}"), name.split(':').next().unwrap());
    let source = super::push::repository(&client(host), host, repository);
    let pulled = pull(&source, &store, &name, None).await.unwrap().unwrap();
    assert!(validate(&store, &pulled.root).await.is_empty());
    let platforms = store.platforms_of(&name).unwrap();
    (pulled.root, platforms.iter().map(ToString::to_string).collect())
}

#[tokio::test]
async fn others_read_what_we_push() {
    let Some(room) = Room::new().await else { return };
    for host in room.hosts() {
        let to = repository(&client(host), host, "by/us");
        push_as(&room.store, &to, &room.root, &["1"], Existing::Merge)
            .await
            .unwrap();
        let name = format!("{host}/by/us:1");
        let Some(raw) = crane(&["manifest", &name]) else { return };
        assert_eq!(Digest::of(&raw), room.root.digest);
        assert_eq!(crane(&["ls", &format!("{host}/by/us")]).unwrap(), b"1\n");
        for entry in &room.index.manifests {
            let by_digest = format!("{host}/by/us@{}", entry.digest);
            assert_eq!(Digest::of(&crane(&["manifest", &by_digest]).unwrap()), entry.digest);
            // Reads every byte of it.
            if entry.attests().is_none() {
                let platform = entry.platform.as_ref().unwrap().to_string();
                let found = crane(&["digest", "--platform", &platform, &name]).unwrap();
                assert_eq!(String::from_utf8(found).unwrap().trim(), entry.digest.as_str());
                let config = crane(&["config", "--platform", &platform, &name]).unwrap();
                assert!(String::from_utf8(config).unwrap().contains("\"name\":\"ours\""));
            }
        }
        // Whole, to another registry and into a layout, with the attestations.
        let copy = format!("{}/by/crane-copy:1", room.crane.host());
        crane(&["copy", &name, &copy]).unwrap();
        assert_eq!(
            pulled(room.crane.host(), "by/crane-copy:1").await.0.digest,
            room.root.digest
        );
        let layout = room.path(&format!("layout-{}", host.replace(':', "-")));
        let Some(_) = skopeo(&[
            "--insecure-policy",
            "copy",
            "--quiet",
            "--all",
            // It compresses layers else.
            "--preserve-digests",
            "--src-tls-verify=false",
            &format!("docker://{name}"),
            &format!("oci:{layout}:x"),
        ]) else {
            return;
        };
        let copied = Store::open(std::path::Path::new(&layout)).unwrap();
        assert!(validate(&copied, &room.root).await.is_empty());
    }
}

#[tokio::test]
async fn we_read_what_others_push() {
    let Some(room) = Room::new().await else { return };
    let Some(bases) = server("LKPKG_TEST_BASES") else {
        return;
    };
    let tar = room.path("layer.tar");
    let file = std::fs::File::create(&tar).unwrap();
    let mut archive = tar::Builder::new(file);
    let mut header = tar::Header::new_gnu();
    header.set_size(2);
    header.set_mode(0o644);
    header.set_cksum();
    archive.append_data(&mut header, "file", &b"x\n"[..]).unwrap();
    archive.finish().unwrap();
    for host in room.hosts() {
        // A single manifest of Docker's types, one of OCI's, and an index of crane's.
        let single = format!("{host}/by/crane:single");
        let Some(_) = crane(&["append", "-f", &tar, "-t", &single]) else {
            return;
        };
        let (found, _) = pulled(host, "by/crane:single").await;
        assert_eq!(found.media_type, media_type::DOCKER_MANIFEST);
        let index = format!("{host}/by/crane:index");
        crane(&[
            "append",
            "--oci-empty-base",
            "-f",
            &tar,
            "-t",
            &format!("{host}/by/crane:oci"),
        ])
        .unwrap();
        let (oci, _) = pulled(host, "by/crane:oci").await;
        assert_eq!(oci.media_type, media_type::MANIFEST);
        crane(&["index", "append", "-m", &format!("{host}/by/crane:oci"), "-t", &index]).unwrap();
        let (found, _) = pulled(host, "by/crane:index").await;
        assert!(matches!(
            found.media_type.as_str(),
            media_type::INDEX | media_type::DOCKER_MANIFEST_LIST
        ));
        // skopeo's, in its own two formats.
        for (format, wanted) in [("oci", media_type::INDEX), ("v2s2", media_type::DOCKER_MANIFEST_LIST)] {
            let to = format!("docker://{host}/by/skopeo:{format}");
            let from = format!("oci:{bases}:docker.io/library/busybox:1.37");
            let copy = [
                "--insecure-policy",
                "copy",
                "--quiet",
                "--all",
                "--dest-tls-verify=false",
            ];
            let Some(_) = skopeo(&[&copy[..], &["--format", format, &from, &to]].concat()) else {
                return;
            };
            let (found, platforms) = pulled(host, &format!("by/skopeo:{format}")).await;
            assert_eq!(found.media_type, wanted);
            // A variant that says nothing new.
            let platforms: Vec<_> = platforms.iter().map(|text| text.trim_end_matches("/v8")).collect();
            assert_eq!(
                platforms,
                ["linux/amd64", "linux/arm64", "linux/riscv64", "linux/s390x"]
            );
        }
    }
}

#[tokio::test]
async fn what_others_pushed_is_merged_into() {
    let Some(room) = Room::new().await else { return };
    let Some(bases) = server("LKPKG_TEST_BASES") else {
        return;
    };
    for host in room.hosts() {
        for format in ["oci", "v2s2"] {
            let name = format!("by/both-{format}");
            let to = format!("docker://{host}/{name}:1");
            let from = format!("oci:{bases}:docker.io/library/busybox:1.37");
            let copy = [
                "--insecure-policy",
                "copy",
                "--quiet",
                "--all",
                "--dest-tls-verify=false",
            ];
            let Some(_) = skopeo(&[&copy[..], &["--format", format, &from, &to]].concat()) else {
                return;
            };
            let (_, before) = index_at(host, &name, "1").await;
            let ours = repository(&client(host), host, &name);
            push_as(&room.store, &ours, &room.root, &["1"], Existing::Merge)
                .await
                .unwrap();
            let (found, after) = index_at(host, &name, "1").await;
            assert_eq!(
                (&*found.media_type, &*after.media_type),
                (media_type::INDEX, media_type::INDEX)
            );
            // Ours, each with its attestation, and theirs as they were, to the letter.
            let theirs = |entry: &&Descriptor| {
                let platform = entry.platform.as_ref().unwrap();
                ["riscv64", "s390x"].contains(&platform.architecture.as_str())
            };
            let kept: Vec<_> = before.manifests.iter().filter(theirs).cloned().collect();
            assert_eq!(kept.len(), 2);
            let wanted: Vec<_> = room.index.manifests.iter().cloned().chain(kept).collect();
            assert_eq!(after.manifests, wanted);
            // And others read that.
            let Some(raw) = crane(&["manifest", &format!("{host}/{name}:1")]) else {
                return;
            };
            assert_eq!(Digest::of(&raw), found.digest);
            let platform = ["digest", "--platform", "linux/s390x", &format!("{host}/{name}:1")];
            let digest = crane(&platform).unwrap();
            assert_eq!(String::from_utf8(digest).unwrap().trim(), wanted[5].digest.as_str());
        }
    }
}

#[tokio::test]
async fn referrers_are_listed_by_registries_that_do() {
    let Some(room) = Room::new().await else { return };
    for host in room.hosts() {
        let to = repository(&client(host), host, "by/us");
        push_as(&room.store, &to, &room.root, &["1"], Existing::Merge)
            .await
            .unwrap();
        let empty = super::images::put(&room.store, "application/vnd.oci.empty.v1+json", b"{}").await;
        let manifest = json!({
            "schemaVersion": 2, "mediaType": media_type::MANIFEST, "artifactType": "application/x-signature",
            "config": empty, "layers": [empty], "subject": room.root, "annotations": {"who": "me"},
        });
        let text = manifest.to_string();
        let signature = super::images::put(&room.store, media_type::MANIFEST, text.as_bytes()).await;
        // An index can be about something as well, and have a tag.
        let about = Index {
            subject: Some(room.root.clone()),
            artifact_type: "application/x-list".into(),
            ..Index::of(attested(&room.store, "about", "amd64").await)
        };
        let about = put_index(&room.store, &about).await;
        push_as(&room.store, &to, &signature, &[], Existing::Merge)
            .await
            .unwrap();
        push_as(&room.store, &to, &about, &["about"], Existing::Merge)
            .await
            .unwrap();
        let fresh = repository(&client(host), host, "by/us");
        let found = fresh.referrers(&room.root.digest).await.unwrap();
        let mut digests: Vec<_> = found.iter().map(|one| one.digest.clone()).collect();
        let mut wanted = vec![signature.digest, about.digest];
        digests.sort();
        wanted.sort();
        assert_eq!(digests, wanted, "{host}");
        let layer = super::images::put(&room.store, "text/plain", b"more").await;
        let more = Referrer::new(&room.root, "application/x-more", vec![layer], BTreeMap::new());
        for sent in [1, 0] {
            let pushed = attach(&room.store, &fresh, &more).await;
            assert_eq!(pushed.sent, sent, "the layer, once");
        }
        // Registries differ in what they say of its type.
        let found = fresh.referrers(&room.root.digest).await.unwrap();
        assert!(found.iter().any(|one| one.digest == more.descriptor.digest), "{host}");
    }
}

#[tokio::test]
async fn blobs_are_read_from_their_middle() {
    let Some(room) = Room::new().await else { return };
    for host in room.hosts() {
        let to = repository(&client(host), host, "by/us");
        push_as(&room.store, &to, &room.root, &["1"], Existing::Merge)
            .await
            .unwrap();
        let image = &room.index.manifests[0];
        let (_, document) = read_document(&to, image).await.unwrap();
        let layer = document.children()[1].digest.clone();
        let mut reader = to.read(&layer, 9).await.unwrap();
        let mut rest = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut reader, &mut rest)
            .await
            .unwrap();
        assert_eq!(rest, "ours for amd64", "{host}");
    }
}

#[tokio::test]
async fn an_attestation_follows_its_image() {
    let Some(room) = Room::new().await else { return };
    for host in room.hosts() {
        let to = repository(&client(host), host, "by/us");
        push_as(&room.store, &to, &room.root, &["1"], Existing::Merge)
            .await
            .unwrap();
        // amd64 is built anew: the old attestation goes with the old image, arm64 keeps its own.
        let anew = Index::of(attested(&room.store, "anew", "amd64").await);
        let root = put_index(&room.store, &anew).await;
        push_as(&room.store, &to, &root, &["1"], Existing::Merge).await.unwrap();
        let (_, index) = index_at(host, "by/us", "1").await;
        let arm64 = &room.index.manifests[2..];
        let wanted: Vec<_> = anew.manifests.iter().chain(arm64).cloned().collect();
        assert_eq!(index.manifests, wanted);
        for entry in index.manifests.iter().filter(|entry| entry.attests().is_some()) {
            let subject = &entry.annotations[annotation::REFERENCE_DIGEST];
            assert!(index.manifests.iter().any(|other| other.digest.as_str() == subject));
        }
        // The same in another order, elsewhere, by clients that know nothing of each other: the same digest.
        let (amd64, arm64) = (anew.manifests.clone(), arm64.to_vec());
        let mut digests = Vec::new();
        for (number, order) in [[&amd64, &arm64], [&arm64, &amd64]].into_iter().enumerate() {
            let name = format!("by/order-{number}");
            for part in order {
                let part = put_index(&room.store, &Index::of(part.clone())).await;
                let to = repository(&client(host), host, &name);
                push_as(&room.store, &to, &part, &["1"], Existing::Merge).await.unwrap();
            }
            let (found, index) = index_at(host, &name, "1").await;
            let own = &index.manifests[2].platform;
            assert_eq!(own.as_ref(), Some(&Platform::linux("arm64")));
            digests.push(found.digest);
        }
        assert_eq!(digests[0], digests[1]);
        assert_eq!(digests[0], index_at(host, "by/us", "1").await.0.digest);
    }
}
