//! Credentials of every kind, from every place, all the way to a real registry: a pull and a push with each.

use super::daemon::{Bed, Daemon, PASSWORD, USER};
use super::push::{index_at, push_as, store_of};
use super::token::IDENTITY;
use super::{basic, check, refused, settings};
use crate::program::Workshop;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lkpkg::content::Source as _;
use lkpkg::oci::credentials::{CredentialSource, Credentials};
use lkpkg::registry::{Existing, Mirrors, Registry, RegistrySettings};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

/// Pulls `org/x:1` and pushes it as `guarded/<name>:1`.
async fn pull_and_push(bed: &Bed, host: &str, settings: RegistrySettings, name: &str) {
    check(host, settings.clone(), None).await.unwrap();
    let (_directory, store) = store_of(bed).await;
    let registry = Registry::new(settings).unwrap();
    let to = registry.repository(&format!("{host}/guarded/{name}").parse().unwrap());
    push_as(&store, &to, &bed.root, &["1"], Existing::Merge).await.unwrap();
    let found = index_at(bed.plain(), &format!("guarded/{name}"), "1").await.0;
    assert_eq!(found.digest, bed.root.digest);
}

fn from(source: CredentialSource) -> RegistrySettings {
    RegistrySettings {
        credentials: Arc::new(source),
        ..settings("nowhere", Credentials::Anonymous)
    }
}

/// The text of a `config.json` that has `entry` for a registry.
fn text(host: &str, entry: &Value) -> String {
    json!({"auths": {host: entry}}).to_string()
}

fn auth() -> Value {
    json!({"auth": STANDARD.encode(format!("{USER}:{PASSWORD}"))})
}

#[tokio::test]
async fn an_identity_token_is_exchanged_by_a_form() {
    let Some(bed) = Bed::start().await else { return };
    let Some(registry) = bed.with_tokens().await else {
        return;
    };
    let host = registry.host();
    let given = settings(host, Credentials::IdentityToken(IDENTITY.into()));
    pull_and_push(&bed, host, given, "identity").await;
    let seen = registry.tokens().seen();
    assert!(!seen.is_empty());
    for one in &seen {
        assert_eq!(one.method, "POST");
        let names: Vec<_> = one.form.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["client_id", "grant_type", "refresh_token", "scope", "service"]);
    }
    // Each client asks once for reading and once for writing.
    let of = |name: &str| seen.iter().filter(|one| one.scopes == [name]).count();
    assert_eq!(of("repository:org/x:pull"), 1, "{seen:?}");
    assert_eq!(of("repository:guarded/identity:pull,push"), 1, "{seen:?}");

    let wrong = Credentials::IdentityToken("wrong-s3cret".into());
    let text = refused(host, settings(host, wrong)).await;
    assert!(text.contains("credentials were refused"), "{text}");
}

#[tokio::test]
async fn a_registry_token_is_shown_as_it_is() {
    let Some(bed) = Bed::start().await else { return };
    let Some(registry) = bed.with_tokens().await else {
        return;
    };
    let host = registry.host();
    let scopes = ["repository:org/x:pull", "repository:guarded/token:pull,push"];
    let token = registry.tokens().token(&scopes);
    let given = settings(host, Credentials::RegistryToken(token.clone()));
    pull_and_push(&bed, host, given, "token").await;
    // From Docker's configuration as well.
    let given = text(host, &json!({"registrytoken": token}));
    check(host, from(CredentialSource::docker_with_text(None, Some(given))), None)
        .await
        .unwrap();
    let few = registry.tokens().token(&["repository:org/y:pull"]);
    let text = refused(host, settings(host, Credentials::RegistryToken(few.clone()))).await;
    assert!(
        text.contains("credentials were refused") && !text.contains(&few),
        "{text}"
    );
    assert!(registry.tokens().seen().is_empty(), "nobody else is asked");
}

#[tokio::test]
async fn a_token_that_is_for_two_repositories_mounts() {
    let Some(bed) = Bed::start().await else { return };
    let Some(registry) = bed.with_tokens().await else {
        return;
    };
    let host = registry.host();
    let client = Registry::new(settings(host, basic(PASSWORD))).unwrap();
    let repository = |name: &str| client.repository(&format!("{host}/{name}").parse().unwrap());
    let from = repository("org/x");
    let root = from.find("1").await.unwrap().unwrap();
    let to = repository("guarded/mounted");
    let pushed = push_as(&from, &to, &root, &["1"], Existing::Merge).await.unwrap();
    assert_eq!((pushed.sent, pushed.mounted), (0, super::push::BLOBS));
    let mut seen: Vec<_> = registry.tokens().seen().into_iter().map(|one| one.scopes).collect();
    seen.sort();
    seen.dedup();
    let both = ["repository:guarded/mounted:pull,push", "repository:org/x:pull"];
    assert!(seen.contains(&both.map(str::to_owned).to_vec()), "{seen:?}");
    // For reading, for writing, for both: once each.
    assert_eq!(registry.tokens().seen().len(), 3, "{seen:?}");
}

