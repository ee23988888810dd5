//! Real registries: docker-registry, open, with passwords, with tokens, with TLS of an own authority; and one by another
//! hand. Reading here, writing in `push`, other clients in `clients`, what goes wrong in `faults`.
#![expect(clippy::unwrap_used, reason = "tests")]

mod certificates;
mod clients;
mod credentials;
pub mod daemon;
mod faults;
mod images;
mod push;
mod requests;
mod token;

use daemon::{Bed, PASSWORD, USER};
use lkpkg::content::{ContentError, Source, pull, validate};
use lkpkg::oci::Platform;
use lkpkg::oci::credentials::{CredentialSource, Credentials};
use lkpkg::registry::{self, Mirrors, Registry, RegistrySettings};
use lkpkg::store::Store;
use std::collections::BTreeMap;
use std::sync::Arc;

fn basic(password: &str) -> Credentials {
    Credentials::Basic {
        username: USER.into(),
        password: password.into(),
    }
}

/// Settings that show `credentials` to `host`.
fn settings(host: &str, credentials: Credentials) -> RegistrySettings {
    RegistrySettings {
        credentials: Arc::new(CredentialSource::given(BTreeMap::from([(
            host.to_owned(),
            credentials,
        )]))),
        mirrors: Mirrors::default(),
        certificates: Vec::new(),
        certificate_directories: Vec::new(),
        jobs: registry::JOBS,
    }
}

/// Pulls `registry/org/x:1` into a new store, for all platforms or some, and checks what came.
async fn check(registry: &str, settings: RegistrySettings, platforms: Option<&[&str]>) -> Result<(), ContentError> {
    let name = format!("{registry}/org/x:1");
    let repository = Registry::new(settings).unwrap().repository(&name.parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let wanted = platforms.map(|all| all.iter().map(|text| text.parse().unwrap()).collect::<Vec<Platform>>());
    let pulled = pull(&repository, &store, &name, wanted.as_deref()).await?.unwrap();
    assert!(pulled.missing.is_empty());
    assert_eq!(
        store.resolve_name(&name).unwrap().map(|found| found.digest),
        Some(pulled.root.digest.clone())
    );
    let found: Vec<String> = store
        .platforms_of(&name)
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect();
    match platforms {
        Some(platforms) => {
            assert_eq!(found, platforms);
            for platform in wanted.unwrap() {
                let manifest = store.find_manifest(&name, &platform).unwrap().unwrap();
                assert!(validate(&store, &manifest).await.is_empty());
            }
        }
        None => {
            assert_eq!(found.len(), 4);
            assert!(validate(&store, &pulled.root).await.is_empty());
            assert!(validate(&repository, &pulled.root).await.is_empty());
        }
    }
    Ok(())
}

/// The text of a failure, which holds no secret.
async fn refused(registry: &str, settings: RegistrySettings) -> String {
    let error = check(registry, settings, None).await.unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(!text.contains(PASSWORD) && !text.contains("wrong-s3cret"), "{text}");
    text
}

#[tokio::test]
async fn all_platforms_or_some_come_whole() {
    let Some(bed) = Bed::start().await else { return };
    let host = bed.plain();
    check(host, settings(host, Credentials::Anonymous), None).await.unwrap();
    check(host, settings(host, Credentials::Anonymous), Some(&["linux/arm64"]))
        .await
        .unwrap();
    check(
        host,
        settings(host, Credentials::Anonymous),
        Some(&["linux/amd64", "linux/s390x"]),
    )
    .await
    .unwrap();
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let Some(bed) = Bed::start().await else { return };
    let host = bed.plain();
    let registry = Registry::new(settings(host, Credentials::Anonymous)).unwrap();
    for name in [format!("{host}/org/x:2"), format!("{host}/org/y:1")] {
        let repository = registry.repository(&name.parse().unwrap());
        assert!(repository.resolve(&name).await.unwrap().is_none(), "{name}");
    }
    // Read without its parent: manifests are found all the same, and blobs from their middle.
    let name = format!("{host}/org/x@{}", bed.root.digest);
    let repository = registry.repository(&name.parse().unwrap());
    assert_eq!(
        repository.resolve(&name).await.unwrap().unwrap().digest,
        bed.root.digest
    );
    assert_eq!(repository.size(&bed.layer.digest).await.unwrap(), Some(bed.layer.size));
    let mut reader = repository.read(&bed.layer.digest, 6).await.unwrap();
    let mut rest = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut reader, &mut rest)
        .await
        .unwrap();
    assert_eq!(rest, "of amd64");
}

#[tokio::test]
async fn a_mirror_stands_in_for_a_registry_that_is_not_there() {
    let Some(bed) = Bed::start().await else { return };
    let mut settings = settings("x", Credentials::Anonymous);
    settings.mirrors = Mirrors::parse([format!("registry.invalid=http://{}", bed.plain())]).unwrap();
    check("registry.invalid", settings, None).await.unwrap();
}

#[tokio::test]
async fn passwords_are_shown_where_they_are_asked_for() {
    let Some(bed) = Bed::start().await else { return };
    let registry = bed.with_passwords().await;
    let host = registry.host();
    check(host, settings(host, basic(PASSWORD)), None).await.unwrap();
    let text = refused(host, settings(host, Credentials::Anonymous)).await;
    assert!(text.contains("there are no credentials"), "{text}");
    let text = refused(host, settings(host, basic("wrong-s3cret"))).await;
    assert!(text.contains("credentials were refused"), "{text}");
}

#[tokio::test]
async fn tokens_are_fetched_from_a_token_service() {
    let Some(bed) = Bed::start().await else { return };
    let Some(registry) = bed.with_tokens().await else {
        return;
    };
    let host = registry.host();
    check(host, settings(host, basic(PASSWORD)), None).await.unwrap();
    let text = refused(host, settings(host, basic("wrong-s3cret"))).await;
    assert!(text.contains("credentials were refused"), "{text}");
    let text = refused(host, settings(host, Credentials::Anonymous)).await;
    assert!(text.contains("there are no credentials"), "{text}");
}

#[tokio::test]
async fn an_own_authority_is_trusted_where_it_is_given() {
    let Some(bed) = Bed::start().await else { return };
    let Some((registry, authority)) = bed.with_tls().await else {
        return;
    };
    let host = registry.host();
    let mut given = settings(host, Credentials::Anonymous);
    given.certificates = vec![authority.clone()];
    check(host, given, None).await.unwrap();

    let certificates = tempfile::tempdir().unwrap();
    let of_host = certificates.path().join(host);
    std::fs::create_dir(&of_host).unwrap();
    std::fs::copy(&authority, of_host.join("ca.crt")).unwrap();
    let mut given = settings(host, Credentials::Anonymous);
    given.certificate_directories = vec!["/nowhere".into(), certificates.path().to_owned()];
    check(host, given, None).await.unwrap();
}

#[tokio::test]
async fn an_unknown_authority_is_not_trusted() {
    let Some(bed) = Bed::start().await else { return };
    let Some((registry, _)) = bed.with_tls().await else {
        return;
    };
    let host = registry.host();
    let text = refused(host, settings(host, Credentials::Anonymous)).await;
    assert!(text.contains("certificate that is not trusted"), "{text}");
}
