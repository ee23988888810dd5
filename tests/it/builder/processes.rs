//! Several processes of lkpkg, and others, at one container.

use super::contained::{Contained, ask_at_once};
use super::*;
use crate::program::{Running, Workshop, unique};
use bollard::exec::CreateExecOptions;
use bollard::query_parameters::ListContainersOptionsBuilder;
use lkpkg::event::Event;
use rustix::process::Signal;
use std::collections::HashMap;

const BUILD_YML: &str = "image: p\narches: [amd64]\n";

/// Long enough that another process comes and waits, short enough for a test.
const LONG_STEP: &str = "sleep 4";

/// A package whose build takes as long as `step`.
fn package(workshop: &Workshop, name: &str, step: &str) {
    let dockerfile = format!("FROM busybox:1.37\nRUN echo {} >/mark && {step}\n", unique());
    workshop.package(name, BUILD_YML, &dockerfile);
}

/// A build under way, in the middle of its step.
fn start_building(here: &Contained, workshop: &Workshop, name: &str) -> Running {
    let running = Running::start(&mut here.command(workshop, &[name]));
    running.until_said("RUN echo");
    running
}

/// IDs of the containers that were made for this builder.
async fn containers(here: &Contained) -> Vec<String> {
    let filters = HashMap::from([("label", vec![format!("lkpkg.builder.name={}", here.config.name)])]);
    let options = ListContainersOptionsBuilder::default()
        .all(true)
        .filters(&filters)
        .build();
    let found = here.docker.list_containers(Some(options)).await.expect("containers");
    found.into_iter().filter_map(|one| one.id).collect()
}

async fn start_at_once(name: &str, count: usize, config: Option<&str>) {
    let Some(here) = Contained::new(name) else { return };
    let workshop = Workshop::new();
    workshop.write("p/x", &unique());
    workshop.package("p", BUILD_YML, "FROM scratch\nCOPY x /x\n");
    if let Some(text) = config {
        workshop.write("buildkitd.toml", text);
    }
    let start = |number: usize| {
        let mut command = here.command(&workshop, &["p"]);
        // A cache each: they shall meet at the builder and not before.
        command.env("LINUXKIT_CACHE", workshop.path().join(format!("cache-{number}")));
        if config.is_some() {
            command.env("LINUXKIT_BUILDER_CONFIG", "buildkitd.toml");
        }
        Running::start(&mut command)
    };
    let running: Vec<Running> = (0..count).map(start).collect();
    for one in running {
        let (run, _) = one.end();
        run.done();
    }
    assert_eq!(containers(&here).await, [here.id().await]);
    here.end().await;
}

#[tokio::test]
async fn two_processes_that_start_at_once_make_one_container() {
    start_at_once("two", 2, None).await;
}

#[tokio::test]
async fn twenty_processes_that_start_at_once_make_one_container() {
    start_at_once("twenty", 20, None).await;
}

#[tokio::test]
async fn twenty_processes_with_a_configuration_make_one_container() {
    start_at_once("twenty-configured", 20, Some(CONFIGURATION)).await;
}

#[tokio::test]
async fn a_builder_is_replaced_when_the_build_in_it_is_done() {
    let (Some(here), Some(workshop)) = (Contained::new("busy"), Workshop::with_bases()) else {
        return;
    };
    package(&workshop, "long", LONG_STEP);
    package(&workshop, "short", "true");
    let building = start_building(&here, &workshop, "long");
    let (before, pid) = (here.id().await, building.pid());
    let replacing = Running::start(&mut here.command(&workshop, &["--builder-restart", "short"]));
    replacing.until_said("waiting at most 30 s before the container");
    assert!(
        replacing
            .said()
            .contains(&format!("(a restart was asked for): process {pid} on ")),
        "{}",
        replacing.said()
    );
    // Who comes now does not get in between, although the builder would be right.
    let third = Running::start(&mut here.command(&workshop, &["short"]));
    assert_eq!(here.id().await, before);
    building.end().0.done();
    let replaced = replacing.end().0;
    assert!(
        replaced.stderr.contains("replacing the container"),
        "{}",
        replaced.stderr
    );
    replaced.done();
    third.end().0.done();
    assert_ne!(here.id().await, before);
    here.end().await;
}

