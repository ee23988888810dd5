//! Faults that no real registry shows on demand, from a scripted one.
#![expect(clippy::unwrap_used, reason = "tests")]

mod chunks;
mod extend;
mod fake;
mod hasty;
mod push;
mod server;
mod tags;

use super::retry::Retries;
use super::*;
use crate::content::{ContentError, Source};
use crate::oci::credentials::Credentials;
use crate::oci::{Digest, media_type};
use server::{Reply, Request, Server};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt;

const PASSWORD: &str = "s3cret-password";
const TOKEN: &str = "s3cret-token";

/// A client with pauses of a millisecond, and the repository `org/x` of `host`.
fn repository(host: &str, mirrors: &[&str]) -> Repository {
    let settings = RegistrySettings {
        mirrors: Mirrors::parse(mirrors).unwrap(),
        ..settings(host)
    };
    client(settings).repository(&format!("{host}/org/x:1").parse().unwrap())
}

/// Settings that show a password to `host`.
fn settings(host: &str) -> RegistrySettings {
    let basic = Credentials::Basic {
        username: "me".into(),
        password: PASSWORD.into(),
    };
    RegistrySettings {
        credentials: Arc::new(CredentialSource::given(BTreeMap::from([(host.to_owned(), basic)]))),
        mirrors: Mirrors::default(),
        certificates: Vec::new(),
        certificate_directories: Vec::new(),
        // One after the other, so that tests can count.
        jobs: 1,
    }
}

/// A client with pauses of a millisecond.
fn client(settings: RegistrySettings) -> Registry {
    assert!(!format!("{settings:?}").contains("s3cret"));
    let retries = Retries {
        first_pause: Duration::from_millis(1),
        settle: Duration::from_millis(1),
        ..Retries::default()
    };
    Registry::with_retries(settings, retries).unwrap()
}

fn content() -> Vec<u8> {
    (0..50_000_u32).flat_map(u32::to_le_bytes).collect()
}

/// Reads a blob to its end.
async fn read(repository: &Repository, digest: &Digest) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut reader = repository.read(digest, 0).await.map_err(|error| described(&error))?;
    reader
        .read_to_end(&mut bytes)
        .await
        .map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// All that could reach a log; never a secret.
fn described(error: &ContentError) -> String {
    let text = format!("{error} {error:?}");
    assert!(!text.contains("s3cret"), "{text}");
    text
}

async fn resolve(server: &Server) -> Result<Option<crate::oci::Descriptor>, String> {
    let name = format!("{}/org/x:1", server.host());
    let found = repository(server.host(), &[]).resolve(&name).await;
    found.map_err(|error| described(&error))
}

#[tokio::test]
async fn what_passes_is_waited_for() {
    let bytes = content();
    let digest = Digest::of(&bytes);
    let server = Server::start(move |_, number| match number {
        0 => Reply::status(429).header("Retry-After: 1"),
        // By the registry's clock, in one second.
        1 => Reply::status(429)
            .header("Retry-After: Sun, 06 Nov 1994 08:49:38 GMT")
            .header("Date: Sun, 06 Nov 1994 08:49:37 GMT"),
        2 => Reply::status(500),
        3 => Reply::reset(),
        _ => Reply::ok(&bytes),
    })
    .await;
    let began = Instant::now();
    assert_eq!(read(&repository(server.host(), &[]), &digest).await, Ok(content()));
    assert!(began.elapsed() >= Duration::from_secs(2));
    assert_eq!(server.requests().len(), 5);
}

#[tokio::test]
async fn a_limit_of_hours_and_a_lasting_failure_are_believed() {
    let server = Server::start(|_, _| Reply::status(429).header("Retry-After: 21600")).await;
    let error = resolve(&server).await.unwrap_err();
    assert!(error.contains("wants none for 21600 s"), "{error}");
    assert_eq!(server.requests().len(), 1);

    let broken = r#"{"errors":[{"code":"UNKNOWN","message":"disk full"}]}"#;
    let server = Server::start(move |_, _| Reply::status(503).body(broken.as_bytes())).await;
    let error = read(&repository(server.host(), &[]), &Digest::of(b"x"))
        .await
        .unwrap_err();
    assert!(error.contains("503: UNKNOWN disk full"), "{error}");
    assert_eq!(server.requests().len(), 5);
}

#[tokio::test]
async fn a_broken_download_goes_on_where_it_broke() {
    // Those that do not know ranges send all, or refuse.
    for (knows_ranges, refuses) in [(true, false), (false, false), (false, true)] {
        let bytes = content();
        let digest = Digest::of(&bytes);
        let server = Server::start(move |request, number| match (number, request.range()) {
            (0, _) => Reply::ok(&bytes).cut(70_000),
            (1, Some(from)) if knows_ranges => Reply::part(&bytes, from).cut(9_000),
            (_, Some(from)) if knows_ranges => Reply::part(&bytes, from),
            (_, Some(_)) if refuses => Reply::status(416),
            _ => Reply::ok(&bytes),
        })
        .await;
        assert_eq!(read(&repository(server.host(), &[]), &digest).await, Ok(content()));
        let second = &server.requests()[1];
        assert!(second.range().is_some_and(|from| from > 0), "{second:?}");
    }
}

