//! Looking after builders by the program: seen, stopped, removed, read, started.

use super::contained::Contained;
use super::*;
use crate::program::{Run, Workshop};
use lkpkg::builder::Local;
use serde_json::Value;

/// A builder in the Docker daemon of the tests, and the program.
struct Bench {
    here: Contained,
    workshop: Workshop,
}

impl Bench {
    fn new(name: &str) -> Option<Self> {
        Some(Self {
            here: Contained::new(name)?,
            workshop: Workshop::new(),
        })
    }

    fn run(&self, arguments: &[&str]) -> Run {
        let Where::DockerContainer { docker } = &self.here.place else {
            unreachable!("it is in a Docker daemon")
        };
        let mut command = self.workshop.command(arguments);
        command
            .args(["--builders", "docker-container"])
            .env("DOCKER_HOST", &docker.address)
            .env("LINUXKIT_BUILDER_NAME", &self.here.config.name);
        Run::of(command.output().expect("the program runs"))
    }

    /// What `ls` says of the only builder.
    fn seen(&self) -> Value {
        only(self.run(&["builder", "ls", "--format", "json"]))
    }
}

/// The only object that a verb writes.
fn only(run: Run) -> Value {
    let text = run.done();
    let mut all: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    assert_eq!(all.len(), 1, "{text}");
    all.remove(0)
}

/// A `buildkitd` of our own, in the cache of a workshop, which ends with it.
struct Own {
    workshop: Workshop,
    buildkitd: String,
}

impl Own {
    fn new() -> Option<Self> {
        let buildkitd = server("LKPKG_BUILDKITD")?;
        let workshop = Workshop::new();
        Some(Self { workshop, buildkitd })
    }

    fn run(&self, arguments: &[&str]) -> Run {
        let arguments = [arguments, &["--builders", "local"]].concat();
        self.workshop.run_with("LKPKG_BUILDKITD", &self.buildkitd, &arguments)
    }

    fn seen(&self) -> Value {
        only(self.run(&["builder", "ls", "--format", "json"]))
    }

    /// Where it keeps its files.
    fn state(&self) -> PathBuf {
        self.workshop.cache().join("buildkitd")
    }

    /// A use of it by this process.
    async fn endpoint(&self) -> Endpoint {
        let search_path = std::env::var_os("PATH").unwrap_or_default();
        let local = Local::new(env!("CARGO_BIN_EXE_lkpkg"), self.state())
            .with_programs(Some(Path::new(&self.buildkitd)), &search_path);
        let endpoint = endpoint_at(&Where::Local(local), &BuilderConfig::default()).await;
        endpoint.expect("an endpoint")
    }
}

impl Drop for Own {
    /// A test that fails leaves no daemon behind.
    fn drop(&mut self) {
        self.run(&["builder", "rm", "--force"]);
    }
}

#[tokio::test]
async fn a_container_is_seen_as_it_is() {
    let Some(bench) = Bench::new("seen") else { return };
    let seen = bench.seen();
    assert_eq!(seen["builder"], bench.here.config.name.as_str());
    assert_eq!(seen["kind"], "docker-container");
    assert_eq!(seen["status"], "absent", "{seen}");
    assert!(!bench.here.is_there().await, "none is made");

    drop(bench.here.endpoint().await.expect("an endpoint"));
    let seen = bench.seen();
    assert_eq!(seen["status"], "running", "{seen}");
    assert!(seen["version"].as_str().expect("a version").starts_with('v'), "{seen}");
    assert_eq!(seen["native"][0], Platform::host().to_string(), "{seen}");
    let text = bench.run(&["pkg", "builder", "ls"]).done();
    assert_eq!(text.lines().count(), 2, "a heading and one builder: {text}");
    assert!(text.contains(" running "), "{text}");

    let id = bench.here.id().await;
    let stop = None::<bollard::query_parameters::StopContainerOptions>;
    bench.here.docker.stop_container(&id, stop).await.expect("stopped");
    assert_eq!(bench.seen()["status"], "stopped");
    bench.here.end().await;

    // One of someone else's is named as what it is.
    let Some(bench) = Bench::new("seen-foreign") else {
        return;
    };
    bench.here.create_foreign(false, Default::default()).await;
    let seen = bench.seen();
    assert_eq!(seen["status"], "foreign");
    assert!(
        seen["reason"]
            .as_str()
            .expect("a reason")
            .starts_with("it runs \"buildkitd\" of the image "),
        "{seen}"
    );
    let text = bench.run(&["builder", "ls"]).done();
    assert!(text.contains(" foreign: it runs "), "{text}");
    bench.here.end().await;
}

