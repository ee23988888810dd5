//! What goes wrong while something is pushed.

use super::fake::{Fake, kind};
use super::server::{Reply, Request, Server};
use super::*;
use crate::content::memory::Memory;
use crate::oci::{Descriptor, Index, Platform};
use std::sync::atomic::AtomicUsize;

/// A source with an image of a large layer, and its manifest.
pub(super) fn image() -> (Memory, Descriptor, Digest) {
    let memory = Memory::default();
    let config = memory.add(media_type::CONFIG, br#"{"os":"linux","architecture":"amd64"}"#);
    let layer = memory.add(media_type::LAYER, &content());
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": media_type::MANIFEST, "config": config, "layers": [layer],
    });
    let mut manifest = memory.add(media_type::MANIFEST, manifest.to_string().as_bytes());
    manifest.platform = Some(Platform::linux("amd64"));
    let root = memory.add(
        media_type::INDEX,
        &serde_json::to_vec(&Index::of(vec![manifest])).unwrap(),
    );
    (memory, root, layer.digest)
}

pub(super) async fn push_to(repository: &Repository, memory: &Memory, root: &Descriptor) -> Result<Pushed, String> {
    push_as(repository, memory, root, Existing::Merge).await
}

pub(super) async fn push_as(
    repository: &Repository,
    memory: &Memory,
    root: &Descriptor,
    existing: Existing,
) -> Result<Pushed, String> {
    let options = PushOptions {
        existing,
        ..PushOptions::default()
    };
    let pushed = push(memory, repository, root, &["1".to_owned()], &options).await;
    pushed.map_err(|error| {
        let text = format!("{error} {error:?}");
        assert!(!text.contains("s3cret"), "{text}");
        text
    })
}

/// Pushes the image to a fake and checks that it came whole.
pub(super) async fn check(
    cuts: impl Fn(&Request) -> Option<usize> + Send + Sync + 'static,
    fault: impl Fn(&Request, usize) -> Option<Reply> + Send + Sync + 'static,
) -> Vec<Request> {
    let (memory, root, layer) = image();
    let fake = Fake::default();
    let server = fake.serve_cutting(cuts, fault).await;
    let pushed = push_to(&repository(server.host(), &[]), &memory, &root).await.unwrap();
    assert_eq!((pushed.sent, pushed.tags[0].1.digest.clone()), (2, root.digest.clone()));
    assert_eq!(fake.blob(&layer), Some(content()));
    assert_eq!(fake.manifest("1").map(|bytes| Digest::of(&bytes)), Some(root.digest));
    server.requests()
}

pub(super) fn of<'a>(requests: &'a [Request], method: &str, what: &str) -> Vec<&'a Request> {
    let is_one = |request: &&Request| request.method == method && kind(request) == what;
    requests.iter().filter(is_one).collect()
}

/// Whether a request carries the beginning of the large layer.
fn is_layer(request: &Request) -> bool {
    let length = request.header("content-length").and_then(|length| length.parse().ok());
    length.is_some_and(|length: usize| length > 100_000)
}

