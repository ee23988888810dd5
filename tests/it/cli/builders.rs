//! Where it builds when nobody says so.

use super::*;
use crate::servers::{server, until};
use bollard::query_parameters::{RemoveContainerOptionsBuilder, RemoveVolumeOptions};
use bollard::{API_DEFAULT_VERSION, Docker};
use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;

#[test]
fn without_docker_it_starts_buildkitd_itself_and_keeps_it() {
    let Some(buildkitd) = server("LKPKG_BUILDKITD") else {
        return;
    };
    let Some(workshop) = Workshop::with_bases() else { return };
    workshop.package(
        "p",
        BUILD_YML,
        &format!("FROM busybox:1.37\nRUN echo {} >/mark\n", unique()),
    );
    let arguments = ["build", "--sbom-scanner=false", "--force", "p"];
    let first = workshop.run_with("LKPKG_BUILDKITD", &buildkitd, &arguments);
    assert!(
        first.stderr.contains("starting ") && first.stderr.contains("after its last use"),
        "{}",
        first.stderr
    );
    let line = first.done();
    let pid_file = workshop.cache().join("buildkitd/buildkitd.pid");
    let pid = || {
        std::fs::read_to_string(&pid_file)
            .unwrap()
            .trim()
            .parse::<i32>()
            .unwrap()
    };
    let process = pid();
    let second = workshop.run_with("LKPKG_BUILDKITD", &buildkitd, &arguments);
    assert!(!second.stderr.contains("starting "), "{}", second.stderr);
    assert_eq!((second.done(), pid()), (line, process));
    workshop.verify();
    kill_process(Pid::from_raw(process).unwrap(), Signal::TERM).unwrap();
    until("buildkitd has ended", || {
        !Path::new(&format!("/proc/{process}")).exists()
    });
    until("its pid file is gone", || !pid_file.exists());
}

#[tokio::test]
async fn with_docker_it_builds_in_a_container() {
    let Some(address) = server("LKPKG_TEST_DOCKER") else {
        return;
    };
    let Some(workshop) = Workshop::with_bases() else { return };
    workshop.package(
        "p",
        BUILD_YML,
        &format!("FROM busybox:1.37\nRUN echo {} >/mark\n", unique()),
    );
    let name = format!("lkpkg-it-cli-{}", std::process::id());
    let build = |force: &str| {
        let arguments = ["build", "--sbom-scanner=false", force, "p"];
        let mut command = workshop.command(&arguments);
        command.env("DOCKER_HOST", &address).env("LINUXKIT_BUILDER_NAME", &name);
        Run::of(command.output().unwrap())
    };
    let (first, second) = (build("--force"), build("--force"));
    let docker = Docker::connect_with_unix(&address, 60, API_DEFAULT_VERSION).unwrap();
    let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
    let container = docker.remove_container(&name, Some(options)).await;
    let volume = docker
        .remove_volume(&format!("{name}-state"), None::<RemoveVolumeOptions>)
        .await;
    assert!(
        first.stderr.contains(&format!("creating the container {name}")),
        "{}",
        first.stderr
    );
    assert!(!second.stderr.contains("creating"), "{}", second.stderr);
    assert_eq!(first.done(), second.done());
    container.unwrap();
    volume.unwrap();
}
