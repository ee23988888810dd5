//! Builds that fail, and what the user is told.

use super::registry::Registry;
use super::*;

#[tokio::test]
async fn a_secret_that_cannot_be_read_is_the_reason() {
    let Some(endpoint) = buildkit().await else { return };
    let mut package = Package::new(&format!("{BASE}RUN --mount=type=secret,id=one true {}\n", unique()));
    package.request.secrets = vec![SecretSource {
        id: "one".into(),
        from: SecretFrom::File("/not/there".into()),
    }];
    let outcome = package.build(&endpoint, Arc::default()).await;
    assert!(
        outcome
            .error()
            .to_string()
            .starts_with("the secret one cannot be used: /not/there: "),
        "{}",
        outcome.error()
    );
    let required = format!("{BASE}RUN --mount=type=secret,id=two,required=true true {}\n", unique());
    let outcome = Package::new(&required).build(&endpoint, Arc::default()).await;
    assert_eq!(
        outcome.failure().kind,
        FailureKind::SecretMissing,
        "{}",
        outcome.error()
    );
}

#[tokio::test]
async fn a_failing_step_is_described() {
    let Some(endpoint) = buildkit().await else { return };
    let dockerfile = format!(
        "{BASE}\n# a comment\nRUN echo {} && echo said-before && exit 7\nRUN true\n",
        unique()
    );
    let outcome = Package::new(&dockerfile).build(&endpoint, Arc::default()).await;
    let failure = outcome.failure();
    assert_eq!(
        (failure.kind, failure.exit_code),
        (FailureKind::Run, Some(7)),
        "{failure:?}"
    );
    let location = failure.location.as_ref().expect("has a place");
    assert_eq!(
        (location.file.as_str(), location.line, location.last_line),
        ("Dockerfile", 4, 4)
    );
    assert!(
        location
            .lines
            .iter()
            .any(|(number, text)| *number == 4 && text.contains("exit 7")),
        "{location:?}"
    );
    assert!(
        failure.vertex_name.contains("RUN echo") && failure.vertex.starts_with("sha256:"),
        "{failure:?}"
    );
    assert!(outcome.log().contains("said-before") && !outcome.error().is_temporary());
}

async fn check_failure(endpoint: &Endpoint, dockerfile: &str, kind: FailureKind, hint: &str) {
    let outcome = Package::new(dockerfile).build(endpoint, Arc::default()).await;
    let failure = outcome.failure();
    assert_eq!(failure.kind, kind, "{dockerfile}: {failure}");
    let found = outcome.error().hint().unwrap_or_default();
    assert!(found.contains(hint), "{dockerfile}: {failure}: {found}");
}

#[tokio::test]
async fn failures_have_a_kind_and_a_hint() {
    let Some(endpoint) = buildkit().await else { return };
    use FailureKind::*;
    check_failure(
        &endpoint,
        "FROM busybox:not-there\n",
        ImageNotFound,
        "docker.io/library/busybox:not-there",
    )
    .await;
    check_failure(
        &endpoint,
        "FROM 127.0.0.1:1/x:1\n",
        RegistryUnreachable,
        "127.0.0.1:1/x:1",
    )
    .await;
    check_failure(&endpoint, "FORM scratch\n", Dockerfile, "").await;
    check_failure(
        &endpoint,
        "FROM scratch\nCOPY missing /\n",
        FileNotFound,
        "extra-sources",
    )
    .await;
    check_failure(
        &endpoint,
        &format!("{BASE}RUN --mount=type=ssh,required=true true\n"),
        SshMissing,
        "--ssh",
    )
    .await;
    // A file that is no program of any machine fails in the kernel as a program for another machine does.
    let foreign = format!("{BASE}RUN echo {} >/x && chmod +x /x\nRUN [\"/x\"]\n", unique());
    check_failure(&endpoint, &foreign, Emulation, "qemu-user-static").await;
}

