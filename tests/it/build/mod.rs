//! Builds on a real BuildKit.

mod memory;
mod own;
mod registry;

use crate::servers::server;
use lkpkg::build::{BuildError, BuildRequest, Built, Failure, FailureKind, SecretFrom, SecretSource, SshSource, build};
use lkpkg::builder::Endpoint;
use lkpkg::content::Content;
use lkpkg::event::{CancellationToken, Event, Events};
use lkpkg::oci::credentials::{CredentialSource, Credentials};
use lkpkg::oci::{Descriptor, Digest, Index, Platform, annotation};
use memory::Memory;
use registry::Registry;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// FROM that every RUN here stands on.
const BASE: &str = "FROM busybox:1.37\n";

/// A package directory and what is asked for it.
struct Package {
    directory: TempDir,
    request: BuildRequest,
}

/// What happened.
struct Outcome {
    result: Result<Built, BuildError>,
    events: Vec<Event>,
}

impl Package {
    fn new(dockerfile: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("Dockerfile"), dockerfile).expect("written");
        let request = BuildRequest {
            step: "test/x:1".into(),
            context: directory.path().to_owned(),
            extra_sources: Vec::new(),
            dockerfile: "Dockerfile".into(),
            platforms: vec![Platform::linux("amd64")],
            build_args: BTreeMap::new(),
            labels: BTreeMap::new(),
            has_network: false,
            is_cache_disabled: false,
            sbom: None,
            secrets: Vec::new(),
            ssh: Vec::new(),
            cached_images: BTreeMap::new(),
            credentials: CredentialSource::given(BTreeMap::new()),
            name: "docker.io/test/x:1".into(),
        };
        Self { directory, request }
    }

    fn file(self, name: &str, content: &str) -> Self {
        std::fs::write(self.directory.path().join(name), content).expect("written");
        self
    }

    async fn build(&self, endpoint: &Endpoint, content: Arc<Memory>) -> Outcome {
        self.build_until(endpoint, content, &CancellationToken::new(), |_| false)
            .await
    }

    /// Builds, and cancels at the first event that `is_enough`.
    async fn build_until(
        &self,
        endpoint: &Endpoint,
        content: Arc<dyn Content>,
        cancel: &CancellationToken,
        is_enough: impl Fn(&Event) -> bool,
    ) -> Outcome {
        let (events, mut receiver) = Events::channel();
        let work = async move { build(endpoint, &self.request, content, &events, cancel).await };
        let listen = async {
            let mut seen = Vec::new();
            while let Some(event) = receiver.recv().await {
                if is_enough(&event) {
                    cancel.cancel();
                }
                seen.push(event);
            }
            seen
        };
        let (result, events) = tokio::join!(work, listen);
        Outcome { result, events }
    }
}

impl Outcome {
    fn index(&self) -> &Descriptor {
        match &self.result {
            Ok(built) => &built.index,
            Err(error) => panic!("{error}\n{}", self.log()),
        }
    }

    fn error(&self) -> &BuildError {
        self.result.as_ref().err().expect("the build fails")
    }

    fn failure(&self) -> &Failure {
        match self.error() {
            BuildError::Failed(failure) => failure,
            other => panic!("{other:?}"),
        }
    }

    fn log(&self) -> String {
        let pieces = self.events.iter().filter_map(|event| match event {
            Event::Log { bytes, .. } => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        });
        pieces.collect()
    }
}

async fn connect(address: String) -> Endpoint {
    let endpoint = tonic::transport::Endpoint::from_shared(address.clone()).expect("an address");
    let channel = endpoint.connect().await.expect("BuildKit answers");
    Endpoint {
        name: address,
        channel,
        platforms: Vec::new(),
        version: String::new(),
    }
}

async fn buildkit() -> Option<Endpoint> {
    Some(connect(server("LKPKG_TEST_BUILDKIT")?).await)
}

/// Something that no earlier run has in BuildKit's cache.
fn unique() -> String {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("after 1970");
    format!("{}-{}", std::process::id(), now.as_nanos())
}

