//! What a builder is configured with: files, flags, and what becomes of a container when they change.

use super::contained::Contained;
use super::registry::Registry;
use super::*;
use crate::program::{Run, Workshop, unique};
use bollard::query_parameters::DownloadFromContainerOptionsBuilder;
use futures_util::TryStreamExt;
use lkpkg::builder::Local;
use std::collections::BTreeMap;
use std::io::Read;

/// A package that can only be built where `image` can be pulled.
fn package(workshop: &Workshop, image: &str) {
    let dockerfile = format!("FROM {image}\nRUN echo {} >/mark\n", unique());
    workshop.package("p", "image: p\narches: [amd64]\n", &dockerfile);
}

#[tokio::test]
async fn a_container_gets_its_configuration_and_a_new_one_when_it_changes() {
    let Some(mut here) = Contained::new("config") else {
        return;
    };
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("buildkitd.toml");
    here.config.config = Some(path.clone());
    let error = here.endpoint().await.expect_err("no configuration");
    assert_eq!(error.kind(), Kind::Input, "{error}");

    std::fs::write(&path, CONFIGURATION).expect("a file");
    let endpoint = here.endpoint().await.expect("an endpoint");
    assert_configured(&endpoint);
    drop(endpoint);
    let configured = here.id().await;
    here.endpoint().await.expect("kept");
    assert_eq!(here.id().await, configured);

    std::fs::write(&path, REFUSED).expect("a file");
    let error = here.endpoint().await.expect_err("a broken configuration");
    let text = error.to_string();
    assert!(
        text.contains("it ended with status 1\nIts log ends with:\n") && text.contains("failed to parse config"),
        "{text}"
    );
    assert_ne!(here.id().await, configured);
    here.end().await;
}

/// The files below a directory of the container: mode and content.
async fn files(here: &Contained, directory: &str) -> BTreeMap<String, (u32, String)> {
    let options = DownloadFromContainerOptionsBuilder::default().path(directory).build();
    let archive = here.docker.download_from_container(&here.config.name, Some(options));
    let bytes: Vec<u8> = archive
        .try_fold(Vec::new(), async |all, part| Ok([all, part.to_vec()].concat()))
        .await
        .expect("an archive");
    let mut archive = tar::Archive::new(bytes.as_slice());
    let entries = archive
        .entries()
        .expect("entries")
        .map(|entry| entry.expect("an entry"));
    let read = |mut entry: tar::Entry<'_, &[u8]>| {
        let mut text = String::new();
        entry.read_to_string(&mut text).expect("text");
        let path = entry.path().expect("a path").display().to_string();
        (path, (entry.header().mode().expect("a mode") & 0o777, text))
    };
    entries
        .filter(|entry| entry.header().entry_type().is_file())
        .map(read)
        .collect()
}

#[tokio::test]
async fn what_a_configuration_names_is_in_the_container_and_judged() {
    let Some(mut here) = Contained::new("named") else {
        return;
    };
    let directory = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).expect("a file");
    let config = |comment: &str| {
        format!(
            "{comment}\n[registry.\"r:5\"]\n ca = ['ca.pem']\n[[registry.'r:5'.keypair]]\n key = '~/key.pem'\n cert = '{}/cert.pem'\n",
            directory.path().display()
        )
    };
    for name in ["ca.pem", "key.pem", "cert.pem"] {
        write(name, name);
    }
    write("buildkitd.toml", &config(""));
    here.config.config = Some(directory.path().join("buildkitd.toml"));
    here.config.home = Some(directory.path().to_owned());
    here.endpoint().await.expect("an endpoint");
    let (created, volume) = (here.id().await, here.volume_created().await);
    let found = files(&here, "/etc/buildkit").await;
    let file = |name: &str| found.get(&format!("buildkit/{name}")).cloned().expect(name);
    assert_eq!(file("certs/r:5/ca.0.pem"), (0o644, "ca.pem".to_owned()));
    assert_eq!(file("certs/r:5/keypair.0.cert.pem"), (0o644, "cert.pem".to_owned()));
    assert_eq!(file("certs/r:5/keypair.0.key.pem"), (0o600, "key.pem".to_owned()));
    let (mode, toml) = file("buildkitd.toml");
    assert_eq!(mode, 0o644);
    for path in ["ca.0.pem", "keypair.0.cert.pem", "keypair.0.key.pem"] {
        assert!(toml.contains(&format!("\"/etc/buildkit/certs/r:5/{path}\"")), "{toml}");
    }

    // What means the same is the same.
    write(
        "buildkitd.toml",
        &config("# another comment\n\n").replace(" ca = ", "   ca= "),
    );
    here.endpoint().await.expect("kept");
    assert_eq!(here.id().await, created);
    // A file that it names is part of it.
    write("ca.pem", "another authority");
    here.endpoint().await.expect("replaced");
    assert_ne!(here.id().await, created);
    assert_eq!(here.volume_created().await, volume, "its state is kept");
    let found = files(&here, "/etc/buildkit/certs").await;
    assert_eq!(found["certs/r:5/ca.0.pem"].1, "another authority");

    // And without it, nothing of it is left.
    here.config.config = None;
    here.endpoint().await.expect("replaced");
    assert_eq!(here.volume_created().await, volume);
    here.end().await;
}