#[test]
fn a_builder_that_does_not_answer_is_listed_with_the_reason() {
    let workshop = Workshop::new();
    let run = workshop.run(&[
        "builder",
        "ls",
        "--builders",
        "unix:///nowhere/b.sock,linux/arm64=tcp://127.0.0.1:1",
    ]);
    let text = run.done();
    assert_eq!(text.lines().count(), 3, "{text}");
    for name in ["unix:///nowhere/b.sock", "tcp://127.0.0.1:1"] {
        let line = text.lines().find(|line| line.starts_with(name)).expect("a line");
        assert!(line.contains("unreachable: no BuildKit answers"), "{line}");
    }
}

#[test]
fn our_own_buildkitd_is_seen_and_not_started() {
    let Some(own) = Own::new() else { return };
    assert_eq!(own.seen()["status"], "absent");
    assert!(!own.workshop.cache().join("buildkitd").exists());
}

#[tokio::test]
async fn a_container_is_started_stopped_and_removed() {
    let Some(bench) = Bench::new("verbs") else { return };
    let name = bench.here.config.name.clone();
    // Where there is none, there is nothing to do, and nothing to read.
    bench.run(&["builder", "stop"]).done();
    bench.run(&["builder", "rm"]).done();
    bench.run(&["builder", "logs"]).failed(3, &["there is no container"]);

    let run = bench.run(&["builder", "start"]);
    assert!(
        run.stderr.contains("BuildKit v") && run.stderr.contains("creating the container"),
        "{}",
        run.stderr
    );
    run.done();
    let (id, volume) = (bench.here.id().await, bench.here.volume_created().await);
    assert_eq!(bench.seen()["status"], "running");
    let log = bench.run(&["builder", "logs"]).done();
    assert!(log.contains("running server on"), "{log}");

    let run = bench.run(&["pkg", "builder", "stop"]);
    assert!(
        run.stderr.contains(&format!("stopping the container {name}")),
        "{}",
        run.stderr
    );
    assert_eq!(run.done(), "");
    assert_eq!(bench.seen()["status"], "stopped");
    let run = bench.run(&["builder", "stop"]);
    assert!(run.stderr.contains("is stopped already"), "{}", run.stderr);
    run.done();
    // A log can be read of what has stopped.
    assert!(bench.run(&["builder", "logs"]).done().contains("running server on"));

    bench.run(&["builder", "start"]).done();
    assert_eq!(bench.here.id().await, id, "it is started and not replaced");
    bench.run(&["builder", "rm", "--keep-state"]).done();
    assert!(!bench.here.is_there().await);
    bench.run(&["builder", "start"]).done();
    assert_eq!(bench.here.volume_created().await, volume, "its state was kept");

    bench.run(&["builder", "rm"]).done();
    assert!(!bench.here.is_there().await);
    assert!(!has_volume(&bench.here).await);
    assert_eq!(bench.seen()["status"], "absent");

    // State that was left behind goes as well.
    bench.run(&["builder", "start"]).done();
    bench.run(&["builder", "rm", "--keep-state"]).done();
    bench.run(&["builder", "rm"]).done();
    assert!(!has_volume(&bench.here).await);
}

async fn has_volume(here: &Contained) -> bool {
    here.docker
        .inspect_volume(&format!("{}-state", here.config.name))
        .await
        .is_ok()
}

#[tokio::test]
async fn a_container_in_which_somebody_builds_is_left_alone() {
    let Some(bench) = Bench::new("busy") else { return };
    let endpoint = bench.here.endpoint().await.expect("an endpoint");
    let id = bench.here.id().await;
    let who = format!("process {} on ", std::process::id());
    bench
        .run(&["builder", "stop"])
        .failed(4, &["is not stopped", &who, " builds in it", "--force"]);
    bench
        .run(&["builder", "rm"])
        .failed(4, &["is not removed", &who, "--force"]);
    assert_eq!(bench.here.id().await, id);
    assert_eq!(bench.seen()["status"], "running");
    bench.run(&["builder", "stop", "--force"]).done();
    assert_eq!(bench.seen()["status"], "stopped");
    drop(endpoint);

    let endpoint = bench.here.endpoint().await.expect("an endpoint");
    bench.run(&["builder", "rm", "--force"]).done();
    assert!(!bench.here.is_there().await && !has_volume(&bench.here).await);
    drop(endpoint);
}