fn is_log(event: &Event, text: &str) -> bool {
    matches!(event, Event::Log { bytes, .. } if String::from_utf8_lossy(bytes).contains(text))
}

#[tokio::test]
async fn four_platforms_are_one_solve() {
    let Some(endpoint) = buildkit().await else { return };
    let mut package =
        Package::new("FROM scratch\nARG TARGETARCH\nLABEL made.for=$TARGETARCH\nCOPY x /x\n").file("x", &unique());
    package.request.platforms = ["amd64", "arm64", "riscv64", "s390x"].map(Platform::linux).into();
    package.request.labels = [("org.test".to_owned(), "a value".to_owned())].into();
    let content = Arc::new(Memory::default());
    let outcome = package.build(&endpoint, content.clone()).await;
    let index = content.index(&outcome.index().digest);
    let platforms: Vec<_> = index
        .manifests
        .iter()
        .filter_map(|m| m.platform.as_ref())
        .map(Platform::to_string)
        .collect();
    assert_eq!(
        platforms,
        ["linux/amd64", "linux/arm64", "linux/riscv64", "linux/s390x"],
        "nothing but images"
    );
    for entry in &index.manifests {
        let (manifest, configuration, files) = content.image(entry);
        assert!(manifest.media_type.contains("oci") && manifest.layers[0].media_type.contains("oci"));
        let labels = &configuration["config"]["Labels"];
        let architecture = entry.platform.as_ref().expect("has one").architecture.as_str();
        assert_eq!(
            (labels["made.for"].as_str(), labels["org.test"].as_str()),
            (Some(architecture), Some("a value"))
        );
        assert_eq!(files.keys().collect::<Vec<_>>(), ["x"]);
    }
    assert_eq!(content.count(&content.unfinished), 0);

    // The same again: nothing is sent that is there already.
    let written = content.count(&content.written);
    let again = package.build(&endpoint, content.clone()).await;
    assert_eq!(
        (again.index(), content.count(&content.written)),
        (outcome.index(), written)
    );
}

#[tokio::test]
async fn one_platform_is_an_index_too() {
    let Some(endpoint) = buildkit().await else { return };
    let package = Package::new("FROM scratch\nCOPY x /x\n").file("x", "x");
    let content = Arc::new(Memory::default());
    let outcome = package.build(&endpoint, content.clone()).await;
    assert_eq!(content.index(&outcome.index().digest).manifests.len(), 1);
}

#[tokio::test]
async fn a_step_says_what_it_does() {
    let Some(endpoint) = buildkit().await else { return };
    let dockerfile = format!("{BASE}ARG WHAT\nRUN echo hello $WHAT && echo trouble >&2\n");
    let mut package = Package::new(&dockerfile);
    package.request.build_args = [("WHAT".to_owned(), unique())].into();
    package.request.is_cache_disabled = true;
    let outcome = package.build(&endpoint, Arc::default()).await;
    outcome.index();
    assert!(
        outcome
            .log()
            .contains(&format!("hello {}", package.request.build_args["WHAT"])),
        "{}",
        outcome.log()
    );
    let has_stderr = outcome.events.iter().any(|event| {
        matches!(
            event,
            Event::Log {
                is_stderr: true,
                at: Some(_),
                ..
            }
        )
    });
    let vertex = outcome.events.iter().rev().find_map(|event| match event {
        Event::Vertex { vertex, .. } if vertex.name.contains("RUN echo hello") => Some(vertex),
        _ => None,
    });
    let vertex = vertex.expect("the step is a vertex");
    assert!(has_stderr && vertex.completed >= vertex.started && vertex.started.is_some() && !vertex.is_cached);
    assert!(vertex.started.expect("is set").elapsed().expect("in the past") < Duration::from_secs(600));
}

