//! Writing to a real docker-registry: whole images, mounts, merges, two pushers at once, passwords and tokens, referrers.

use super::daemon::{Bed, PASSWORD};
use super::images::{put, put_index};
use super::{basic, settings};
use crate::servers::program;
use lkpkg::content::{Referrer, Sink as _, Source, copy, pull, read_document, validate};
use lkpkg::oci::credentials::Credentials;
use lkpkg::oci::merge::for_platforms;
use lkpkg::oci::{Descriptor, Digest, Index, Platform, annotation, media_type};
use lkpkg::registry::{
    BlobState, Existing, PushOptions, Pushed, Registry, RegistryError, Repository, push, push_referrer,
};
use lkpkg::store::Store;
use serde_json::json;
use std::collections::BTreeMap;
use std::process::Command;
use std::sync::{Arc, Mutex};

/// Blobs of the image that a [`Bed`] holds: four configurations and four layers.
pub const BLOBS: usize = 8;

pub fn client(host: &str) -> Registry {
    Registry::new(settings(host, Credentials::Anonymous)).unwrap()
}

pub fn repository(registry: &Registry, host: &str, name: &str) -> Repository {
    registry.repository(&format!("{host}/{name}").parse().unwrap())
}

fn tags(all: &[&str]) -> Vec<String> {
    all.iter().map(|tag| (*tag).to_owned()).collect()
}

/// A store that holds the image of the bed, by a client that is forgotten.
pub async fn store_of(bed: &Bed) -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let name = format!("{}/org/x:1", bed.plain());
    pull(
        &repository(&client(bed.plain()), bed.plain(), "org/x"),
        &store,
        &name,
        None,
    )
    .await
    .unwrap()
    .unwrap();
    (directory, store)
}

pub async fn attach(store: &Store, repository: &Repository, referrer: &Referrer) -> Pushed {
    let source = referrer.over(store);
    let (subject, descriptor) = (&referrer.subject, &referrer.descriptor);
    let pushed = push_referrer(&source, repository, subject, descriptor, &PushOptions::default()).await;
    pushed.unwrap()
}

pub async fn push_as(
    store: &dyn Source,
    repository: &Repository,
    root: &Descriptor,
    names: &[&str],
    existing: Existing,
) -> Result<Pushed, RegistryError> {
    let options = PushOptions {
        existing,
        ..PushOptions::default()
    };
    push(store, repository, root, &tags(names), &options).await
}

/// What a tag stands for, read by somebody who knows nothing yet.
pub async fn index_at(host: &str, name: &str, tag: &str) -> (Descriptor, Index) {
    let repository = repository(&client(host), host, name);
    let found = repository
        .resolve(&format!("{host}/{name}:{tag}"))
        .await
        .unwrap()
        .unwrap();
    assert!(validate(&repository, &found).await.is_empty());
    let (bytes, _) = read_document(&repository, &found).await.unwrap();
    (found, serde_json::from_slice(&bytes).unwrap())
}

#[tokio::test]
async fn an_image_arrives_whole_and_travels_once() {
    let Some(bed) = Bed::start().await else { return };
    let (host, (_directory, store)) = (bed.plain(), store_of(&bed).await);
    let registry = client(host);
    let first = repository(&registry, host, "org/first");
    let states = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&states);
    let options = PushOptions {
        progress: Some(Arc::new(move |progress| seen.lock().unwrap().push(progress))),
        ..PushOptions::default()
    };
    let pushed = push(&store, &first, &bed.root, &tags(&["1", "2"]), &options)
        .await
        .unwrap();
    assert_eq!((pushed.sent, pushed.mounted, pushed.found), (BLOBS, 0, 0));
    let states = std::mem::take(&mut *states.lock().unwrap());
    let ended = |state: BlobState| states.iter().filter(|one| one.state == state).count();
    assert_eq!(ended(BlobState::Sent), BLOBS);
    assert!(states.iter().any(|one| one.state == BlobState::Sending(one.size_bytes)));
    for tag in ["1", "2"] {
        assert_eq!(index_at(host, "org/first", tag).await.0.digest, bed.root.digest);
    }
    assert_eq!(first.tags().await.unwrap(), ["1", "2"]);
    assert!(repository(&registry, host, "org/none").tags().await.unwrap().is_empty());
    skopeo_reads(host, "org/first:1", &bed.root);

    // Nothing to do: a question for each tag.
    let before = registry.requests();
    let again = push_as(&store, &first, &bed.root, &["1", "2"], Existing::Merge)
        .await
        .unwrap();
    assert_eq!((again.sent, registry.requests() - before), (0, 2));
    // A new tag for what is there, by somebody new: no blob is asked for.
    let other = client(host);
    let again = push_as(
        &store,
        &repository(&other, host, "org/first"),
        &bed.root,
        &["3"],
        Existing::Extend,
    )
    .await;
    assert_eq!(again.unwrap().sent, 0);
    assert!(other.requests() <= 8, "{}", other.requests());

    // Another repository of the same registry: mounted, by whoever knows where from.
    let pushed = push_as(
        &store,
        &repository(&registry, host, "org/second"),
        &bed.root,
        &["1"],
        Existing::Merge,
    )
    .await;
    let pushed = pushed.unwrap();
    assert_eq!((pushed.sent, pushed.sent_bytes, pushed.mounted), (0, 0, BLOBS));
    assert_eq!(index_at(host, "org/second", "1").await.0.digest, bed.root.digest);
}