#[tokio::test]
async fn a_container_of_someone_else_is_not_touched() {
    let Some(bench) = Bench::new("not-ours") else { return };
    bench.here.create_foreign(false, Default::default()).await;
    let id = bench.here.id().await;
    for arguments in [
        &["builder", "stop", "--force"][..],
        &["builder", "rm", "--force"],
        &["builder", "logs"],
        &["builder", "start"],
    ] {
        let verb = arguments[1];
        let is_start = verb == "start";
        let help = match is_start {
            true => "--builder-restart replaces".to_owned(),
            false => format!("docker {verb} {}", bench.here.config.name),
        };
        let run = bench.run(arguments).failed(2, &["is left alone", &help]);
        assert_eq!(run.stderr.contains("--builder-restart"), is_start, "{}", run.stderr);
    }
    assert_eq!(bench.here.id().await, id);
    bench.here.end().await;
}

#[test]
fn what_is_only_dialled_is_not_ours_to_look_after() {
    let Some(address) = server("LKPKG_TEST_BUILDKIT") else {
        return;
    };
    let workshop = Workshop::new();
    for verb in ["start", "stop", "rm", "logs"] {
        for place in [&address, "tcp://127.0.0.1:1", "docker-container://b", "docker://"] {
            let run = workshop.run(&["builder", verb, "--builders", place]);
            run.failed(2, &["cannot be", "someone else looks after it"]);
        }
    }
    // None of several is touched when one of them is not ours.
    let both = format!("local,{address}");
    workshop
        .run(&["builder", "stop", "--builders", &both])
        .failed(2, &["cannot be stopped"]);
}

// On several threads: a connection that is dropped is closed by another task than the one that waits for the program.
#[tokio::test(flavor = "multi_thread")]
async fn our_own_buildkitd_is_started_stopped_and_removed() {
    let Some(own) = Own::new() else { return };
    own.run(&["builder", "stop"]).done();
    own.run(&["builder", "rm"]).done();
    own.run(&["builder", "logs"]).failed(3, &["there is no buildkitd in"]);
    assert!(!own.workshop.cache().join("buildkitd").exists());

    own.run(&["builder", "start"]).done();
    let seen = own.seen();
    assert_eq!(
        (&seen["kind"], &seen["status"]),
        (&"local".into(), &"running".into()),
        "{seen}"
    );
    assert!(own.run(&["builder", "logs"]).done().contains("running server on"));

    let endpoint = own.endpoint().await;
    let who = format!("process {} builds in it", std::process::id());
    own.run(&["builder", "stop"])
        .failed(4, &["buildkitd is not stopped", &who, "--force"]);
    own.run(&["builder", "rm"])
        .failed(4, &["buildkitd is not removed", &who]);
    assert_eq!(own.seen()["status"], "running");
    drop(endpoint);

    own.run(&["builder", "stop"]).done();
    assert_eq!(own.seen()["status"], "stopped");
    assert!(!own.state().join("buildkitd.pid").exists());
    own.run(&["builder", "stop"]).done();
    own.run(&["builder", "rm", "--keep-state"]).done();
    assert!(own.state().join("root").exists());

    // By force even what is used ends.
    let endpoint = own.endpoint().await;
    own.run(&["builder", "rm", "--force"]).done();
    drop(endpoint);
    assert_eq!(own.seen()["status"], "absent");
    let mut left: Vec<_> = std::fs::read_dir(own.state()).expect("a directory").flatten().collect();
    left.retain(|entry| !entry.file_name().to_string_lossy().ends_with(".lock"));
    assert!(left.is_empty(), "{left:?}");
    // It can be started again.
    own.run(&["builder", "start"]).done();
    assert_eq!(own.seen()["status"], "running");
    own.run(&["builder", "rm"]).done();
}