#[tokio::test]
async fn a_file_that_is_not_there_is_missed_before_anything_is_begun() {
    let Some(here) = Contained::new("missing") else { return };
    let workshop = Workshop::new();
    package(&workshop, "busybox:1.37");
    let check = |text: &str, words: &[&str]| {
        workshop.write("buildkitd.toml", text);
        here.build(&workshop, &["--builder-config", "buildkitd.toml", "p"])
            .failed(2, words);
    };
    check(
        "[registry.'example.org']\nca = ['certs/none.pem']\n",
        &["registry.\"example.org\".ca[0]", "certs/none.pem", "No such file"],
    );
    check("this is = not [ toml", &["buildkitd.toml is not TOML", "line 1"]);
    here.build(&workshop, &["--cert-file", "none.pem", "p"])
        .failed(2, &["none.pem", "No such file"]);
    assert!(!here.is_there().await);
}

#[tokio::test]
async fn the_container_pulls_from_a_registry_with_an_own_authority() {
    let (Some(here), Some(registry)) = (Contained::new("tls"), Registry::with_tls()) else {
        return;
    };
    let workshop = Workshop::new();
    package(&workshop, &registry.image());
    let distrusted = here.build(&workshop, &["p"]);
    assert_ne!(distrusted.code, 0);
    assert!(distrusted.stderr.contains("x509"), "{}", distrusted.stderr);

    // By the file, which names it relative to itself.
    std::fs::copy(registry.authority(), workshop.path().join("home/ca.pem")).expect("a copy");
    let config = workshop.path().join("home/buildkitd.toml");
    std::fs::write(&config, format!("[registry.'{}']\nca = ['ca.pem']\n", registry.host)).expect("a file");
    let trusted = here.build(&workshop, &["--builder-config", config.to_str().expect("a path"), "p"]);
    assert!(
        trusted
            .stderr
            .contains("keeping its state: it has no configuration, and one is wanted"),
        "{}",
        trusted.stderr
    );
    trusted.done();
    // By a flag that names no registry.
    let authority = registry.authority();
    let authority = authority.to_str().expect("a path");
    let given = here.build(&workshop, &["--cert-file", authority, "p"]);
    assert!(
        given.stderr.contains("keeping its state: its configuration changed"),
        "{}",
        given.stderr
    );
    given.done();
    here.end().await;
}

#[tokio::test]
async fn the_container_shows_its_certificate_to_a_registry_that_asks_for_one() {
    let (Some(here), Some(registry)) = (Contained::new("mutual"), Registry::with_mutual_tls()) else {
        return;
    };
    let workshop = Workshop::new();
    package(&workshop, &registry.image());
    let authority = registry.authority();
    let unknown = here.build(&workshop, &["--cert-file", authority.to_str().expect("a path"), "p"]);
    assert_ne!(unknown.code, 0, "without a certificate of its own it is refused");
    let text = format!(
        "[registry.'{}']\nca = ['{}']\n[[registry.'{}'.keypair]]\nkey = '{}'\ncert = '{}'\n",
        registry.host,
        authority.display(),
        registry.host,
        registry.file("client.key").display(),
        registry.file("client.cert").display(),
    );
    workshop.write("buildkitd.toml", &text);
    here.build(&workshop, &["--builder-config", "buildkitd.toml", "p"])
        .done();
    // All of it in a directory, as Docker has them.
    let directory = workshop.path().join("home/certs.d/r");
    std::fs::create_dir_all(&directory).expect("a directory");
    for (from, to) in [
        ("ca.pem", "ca.crt"),
        ("client.cert", "client.cert"),
        ("client.key", "client.key"),
    ] {
        std::fs::copy(registry.file(from), directory.join(to)).expect("a copy");
    }
    workshop.write(
        "buildkitd.toml",
        &format!(
            "[registry.'{}']\ntlsconfigdir = ['~/certs.d/r', '/nowhere']\n",
            registry.host
        ),
    );
    let build = || here.build(&workshop, &["--builder-config", "buildkitd.toml", "p"]);
    let run = build();
    assert!(run.stderr.contains("its configuration changed"), "{}", run.stderr);
    run.done();
    let run = build();
    assert!(!run.stderr.contains("replacing"), "{}", run.stderr);
    run.done();
    std::fs::write(directory.join("note.txt"), "nobody reads it").expect("a file");
    let run = build();
    assert!(!run.stderr.contains("replacing"), "{}", run.stderr);
    std::fs::copy(registry.file("ca.pem"), directory.join("more.crt")).expect("a copy");
    let run = build();
    assert!(run.stderr.contains("its configuration changed"), "{}", run.stderr);
    run.done();
    here.end().await;
}

