//! Tags of releases: they may gain platforms, and never change an image that they have.

use super::fake::{Fake, kind};
use super::push::push_as;
use super::server::Request;
use super::tags::bytes_of;
use super::*;
use crate::content::memory::Memory;
use crate::oci::{Descriptor, Index};
use crate::registry::tags::Extension;
use proptest::prelude::*;

/// An index of the images that are named by one letter each.
fn index(images: &str) -> Index {
    let entry = |letter: char| Descriptor::of(media_type::MANIFEST, letter.to_string().as_bytes());
    Index::of(images.chars().map(entry).collect())
}

/// The rule for a tag that has `existing`, and an index of `ours`.
fn rule(existing: &str, ours: &str) -> Extension {
    let root = Descriptor::of(media_type::INDEX, format!("index of {ours}").as_bytes());
    Extension::of(&index(existing), &root, &index(ours))
}

#[test]
fn images_are_gained_and_never_changed() {
    use Extension::{Possible, Right, Taken};
    for (existing, ours, wanted) in [
        ("", "a", Possible),
        ("a", "a", Right),
        ("ab", "ba", Right),
        ("abc", "ab", Right),
        ("ab", "abc", Possible),
        ("a", "b", Taken),
        ("ab", "ac", Taken),
        ("abc", "d", Taken),
        ("aab", "ab", Right),
        // Nothing is lost where nothing is to be written.
        ("a", "", Right),
        ("", "", Right),
    ] {
        assert_eq!(rule(existing, ours), wanted, "{existing:?} + {ours:?}");
    }
    // A single manifest.
    let single = |existing: &str, ours: &str| {
        let root = Descriptor::of(media_type::MANIFEST, ours.as_bytes());
        Extension::of(&index(existing), &root, &index(ours))
    };
    for (existing, ours, wanted) in [
        ("a", "a", Right),
        ("ab", "a", Right),
        ("b", "a", Taken),
        ("bc", "a", Taken),
        ("", "a", Taken),
    ] {
        assert_eq!(single(existing, ours), wanted, "{existing:?} + the manifest {ours}");
    }
}

proptest! {
    /// Whatever is pushed and in whatever order: an image that a tag has had it keeps, and what was said to be there is.
    #[test]
    fn no_order_loses_an_image(pushes in prop::collection::vec("[a-e]{1,5}", 1..8)) {
        let mut tag: Option<String> = None;
        for ours in pushes {
            let before: BTreeSet<char> = tag.iter().flat_map(|tag| tag.chars()).collect();
            let is_done = match &tag {
                None => true,
                Some(existing) => rule(existing, &ours) != Extension::Taken,
            };
            match tag.as_deref().map(|existing| rule(existing, &ours)) {
                None | Some(Extension::Possible) => tag = Some(ours.clone()),
                Some(Extension::Right | Extension::Taken) => {}
            }
            let after: BTreeSet<char> = tag.iter().flat_map(|tag| tag.chars()).collect();
            prop_assert!(before.is_subset(&after));
            prop_assert!(!is_done || ours.chars().all(|image| after.contains(&image)));
        }
    }
}

fn wrote(requests: &[Request]) -> usize {
    let is_writing = |request: &&Request| !matches!(request.method.as_str(), "GET" | "HEAD");
    requests.iter().filter(is_writing).count()
}

#[tokio::test]
async fn a_tag_of_a_release_gains_platforms() {
    let memory = Memory::default();
    let (one, two) = (memory.image_index(&["amd64"]), memory.image_index(&["amd64", "arm64"]));
    let fake = Fake::default();
    let server = fake.serve(|_, _| None).await;
    let repository = repository(server.host(), &[]);
    for (root, wanted) in [(&one, &one), (&one, &one), (&two, &two), (&one, &two), (&two, &two)] {
        let before = server.requests().len();
        let pushed = push_as(&repository, &memory, root, Existing::Extend).await.unwrap();
        assert_eq!(pushed.tags, [("1".to_owned(), wanted.clone())]);
        // Its own bytes: what was signed stays what it was.
        assert_eq!(fake.manifest("1"), Some(bytes_of(&memory, wanted).await));
        if root.digest == wanted.digest && before > 20 {
            assert_eq!(server.requests().len() - before, 1, "a question");
        }
    }
    // A single manifest that it has is right, another one is not.
    let index: Index = serde_json::from_slice(&bytes_of(&memory, &two).await).unwrap();
    let pushed = push_as(&repository, &memory, &index.manifests[0], Existing::Extend).await;
    assert_eq!(pushed.unwrap().tags[0].1, two);
    let other = memory.image_index(&["riscv64"]);
    let other: Index = serde_json::from_slice(&bytes_of(&memory, &other).await).unwrap();
    for root in [&other.manifests[0], &memory.image_index(&["amd64", "riscv64"])] {
        let before = server.requests().len();
        let error = push_as(&repository, &memory, root, Existing::Extend).await.unwrap_err();
        assert!(error.contains("is not overwritten"), "{error}");
        assert_eq!(wrote(&server.requests()[before..]), 0, "nothing is sent in vain");
    }
    assert_eq!(fake.manifest("1"), Some(bytes_of(&memory, &two).await));
}

