//! Builds that succeed, and what is in their results.

use super::*;

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
fn cached_image(content: &Memory, name: &str, architectures: &[&str]) -> CachedImage {
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
    CachedImage {
        name: name.parse().expect("a name"),
        digest: content.add(serde_json::to_vec(&index).expect("writes")),
        platforms: architectures
            .iter()
            .map(|architecture| Platform::linux(architecture))
            .collect(),
    }
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
        package.request.cached_images = vec![cached_image(&content, known, &["amd64", "s390x"])];
        let outcome = package.build(&endpoint, content.clone()).await;
        let index = content.index(&outcome.index().digest);
        for entry in &index.manifests {
            let (_, configuration, files) = content.image(entry);
            let architecture = entry.platform.as_ref().expect("has one").architecture.clone();
            assert_eq!(files.get("marker"), Some(&architecture.into_bytes()));
            assert_eq!(configuration["config"]["Env"][0].as_str(), Some("FROM_CACHE=yes"));
        }
    }
}

#[tokio::test]
async fn a_platform_that_is_not_cached_comes_from_the_registry() {
    let Some(endpoint) = buildkit().await else { return };
    let mut package = Package::new(&format!("{BASE}COPY x /x\n")).file("x", &unique());
    let content = Arc::new(Memory::default());
    package.request.cached_images = vec![cached_image(&content, "busybox:1.37", &["s390x"])];
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
async fn steps_have_no_network_unless_asked_for() {
    let Some(endpoint) = buildkit().await else { return };
    for has_network in [false, true] {
        let mut package = Package::new(&format!(
            "{BASE}RUN echo {} interfaces: $(ls /sys/class/net) end\n",
            unique()
        ));
        package.request.has_network = has_network;
        let outcome = package.build(&endpoint, Arc::default()).await;
        outcome.index();
        assert_eq!(
            outcome.log().contains("interfaces: lo end"),
            !has_network,
            "{}",
            outcome.log()
        );
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