// The program is waited for while the token service answers it.
#[tokio::test(flavor = "multi_thread")]
async fn dockers_configuration_is_enough() {
    let Some(bed) = Bed::start().await else { return };
    let Some(tokens) = bed.with_tokens().await else { return };
    let passwords = bed.with_passwords().await;
    let cases: [(&Daemon, Value, &str); 3] = [
        (&passwords, auth(), "basic"),
        (&tokens, auth(), "bearer"),
        (&tokens, json!({"identitytoken": IDENTITY}), "identitytoken"),
    ];
    for (daemon, entry, name) in cases {
        let (host, text) = (daemon.host(), text(daemon.host(), &entry));
        let variable = CredentialSource::docker_with_text(None, Some(text.clone()));
        pull_and_push(&bed, host, from(variable), &format!("variable-{name}")).await;
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("config.json"), &text).unwrap();
        let file = CredentialSource::docker(Some(directory.path().to_owned()));
        pull_and_push(&bed, host, from(file), &format!("file-{name}")).await;
        // The program finds it where Docker does.
        pulls(host, "DOCKER_AUTH_CONFIG", &text);
        pulls(host, "DOCKER_CONFIG", directory.path().to_str().unwrap());
    }
}

/// The program pulls with one variable more than usual, and says no secret.
fn pulls(host: &str, variable: &str, value: &str) {
    let workshop = Workshop::new();
    let name = format!("{host}/org/x:1");
    let run = workshop.run_with(variable, value, &["-v", "2", "cache", "pull", &name]);
    assert!(
        !run.stderr.contains("s3cret") && !run.stdout.contains("s3cret"),
        "{run:?}"
    );
    assert!(run.done().starts_with(&name));
    workshop.verify();
    workshop.run(&["cache", "pull", &name]).failed(3, &["no credentials"]);
}

/// Set in the process that has helpers on its PATH: the directory of Docker's configuration.
const CHILD: &str = "LKPKG_TEST_HELPERS_CHILD";

/// Docker's helpers are found on PATH, so that this test runs itself once more with another one.
// The program is waited for while the token service answers it.
#[tokio::test(flavor = "multi_thread")]
async fn helpers_are_asked() {
    if let Some(directory) = std::env::var_os(CHILD) {
        return with_helpers(Path::new(&directory)).await;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut places = vec![directory.path().to_owned()];
    places.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let name = std::thread::current().name().unwrap().to_owned();
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &name, "--nocapture"])
        .env(CHILD, directory.path())
        .env("PATH", std::env::join_paths(places).unwrap())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stderr).into_owned() + &String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && said.contains("1 passed"), "{said}");
}

async fn with_helpers(directory: &Path) {
    let Some(bed) = Bed::start().await else { return };
    let Some(tokens) = bed.with_tokens().await else { return };
    let passwords = bed.with_passwords().await;
    let hosts = [passwords.host(), tokens.host()];
    let helper = format!(
        "#!/bin/sh\nread -r server\ncase $server in\n\
             {}) echo '{{\"ServerURL\":\"\",\"Username\":\"{USER}\",\"Secret\":\"{PASSWORD}\"}}' ;;\n\
             {}) echo '{{\"ServerURL\":\"\",\"Username\":\"<token>\",\"Secret\":\"{IDENTITY}\"}}' ;;\n\
             *) echo 'credentials not found in native keychain'; exit 1 ;;\nesac\n",
        hosts[0], hosts[1]
    );
    let program = directory.join("docker-credential-fake");
    crate::program::write_program(&program, &helper);
    let stores = json!({"credsStore": "fake"});
    let helpers = json!({"credHelpers": {hosts[0]: "fake", hosts[1]: "fake"}, "credsStore": "not-there"});
    for (kind, configuration) in [("store", stores), ("helpers", helpers)] {
        std::fs::write(directory.join("config.json"), configuration.to_string()).unwrap();
        for (number, host) in hosts.into_iter().enumerate() {
            let source = CredentialSource::docker(Some(directory.to_owned()));
            pull_and_push(&bed, host, from(source), &format!("{kind}-{number}")).await;
            pulls(host, "DOCKER_CONFIG", directory.to_str().unwrap());
        }
    }
}