#[tokio::test]
async fn a_download_that_always_breaks_fails() {
    let bytes = content();
    let digest = Digest::of(&bytes);
    let server = Server::start(move |_, _| Reply::ok(&bytes).cut(10)).await;
    let error = read(&repository(server.host(), &[]), &digest).await.unwrap_err();
    assert!(error.contains("cannot reach"), "{error}");
    assert_eq!(server.requests().len(), 6);
}

#[tokio::test]
async fn another_part_than_was_asked_for_is_an_error() {
    let bytes = content();
    let digest = Digest::of(&bytes);
    let server = Server::start(move |_, number| match number {
        0 => Reply::ok(&bytes).cut(10),
        _ => Reply::part(&bytes, 5_000),
    })
    .await;
    let error = read(&repository(server.host(), &[]), &digest).await.unwrap_err();
    assert!(error.contains("another part"), "{error}");
}

#[tokio::test]
async fn credentials_do_not_follow_to_another_host() {
    let bytes = content();
    let digest = Digest::of(&bytes);
    // The storage even asks for them.
    let storage = Server::start(move |_, number| match number {
        0 => Reply::status(401).header("WWW-Authenticate: Basic realm=\"storage\""),
        _ => Reply::ok(&bytes),
    })
    .await;
    let target = format!("Location: http://{}/blob?X-Signature=s3cret", storage.host());
    let server = Server::start(move |request, _| match request.authorization() {
        None => Reply::status(401).header("WWW-Authenticate: Basic realm=\"r\""),
        Some(_) => Reply::status(307).header(&target),
    })
    .await;
    let repository = repository(server.host(), &[]);
    let error = read(&repository, &digest).await.unwrap_err();
    assert!(error.contains("401"), "{error}");
    assert_eq!(read(&repository, &digest).await, Ok(content()));
    assert!(
        server
            .requests()
            .iter()
            .any(|request| request.authorization().is_some())
    );
    assert_eq!(storage.requests().len(), 2);
    assert!(
        storage
            .requests()
            .iter()
            .all(|request| request.authorization().is_none())
    );
}

#[tokio::test]
async fn a_relative_redirect_keeps_its_credentials_and_a_loop_ends() {
    let bytes = content();
    let digest = Digest::of(&bytes);
    let server = Server::start(move |request, _| match request {
        request if request.authorization().is_none() => {
            Reply::status(401).header("WWW-Authenticate: Basic realm=\"r\"")
        }
        request if request.path == "/store/1" => Reply::ok(&bytes),
        _ => Reply::status(302).header("Location: /store/1"),
    })
    .await;
    assert_eq!(read(&repository(server.host(), &[]), &digest).await, Ok(content()));

    let server = Server::start(|_, _| Reply::status(302).header("Location: ?again")).await;
    let error = read(&repository(server.host(), &[]), &digest).await.unwrap_err();
    assert!(error.contains("too many"), "{error}");
}