#[tokio::test]
async fn a_container_is_inspected_with_what_a_build_would_do() {
    let Some(bench) = Bench::new("inspect") else { return };
    let inspect = |more: &[&str]| {
        let arguments = [&["builder", "inspect", "--format", "json"], more].concat();
        only(bench.run(&arguments))
    };
    let found = inspect(&[]);
    assert_eq!(
        (&found["status"], &found["build_would"]),
        (&"absent".into(), &"create".into())
    );
    assert!(
        found["image"].is_null() && found["workers"] == Value::Array(Vec::new()),
        "{found}"
    );
    assert!(!bench.here.is_there().await, "none is made");

    drop(bench.here.endpoint().await.expect("an endpoint"));
    let id = bench.here.id().await;
    let found = inspect(&[]);
    assert_eq!(
        (&found["status"], &found["build_would"]),
        (&"running".into(), &"keep".into())
    );
    assert_eq!(found["image"], builder::DEFAULT_IMAGE);
    assert_eq!(found["state"], format!("{}-state", bench.here.config.name));
    assert!(
        found["workers"][0]["labels"]["org.mobyproject.buildkit.worker.executor"].is_string(),
        "{found}"
    );

    // What would be replaced, and why, and whether its state goes.
    let why = |found: &Value| {
        assert_eq!(
            (&found["status"], &found["build_would"]),
            (&"running".into(), &"replace".into())
        );
        found["why"].as_str().expect("a reason").to_owned()
    };
    let other = why(&inspect(&["--builder-image", "other:1"]));
    assert!(other.contains("wanted is other:1; removing its state"), "{other}");
    let path = bench.workshop.path().join("buildkitd.toml");
    std::fs::write(&path, CONFIGURATION).expect("a file");
    let config = path.to_str().expect("a path");
    let found = inspect(&["--builder-config", config]);
    assert!(
        why(&found).contains("no configuration, and one is wanted; keeping its state"),
        "{found}"
    );
    assert!(
        found["configuration"].is_null() && found["wanted_configuration"].is_string(),
        "{found}"
    );
    assert_eq!(bench.here.id().await, id, "nothing is replaced");

    // With that configuration it is as it should be, and one without has drifted.
    bench.run(&["builder", "start", "--builder-config", config]).done();
    let found = inspect(&["--builder-config", config]);
    assert_eq!(found["build_would"], "keep");
    assert_eq!(found["configuration"], found["wanted_configuration"]);
    assert!(why(&inspect(&[])).contains("has a configuration, and none is wanted"));

    bench.run(&["builder", "stop"]).done();
    let text = bench
        .run(&["pkg", "builder", "inspect", "--builder-config", config])
        .done();
    assert!(
        text.contains("a build would  start it") && text.contains("stopped"),
        "{text}"
    );
    bench
        .run(&["builder", "inspect", "--builder-config", "nowhere.toml"])
        .failed(2, &["nowhere.toml"]);
    bench.run(&["builder", "rm"]).done();
}

#[test]
fn our_own_buildkitd_is_inspected() {
    let Some(own) = Own::new() else { return };
    let inspect = |more: &[&str]| {
        let arguments = [&["builder", "inspect", "--format", "json"], more].concat();
        only(own.run(&arguments))
    };
    assert_eq!(inspect(&[])["build_would"], "create");
    assert!(!own.state().exists());
    own.run(&["builder", "start"]).done();
    let found = inspect(&[]);
    assert_eq!(
        (&found["status"], &found["build_would"]),
        (&"running".into(), &"keep".into())
    );
    assert_eq!(found["image"], own.buildkitd.as_str());
    assert_eq!(found["workers"].as_array().expect("workers").len(), 1);
    let path = own.workshop.path().join("buildkitd.toml");
    std::fs::write(&path, CONFIGURATION).expect("a file");
    let found = inspect(&["--builder-config", path.to_str().expect("a path")]);
    assert_eq!(
        (&found["status"], &found["build_would"]),
        (&"running".into(), &"replace".into())
    );
    own.run(&["builder", "stop"]).done();
    assert_eq!(inspect(&[])["build_would"], "start");
}

#[test]
fn what_is_only_dialled_is_inspected_as_it_answers() {
    let Some(address) = server("LKPKG_TEST_BUILDKIT") else {
        return;
    };
    let workshop = Workshop::new();
    let inspect = ["builder", "inspect", "--format", "json", "--builders"];
    let found = only(workshop.run(&[&inspect[..], &[&address]].concat()));
    assert_eq!(found["status"], "running");
    assert!(
        found["build_would"].is_null() && !found["workers"][0]["id"].is_null(),
        "{found}"
    );
    let found = only(workshop.run(&[&inspect[..], &["unix:///nowhere/b.sock"]].concat()));
    assert_eq!(found["status"], "unreachable");
}