#[tokio::test]
async fn a_mirror_has_credentials_of_its_own() {
    let Some(bed) = Bed::start().await else { return };
    let mirror = bed.with_passwords().await;
    let with = |key: &str| RegistrySettings {
        mirrors: Mirrors::parse([format!("registry.invalid=http://{}", mirror.host())]).unwrap(),
        ..settings(key, basic(PASSWORD))
    };
    check("registry.invalid", with(mirror.host()), None).await.unwrap();
    // The registry's are not shown to its mirror; the registry itself is not there.
    let text = refused("registry.invalid", with("registry.invalid")).await;
    assert!(text.contains("cannot reach https://registry.invalid"), "{text}");
}

#[tokio::test]
async fn a_token_service_without_tls_gets_nothing_from_a_registry_with() {
    let Some(bed) = Bed::start().await else { return };
    let Some((registry, authority)) = bed.with_tls_and_open_tokens().await else {
        return;
    };
    let host = registry.host();
    for credentials in [
        basic(PASSWORD),
        Credentials::IdentityToken(IDENTITY.into()),
        Credentials::Anonymous,
    ] {
        let given = RegistrySettings {
            certificates: vec![authority.clone()],
            ..settings(host, credentials)
        };
        let text = refused(host, given).await;
        assert!(text.contains("it leaves TLS"), "{text}");
    }
    assert!(registry.tokens().seen().is_empty());
}

#[tokio::test]
async fn who_has_no_certificate_to_show_is_refused() {
    let Some(bed) = Bed::start().await else { return };
    let Some((registry, authority, client)) = bed.with_mutual_tls().await else {
        return;
    };
    let host = registry.host();
    let certificates = tempfile::tempdir().unwrap();
    let of_host = certificates.path().join(host);
    std::fs::create_dir(&of_host).unwrap();
    std::fs::copy(&authority, of_host.join("ca.crt")).unwrap();
    let given = || RegistrySettings {
        certificate_directories: vec![certificates.path().to_owned()],
        ..settings(host, Credentials::Anonymous)
    };
    let text = refused(host, given()).await;
    assert!(text.contains("cannot reach") || text.contains("certificate"), "{text}");
    std::fs::copy(&client.certificate, of_host.join("client.cert")).unwrap();
    std::fs::copy(&client.key, of_host.join("client.key")).unwrap();
    pull_and_push(&bed, host, given(), "mutual").await;
    // With the authority from elsewhere, the pair is shown as well.
    std::fs::remove_file(of_host.join("ca.crt")).unwrap();
    let elsewhere = RegistrySettings {
        certificates: vec![authority],
        ..given()
    };
    pull_and_push(&bed, host, elsewhere, "mutual-2").await;
}

#[tokio::test]
async fn pushes_trust_an_own_authority_as_pulls_do() {
    let Some(bed) = Bed::start().await else { return };
    let Some((registry, authority)) = bed.with_tls().await else {
        return;
    };
    let host = registry.host();
    let given = RegistrySettings {
        certificates: vec![authority.clone()],
        ..settings(host, Credentials::Anonymous)
    };
    pull_and_push(&bed, host, given, "cert-file").await;
    let certificates = tempfile::tempdir().unwrap();
    std::fs::create_dir(certificates.path().join(host)).unwrap();
    std::fs::copy(&authority, certificates.path().join(host).join("ca.crt")).unwrap();
    let given = RegistrySettings {
        certificate_directories: vec!["/nowhere".into(), certificates.path().to_owned()],
        ..settings(host, Credentials::Anonymous)
    };
    pull_and_push(&bed, host, given, "certs-d").await;
    // Whoever trusts nobody else sends nothing.
    let (_directory, store) = store_of(&bed).await;
    let client = Registry::new(settings(host, Credentials::Anonymous)).unwrap();
    let to = client.repository(&format!("{host}/guarded/untrusted").parse().unwrap());
    let error = push_as(&store, &to, &bed.root, &["1"], Existing::Merge).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("certificate that is not trusted"), "{error}");
    let name = format!("{}/guarded/untrusted:1", bed.plain());
    let plain = Registry::new(settings(bed.plain(), Credentials::Anonymous)).unwrap();
    let there = plain.repository(&name.parse().unwrap()).resolve(&name).await;
    assert_eq!(there.unwrap(), None);
}