#[tokio::test]
async fn who_comes_after_a_replacement_was_announced_waits_for_it() {
    let Some(mut here) = Contained::new("announced") else {
        return;
    };
    let held = here.endpoint().await.expect("an endpoint");
    let before = here.id().await;
    let (events, mut said) = Events::channel();
    let (place, config) = (here.place.clone(), here.config.clone());
    let mut replacing = JoinSet::new();
    replacing.spawn(async move {
        let config = BuilderConfig {
            restart: true,
            ..config
        };
        builder::endpoint(&place, &config, &events, &CancellationToken::new()).await
    });
    let is_waiting = |event: &Event| matches!(event, Event::Notice(text) if text.starts_with("waiting at most"));
    while !is_waiting(&said.recv().await.expect("it waits")) {}
    here.config.wait = Duration::from_millis(300);
    let error = here.endpoint().await.expect_err("it is announced");
    assert_eq!(error.kind(), Kind::Busy);
    assert!(
        error.to_string().contains("is about to be replaced by process"),
        "{error}"
    );
    assert_eq!(here.id().await, before);
    here.config.wait = PATIENCE;
    drop(held);
    assert_works(&here.endpoint().await.expect("the new one"));
    assert_ne!(here.id().await, before);
    drop(replacing.join_all().await);
    here.end().await;
}

#[tokio::test]
async fn who_waits_for_too_long_says_for_whom_and_touches_nothing() {
    let (Some(here), Some(workshop)) = (Contained::new("limit"), Workshop::with_bases()) else {
        return;
    };
    package(&workshop, "long", LONG_STEP);
    package(&workshop, "other", "true");
    let building = start_building(&here, &workshop, "long");
    let (before, pid) = (here.id().await, building.pid());
    here.build(&workshop, &["--builder-restart", "--lock-timeout", "1", "other"])
        .failed(
            4,
            &["should be replaced", &format!("process {pid} on "), "--lock-timeout"],
        );
    assert_eq!(here.id().await, before);
    building.end().0.done();
    here.end().await;
}

#[tokio::test]
async fn nobody_waits_for_the_dead() {
    let (Some(here), Some(workshop)) = (Contained::new("dead"), Workshop::with_bases()) else {
        return;
    };
    package(&workshop, "long", "sleep 1000");
    package(&workshop, "short", "true");
    let building = start_building(&here, &workshop, "long");
    let before = here.id().await;
    let replacing = Running::start(&mut here.command(&workshop, &["--builder-restart", "short"]));
    replacing.until_said("waiting at most");
    building.signal(Signal::KILL);
    replacing.end().0.done();
    assert_ne!(here.id().await, before);
    // And one that was killed while it waited to replace keeps nobody out.
    let building = start_building(&here, &workshop, "long");
    let replacing = Running::start(&mut here.command(&workshop, &["--builder-restart", "short"]));
    replacing.until_said("waiting at most");
    replacing.signal(Signal::KILL);
    here.build(&workshop, &["short"]).done();
    building.signal(Signal::KILL);
    here.end().await;
}

#[tokio::test]
async fn other_programs_are_waited_for_too() {
    let Some(mut here) = Contained::new("others") else {
        return;
    };
    drop(here.endpoint().await.expect("an endpoint"));
    let before = here.id().await;
    // As linuxkit and buildx do.
    let options = CreateExecOptions {
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        cmd: Some(vec!["buildctl", "dial-stdio"]),
        ..Default::default()
    };
    let exec = here.docker.create_exec(&before, options).await.expect("an exec");
    let stream = here.docker.start_exec(&exec.id, None).await.expect("a stream");
    here.config.restart = true;
    here.config.wait = Duration::from_millis(300);
    let error = here.endpoint().await.expect_err("in use");
    assert_eq!(error.kind(), Kind::Busy);
    assert!(error.to_string().contains("another program builds in it"), "{error}");
    drop(stream);
    here.config.wait = PATIENCE;
    here.endpoint().await.expect("replaced");
    assert_ne!(here.id().await, before);
    here.end().await;
}

/// A stop, and a daemon's restart, leave a container that only has to be started; twenty may find it at once.
#[tokio::test]
async fn a_stopped_container_is_started_by_whoever_comes() {
    let Some(here) = Contained::new("stopped") else { return };
    drop(here.endpoint().await.expect("an endpoint"));
    let before = here.id().await;
    let stop = None::<bollard::query_parameters::StopContainerOptions>;
    here.docker.stop_container(&before, stop).await.expect("stopped");
    ask_at_once(&here).await.iter().for_each(assert_works);
    assert_eq!(here.id().await, before);
    here.end().await;
}