/// Where skopeo is there, it finds what we pushed.
fn skopeo_reads(host: &str, name: &str, root: &Descriptor) {
    let Some(skopeo) = program("skopeo") else { return };
    let output = Command::new(skopeo)
        .args(["inspect", "--raw", "--tls-verify=false"])
        .arg(format!("docker://{host}/{name}"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(Digest::of(&output.stdout), root.digest);
}

#[tokio::test]
async fn a_blob_is_sent_once_by_many_who_push_at_the_same_time() {
    let Some(bed) = Bed::start().await else { return };
    let (host, (_directory, store)) = (bed.plain(), store_of(&bed).await);
    let registry = client(host);
    let mut all = tokio::task::JoinSet::new();
    for number in 0..4 {
        let (store, root) = (store.clone(), bed.root.clone());
        let repository = repository(&registry, host, &format!("many/x{number}"));
        all.spawn(async move {
            push_as(&store, &repository, &root, &["1"], Existing::Merge)
                .await
                .unwrap()
        });
    }
    let all = all.join_all().await;
    assert_eq!(all.iter().map(|pushed| pushed.sent).sum::<usize>(), BLOBS);
    assert_eq!(all.iter().map(|pushed| pushed.mounted).sum::<usize>(), 3 * BLOBS);
}

#[tokio::test]
async fn two_who_push_two_platforms_at_the_same_time_leave_both() {
    let Some(bed) = Bed::start().await else { return };
    let (host, (_directory, store)) = (bed.plain(), store_of(&bed).await);
    let (bytes, _) = read_document(&store, &bed.root).await.unwrap();
    let whole: Index = serde_json::from_slice(&bytes).unwrap();
    for round in 0..3 {
        let tag = round.to_string();
        let mut all = tokio::task::JoinSet::new();
        for architecture in ["amd64", "arm64", "riscv64", "s390x"] {
            let part = for_platforms(&whole, &[Platform::linux(architecture)]);
            let root = put_index(&store, &part).await;
            let (store, tag) = (store.clone(), tag.clone());
            let repository = repository(&client(host), host, "org/contested");
            all.spawn(async move {
                push_as(&store, &repository, &root, &[&tag], Existing::Merge)
                    .await
                    .unwrap()
            });
        }
        all.join_all().await;
        let (found, index) = index_at(host, "org/contested", &tag).await;
        assert_eq!(index.manifests.len(), 4, "{index:?}");
        // The same content has the same digest, whoever was first.
        assert_eq!(found.digest, index_at(host, "org/contested", "0").await.0.digest);
    }
}

#[tokio::test]
async fn between_repositories_of_one_registry_nothing_travels() {
    let Some(bed) = Bed::start().await else { return };
    let Some(with_tokens) = bed.with_tokens().await else {
        return;
    };
    let open = (bed.plain(), Credentials::Anonymous, "open");
    for (host, credentials, kind) in [open, (with_tokens.host(), basic(PASSWORD), "tokens")] {
        let registry = Registry::new(settings(host, credentials)).unwrap();
        let from = repository(&registry, host, "org/x");
        let root = from.find("1").await.unwrap().unwrap();
        let to = repository(&registry, host, &format!("copy/{kind}"));
        let before = registry.requests();
        let pushed = push_as(&from, &to, &root, &["1"], Existing::Replace).await.unwrap();
        let name = format!("{host}/copy/{kind}:1");
        assert_eq!((pushed.sent, pushed.mounted, pushed.found), (0, BLOBS, 0));
        let requests = registry.requests() - before;
        // The index and four manifests are read, asked for and written, the index by its tag as well; blobs are mounted.
        let needed = 3 * 5 + 1 + BLOBS as u64;
        match kind {
            "open" => assert_eq!(requests, needed),
            // And asked for again with a token: for reading, for writing, and for each mount no more than once.
            _ => assert!(requests <= 2 * needed, "{requests}"),
        }
        let found = to.resolve(&name).await.unwrap().unwrap();
        assert_eq!(found.digest, root.digest);
        assert!(validate(&to, &found).await.is_empty());
    }
}

#[tokio::test]
async fn what_a_tag_had_is_kept_replaced_or_refused() {
    let Some(bed) = Bed::start().await else { return };
    let (host, (_directory, store)) = (bed.plain(), store_of(&bed).await);
    let repository = repository(&client(host), host, "org/x");
    // Another image for one platform, with an attestation.
    let config = json!({"os": "linux", "architecture": "arm64", "variant": "v8", "other": true}).to_string();
    let config = put(&store, media_type::CONFIG, config.as_bytes()).await;
    let manifest = json!({"schemaVersion": 2, "mediaType": media_type::MANIFEST, "config": config, "layers": []});
    let image = put(&store, media_type::MANIFEST, manifest.to_string().as_bytes()).await;
    let statement = put(&store, "application/vnd.in-toto+json", b"{}").await;
    let manifest =
        json!({"schemaVersion": 2, "mediaType": media_type::MANIFEST, "config": config, "layers": [statement]});
    let mut attestation = put(&store, media_type::MANIFEST, manifest.to_string().as_bytes()).await;
    attestation.platform = Some("unknown/unknown".parse().unwrap());
    let subject = image.digest.to_string();
    attestation
        .annotations
        .insert(annotation::REFERENCE_DIGEST.into(), subject);
    let mut entry = image.clone();
    entry.platform = Some("linux/arm64/v8".parse().unwrap());
    let root = put_index(&store, &Index::of(vec![entry, attestation.clone()])).await;

    let error = push_as(&store, &repository, &root, &["1"], Existing::Extend)
        .await
        .unwrap_err();
    assert!(
        matches!(&error, RegistryError::TagTaken { found, .. } if *found == bed.root.digest),
        "{error}"
    );
    assert_eq!(index_at(host, "org/x", "1").await.0.digest, bed.root.digest);

    let pushed = push_as(&store, &repository, &root, &["1"], Existing::Merge)
        .await
        .unwrap();
    let (found, index) = index_at(host, "org/x", "1").await;
    assert_eq!(pushed.tags, [("1".to_owned(), found.clone())]);
    assert_eq!(index.manifests.len(), 5);
    let at = index
        .manifests
        .iter()
        .position(|entry| entry.digest == image.digest)
        .unwrap();
    assert_eq!(index.manifests[at + 1], attestation);
    // Again: nothing changes.
    let again = push_as(&store, &repository, &root, &["1"], Existing::Merge)
        .await
        .unwrap();
    assert_eq!((again.tags, again.sent), (pushed.tags, 0));

    push_as(&store, &repository, &root, &["1"], Existing::Replace)
        .await
        .unwrap();
    assert_eq!(index_at(host, "org/x", "1").await.0.digest, root.digest);
    // A single manifest joins an index as well.
    let (bytes, _) = read_document(&store, &bed.root).await.unwrap();
    let amd64 = serde_json::from_slice::<Index>(&bytes).unwrap().manifests[0].clone();
    push_as(&store, &repository, &amd64, &["1", "new"], Existing::Merge)
        .await
        .unwrap();
    assert_eq!(index_at(host, "org/x", "1").await.1.manifests.len(), 3);
    assert_eq!(index_at(host, "org/x", "new").await.1.manifests[0].digest, amd64.digest);
}

#[tokio::test]
async fn an_index_of_dockers_becomes_one_of_oci() {
    let Some(bed) = Bed::start().await else { return };
    let (host, (_directory, store)) = (bed.plain(), store_of(&bed).await);
    let repository = repository(&client(host), host, "org/docker");
    let config = json!({"os": "linux", "architecture": "arm64"}).to_string();
    let config = put(
        &repository,
        "application/vnd.docker.container.image.v1+json",
        config.as_bytes(),
    )
    .await;
    let manifest =
        json!({"schemaVersion": 2, "mediaType": media_type::DOCKER_MANIFEST, "config": config, "layers": []});
    let mut old = put(
        &repository,
        media_type::DOCKER_MANIFEST,
        manifest.to_string().as_bytes(),
    )
    .await;
    repository
        .set(&format!("{host}/org/docker:single"), &old)
        .await
        .unwrap();
    old.platform = Some(Platform::linux("arm64"));
    let list = Index {
        media_type: media_type::DOCKER_MANIFEST_LIST.into(),
        ..Index::of(vec![old.clone()])
    };
    let list = put_index(&repository, &list).await;
    repository.set(&format!("{host}/org/docker:list"), &list).await.unwrap();

    let (bytes, _) = read_document(&store, &bed.root).await.unwrap();
    let whole: Index = serde_json::from_slice(&bytes).unwrap();
    let root = put_index(&store, &for_platforms(&whole, &[Platform::linux("amd64")])).await;
    for tag in ["list", "single"] {
        push_as(&store, &repository, &root, &[tag], Existing::Merge)
            .await
            .unwrap();
        let (found, index) = index_at(host, "org/docker", tag).await;
        assert_eq!(
            (found.media_type.as_str(), index.media_type.as_str()),
            (media_type::INDEX, media_type::INDEX)
        );
        assert_eq!(index.manifests[1], old, "{tag}");
        assert_eq!(index.manifests.len(), 2);
    }
}

#[tokio::test]
async fn a_repository_is_a_sink() {
    let Some(bed) = Bed::start().await else { return };
    let (host, (_directory, store)) = (bed.plain(), store_of(&bed).await);
    let repository = repository(&client(host), host, "org/sink");
    copy(&store, &repository, &bed.root).await.unwrap();
    let name = format!("{host}/org/sink:1");
    repository.set(&name, &bed.root).await.unwrap();
    assert_eq!(index_at(host, "org/sink", "1").await.0.digest, bed.root.digest);
    let copied = copy(&store, &repository, &bed.root).await.unwrap();
    assert_eq!(copied.sent, 0);
    assert!(repository.set(&format!("{host}/org/other:1"), &bed.root).await.is_err());
    let nothing = Descriptor::of(media_type::INDEX, b"nothing");
    assert!(repository.set(&name, &nothing).await.is_err());
}

#[tokio::test]
async fn those_who_may_push_do() {
    let Some(bed) = Bed::start().await else { return };
    let (_directory, store) = store_of(&bed).await;
    let Some(with_tokens) = bed.with_tokens().await else {
        return;
    };
    for daemon in [bed.with_passwords().await, with_tokens] {
        let host = daemon.host();
        let registry = Registry::new(settings(host, basic(PASSWORD))).unwrap();
        let name = format!("org/guarded-{}", host.replace([':', '.'], "-"));
        let guarded = repository(&registry, host, &name);
        let pushed = push_as(&store, &guarded, &bed.root, &["1"], Existing::Merge)
            .await
            .unwrap();
        assert_eq!(pushed.sent, BLOBS);
        let second = repository(&registry, host, &format!("{name}-2"));
        let pushed = push_as(&store, &second, &bed.root, &["1"], Existing::Merge)
            .await
            .unwrap();
        assert_eq!((pushed.sent, pushed.mounted), (0, BLOBS));
        let found = second.resolve(&format!("{host}/{name}-2:1")).await.unwrap().unwrap();
        assert!(validate(&second, &found).await.is_empty());

        let nobody = repository(&client(host), host, &name);
        let error = push_as(&store, &nobody, &bed.root, &["2"], Existing::Merge)
            .await
            .unwrap_err();
        assert!(error.to_string().contains("there are no credentials"), "{error}");
    }
}

#[tokio::test]
async fn referrers_are_listed_by_a_tag_where_the_registry_does_not() {
    let Some(bed) = Bed::start().await else { return };
    let (host, (_directory, store)) = (bed.plain(), store_of(&bed).await);
    let repository = repository(&client(host), host, "org/x");
    assert!(repository.referrers(&bed.root.digest).await.unwrap().is_empty());
    let empty = put(&store, "application/vnd.oci.empty.v1+json", b"{}").await;
    for (kind, times) in [("application/x-signature", 2), ("application/x-sbom", 1)] {
        let manifest = json!({
            "schemaVersion": 2, "mediaType": media_type::MANIFEST, "artifactType": kind,
            "config": empty, "layers": [empty], "subject": bed.root, "annotations": {"kind": kind},
        });
        let root = put(&store, media_type::MANIFEST, manifest.to_string().as_bytes()).await;
        for _ in 0..times {
            push_as(&store, &repository, &root, &[], Existing::Merge).await.unwrap();
        }
    }
    let found = repository.referrers(&bed.root.digest).await.unwrap();
    let mut kinds: Vec<_> = found.iter().map(|one| one.artifact_type.as_str()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["application/x-sbom", "application/x-signature"]);
    assert!(found.iter().all(|one| one.annotations["kind"] == one.artifact_type));
    let tag = bed.root.digest.as_str().replace(':', "-");
    assert!(repository.tags().await.unwrap().contains(&tag));
    // One that is sent and not listed, as by somebody who was killed between the two.
    let layer = put(&store, "text/plain", b"a third").await;
    let third = Referrer::new(&bed.root, "application/x-third", vec![layer], BTreeMap::new());
    copy(&third.over(&store), &repository, &third.descriptor).await.unwrap();
    assert_eq!(repository.referrers(&bed.root.digest).await.unwrap().len(), 2);
    for _ in 0..2 {
        attach(&store, &repository, &third).await;
        assert_eq!(repository.referrers(&bed.root.digest).await.unwrap().len(), 3);
    }
}
