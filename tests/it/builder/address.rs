//! An address that someone else looks after, and a Docker daemon's.

use super::*;
use lkpkg::builder::{DEFAULT_TIMEOUT, docker_answers};

#[tokio::test]
async fn an_address_that_answers_is_an_endpoint() {
    let Some(address) = server("LKPKG_TEST_BUILDKIT") else {
        return;
    };
    let endpoint = endpoint_at(
        &Where::Address(address.parse().expect("an address")),
        &BuilderConfig::default(),
    )
    .await
    .expect("an endpoint");
    assert_eq!(endpoint.name, address);
    assert_works(&endpoint);
}

#[tokio::test]
async fn an_address_where_nothing_or_something_else_answers_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("sock");
    let check = async |part: &str| {
        let address = format!("unix://{}", path.display());
        let error = endpoint_at(
            &Where::Address(address.parse().expect("an address")),
            &BuilderConfig::default(),
        )
        .await
        .expect_err("no BuildKit");
        let text = error.to_string();
        assert_eq!(error.kind(), Kind::Missing, "{text}");
        assert!(text.contains(&address) && text.contains(part), "{text}");
    };
    check("No such file").await;
    let listener = tokio::net::UnixListener::bind(&path).expect("a socket");
    let mut others = JoinSet::new();
    others.spawn(async move { while listener.accept().await.is_ok() {} });
    check("").await;
    others.shutdown().await;
    check("refused").await;
}

#[tokio::test]
async fn a_cancelled_call_ends_at_once() {
    let cancel = CancellationToken::new();
    cancel.cancel();
    let place = Where::Address("unix:///nowhere".parse().expect("an address"));
    let result = builder::endpoint(&place, &BuilderConfig::default(), &Events::silent(), &cancel).await;
    assert!(
        matches!(&result, Err(error) if error.kind() == Kind::Cancelled),
        "{result:?}"
    );
}

#[tokio::test]
async fn a_docker_daemon_that_is_not_there_is_known_at_once() {
    let error = docker_answers(
        &"unix:///nowhere/docker.sock".parse().expect("an address"),
        DEFAULT_TIMEOUT,
    )
    .await
    .expect_err("no daemon");
    assert_eq!(error.kind(), Kind::Missing);
    assert!(
        error.to_string().contains("unix:///nowhere/docker.sock: No such file"),
        "{error}"
    );
    if let Some(address) = server("LKPKG_TEST_DOCKER") {
        docker_answers(&address.parse().expect("an address"), DEFAULT_TIMEOUT)
            .await
            .expect("a daemon");
    }
}