#[tokio::test]
async fn a_single_manifest_gets_a_tag_that_is_free() {
    let memory = Memory::default();
    let index: Index = serde_json::from_slice(&bytes_of(&memory, &memory.image_index(&["amd64"])).await).unwrap();
    let (root, fake) = (&index.manifests[0], Fake::default());
    let server = fake.serve(|_, _| None).await;
    let repository = repository(server.host(), &[]);
    for _ in 0..2 {
        push_as(&repository, &memory, root, Existing::Extend).await.unwrap();
        assert_eq!(fake.manifest("1"), Some(bytes_of(&memory, root).await));
    }
    // An index that has this one may take its place.
    let both = memory.image_index(&["amd64", "arm64"]);
    push_as(&repository, &memory, &both, Existing::Extend).await.unwrap();
    assert_eq!(fake.manifest("1"), Some(bytes_of(&memory, &both).await));
}

/// Pushes amd64 and arm64 while somebody else writes `theirs` right after each of our first two writes of the tag.
async fn while_somebody_writes(theirs: &[&str]) -> (Result<Pushed, String>, Fake, Descriptor, Descriptor, Memory) {
    let memory = Memory::default();
    let (ours, other) = (memory.image_index(&["amd64", "arm64"]), memory.image_index(theirs));
    let fake = Fake::default();
    let (inner, bytes) = (fake.clone(), bytes_of(&memory, &other).await);
    let writes = Mutex::new(0);
    let server = fake
        .serve(move |request, _| {
            if request.method != "PUT" || !request.path.ends_with("manifests/1") {
                return None;
            }
            let mut writes = writes.lock().unwrap();
            *writes += 1;
            let reply = inner.answer(request);
            if *writes <= 2 {
                inner.set("1", media_type::INDEX, &bytes);
            }
            Some(reply)
        })
        .await;
    let pushed = push_as(&repository(server.host(), &[]), &memory, &ours, Existing::Extend).await;
    assert!(server.requests().iter().any(|request| kind(request) == "uploads"));
    (pushed, fake, ours, other, memory)
}

#[tokio::test]
async fn of_two_who_release_at_once_the_larger_one_stays() {
    // They had less: ours is written again until it stays.
    let (pushed, fake, ours, _, memory) = while_somebody_writes(&["arm64"]).await;
    assert_eq!(pushed.unwrap().tags[0].1.digest, ours.digest);
    assert_eq!(fake.manifest("1"), Some(bytes_of(&memory, &ours).await));
    // They had more: that is right as well.
    let (pushed, fake, _, theirs, memory) = while_somebody_writes(&["amd64", "arm64", "s390x"]).await;
    assert_eq!(pushed.unwrap().tags[0].1.digest, theirs.digest);
    assert_eq!(fake.manifest("1"), Some(bytes_of(&memory, &theirs).await));
    // They had something else.
    let (pushed, fake, _, theirs, memory) = while_somebody_writes(&["s390x"]).await;
    let error = pushed.unwrap_err();
    assert!(error.contains(&format!("is {} already", theirs.digest)), "{error}");
    assert_eq!(fake.manifest("1"), Some(bytes_of(&memory, &theirs).await));
}

#[tokio::test]
async fn what_a_tag_stands_for_is_one_question() {
    let (memory, fake) = (Memory::default(), Fake::default());
    let root = memory.image_index(&["amd64", "arm64"]);
    fake.set("1", media_type::INDEX, &bytes_of(&memory, &root).await);
    let server = fake.serve(|_, _| None).await;
    let mirror = fake.serve(|_, _| None).await;
    let repository = repository(server.host(), &[&format!("http://{}", mirror.host())]);
    let asked = |server: &Server| {
        let requests = server.requests();
        let each = requests.iter().map(|request| request.method.clone());
        each.collect::<Vec<_>>()
    };
    let (found, index) = repository.index("1").await.unwrap().unwrap();
    assert_eq!((found, index.manifests.len()), (root.clone(), 2));
    assert_eq!(repository.find("1").await.unwrap(), Some(root.clone()));
    assert_eq!(
        (asked(&mirror), asked(&server)),
        (vec!["GET".to_owned(), "HEAD".to_owned()], vec![])
    );
    // Whoever is going to write asks the registry itself.
    let own = repository.for_writing();
    let by_digest = own.index(root.digest.as_str()).await.unwrap().unwrap();
    assert_eq!(by_digest.0, root);
    assert_eq!(own.find("1").await.unwrap(), Some(root));
    assert_eq!(
        (asked(&mirror).len(), asked(&server)),
        (2, vec!["GET".to_owned(), "HEAD".to_owned()])
    );
    assert!(own.index("2").await.unwrap().is_none());
    assert!(own.find("2").await.unwrap().is_none());
}
