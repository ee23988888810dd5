//! Registries whose storage is damaged, or that lead out of TLS: a clear error, and a store with nothing half done in it.
//! What a registry does not do on its own comes from the scripted server in `src/registry/tests`.

use super::daemon::Bed;
use super::images::{image, put_index};
use super::push::{client, index_at, push_as, repository, store_of};
use super::{PASSWORD, settings};
use lkpkg::content::{Document, pull, read_document, validate};
use lkpkg::event::CancellationToken;
use lkpkg::oci::credentials::Credentials;
use lkpkg::oci::merge::for_platforms;
use lkpkg::oci::{Digest, Index, Platform};
use lkpkg::registry::{Existing, Registry, RegistrySettings};
use lkpkg::store::Store;
use std::fs;
use std::net::TcpListener;
use std::path::Path;

/// What happens to a file of the registry's storage.
#[derive(Clone, Copy, Debug)]
enum Damage {
    OtherBytes,
    TooShort,
    TooLong,
    Gone,
}

impl Damage {
    fn happen(self, file: &Path) {
        let mut bytes = fs::read(file).unwrap();
        match self {
            // A digit, so that a document can still be read as JSON.
            Self::OtherBytes => *bytes.iter_mut().rfind(|byte| byte.is_ascii_digit()).unwrap() ^= 1,
            Self::TooShort => bytes.truncate(bytes.len() - 1),
            Self::TooLong => bytes.push(b' '),
            Self::Gone => return fs::remove_file(file).unwrap(),
        }
        fs::write(file, bytes).unwrap();
    }
}

/// Pulls the image into a store, which has nothing wrong with it afterwards, and its name only when all went well.
async fn pull_into(store: &Store, host: &str) -> Result<(), String> {
    let name = format!("{host}/org/x:1");
    let pulled = pull(&repository(&client(host), host, "org/x"), store, &name, None).await;
    let result = match pulled {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err("there is no such image".to_owned()),
        Err(error) => Err(format!("{error} {error:?}")),
    };
    let verification = store.verify(&CancellationToken::new()).await.unwrap();
    assert!(verification.is_clean(), "{verification:?}");
    assert_eq!(store.resolve_name(&name).unwrap().is_some(), result.is_ok());
    result
}

#[tokio::test]
async fn a_damaged_registry_leaves_a_clean_store() {
    let Some(bed) = Bed::start().await else { return };
    let host = bed.plain();
    let source = repository(&client(host), host, "org/x");
    let (_, root) = read_document(&source, &bed.root).await.unwrap();
    let manifest = root.children()[0].clone();
    let config = match read_document(&source, &manifest).await.unwrap().1 {
        Document::Manifest(manifest) => manifest.config.digest,
        Document::Index(_) => unreachable!("it is an image"),
    };
    for digest in [&bed.root.digest, &manifest.digest, &config, &bed.layer.digest] {
        let file = bed.blob_file(digest);
        let whole = fs::read(&file).unwrap();
        let is_document = [&bed.root.digest, &manifest.digest].contains(&digest);
        for damage in [Damage::OtherBytes, Damage::TooShort, Damage::TooLong, Damage::Gone] {
            // The registry itself cannot read that, and says so (500) for as long as one asks.
            if is_document && matches!(damage, Damage::TooShort) {
                continue;
            }
            damage.happen(&file);
            let directory = tempfile::tempdir().unwrap();
            let store = Store::open(directory.path()).unwrap();
            let error = pull_into(&store, host)
                .await
                .expect_err(&format!("{digest} {damage:?}"));
            // The root by its tag: the registry itself may find out, and has no such image then or does not say.
            let is_named = error.contains(digest.hex()) || *digest == bed.root.digest;
            assert!(is_named, "{digest} {damage:?}: {error}");
            fs::write(&file, &whole).unwrap();
            // What came before is not in the way.
            pull_into(&store, host).await.unwrap();
        }
    }
}

/// What is missing in the registry although its parent is there stays missing: only who pulls finds out. But what is
/// pushed anew comes whole.
#[tokio::test]
async fn what_a_registry_lost_is_sent_again_with_something_new() {
    let Some(bed) = Bed::start().await else { return };
    let (host, (_directory, store)) = (bed.plain(), store_of(&bed).await);
    let (root, index) = image(&store, "new", &["amd64"]).await;
    let to = repository(&client(host), host, "org/lost");
    push_as(&store, &to, &root, &["1"], Existing::Merge).await.unwrap();
    // The registry believes in its link to the layer, and notices when the manifest comes.
    let (_, document) = read_document(&store, &index.manifests[0]).await.unwrap();
    let layer = document.children()[1].digest.clone();
    fs::remove_file(bed.blob_file(&layer)).unwrap();
    for digest in [&root.digest, &index.manifests[0].digest] {
        fs::remove_file(bed.blob_file(digest)).unwrap();
    }
    let to = repository(&client(host), host, "org/lost");
    push_as(&store, &to, &root, &["2"], Existing::Replace).await.unwrap();
    let (found, _) = index_at(host, "org/lost", "2").await;
    assert_eq!(found.digest, root.digest);
}