#[tokio::test]
async fn what_the_context_lacks_is_said_before() {
    let Some(endpoint) = buildkit().await else { return };
    for (dockerfile, part) in [
        ("Missing", "there is no such Dockerfile"),
        ("../Dockerfile", "lies outside"),
    ] {
        let mut package = Package::new("FROM scratch\n");
        package.request.dockerfile = dockerfile.into();
        let outcome = package.build(&endpoint, Arc::default()).await;
        let error = outcome.error();
        assert!(
            matches!(error, BuildError::Context { .. }) && error.to_string().contains(part),
            "{error}"
        );
        assert!(outcome.events.is_empty());
    }
}

#[tokio::test]
async fn what_the_content_says_reaches_the_user() {
    let Some(endpoint) = buildkit().await else { return };
    let package = Package::new("FROM scratch\nCOPY x /x\n").file("x", &unique());
    let content = Memory {
        fault: Some("No space left on device"),
        ..Memory::default()
    };
    let outcome = package.build(&endpoint, Arc::new(content)).await;
    assert!(
        matches!(outcome.error(), BuildError::Content(_)),
        "{:?}",
        outcome.error()
    );
    assert!(
        outcome.error().to_string().contains("No space left on device"),
        "{}",
        outcome.error()
    );
}

/// Builds FROM an image of a registry that wants `accepted`, with these credentials for it.
async fn build_from_private(
    endpoint: &Endpoint,
    challenge: &str,
    accepted: &str,
    shown: Credentials,
) -> (Outcome, Registry) {
    let registry = Registry::start(challenge, accepted).await;
    let mut package = Package::new(&format!("FROM {}/x:1\nCOPY x /x\n", registry.address)).file("x", &unique());
    package.request.credentials = CredentialSource::given([(registry.address.clone(), shown)].into());
    let outcome = package.build(endpoint, Arc::default()).await;
    (outcome, registry)
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_shown_to_registries() {
    let Some(endpoint) = buildkit().await else { return };
    let basic = |password: &str| Credentials::Basic {
        username: "user".into(),
        password: password.into(),
    };
    let bearer = "Bearer realm=\"http://ADDRESS/token\",service=\"s\"";
    // `user:right` in base64.
    let right = "Basic dXNlcjpyaWdodA==";
    let (outcome, _registry) = build_from_private(&endpoint, "Basic realm=\"x\"", right, basic("right")).await;
    outcome.index();
    let token = Credentials::RegistryToken("the-token".into());
    let (outcome, _registry) = build_from_private(&endpoint, bearer, "Bearer the-token", token).await;
    outcome.index();
    for shown in [Credentials::Anonymous, basic("wrong")] {
        let (outcome, registry) = build_from_private(&endpoint, "Basic realm=\"x\"", right, shown.clone()).await;
        assert_eq!(outcome.failure().kind, FailureKind::Unauthorized, "{}", outcome.error());
        let hint = outcome.error().hint().expect("there is one");
        assert!(
            hint.contains(&registry.address) && hint.contains("--registry-creds"),
            "{hint}"
        );
        let was_shown = !registry.shown.lock().expect("not poisoned").is_empty();
        assert_eq!(was_shown, shown != Credentials::Anonymous);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_helper_that_fails_is_the_reason() {
    let Some(endpoint) = buildkit().await else { return };
    let registry = Registry::start("Basic realm=\"x\"", "nothing").await;
    let mut package = Package::new(&format!("FROM {}/x:1\n", registry.address));
    let configuration = package.directory.path().join("docker");
    std::fs::create_dir(&configuration).expect("made");
    std::fs::write(
        configuration.join("config.json"),
        r#"{"credsStore":"is-not-installed"}"#,
    )
    .expect("written");
    package.request.credentials = CredentialSource::docker(Some(configuration));
    let outcome = package.build(&endpoint, Arc::default()).await;
    assert!(
        matches!(outcome.error(), BuildError::Credentials(_)),
        "{:?}",
        outcome.error()
    );
    assert!(
        outcome
            .error()
            .to_string()
            .contains("docker-credential-is-not-installed"),
        "{}",
        outcome.error()
    );
}
