//! Tables of configurations, and a real program as helper.

use super::*;
use base64::Engine as _;

fn basic(username: &str, password: &str) -> Credentials {
    Credentials::Basic {
        username: username.into(),
        password: password.into(),
    }
}

fn check(configuration: &str, registry: &str, expected: Credentials) {
    let source = CredentialSource::docker_with_text(None, Some(configuration.to_owned()));
    let found = source
        .lookup(registry)
        .unwrap_or_else(|error| panic!("{configuration}: {error}"));
    assert_eq!(found, expected, "{configuration} {registry}");
}

#[test]
fn stored_credentials_are_found() {
    let encoded = base64::engine::general_purpose::STANDARD.encode("user:pa:ss");
    let hub = format!(r#"{{"auths":{{"https://index.docker.io/v1/":{{"auth":"{encoded}"}}}}}}"#);
    for name in [
        "docker.io",
        "registry-1.docker.io",
        "index.docker.io",
        "https://index.docker.io/v1/",
    ] {
        check(&hub, name, basic("user", "pa:ss"));
    }
    check(&hub, "quay.io", Credentials::Anonymous);
    let port = format!(r#"{{"auths":{{"127.0.0.1:5000":{{"auth":"{encoded}"}}}}}}"#);
    check(&port, "127.0.0.1:5000", basic("user", "pa:ss"));
    check(&port, "127.0.0.1:5001", Credentials::Anonymous);
    check(
        r#"{"auths":{"r":{"username":"u","password":"p"}}}"#,
        "r",
        basic("u", "p"),
    );
    check(
        r#"{"auths":{"r":{"identitytoken":"t"}}}"#,
        "r",
        Credentials::IdentityToken("t".into()),
    );
    check(
        r#"{"auths":{"r":{"registrytoken":"t"}}}"#,
        "r",
        Credentials::RegistryToken("t".into()),
    );
    check(
        r#"{"auths":{"r":{"auth":"","identitytoken":""}}}"#,
        "r",
        Credentials::Anonymous,
    );
    check(r#"{"auths":{"r":{}}}"#, "r", Credentials::Anonymous);
    check("{}", "r", Credentials::Anonymous);
    check(r#"{"credsStore":"not-there"}"#, "r", Credentials::Anonymous);
}

#[test]
fn damage_is_named_without_secrets() {
    for (configuration, part) in [
        (r#"{"auths":{"r":{"auth":"#, "is not JSON (line 1"),
        (
            r#"{"auths":{"r":{"auth":"c2VjcmV0"}}}"#,
            "for r in DOCKER_AUTH_CONFIG are damaged",
        ),
        (r#"{"auths":["c2VjcmV0"]}"#, "fields are not Docker's"),
    ] {
        let source = CredentialSource::docker_with_text(None, Some(configuration.to_owned()));
        let text = source.lookup("r").expect_err(configuration).to_string();
        assert!(text.contains(part), "{text}");
        assert!(!text.contains("c2VjcmV0") && !text.contains("secret"), "{text}");
    }
}

#[test]
fn given_credentials_are_the_only_ones() {
    for (text, registry, credentials) in [
        ("r=u:p", "r", basic("u", "p")),
        ("https://index.docker.io/=u:p:q", "docker.io", basic("u", "p:q")),
        (
            " 127.0.0.1:5000 = token== ",
            "127.0.0.1:5000",
            Credentials::RegistryToken("token==".into()),
        ),
    ] {
        let (host, found) = parse_given(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!((host.as_str(), &found), (registry, &credentials));
        let source = CredentialSource::given([(host, found)].into());
        assert_eq!(source.lookup(registry).expect("is given"), credentials);
        assert_eq!(
            source.lookup("elsewhere").expect("is anonymous"),
            Credentials::Anonymous
        );
    }
    for text in ["", "r", "=u:p", "r=", "r=:secret", "r=u:", "https://=secret"] {
        let error = parse_given(text).expect_err(text);
        assert!(
            !error.to_string().contains("secret") && !format!("{error:?}").contains("secret"),
            "{error}"
        );
    }
}

#[test]
fn debug_shows_no_secret() {
    let source = CredentialSource::given([("r".into(), basic("u", "secret"))].into());
    let docker = CredentialSource::docker_with_text(None, Some("secret".into()));
    let tokens = [
        Credentials::IdentityToken("secret".into()),
        Credentials::RegistryToken("secret".into()),
    ];
    assert!(!format!("{source:?}{docker:?}{tokens:?}").contains("secret"));
}

#[test]
fn a_missing_helper_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(
        directory.path().join("config.json"),
        r#"{"credHelpers":{"r":"is-not-installed"}}"#,
    )
    .expect("written");
    let source = CredentialSource::docker(Some(directory.path().to_owned()));
    let text = source.lookup("r").expect_err("no such program").to_string();
    assert!(
        text.contains("docker-credential-is-not-installed") && text.contains("config.json"),
        "{text}"
    );
    assert_eq!(
        source.lookup("other").expect("no helper for it"),
        Credentials::Anonymous
    );
    let none = CredentialSource::docker(Some(directory.path().join("missing")));
    assert_eq!(none.lookup("r").expect("no file"), Credentials::Anonymous);
}

#[test]
fn what_helpers_say_when_they_know_nothing() {
    let ask = |said: &str| helper_failure("docker-credential-x".into(), "r".into(), said, "");
    let nothing = ask("credentials not found in native keychain\n").expect("is anonymous");
    assert_eq!(nothing, Credentials::Anonymous);
    let text = ask("keychain is locked\nmore").expect_err("is a failure").to_string();
    assert_eq!(text, "docker-credential-x has no credentials for r: keychain is locked");
}

/// A helper as it would be installed: Docker Hub's key must come in as Docker's own.
const HELPER: &str = r#"#!/bin/sh
read -r server
case $server in
https://index.docker.io/v1/) echo '{"ServerURL":"","Username":"hub","Secret":"s1"}' ;;
token.example) echo '{"ServerURL":"","Username":"<token>","Secret":"s2"}' ;;
odd.example) echo hello ;;
*) echo "credentials not found in native keychain"; exit 1 ;;
esac
"#;
/// Set in the process that has the helper on its PATH: the value is the configuration's directory.
const CHILD: &str = "LKPKG_TEST_CREDENTIALS_CHILD";

#[test]
fn helpers_are_programs() {
    if let Some(directory) = std::env::var_os(CHILD) {
        return helpers_are_asked(directory.into());
    }
    let directory = tempfile::tempdir().expect("a directory");
    let helper = directory.path().join("docker-credential-fake");
    std::fs::write(&helper, HELPER).expect("written");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&helper, mode).expect("can be run");
    std::fs::write(directory.path().join("config.json"), r#"{"credsStore":"fake"}"#).expect("written");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = vec![directory.path().to_owned()];
    places.extend(std::env::split_paths(&path));
    let name = std::thread::current().name().expect("tests have names").to_owned();
    let child = std::process::Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", &name, "--nocapture"])
        .env(CHILD, directory.path())
        .env("PATH", std::env::join_paths(places).expect("a PATH"))
        .output()
        .expect("runs");
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
}

fn helpers_are_asked(directory: PathBuf) {
    let source = CredentialSource::docker(Some(directory));
    assert_eq!(
        source.lookup("registry-1.docker.io").expect("found"),
        basic("hub", "s1")
    );
    assert_eq!(
        source.lookup("token.example").expect("found"),
        Credentials::IdentityToken("s2".into())
    );
    assert_eq!(
        source.lookup("other.example").expect("unknown to it"),
        Credentials::Anonymous
    );
    let text = source.lookup("odd.example").expect_err("is no answer").to_string();
    assert!(
        text.contains("docker-credential-fake") && text.contains("odd.example"),
        "{text}"
    );
}