#[tokio::test]
async fn warnings_of_the_frontend_arrive() {
    let Some(endpoint) = buildkit().await else { return };
    let package = Package::new("FROM scratch\nMAINTAINER somebody\nCOPY x /x\n").file("x", "x");
    let outcome = package.build(&endpoint, Arc::default()).await;
    let built = outcome.result.as_ref().expect("builds");
    assert!(
        built.warnings.iter().any(|warning| warning.line == 2),
        "{:?}",
        built.warnings
    );
    assert!(
        outcome
            .events
            .iter()
            .any(|event| matches!(event, Event::BuildWarning { line: 2, .. }))
    );
}

/// An image in the content, that no registry has: one layer with the file `marker`.
fn cached_image(content: &Memory, architectures: &[&str]) -> Digest {
    let manifests = architectures.iter().map(|architecture| {
        let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
        let mut header = tar::Header::new_gnu();
        header.set_size(architecture.len() as u64);
        header.set_mode(0o644);
        archive
            .append_data(&mut header, "marker", architecture.as_bytes())
            .expect("appended");
        let mut plain = Vec::new();
        let layer = archive.into_inner().expect("a tar").finish().expect("a gzip");
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(layer.as_slice()), &mut plain).expect("unpacks");
        let configuration = serde_json::json!({
            "os": "linux", "architecture": architecture, "config": {"Env": ["FROM_CACHE=yes"]},
            "rootfs": {"type": "layers", "diff_ids": [Digest::of(&plain)]},
        });
        let configuration = configuration.to_string().into_bytes();
        let manifest = serde_json::json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": Descriptor::of("application/vnd.oci.image.config.v1+json", &configuration),
            "layers": [Descriptor::of("application/vnd.oci.image.layer.v1.tar+gzip", &layer)],
        });
        let manifest = manifest.to_string().into_bytes();
        let mut entry = Descriptor::of("application/vnd.oci.image.manifest.v1+json", &manifest);
        entry.platform = Some(Platform::linux(architecture));
        for blob in [layer, configuration, manifest] {
            content.add(blob);
        }
        entry
    });
    let index = Index::of(manifests.collect());
    content.add(serde_json::to_vec(&index).expect("writes"))
}

#[tokio::test]
async fn cached_images_need_no_registry() {
    let Some(endpoint) = buildkit().await else { return };
    for (written, known) in [
        ("nowhere/only-here:1", "docker.io/nowhere/only-here:1"),
        ("docker.io/library/only-here", "only-here:latest"),
        ("registry.invalid:5000/a/b/c:x", "registry.invalid:5000/a/b/c:x"),
    ] {
        let mut package = Package::new(&format!("FROM {written} AS one\nCOPY x /x\n")).file("x", &unique());
        package.request.platforms = ["amd64", "s390x"].map(Platform::linux).into();
        let content = Arc::new(Memory::default());
        package.request.cached_images = [(known.to_owned(), cached_image(&content, &["amd64", "s390x"]))].into();
        let outcome = package.build(&endpoint, content.clone()).await;
        let index = content.index(&outcome.index().digest);
        for entry in &index.manifests {
            let (_, configuration, files) = content.image(entry);
            let architecture = entry.platform.as_ref().expect("has one").architecture.clone();
            assert_eq!(files.get("marker"), Some(&architecture.into_bytes()));
            assert_eq!(configuration["config"]["Env"][0].as_str(), Some("FROM_CACHE=yes"));
        }
        // Configurations are read before the build; the layers were in the content and did not travel back.
        assert!(content.count(&content.read) > 0);
    }
}

#[tokio::test]
async fn a_platform_that_is_not_cached_comes_from_the_registry() {
    let Some(endpoint) = buildkit().await else { return };
    let mut package = Package::new(&format!("{BASE}COPY x /x\n")).file("x", &unique());
    let content = Arc::new(Memory::default());
    package.request.cached_images = [("busybox:1.37".to_owned(), cached_image(&content, &["s390x"]))].into();
    let outcome = package.build(&endpoint, content.clone()).await;
    let index = content.index(&outcome.index().digest);
    let (_, _, files) = content.image(&index.manifests[0]);
    assert!(
        files
            .keys()
            .any(|path| path.ends_with("busybox") || path.ends_with("bin/sh")),
        "the registry's busybox"
    );
}

