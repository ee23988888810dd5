//! Questions whose answer can be done without: asked once where nobody listens, and as ever where somebody does.

use super::fake::Fake;
use super::server::Reply;
use super::*;

/// An address on which nobody listens.
fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

async fn ask(registry: &Registry, host: &str, name: &str) -> Result<Option<crate::oci::Descriptor>, RegistryError> {
    registry
        .repository(&format!("{host}/{name}").parse().unwrap())
        .find("1")
        .await
}

fn is_unconnected(error: &RegistryError) -> bool {
    matches!(
        error,
        RegistryError::Unreachable {
            is_connected: false,
            ..
        }
    )
}

#[tokio::test]
async fn a_registry_that_cannot_be_reached_is_asked_once() {
    let host = nobody();
    let registry = client(settings(&host));
    let hasty = registry.hasty();
    for name in ["org/x", "org/x", "org/y"] {
        let error = ask(&hasty, &host, name).await.unwrap_err();
        assert!(
            is_unconnected(&error) && error.to_string().contains("refused"),
            "{error}"
        );
        assert_eq!((registry.requests(), hasty.requests()), (1, 1));
    }
    // Whoever needs it tries as often as ever.
    assert!(is_unconnected(&ask(&registry, &host, "org/x").await.unwrap_err()));
    assert_eq!(registry.requests(), 6);
    // Another registry is another matter.
    let there = Fake::default().serve(|_, _| None).await;
    assert_eq!(ask(&hasty, there.host(), "org/x").await.unwrap(), None);
}

#[tokio::test]
async fn what_others_found_out_is_believed() {
    let host = nobody();
    let registry = client(settings(&host));
    ask(&registry, &host, "org/x").await.unwrap_err();
    let before = registry.requests();
    assert!(is_unconnected(
        &ask(&registry.hasty(), &host, "org/x").await.unwrap_err()
    ));
    assert_eq!(registry.requests(), before);
}

#[tokio::test]
async fn a_registry_that_answers_is_waited_for() {
    let server = Fake::default()
        .serve(|_, number| match number {
            0 => Some(Reply::status(503)),
            1 => Some(Reply::reset()),
            2 => Some(Reply::status(429).header("Retry-After: 0")),
            _ => None,
        })
        .await;
    let hasty = client(settings(server.host())).hasty();
    assert_eq!(ask(&hasty, server.host(), "org/x").await.unwrap(), None);
    assert_eq!(server.requests().len(), 4);
}

#[tokio::test]
async fn a_connection_that_does_not_come_up_is_given_up() {
    // Somebody who listens and never says a word of TLS, which is spoken because there are certificates for the host.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join(&host)).unwrap();
    let registry = client(RegistrySettings {
        certificate_directories: vec![directory.path().to_owned()],
        ..settings(&host)
    });
    let error = ask(&registry.hasty(), &host, "org/x").await.unwrap_err();
    assert!(is_unconnected(&error), "{error:?}");
    assert_eq!(registry.requests(), 1);
}
