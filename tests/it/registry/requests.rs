//! How many requests a push takes: the number is a promise, for registries count them.

use super::daemon::{Bed, Daemon};
use super::images::{BLOBS_A_PLATFORM, image};
use super::push::{client, push_as, repository};
use lkpkg::oci::{Descriptor, Index};
use lkpkg::registry::{Existing, Registry};
use lkpkg::store::Store;

/// What `push` of a package does: the index under its tag, and each platform's image under a tag of its own. Gives how
/// many requests that took.
async fn push_package(store: &Store, registry: &Registry, host: &str, root: &Descriptor, index: &Index) -> u64 {
    let (to, before) = (repository(registry, host, "org/package"), registry.requests());
    push_as(store, &to, root, &["1"], Existing::Merge).await.unwrap();
    for entry in index.manifests.iter().filter(|entry| entry.attests().is_none()) {
        let tag = format!("1-{}", entry.platform.as_ref().unwrap().architecture);
        let pushed = push_as(store, &to, entry, &[&tag], Existing::Replace).await.unwrap();
        assert_eq!((pushed.sent, pushed.mounted), (0, 0));
    }
    registry.requests() - before
}

#[tokio::test]
async fn a_package_takes_as_few_as_can_be() {
    let Some(bed) = Bed::start().await else { return };
    let Some(crane) = Daemon::crane() else { return };
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let (root, index) = image(&store, "package", &["amd64", "arm64"]).await;
    // One that does not say that it is a registry is asked whether it is one, once.
    for (host, doubt) in [(bed.plain(), 0), (crane.host(), 1)] {
        let registry = client(host);
        // The tag and five documents are asked for, and two layers; each blob is opened and sent; four manifests are
        // written; the tag is read, written and read again.
        let sent = 2 * (2 * BLOBS_A_PLATFORM) as u64;
        let index_alone = 1 + 5 + 2 + sent + 4 + 3;
        // A tag for each platform is asked for and written.
        assert_eq!(
            push_package(&store, &registry, host, &root, &index).await,
            index_alone + 2 * 2 + doubt
        );
        // Nothing to do: a question a tag, whoever asks.
        assert_eq!(push_package(&store, &registry, host, &root, &index).await, 3);
        assert_eq!(push_package(&store, &client(host), host, &root, &index).await, 3);
        // A new tag for what is there: it is asked for, and what it is to stand for; then read, written, read again.
        let someone = client(host);
        let to = repository(&someone, host, "org/package");
        push_as(&store, &to, &root, &["v1"], Existing::Extend).await.unwrap();
        assert_eq!(someone.requests(), 5 + doubt);
    }
}