/// A token service and a registry in one; every token is good for `uses` requests.
fn with_tokens(bytes: Vec<u8>, uses: usize) -> impl Fn(&Request, usize) -> Reply {
    let state = Mutex::new((0, 0));
    move |request, _| {
        let (issued, used) = &mut *state.lock().unwrap();
        if request.path.starts_with("/token") {
            (*issued, *used) = (*issued + 1, 0);
            return Reply::ok(format!(r#"{{"token":"{TOKEN}-{issued}"}}"#).as_bytes());
        }
        let is_good = request.authorization() == Some(format!("Bearer {TOKEN}-{issued}").as_str());
        if !is_good || *used == uses {
            let host = request.header("host").unwrap();
            let challenge = format!(
                "WWW-Authenticate: Bearer realm=\"http://{host}/token\",service=\"s\",scope=\"repository:org/x:pull\""
            );
            return Reply::status(401).header(&challenge);
        }
        *used += 1;
        match request.range() {
            Some(from) => Reply::part(&bytes, from),
            None => Reply::ok(&bytes).cut(40_000),
        }
    }
}

#[tokio::test]
async fn a_token_that_ends_on_the_way_is_renewed() {
    let bytes = content();
    let digest = Digest::of(&bytes);
    let server = Server::start(with_tokens(bytes, 1)).await;
    assert_eq!(read(&repository(server.host(), &[]), &digest).await, Ok(content()));
    let requests = server.requests();
    let tokens: Vec<_> = requests
        .iter()
        .filter(|request| request.path.starts_with("/token"))
        .collect();
    assert_eq!(tokens.len(), 2, "{requests:?}");
    assert!(
        tokens[0].path.contains("service=s&scope=repository%3Aorg%2Fx%3Apull"),
        "{:?}",
        tokens[0]
    );
    assert!(
        tokens[0]
            .authorization()
            .is_some_and(|header| header.starts_with("Basic "))
    );
}

#[tokio::test]
async fn a_token_is_fetched_once_for_many() {
    let bytes = content();
    let digest = Digest::of(&bytes);
    let server = Server::start(with_tokens(bytes, usize::MAX)).await;
    let repository = repository(server.host(), &[]);
    let all = futures_util::future::join_all((0..8).map(|_| read(&repository, &digest))).await;
    assert!(all.iter().all(Result::is_ok));
    let requests = server.requests();
    assert_eq!(
        requests
            .iter()
            .filter(|request| request.path.starts_with("/token"))
            .count(),
        1
    );
}

#[tokio::test]
async fn refused_credentials_are_said_and_not_shown() {
    let server = Server::start(|request, _| match request.authorization() {
        // A registry that repeats what it was shown.
        Some(shown) => Reply::status(403).body(shown.as_bytes()),
        None => Reply::status(401).header("WWW-Authenticate: Basic realm=\"r\""),
    })
    .await;
    let error = resolve(&server).await.unwrap_err();
    assert!(error.contains("credentials were refused"), "{error}");
}

#[tokio::test]
async fn wrong_manifests_are_errors() {
    let index = br#"{"schemaVersion":2,"manifests":[]}"#;
    let digest = Digest::of(index);
    let typed = |reply: Reply| reply.header(&format!("Content-Type: {}", media_type::DOCKER_MANIFEST_LIST));
    // As it should be, without HEAD and without the header of the digest; of a type of Docker's.
    let server = Server::start(move |request, _| match request.method.as_str() {
        "HEAD" => Reply::status(405),
        _ => typed(Reply::ok(index)),
    })
    .await;
    let found = resolve(&server).await.unwrap().unwrap();
    assert_eq!((found.digest, found.size), (digest.clone(), index.len() as u64));
    assert_eq!(found.media_type, media_type::DOCKER_MANIFEST_LIST);

    let other = Digest::of(b"other");
    let header = format!("Docker-Content-Digest: {other}");
    let check = async |reply: Reply, part: &str| {
        let reply = Mutex::new(reply);
        let server = Server::start(move |request, _| match request.method.as_str() {
            "HEAD" => Reply::status(405),
            _ => reply.lock().unwrap().clone(),
        })
        .await;
        let error = resolve(&server).await.unwrap_err();
        assert!(error.contains(part), "{error}");
    };
    check(typed(Reply::ok(index)).header(&header), "was asked for").await;
    check(typed(Reply::ok(&vec![b' '; 5 << 20])), "larger than").await;
    check(
        Reply::ok(b"<html>login</html>").header("Content-Type: text/html; charset=utf-8"),
        "web page",
    )
    .await;
    check(
        Reply::ok(b"hello").header("Content-Type: text/plain"),
        "neither an image manifest",
    )
    .await;
    check(typed(Reply::ok(index)).cut(3), "cannot reach").await;

    // By digest.
    let server = Server::start(move |_, _| typed(Reply::ok(index))).await;
    let name = format!("{}/org/x@{other}", server.host());
    let error = repository(server.host(), &[]).resolve(&name).await.unwrap_err();
    assert!(matches!(error, ContentError::Mismatch { .. }), "{error}");
}

#[tokio::test]
async fn only_a_registry_can_say_that_something_is_missing() {
    let server = Server::start(|_, _| Reply::status(404)).await;
    let error = resolve(&server).await.unwrap_err();
    assert!(error.contains("not answered by a registry"), "{error}");

    let server = Server::start(|request, _| match request.path.as_str() {
        "/v2/" => Reply::status(401),
        _ => Reply::status(404),
    })
    .await;
    assert_eq!(resolve(&server).await, Ok(None));

    let server = Server::start(|_, _| Reply::status(404).header("Docker-Distribution-Api-Version: registry/2.0")).await;
    assert_eq!(resolve(&server).await, Ok(None));
    let missing = repository(server.host(), &[])
        .read(&Digest::of(b"x"), 0)
        .await
        .err()
        .unwrap();
    assert!(matches!(missing, ContentError::Missing(_)), "{missing}");
}

#[tokio::test]
async fn a_mirror_is_asked_first_and_never_in_the_way() {
    let bytes = content();
    let digest = Digest::of(&bytes);
    let own = {
        let bytes = bytes.clone();
        Server::start(move |_, _| Reply::ok(&bytes)).await
    };
    let challenge = "WWW-Authenticate: Basic realm=\"mirror\"";
    for (reply, own_requests) in [
        (Reply::ok(&bytes), 0),
        (Reply::status(404), 1),
        (Reply::status(500), 1),
        (Reply::status(401).header(challenge), 1),
        (Reply::ok(b"<html>").header("Content-Type: text/html"), 1),
        (Reply::reset(), 1),
    ] {
        let before = own.requests().len();
        let mirror = Server::start(move |_, _| reply.clone()).await;
        let repository = repository(own.host(), &[&format!("http://{}", mirror.host())]);
        assert_eq!(read(&repository, &digest).await, Ok(content()));
        assert_eq!(own.requests().len() - before, own_requests);
        // The registry's credentials are not the mirror's.
        assert!(
            mirror
                .requests()
                .iter()
                .all(|request| request.authorization().is_none())
        );
        assert!(
            mirror.requests()[0].path.contains("?ns=127.0.0.1"),
            "{:?}",
            mirror.requests()
        );
    }
}