#[tokio::test]
async fn secrets_are_mounted_and_not_kept() {
    let Some(endpoint) = buildkit().await else { return };
    let dockerfile = format!(
        "{BASE}ARG U\nRUN --mount=type=secret,id=one --mount=type=secret,id=two --mount=type=secret,id=three \
         cat /run/secrets/one /run/secrets/two && test ! -e /run/secrets/three && echo $U\n"
    );
    let mut package = Package::new(&dockerfile);
    let file = package.directory.path().join("secret");
    std::fs::write(&file, "from-file ").expect("written");
    let secret = |id: &str, from| SecretSource { id: id.into(), from };
    package.request.build_args = [("U".to_owned(), unique())].into();
    package.request.secrets = vec![
        secret("one", SecretFrom::File(file)),
        secret("two", SecretFrom::Bytes(b"from-bytes".to_vec())),
    ];
    let outcome = package.build(&endpoint, Arc::default()).await;
    outcome.index();
    assert!(outcome.log().contains("from-file from-bytes"), "{}", outcome.log());
}

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
async fn steps_have_no_network_unless_asked_for() {
    let Some(endpoint) = buildkit().await else { return };
    for (has_network, count) in [(false, "interfaces: 1"), (true, "interfaces: 2")] {
        let mut package = Package::new(&format!(
            "{BASE}RUN echo interfaces: $(ls /sys/class/net | grep -c '^lo$\\|^eth') {}\n",
            unique()
        ));
        package.request.has_network = has_network;
        let outcome = package.build(&endpoint, Arc::default()).await;
        outcome.index();
        assert!(outcome.log().contains(count) || has_network, "{}", outcome.log());
    }
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
async fn extra_sources_are_part_of_the_context() {
    let Some(endpoint) = buildkit().await else { return };
    let other = Package::new("FROM scratch\nCOPY a/x /x\nCOPY b /b\n").file("x", "from elsewhere");
    let mut package = Package::new("FROM not-this-one\n").file("b", "from the package");
    let source = |name: &str| other.directory.path().join(name);
    package.request.dockerfile = "made/Dockerfile".into();
    package.request.extra_sources = vec![
        (source("x"), "a/x".into()),
        (source("Dockerfile"), "made/Dockerfile".into()),
    ];
    let content = Arc::new(Memory::default());
    let outcome = package.build(&endpoint, content.clone()).await;
    let (_, _, files) = content.image(&content.index(&outcome.index().digest).manifests[0]);
    let texts: Vec<_> = files.values().map(|bytes| String::from_utf8_lossy(bytes)).collect();
    assert_eq!(texts, ["from the package", "from elsewhere"]);
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

#[tokio::test]
async fn an_sbom_is_made_when_asked_for() {
    let Some(endpoint) = buildkit().await else { return };
    let Some(scanner) = server("LKPKG_TEST_SCANNER") else {
        return;
    };
    let mut package = Package::new(&format!("{BASE}COPY x /x\n")).file("x", &unique());
    package.request.sbom = Some(scanner);
    let content = Arc::new(Memory::default());
    let outcome = package.build(&endpoint, content.clone()).await;
    let index = content.index(&outcome.index().digest);
    let [image, attestation] = index.manifests.as_slice() else {
        panic!("{index:?}")
    };
    assert_eq!(attestation.attests(), Some(image.digest.as_str()));
    let manifest: lkpkg::oci::Manifest =
        serde_json::from_slice(&content.blob(&attestation.digest)).expect("a manifest");
    let predicate = manifest.layers[0]
        .annotations
        .get(annotation::PREDICATE_TYPE)
        .expect("has one");
    assert!(predicate.contains("spdx"), "{predicate}");
}

/// Processes whose command line has `text` in it.
fn processes(text: &str) -> usize {
    let all = Path::new("/proc").read_dir().expect("/proc").flatten();
    let lines = all.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines
        .filter(|line| String::from_utf8_lossy(line).replace('\0', " ").contains(text))
        .count()
}

/// Waits until `is_so`; the time it took.
async fn wait_until(is_so: impl Fn() -> bool) -> Duration {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(20), "it does not come true");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    start.elapsed()
}

#[tokio::test]
async fn cancelling_ends_the_step_and_leaves_nothing() {
    let Some(endpoint) = buildkit().await else { return };
    // A number of seconds that nobody else sleeps.
    let sleep = format!("sleep 3{}", std::process::id());
    let package = Package::new(&format!("{BASE}RUN echo started {} && {sleep}\n", unique()));
    let content = Arc::new(Memory::default());
    let cancel = CancellationToken::new();
    let start = Instant::now();
    let outcome = package
        .build_until(&endpoint, content.clone(), &cancel, |event| is_log(event, "started"))
        .await;
    assert!(
        matches!(outcome.error(), BuildError::Cancelled),
        "{:?}",
        outcome.error()
    );
    let took = wait_until(|| processes(&sleep) == 0).await;
    eprintln!("the step ended {took:?} after the build");
    assert!(
        took < Duration::from_secs(10),
        "the step ended {took:?} after the build, {:?} after its start",
        start.elapsed()
    );
    assert_eq!(content.count(&content.written), 0);
    assert!(
        Arc::strong_count(&content) == 1,
        "nothing works with the content any more"
    );
}

#[tokio::test]
async fn cancelling_before_and_while_writing() {
    let Some(endpoint) = buildkit().await else { return };
    let package = Package::new("FROM scratch\nCOPY x /x\n").file("x", &unique());
    let cancel = CancellationToken::new();
    cancel.cancel();
    let outcome = package
        .build_until(&endpoint, Arc::new(Memory::default()), &cancel, |_| false)
        .await;
    assert!(matches!(outcome.error(), BuildError::Cancelled) && outcome.events.is_empty());

    let content = Arc::new(own::Stuck::default());
    let cancel = CancellationToken::new();
    let (outcome, ()) = tokio::join!(
        package.build_until(&endpoint, content.clone(), &cancel, |_| false),
        async {
            wait_until(|| content.is_writing()).await;
            cancel.cancel();
        }
    );
    assert!(matches!(outcome.error(), BuildError::Cancelled));
    assert!(!content.is_writing(), "the put was dropped");
    assert_eq!(Arc::strong_count(&content), 1);
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

/// Bytes of the context that travelled, by BuildKit's count.
fn transferred(outcome: &Outcome) -> i64 {
    let sent = outcome.events.iter().filter_map(|event| match event {
        Event::Progress { progress, .. } if progress.id.starts_with("transferring context") => Some(progress.current),
        _ => None,
    });
    sent.max().expect("the context is transferred")
}

#[tokio::test]
async fn an_unchanged_file_does_not_travel_twice() {
    let Some(endpoint) = buildkit().await else { return };
    let mut package = Package::new("FROM scratch\nCOPY . /\n").file("large", &unique().repeat(100_000));
    let first = package.build(&endpoint, Arc::default()).await;
    first.index();
    assert!(transferred(&first) > 1_000_000, "{}", transferred(&first));
    package = package.file("small", "new");
    let second = package.build(&endpoint, Arc::default()).await;
    second.index();
    assert!(transferred(&second) < 10_000, "{}", transferred(&second));
}

#[tokio::test]
async fn an_agent_is_mounted() {
    let Some(endpoint) = buildkit().await else { return };
    let mut package = Package::new(&format!(
        "{BASE}RUN --mount=type=ssh,required=true test -S $SSH_AUTH_SOCK\n"
    ));
    package.request.is_cache_disabled = true;
    let socket = package.directory.path().join("agent");
    let _listener = tokio::net::UnixListener::bind(&socket).expect("a socket");
    package.request.ssh = vec![SshSource {
        id: "default".into(),
        socket,
        is_raw: false,
    }];
    package.build(&endpoint, Arc::default()).await.index();
    package.request.ssh[0].socket = package.directory.path().join("Dockerfile");
    let outcome = package.build(&endpoint, Arc::default()).await;
    assert!(outcome.error().to_string().contains("ssh-add"), "{}", outcome.error());
}