#[tokio::test]
async fn the_container_pulls_through_a_mirror() {
    let (Some(here), Some(registry)) = (Contained::new("mirror"), server("LKPKG_TEST_REGISTRY_BRIDGE")) else {
        return;
    };
    // Without the base images in the cache, they come from the mirror, or from nowhere.
    let workshop = Workshop::new();
    package(&workshop, "busybox:1.37");
    let mirror = format!("http://{registry}");
    here.build(&workshop, &["--mirror", &mirror, "p"]).done();
    let id = here.id().await;
    // The same in other words, and from elsewhere.
    let named = format!("docker.io={mirror}");
    here.build(&workshop, &["--mirror", &named, "p"]).done();
    let mut command = here.command(&workshop, &["p"]);
    Run::of(
        command
            .env("LINUXKIT_MIRROR", &mirror)
            .output()
            .expect("the program runs"),
    )
    .done();
    assert_eq!(here.id().await, id, "nothing has changed");
    let found = files(&here, "/etc/buildkit/buildkitd.toml").await;
    let toml = &found["buildkitd.toml"].1;
    assert!(
        toml.contains(&format!("[registry.\"{registry}\"]\nhttp = true")),
        "{toml}"
    );

    let loopback = here.build(
        &workshop,
        &["--mirror", &mirror, "--mirror", "ghcr.io=http://localhost:5000", "p"],
    );
    assert!(
        loopback
            .stderr
            .contains("the mirror http://localhost:5000 is on the loopback"),
        "{}",
        loopback.stderr
    );
    loopback.done();
    assert_eq!(here.id().await, id, "what was left out is no change");
    here.end().await;
}

#[tokio::test]
async fn a_buildkitd_of_our_own_is_told_the_same() {
    let (Some(buildkitd), Some(plain)) = (server("LKPKG_BUILDKITD"), server("LKPKG_TEST_REGISTRY")) else {
        return;
    };
    let Some(registry) = Registry::with_tls() else { return };
    let workshop = Workshop::new();
    let state = workshop.cache().join("buildkitd");
    let build = |arguments: &[&str]| {
        let all = [
            &["build", "--sbom-scanner=false", "--builders", "local", "p"],
            arguments,
        ]
        .concat();
        workshop.run_with("LKPKG_BUILDKITD", &buildkitd, &all)
    };
    package(&workshop, "busybox:1.37");
    build(&["--mirror", &format!("http://{plain}")]).done();
    assert!(state.join("config").read_dir().expect("a directory").next().is_some());
    // Idle by now, it is restarted for another configuration.
    package(&workshop, &registry.image());
    let authority = registry.authority();
    let authority = authority.to_str().expect("a path");
    let trusted = build(&["--cert-file", authority]);
    assert!(
        trusted
            .stderr
            .contains("restarting buildkitd: its configuration changed"),
        "{}",
        trusted.stderr
    );
    trusted.done();
    let pid = std::fs::read_to_string(state.join("buildkitd.pid")).expect("a pid file");
    let pid = rustix::process::Pid::from_raw(pid.trim().parse().expect("a number")).expect("a process ID");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a signal");
    until("it has ended", || !state.join("buildkitd.pid").exists()).await;
}

#[tokio::test]
async fn what_the_own_buildkitd_gets_is_private() {
    let Some(buildkitd) = server("LKPKG_BUILDKITD") else {
        return;
    };
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name);
    for (name, text) in [
        (
            "buildkitd.toml",
            "registry.r.keypair = [{ key = 'key.pem', cert = 'cert.pem' }]\n",
        ),
        ("key.pem", "key"),
        ("cert.pem", "cert"),
    ] {
        std::fs::write(path(name), text).expect("a file");
    }
    let mut local = Local::new(env!("CARGO_BIN_EXE_lkpkg"), path("state")).with_programs(
        Some(Path::new(&buildkitd)),
        &std::env::var_os("PATH").unwrap_or_default(),
    );
    local.idle = Duration::from_secs(1);
    let config = BuilderConfig {
        config: Some(path("buildkitd.toml")),
        ..BuilderConfig::default()
    };
    let endpoint = endpoint_at(&Where::Local(local.clone()), &config)
        .await
        .expect("an endpoint");
    let written = path("state/config").read_dir().expect("a directory").next();
    let written = written.expect("a configuration").expect("an entry").path();
    let key = written.join("certs/r/keypair.0.key.pem");
    let mode = std::os::unix::fs::MetadataExt::mode(&key.metadata().expect("a file"));
    assert_eq!(mode & 0o777, 0o600);
    let toml = std::fs::read_to_string(written.join("buildkitd.toml")).expect("a file");
    assert!(toml.contains(&format!("\"{}\"", key.display())), "{toml}");
    drop(endpoint);
    until("it has ended", || !path("state/buildkitd.pid").exists()).await;
}
