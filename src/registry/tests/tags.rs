//! Tags that others move, and lists of several pages.

use super::fake::Fake;
use super::push::{image, push_as, push_to};
use super::server::{Reply, Request};
use super::*;
use crate::content::Document;
use crate::content::memory::Memory;
use crate::oci::{Descriptor, Index};
use std::sync::atomic::AtomicUsize;

pub(super) async fn bytes_of(source: &Memory, descriptor: &Descriptor) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut reader = source.read(&descriptor.digest, 0).await.unwrap();
    reader.read_to_end(&mut bytes).await.unwrap();
    bytes
}

#[tokio::test]
async fn what_somebody_else_wrote_meanwhile_is_kept() {
    let (memory, root, _) = image();
    let other = Memory::default();
    let theirs = other.image_index(&["arm64"]);
    let bytes = bytes_of(&other, &theirs).await;
    let fake = Fake::default();
    let inner = fake.clone();
    // They wrote after we read, and what we wrote is lost; and again.
    let server = fake
        .serve(move |request, number| {
            if request.method != "PUT" || !request.path.ends_with("manifests/1") || number > 2 {
                return None;
            }
            let reply = inner.answer(request);
            inner.set("1", media_type::INDEX, &bytes);
            Some(reply)
        })
        .await;
    let pushed = push_to(&repository(server.host(), &[]), &memory, &root).await.unwrap();
    let index: Index = serde_json::from_slice(&fake.manifest("1").unwrap()).unwrap();
    let platforms: Vec<_> = crate::oci::merge::platforms(&index)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(platforms, ["linux/amd64", "linux/arm64"]);
    assert_eq!(pushed.tags[0].1.digest, Digest::of(&fake.manifest("1").unwrap()));
}

#[tokio::test]
async fn a_tag_that_never_rests_is_given_up() {
    let (memory, root, _) = image();
    let fake = Fake::default();
    let (inner, count) = (fake.clone(), AtomicUsize::new(0));
    let server = fake
        .serve(move |request, _| {
            if request.method != "PUT" || !request.path.ends_with("manifests/1") {
                return None;
            }
            let reply = inner.answer(request);
            let mut index = Index::of(Vec::new());
            let number = count.fetch_add(1, Ordering::Relaxed).to_string();
            index.annotations.insert("number".into(), number);
            inner.set("1", media_type::INDEX, &serde_json::to_vec(&index).unwrap());
            Some(reply)
        })
        .await;
    let error = push_to(&repository(server.host(), &[]), &memory, &root)
        .await
        .unwrap_err();
    assert!(error.contains("org/x:1 was changed by somebody else"), "{error}");
}

#[tokio::test]
async fn lists_have_pages() {
    let page = |entries: &[&str]| {
        let entries = entries
            .iter()
            .map(|text| Descriptor::of(media_type::MANIFEST, text.as_bytes()));
        Reply::ok(&serde_json::to_vec(&Index::of(entries.collect())).unwrap())
    };
    let server = Fake::default()
        .serve(move |request, _| match request.path.as_str() {
            path if path.ends_with("?page=2") => Some(page(&["c"])),
            path if path.contains("/referrers/") => {
                Some(page(&["a", "b"]).header("Link: </v2/org/x/referrers/x?page=2>; rel=\"next\""))
            }
            "/v2/org/x/tags/list" => {
                Some(Reply::ok(br#"{"name":"x","tags":["b"]}"#).header("Link: <?last=b>; rel=\"next\""))
            }
            "/v2/org/x/tags/list?last=b" => Some(Reply::ok(br#"{"name":"x","tags":["a","b"]}"#)),
            _ => None,
        })
        .await;
    let repository = repository(server.host(), &[]);
    assert_eq!(repository.tags().await.unwrap(), ["a", "b"]);
    assert_eq!(repository.referrers(&Digest::of(b"x")).await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_tag_that_moves_while_it_is_pulled_gives_one_image_whole() {
    let memory = Memory::default();
    let (before, after) = (memory.image_index(&["amd64", "arm64"]), memory.image_index(&["s390x"]));
    let fake = Fake::default();
    for digest in memory.digests() {
        let bytes = bytes_of(&memory, &Descriptor::new("", digest.clone(), 0)).await;
        match Document::parse(&bytes) {
            Ok(document) => drop(fake.set(digest.as_str(), document.media_type(), &bytes)),
            Err(_) => fake.add_blob(&bytes),
        }
    }
    let (old, new) = (bytes_of(&memory, &before).await, bytes_of(&memory, &after).await);
    fake.set("1", media_type::INDEX, &old);
    let inner = fake.clone();
    let server = fake
        .serve(move |request, _| {
            let reply = inner.answer(request);
            inner.set("1", media_type::INDEX, &new);
            Some(reply)
        })
        .await;
    let name = format!("{}/org/x:1", server.host());
    let pulled = Memory::default();
    let found = crate::content::pull(&repository(server.host(), &[]), &pulled, &name, None).await;
    let root = found.unwrap().unwrap().root;
    assert_eq!(root.digest, before.digest);
    assert!(crate::content::validate(&pulled, &root).await.is_empty());
}

#[tokio::test]
async fn a_tag_that_has_something_huge_is_left_alone() {
    let (memory, root, _) = image();
    let mut index = Index::of(Vec::new());
    index.annotations.insert("text".into(), "x".repeat(5 << 20));
    let huge = serde_json::to_vec(&index).unwrap();
    for existing in [Existing::Merge, Existing::Extend] {
        let fake = Fake::default();
        fake.set("1", media_type::INDEX, &huge);
        let server = fake.serve(|_, _| None).await;
        let repository = repository(server.host(), &[]);
        let error = push_as(&repository, &memory, &root, existing).await.unwrap_err();
        assert!(error.contains("is larger than"), "{error}");
        assert_eq!(fake.manifest("1").as_ref(), Some(&huge));
        let is_writing = |request: &Request| !matches!(request.method.as_str(), "GET" | "HEAD");
        assert!(!server.requests().iter().any(is_writing), "nothing is sent in vain");
    }
    // Nor is such a thing sent.
    let root = memory.add(media_type::INDEX, &huge);
    let server = Fake::default().serve(|_, _| None).await;
    let error = push_to(&repository(server.host(), &[]), &memory, &root)
        .await
        .unwrap_err();
    assert!(
        error.contains(&root.digest.to_string()) && error.contains("too large"),
        "{error}"
    );
    assert!(server.requests().is_empty());
}
