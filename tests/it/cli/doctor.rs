//! `lkpkg doctor` on real registries, builders and disks.

use super::*;
use crate::registry::daemon::{Bed, PASSWORD, USER};
use crate::servers::{SmallDisk, server, until};
use bollard::query_parameters::{ListContainersOptionsBuilder, RemoveContainerOptionsBuilder, RemoveVolumeOptions};
use bollard::{API_DEFAULT_VERSION, Docker};
use lkpkg::builder::{self, BuilderConfig, Local, Where};
use lkpkg::event::{CancellationToken, Events};
use lkpkg::fsx::FileLock;
use lkpkg::oci::Platform;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Somebody's machine: what doctor says there, and that it says no secret and makes nothing.
struct Machine {
    workshop: Workshop,
    /// Variables that are set.
    variables: Vec<(&'static str, String)>,
}

impl Machine {
    fn new() -> Self {
        Self {
            workshop: Workshop::new(),
            variables: Vec::new(),
        }
    }

    /// One with the builder of the test bed. None after a SKIP line.
    fn with_builder() -> Option<Self> {
        let mut machine = Self::new();
        machine.workshop.build_on(&server("LKPKG_TEST_BUILDKIT")?);
        Some(machine)
    }

    fn doctor(&self, arguments: &[&str]) -> Run {
        let mut command = self.workshop.command(&[&["doctor"], arguments].concat());
        command.envs(self.variables.iter().map(|(name, value)| (*name, value)));
        let run = Run::of(command.output().unwrap());
        for secret in [PASSWORD, "wrong-s3cret"] {
            assert!(!run.stdout.contains(secret) && !run.stderr.contains(secret), "{run:?}");
        }
        assert!(!run.stdout.contains('\x1b'), "{}", run.stdout);
        run
    }
}

/// The line about something, with its hint.
#[track_caller]
fn line(run: &Run, about: &str) -> String {
    let mut lines = run.stdout.lines().skip_while(|line| !line.contains(about));
    let first = lines.next().unwrap_or_else(|| panic!("nothing about {about}: {run:?}"));
    let hint = lines.next().filter(|line| line.starts_with("hint "));
    format!("{first}\n{}", hint.unwrap_or_default())
}

#[track_caller]
fn says(run: &Run, about: &str, words: &[&str]) {
    let line = line(run, about);
    for word in words {
        assert!(line.contains(word), "{word}: {line}");
    }
}

fn credentials(host: &str, password: &str) -> String {
    format!("--registry-creds={host}={USER}:{password}")
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_tried_and_their_place_is_told() {
    let Some(bed) = Bed::start().await else { return };
    let Some(mut machine) = Machine::with_builder() else {
        return;
    };
    let registry = bed.with_passwords().await;
    let host = registry.host();
    let about = format!("registry {host}");
    let named = ["--registry", host];

    let right = credentials(host, PASSWORD);
    let run = machine.doctor(&[&named[..], &[&right]].concat());
    let from_flag = "answers without TLS, and accepts the password of me from --registry-creds";
    says(&run, &about, &["ok ", from_flag]);
    run.done();
    let run = machine.doctor(&[&named[..], &[&credentials(host, "wrong-s3cret")]].concat());
    says(
        &run,
        &about,
        &[
            "failed ",
            "refuses the password of me",
            "hint ",
            &format!("docker login {host}"),
        ],
    );
    run.failed(3, &["1 of 5 checks failed"]);
    let run = machine.doctor(&named);
    says(
        &run,
        &about,
        &["failed ", "wants credentials, and there are none", "--registry-creds"],
    );
    run.failed(3, &[]);

    // Without a name, those that Docker's configuration knows: from a file, a variable, and a helper.
    let home = machine.workshop.path().join("docker");
    fs::create_dir(&home).unwrap();
    let file = home.join("config.json");
    let entry = format!(r#"{{"auths":{{"{host}":{{"username":"{USER}","password":"{PASSWORD}"}}}}}}"#);
    machine.variables.push(("DOCKER_CONFIG", home.display().to_string()));
    fs::write(&file, &entry).unwrap();
    let run = machine.doctor(&[]);
    says(&run, &about, &["ok ", &format!("from {}", file.display())]);
    run.done();

    let program = home.join("docker-credential-test");
    let script = format!(
        "#!/bin/sh\ncase $1 in list) echo '{{}}' ;; get) cat >/dev/null; echo '{{\"ServerURL\":\"{host}\",\"Username\":\"{USER}\",\"Secret\":\"{PASSWORD}\"}}' ;; esac\n"
    );
    crate::program::write_program(&program, &script);
    fs::write(&file, format!(r#"{{"credHelpers":{{"{host}":"test"}}}}"#)).unwrap();
    let run = machine.doctor(&[]);
    says(
        &run,
        "helper docker-credential-test",
        &["failed ", "is not on PATH", "install it"],
    );
    says(&run, &about, &["failed ", "cannot run docker-credential-test"]);
    run.failed(3, &[]);
    let path = std::env::var("PATH").unwrap();
    machine.variables.push(("PATH", format!("{}:{path}", home.display())));
    let run = machine.doctor(&[]);
    says(
        &run,
        "helper docker-credential-test",
        &["ok ", &program.display().to_string()],
    );
    says(&run, &about, &["ok ", "from docker-credential-test, which "]);
    run.done();

    fs::write(&file, "{").unwrap();
    machine.variables.push(("DOCKER_AUTH_CONFIG", entry));
    let run = machine.doctor(&named);
    says(
        &run,
        "helper Docker's configuration",
        &["failed ", "config.json", "line 1"],
    );
    says(&run, &about, &["ok ", "from DOCKER_AUTH_CONFIG"]);
    run.failed(3, &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn pushing_is_tried_and_leaves_nothing() {
    let Some(bed) = Bed::start().await else { return };
    let Some(machine) = Machine::with_builder() else { return };
    let Some(registry) = bed.with_tokens().await else {
        return;
    };
    let host = registry.host();
    let build_yml = format!(
        "org: {host}/org\nimage: x\ntag: \"1\"\narches: [{}]\n",
        Platform::host().architecture
    );
    machine.workshop.package("p", &build_yml, "FROM scratch\nCOPY . /\n");
    let right = credentials(host, PASSWORD);
    let run = machine.doctor(&["--push", &right, "p"]);
    says(
        &run,
        &format!("registry {host}"),
        &["ok ", "accepts the password of me"],
    );
    says(
        &run,
        &format!("image {host}/org/x:1:"),
        &["ok ", "is there and can be read"],
    );
    says(&run, &format!("image {host}/org/x: "), &["ok ", "may be pushed to"]);
    run.done();
    let uploads = bed
        .path()
        .join("storage/docker/registry/v2/repositories/org/x/_uploads");
    // docker-registry 2.8 leaves a directory of its own behind each cancelled upload; the upload is what begins with this.
    let left = fs::read_dir(&uploads).into_iter().flatten().flatten();
    let left = left.filter(|one| one.path().join("startedat").exists()).count();
    assert_eq!(left, 0, "an upload was left");
    let run = machine.doctor(&["--push", "p"]);
    says(
        &run,
        &format!("image {host}/org/x: "),
        &["failed ", "may not be pushed to", "log in to"],
    );
    run.failed(3, &[]);
    // Who does not push need not be let in; who reads a package that is not there yet builds it.
    let run = machine.doctor(&["p"]);
    says(
        &run,
        &format!("image {host}/org/x:1:"),
        &["warning ", "no such repository yet"],
    );
    run.done();
}

#[tokio::test(flavor = "multi_thread")]
async fn images_of_dockerfiles_are_looked_for() {
    let Some(bed) = Bed::start().await else { return };
    let Some(machine) = Machine::with_builder() else { return };
    let host = bed.plain();
    let build_yml = format!(
        "org: {host}/test\nimage: p\narches: [{}]\n",
        Platform::host().architecture
    );
    let dockerfile = |image: &str| format!("FROM {image}\nRUN true\n");
    machine
        .workshop
        .package("p", &build_yml, &dockerfile(&format!("{host}/org/x:1")));
    let run = machine.doctor(&["p"]);
    says(&run, &format!("image {host}/org/x:1:"), &["ok ", "can be read"]);
    says(&run, &format!("image {host}/test/p:"), &["ok ", "is not there yet"]);
    run.done();
    machine
        .workshop
        .package("p", &build_yml, &dockerfile(&format!("{host}/org/x:2")));
    let run = machine.doctor(&["p"]);
    says(
        &run,
        &format!("image {host}/org/x:2:"),
        &["failed ", "has no such image", "cache import"],
    );
    run.failed(3, &[]);
    // A registry that is out of reach stops a run, unless a mirror stands in for it.
    machine
        .workshop
        .package("p", &build_yml, &dockerfile("registry.invalid/org/x:1"));
    let run = machine.doctor(&["p"]);
    says(
        &run,
        "registry registry.invalid:",
        &["failed ", "cannot reach", "--mirror"],
    );
    run.failed(3, &[]);
    let mirror = format!("--mirror=registry.invalid=http://{host}");
    let run = machine.doctor(&[&mirror, "p"]);
    says(
        &run,
        &format!("mirror http://{host}:"),
        &["ok ", "for registry.invalid"],
    );
    says(&run, "registry registry.invalid:", &["warning ", "cannot reach"]);
    says(&run, "image registry.invalid/org/x:1:", &["ok ", "can be read"]);
    run.done();
    let run = machine.doctor(&["--mirror=registry.invalid=http://127.0.0.1:1", "p"]);
    says(&run, "mirror http://127.0.0.1:1:", &["warning ", "does not serve"]);
    run.failed(3, &[]);
    // What is in the cache need not be read.
    machine
        .workshop
        .run(&["cache", "pull", &mirror, "registry.invalid/org/x:1"])
        .done();
    let run = machine.doctor(&["p"]);
    says(&run, "registry registry.invalid:", &["warning ", "cannot reach"]);
    run.done();
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_read_and_believed() {
    let Some(bed) = Bed::start().await else { return };
    let Some(machine) = Machine::with_builder() else { return };
    let Some((registry, authority)) = bed.with_tls().await else {
        return;
    };
    let about = format!("registry {}", registry.host());
    let run = machine.doctor(&["--registry", registry.host()]);
    says(&run, &about, &["failed ", "not trusted", "--cert-file", "certs.d"]);
    run.failed(3, &[]);
    let file = authority.to_str().unwrap();
    let run = machine.doctor(&["--registry", registry.host(), "--cert-file", file]);
    says(&run, &about, &["ok ", "answers with TLS"]);
    says(&run, &format!("certificate {file}"), &[" ends on 20"]);
    run.done();
    let ended = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/orchestrator/doctor/ended.pem");
    let ended = ended.to_str().unwrap();
    let run = machine.doctor(&["--cert-file", ended]);
    says(
        &run,
        &format!("certificate {ended}"),
        &["failed ", "has ended on 2020-01-31", "ask whoever"],
    );
    run.failed(3, &[]);
    machine.workshop.write("no.pem", "nonsense");
    let run = machine.doctor(&[
        "--registry",
        registry.host(),
        "--cert-file",
        "no.pem",
        "--cert-file",
        file,
    ]);
    says(&run, "certificate no.pem", &["failed ", "no PEM certificate"]);
    says(&run, &about, &["ok "]);
    run.failed(3, &[]);
}

#[test]
fn nothing_is_made() {
    let Some(machine) = Machine::with_builder() else { return };
    let run = machine.doctor(&["--registry", "127.0.0.1:1"]);
    says(&run, "cache ", &["ok ", "will be made in"]);
    says(&run, "registry 127.0.0.1:1:", &["failed ", "cannot reach", "hint "]);
    run.failed(3, &["1 of 5 checks failed"]);
    assert!(!machine.workshop.cache().exists());
    assert_eq!(fs::read_dir(machine.workshop.path().join("home")).unwrap().count(), 0);
    machine.doctor(&["--registry", "a b"]).failed(2, &["names no registry"]);
    machine
        .doctor(&["--platforms", "linux/vax"])
        .failed(2, &["unknown platform"]);
    machine.doctor(&["nowhere"]).failed(2, &["nowhere"]);
}

#[test]
fn a_full_disk_a_held_cache_and_a_damaged_one_are_told() {
    let Some(disk) = SmallDisk::mount() else { return };
    let Some(machine) = Machine::with_builder() else { return };
    let path = disk.path().join("a/b");
    let run = machine.doctor(&["--cache", path.to_str().unwrap()]);
    says(
        &run,
        "GiB are free",
        &["failed ", "0.0 GiB are free, 1 GiB should be", "lkpkg cache rm"],
    );
    run.failed(3, &[]);

    machine.workshop.run(&["cache", "ls"]).done();
    let held = FileLock::exclusive(&machine.workshop.cache().join(".lkpkg.index.lock"), Duration::ZERO).unwrap();
    let run = machine.doctor(&[]);
    says(
        &run,
        "is held by",
        &["warning ", &format!("process {}", std::process::id()), "--lock-timeout"],
    );
    run.done();
    drop(held);
    says(&machine.doctor(&[]), "index.json", &["ok ", "has 0 names"]);
    fs::write(machine.workshop.cache().join("index.json"), "{").unwrap();
    let run = machine.doctor(&[]);
    says(&run, "index.json", &["failed ", "is damaged", "move the cache away"]);
    run.failed(4, &["1 of 5 checks failed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn builders_are_looked_at_and_not_started() {
    let Some(buildkit) = server("LKPKG_TEST_BUILDKIT") else {
        return;
    };
    let Some(docker) = server("LKPKG_TEST_DOCKER") else {
        return;
    };
    let Some(buildkitd) = server("LKPKG_BUILDKITD") else {
        return;
    };
    let mut machine = Machine::new();
    let host = Platform::host().to_string();
    // The test bed's buildkitd is on PATH.
    machine.variables.push(("PATH", "/usr/bin:/bin".to_owned()));
    let run = machine.doctor(&[]);
    says(
        &run,
        &format!("platform {host}"),
        &["failed ", "no Docker daemon answers", "BUILDKIT_HOST"],
    );
    run.failed(3, &[]);

    let run = machine.doctor(&["--builders", &buildkit]);
    says(
        &run,
        &format!("builder {buildkit}"),
        &["ok ", "BuildKit v0.26.3 answers"],
    );
    says(&run, &format!("platform {host}"), &["ok ", "native on"]);
    run.done();
    let run = machine.doctor(&["--builders", "unix:///nowhere/sock"]);
    says(
        &run,
        "builder unix:///nowhere/sock",
        &["failed ", "no BuildKit answers", "--builders"],
    );
    run.failed(3, &[]);

    // In Docker: the container would be created.
    let name = format!("lkpkg-it-doctor-{}", std::process::id());
    let about = format!("builder docker-container at {docker}");
    machine.variables.push(("DOCKER_HOST", docker.clone()));
    let run = machine.doctor(&["--builder-name", &name]);
    let created = format!("the container {name} will be created from moby/buildkit:v0.26.3; Docker is ");
    says(&run, &about, &["ok ", &created]);
    says(
        &run,
        &format!("platform {host}"),
        &["ok ", "native on docker-container"],
    );
    run.done();
    let run = machine.doctor(&["--builder-name", &name, "--builder-image", "moby/buildkit:none"]);
    says(
        &run,
        &about,
        &["will be created from moby/buildkit:none, which will be pulled first"],
    );
    let client = Docker::connect_with_unix(&docker, 60, API_DEFAULT_VERSION).unwrap();
    let all = ListContainersOptionsBuilder::default().all(true).build();
    let containers = client.list_containers(Some(all)).await.unwrap();
    let names = containers.into_iter().flat_map(|one| one.names.unwrap_or_default());
    assert!(!names.into_iter().any(|found| found.contains(&name)));

    // Of our own: it would be started.
    machine.variables.push(("LKPKG_BUILDKITD", buildkitd.clone()));
    let run = machine.doctor(&["--builders", "local"]);
    says(&run, "builder local", &["ok ", &format!("{buildkitd} will be started")]);
    run.done();
    assert!(!machine.workshop.cache().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn builders_that_run_are_asked() {
    let Some(docker) = server("LKPKG_TEST_DOCKER") else {
        return;
    };
    let Some(buildkitd) = server("LKPKG_BUILDKITD") else {
        return;
    };
    let mut machine = Machine::new();
    let name = format!("lkpkg-it-doctor-runs-{}", std::process::id());
    let config = BuilderConfig {
        name: name.clone(),
        ..BuilderConfig::default()
    };
    let (events, cancel) = (Events::silent(), CancellationToken::new());
    let place = Where::DockerContainer {
        docker: docker.parse().unwrap(),
    };
    drop(builder::endpoint(&place, &config, &events, &cancel).await.unwrap());
    machine.variables.push(("DOCKER_HOST", docker.clone()));
    let run = machine.doctor(&["--builder-name", &name]);
    let other = machine.doctor(&["--builder-name", &name, "--builder-image", "moby/buildkit:other"]);
    let client = Docker::connect_with_unix(&docker, 60, API_DEFAULT_VERSION).unwrap();
    let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
    client.remove_container(&name, Some(options)).await.unwrap();
    let volume = format!("{name}-state");
    client
        .remove_volume(&volume, None::<RemoveVolumeOptions>)
        .await
        .unwrap();
    let about = format!("builder docker-container at {docker}");
    says(&run, &about, &["ok ", "BuildKit v0.26.3 answers; Docker is "]);
    says(&run, "platform ", &["ok ", "native on docker-container"]);
    run.done();
    let replaced = format!("the container {name} will be replaced: it runs the image moby/buildkit:v0.26.3");
    says(&other, &about, &["ok ", &replaced]);

    let state = machine.workshop.cache().join("buildkitd");
    let local = Local::new(env!("CARGO_BIN_EXE_lkpkg"), &state);
    let local = local.with_programs(Some(Path::new(&buildkitd)), std::ffi::OsStr::new("/usr/bin:/bin"));
    let held = builder::endpoint(&Where::Local(local), &BuilderConfig::default(), &events, &cancel).await;
    machine.variables.push(("LKPKG_BUILDKITD", buildkitd));
    let run = machine.doctor(&["--builders", "local"]);
    drop(held.unwrap());
    let pid = fs::read_to_string(state.join("buildkitd.pid")).unwrap();
    let pid = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    until("buildkitd has ended", || !state.join("buildkitd.pid").exists());
    says(&run, "builder local", &["ok ", "BuildKit v0.26.3 answers"]);
    says(&run, "platform ", &["ok ", "native on local"]);
    run.done();
}

#[test]
fn programs_get_json() {
    let Some(machine) = Machine::with_builder() else { return };
    let run = machine.doctor(&["--format", "json", "--registry", "127.0.0.1:1"]);
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap();
    let registry = findings.last().unwrap();
    assert_eq!(
        [&registry["area"], &registry["subject"], &registry["verdict"]],
        ["registry", "127.0.0.1:1", "failed"]
    );
    assert!(
        registry["hint"].as_str().is_some_and(|hint| !hint.is_empty()),
        "{registry}"
    );
    assert_eq!(findings[0]["verdict"], "ok");
    assert_eq!(findings[0].get("hint"), None);
    run.failed(3, &[]);
}