#[tokio::test]
async fn what_passes_is_waited_for_while_writing() {
    for (method, what) in [
        ("POST", "uploads"),
        ("PUT", "uploads"),
        ("PUT", "manifests"),
        ("HEAD", "blobs"),
    ] {
        for status in [500, 503, 0] {
            let is_one = move |request: &Request| request.method == method && kind(request) == what;
            let fault = move |request: &Request, number| (is_one(request) && number < 2).then(|| Reply::status(status));
            check(|_| None, fault).await;
        }
    }
    let began = Instant::now();
    check(
        |_| None,
        |request, number| (request.method == "PUT" && number == 0).then(|| Reply::status(429).header("Retry-After: 1")),
    )
    .await;
    assert!(began.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_lasting_failure_is_believed() {
    let (memory, root, layer) = image();
    let fake = Fake::default();
    let server = fake
        .serve(|request, _| (request.method == "PUT").then(|| Reply::status(500)))
        .await;
    let error = push_to(&repository(server.host(), &[]), &memory, &root)
        .await
        .unwrap_err();
    assert!(error.contains("answers 500"), "{error}");
    assert_eq!(of(&server.requests(), "PUT", "uploads").len(), 5);
    assert_eq!((fake.blob(&layer), fake.manifest("1")), (None, None));
}

#[tokio::test]
async fn a_broken_upload_goes_on_where_it_stopped() {
    let was_cut = AtomicUsize::new(0);
    let requests = check(
        move |request| {
            let is_cut = is_layer(request) && was_cut.fetch_add(1, Ordering::Relaxed) == 0;
            is_cut.then_some(70_000)
        },
        |_, _| None,
    )
    .await;
    let rest = of(&requests, "PATCH", "uploads");
    assert_eq!(rest.len(), 1);
    assert_eq!(rest[0].header("content-range"), Some("70000-199999"));
    assert_eq!(rest[0].body, content()[70_000..]);
}

#[tokio::test]
async fn an_upload_that_was_forgotten_begins_anew() {
    let was_cut = AtomicUsize::new(0);
    let requests = check(
        move |request| {
            let is_cut = is_layer(request) && was_cut.fetch_add(1, Ordering::Relaxed) == 0;
            is_cut.then_some(70_000)
        },
        |request, _| (request.method == "GET" && kind(request) == "uploads").then(|| Reply::status(404)),
    )
    .await;
    assert!(of(&requests, "PATCH", "uploads").is_empty());
    assert_eq!(of(&requests, "POST", "uploads").len(), 3);
}

#[tokio::test]
async fn a_token_that_ends_while_writing_is_renewed() {
    let issued = AtomicUsize::new(0);
    let used = AtomicUsize::new(0);
    let with_tokens = move |request: &Request, _| {
        if request.path.starts_with("/token") {
            used.store(0, Ordering::Relaxed);
            let number = issued.fetch_add(1, Ordering::Relaxed) + 1;
            return Some(Reply::ok(format!(r#"{{"token":"{TOKEN}-{number}"}}"#).as_bytes()));
        }
        let current = format!("Bearer {TOKEN}-{}", issued.load(Ordering::Relaxed));
        let is_good = request.authorization() == Some(current.as_str());
        // One use each: everything but the first request comes with a token that has ended.
        if is_good && used.fetch_add(1, Ordering::Relaxed) == 0 {
            return None;
        }
        let host = request.header("host").unwrap();
        let scope = "repository:org/x:pull";
        let challenge =
            format!("WWW-Authenticate: Bearer realm=\"http://{host}/token\",service=\"s\",scope=\"{scope}\"");
        Some(Reply::status(401).header(&challenge))
    };
    let requests = check(|_| None, with_tokens).await;
    let tokens = of(&requests, "GET", "other");
    assert!(tokens.len() > 5);
    let scope = "scope=repository%3Aorg%2Fx%3Apull%2Cpush";
    assert!(
        tokens.iter().all(|token| token.path.contains(scope)),
        "{:?}",
        tokens[0].path
    );
}

#[tokio::test]
async fn a_mount_that_is_not_done_is_an_upload() {
    for status in [202, 403, 404, 405] {
        let (memory, root, layer) = image();
        let fake = Fake::default();
        let server = fake
            .serve(move |request, _| (status != 202 && request.path.contains("mount=")).then(|| Reply::status(status)))
            .await;
        let repository = repository(server.host(), &[]);
        repository.registry.inner.places.add(server.host(), "org/other", &layer);
        let pushed = push_to(&repository, &memory, &root).await.unwrap();
        assert_eq!((pushed.sent, pushed.mounted), (2, 0));
        assert_eq!(fake.blob(&layer), Some(content()));
        let begun = server
            .requests()
            .iter()
            .filter(|request| request.method == "POST")
            .count();
        assert_eq!(begun, if status == 202 { 2 } else { 3 });
        let wanted = format!("/v2/org/x/blobs/uploads/?mount={layer}&from=org/other");
        assert!(server.requests().iter().any(|request| request.path == wanted));
    }
}

#[tokio::test]
async fn what_is_likely_to_be_there_is_not_believed_to_be() {
    let (memory, root, layer) = image();
    let (fake, elsewhere) = (Fake::default(), Fake::default());
    elsewhere.add_blob(&content());
    let mirror = elsewhere.serve(|_, _| None).await;
    // Mounts are refused in both ways.
    for status in [202, 403] {
        let server = fake
            .serve(move |request, _| (status != 202 && request.path.contains("mount=")).then(|| Reply::status(status)))
            .await;
        let repository = repository(server.host(), &[&format!("http://{}", mirror.host())]);
        // The mirror had it, which says nothing about the registry.
        assert_eq!(read(&repository, &layer).await, Ok(content()));
        let found = usize::from(fake.blob(&layer).is_some());
        let places = &repository.registry.inner.places;
        places.add_likely(server.host(), "org/other", [&layer]);
        fake.forget_manifests();
        let pushed = push_to(&repository, &memory, &root).await.unwrap();
        // Where it was there all the same, it is found, and not sent. The configuration is sent unasked.
        assert_eq!((pushed.sent, pushed.found), (2 - found, found));
        assert_eq!(fake.blob(&layer), Some(content()));
        assert!(server.requests().iter().any(|request| request.path.contains("mount=")));
    }
}

#[tokio::test]
async fn a_registry_that_has_something_else_is_not_believed() {
    for (what, part) in [("uploads", "was asked for"), ("manifests", "was asked for")] {
        let (memory, root, _) = image();
        let header = format!("Docker-Content-Digest: {}", Digest::of(b"other"));
        let fault = move |request: &Request, _| {
            (request.method == "PUT" && kind(request) == what).then(|| Reply::status(201).header(&header))
        };
        let server = Fake::default().serve(fault).await;
        let error = push_to(&repository(server.host(), &[]), &memory, &root)
            .await
            .unwrap_err();
        assert!(error.contains(part), "{error}");
    }
    let (memory, root, _) = image();
    let page = |request: &Request, _| (request.method != "HEAD").then(|| Reply::ok(b"<html>"));
    let server = Fake::default().serve(page).await;
    let error = push_to(&repository(server.host(), &[]), &memory, &root)
        .await
        .unwrap_err();
    assert!(error.contains("no address for the upload"), "{error}");
}

#[tokio::test]
async fn credentials_do_not_follow_an_upload() {
    for is_redirect in [false, true] {
        let (memory, root, layer) = image();
        let fake = Fake::default();
        // The storage even asks for them, once.
        let challenge = "WWW-Authenticate: Basic realm=\"storage\"";
        let storage = fake
            .serve(move |_, number| (number == 0).then(|| Reply::status(503).header(challenge)))
            .await;
        let (target, inner) = (format!("Location: http://{}", storage.host()), fake.clone());
        let server = fake
            .serve(move |request, number| match (request.method.as_str(), kind(request)) {
                _ if request.authorization().is_none() => {
                    Some(Reply::status(401).header("WWW-Authenticate: Basic realm=\"r\""))
                }
                ("POST", _) if !is_redirect => {
                    inner.answer(request);
                    let path = format!("/v2/org/x/blobs/uploads/{}?X-Signature=s3cret", number);
                    Some(Reply::status(202).header(&format!("{target}{path}")))
                }
                ("PUT", "uploads") if is_redirect => {
                    Some(Reply::status(307).header(&format!("{target}{}&X-Signature=s3cret", request.path)))
                }
                _ => None,
            })
            .await;
        let pushed = push_to(&repository(server.host(), &[]), &memory, &root).await;
        assert!(pushed.is_ok(), "{pushed:?}");
        assert_eq!(fake.blob(&layer), Some(content()));
        assert!(storage.requests().len() >= 3);
        let shown = |request: &Request| request.authorization().is_some();
        assert!(!storage.requests().iter().any(shown));
    }
}

#[tokio::test]
async fn a_manifest_without_its_child_is_named() {
    let (memory, root, layer) = image();
    let unknown = format!(
        r#"{{"errors":[{{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown to registry","detail":{{"digest":"{layer}"}}}}]}}"#
    );
    let always = {
        let unknown = unknown.clone();
        move |request: &Request, _| {
            let is_manifest = request.method == "PUT" && kind(request) == "manifests";
            is_manifest.then(|| Reply::status(400).body(unknown.as_bytes()))
        }
    };
    let server = Fake::default().serve(always).await;
    let error = push_to(&repository(server.host(), &[]), &memory, &root)
        .await
        .unwrap_err();
    assert!(error.contains(&format!("does not have {layer}")), "{error}");

    // A registry that says that it has a blob, and finds out that it has not.
    let fake = Fake::default();
    fake.add_blob(&content());
    let inner = fake.clone();
    let server = fake
        .serve(move |request, number| {
            let is_first = request.method == "PUT" && kind(request) == "manifests" && number == 0;
            is_first.then(|| {
                inner.forget_blob(&layer);
                Reply::status(400).body(unknown.as_bytes())
            })
        })
        .await;
    push_to(&repository(server.host(), &[]), &memory, &root).await.unwrap();
    assert_eq!(fake.blob(&Digest::of(&content())), Some(content()));
}

#[tokio::test]
async fn content_that_is_damaged_here_is_no_fault_of_the_registry() {
    let (memory, root, layer) = image();
    memory.lose(&layer);
    let fake = Fake::default();
    let server = fake.serve(|_, _| None).await;
    let error = push_to(&repository(server.host(), &[]), &memory, &root)
        .await
        .unwrap_err();
    assert!(error.contains(&format!("content {layer} is missing")), "{error}");

    let (memory, root, layer) = image();
    memory.corrupt(&layer);
    let server = fake.serve(|_, _| None).await;
    let error = push_to(&repository(server.host(), &[]), &memory, &root)
        .await
        .unwrap_err();
    assert!(error.contains("DIGEST_INVALID"), "{error}");
    assert_eq!(fake.manifest("1"), None);
}

#[tokio::test]
async fn mirrors_are_for_reading() {
    let (memory, root, _) = image();
    let server = Fake::default().serve(|_, _| None).await;
    let mirror = Server::start(|_, _| Reply::status(200)).await;
    let repository = repository(server.host(), &[&format!("http://{}", mirror.host())]);
    push_to(&repository, &memory, &root).await.unwrap();
    assert!(mirror.requests().is_empty());
}