/// Somebody who listens and is not to be asked.
fn forbidden() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    (listener, address)
}

#[tokio::test]
async fn neither_downloads_nor_uploads_leave_tls() {
    let Some(bed) = Bed::start().await else { return };
    let (listener, address) = forbidden();
    let Some((registry, authority)) = bed.with_tls_that_leads_to(&address).await else {
        return;
    };
    let host = registry.host();
    let given = RegistrySettings {
        certificates: vec![authority],
        ..settings(host, super::basic(PASSWORD))
    };
    let client = Registry::new(given).unwrap();
    // The registry sends us there for a blob.
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let from = client.repository(&format!("{host}/org/x").parse().unwrap());
    let name = format!("{host}/org/x:1");
    let error = pull(&from, &store, &name, None).await.unwrap_err().to_string();
    assert!(error.contains("it leaves TLS") && error.contains(&address), "{error}");
    assert!(store.verify(&CancellationToken::new()).await.unwrap().is_clean());
    // And wants an upload there.
    let (root, _) = image(&store, "leaves", &["amd64"]).await;
    let to = client.repository(&format!("{host}/org/leaves").parse().unwrap());
    let pushed = push_as(&store, &to, &root, &["1"], Existing::Merge).await;
    let error = pushed.unwrap_err().to_string();
    assert!(error.contains("it leaves TLS") && error.contains(&address), "{error}");
    assert!(!error.contains(PASSWORD) && !error.contains("_state"), "{error}");
    assert!(listener.accept().is_err(), "nobody came");
}

/// Many times, for this is a race: with separate clients, as on two machines.
#[tokio::test]
async fn two_platforms_that_are_pushed_at_once_are_both_there_each_time() {
    let Some(bed) = Bed::start().await else { return };
    let (host, (_directory, store)) = (bed.plain(), store_of(&bed).await);
    let (_, whole) = image(&store, "raced", &["amd64", "arm64"]).await;
    let mut parts = Vec::new();
    for architecture in ["amd64", "arm64"] {
        let part = for_platforms(&whole, &[Platform::linux(architecture)]);
        // With its attestation only.
        let own = |entry: &&lkpkg::oci::Descriptor| match entry.attests() {
            Some(subject) => part
                .manifests
                .iter()
                .any(|other| other.attests().is_none() && other.digest.as_str() == subject),
            None => true,
        };
        let entries = part.manifests.iter().filter(own).cloned().collect();
        parts.push(put_index(&store, &Index::of(entries)).await);
    }
    let mut digests: Vec<Digest> = Vec::new();
    for round in 0..20 {
        let tag = round.to_string();
        let push_one = async |part: &lkpkg::oci::Descriptor| {
            let to = repository(&client(host), host, "org/raced");
            let pushed = push_as(&store, &to, part, &[&tag], Existing::Merge).await.unwrap();
            pushed.tags[0].1.clone()
        };
        let (_, _) = futures_util::join!(push_one(&parts[0]), push_one(&parts[1]));
        let (found, index) = index_at(host, "org/raced", &tag).await;
        assert_eq!(index.manifests.len(), 4, "round {round}: {index:?}");
        let reader = repository(&client(host), host, "org/raced");
        assert!(validate(&reader, &found).await.is_empty());
        digests.push(found.digest);
    }
    digests.dedup();
    assert_eq!(digests.len(), 1, "the same content has the same digest: {digests:?}");
}

#[tokio::test]
async fn two_releases_at_once_end_with_the_larger_one() {
    let Some(bed) = Bed::start().await else { return };
    let (host, (_directory, store)) = (bed.plain(), store_of(&bed).await);
    let (small, _) = image(&store, "released", &["amd64"]).await;
    let (large, _) = image(&store, "released", &["amd64", "arm64"]).await;
    for round in 0..5 {
        let tag = format!("v{round}");
        let release = async |root: &lkpkg::oci::Descriptor| {
            let registry = Registry::new(settings(host, Credentials::Anonymous)).unwrap();
            let to = repository(&registry, host, "org/released");
            push_as(&store, &to, root, &[&tag], Existing::Extend).await.unwrap();
        };
        futures_util::join!(release(&small), release(&large));
        let (found, _) = index_at(host, "org/released", &tag).await;
        assert_eq!(found.digest, large.digest, "round {round}");
    }
}
