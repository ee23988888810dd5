//! Builds that cannot go well.

use super::*;
use crate::program::{Running, processes, unique};
use crate::servers::{OwnBuildKit, server};

#[test]
fn a_broken_from() {
    let Some(workshop) = Workshop::with_buildkit() else {
        return;
    };
    for (dockerfile, code, words) in [
        (
            "FROM nosuchimage:1\n",
            1,
            [
                "Dockerfile:1",
                ">    1 | FROM nosuchimage:1",
                "docker.io/library/nosuchimage:1",
            ],
        ),
        (
            "FROM 127.0.0.1:1/x:1\n",
            3,
            ["Dockerfile:1", "connection refused", "cannot reach the registry"],
        ),
        (
            "FROM two words\n",
            2,
            ["p/Dockerfile:1:1", "FROM must be `FROM IMAGE`", "1 | FROM two words"],
        ),
        (
            "FORM scratch\n",
            2,
            ["p/Dockerfile:1:1", "unknown instruction FORM", "did you mean FROM?"],
        ),
        (
            "FROM busybox:1.37\nCOPY nope /\n",
            1,
            ["Dockerfile:2", "\"/nope\": not found", ".dockerignore"],
        ),
        ("FROM scratch\nCOPY --from=5 / /\n", 2, ["p/Dockerfile:2:1", "5", ""]),
    ] {
        workshop.package("p", BUILD_YML, dockerfile);
        let run = workshop.build(&["p"]).failed(code, &words);
        assert_eq!(run.stdout, "");
    }
    assert_eq!(workshop.names(), ["docker.io/library/busybox:1.37"]);
    workshop.verify();
}

#[test]
fn a_run_that_fails_shows_its_log_its_line_and_its_exit_code() {
    let Some(workshop) = Workshop::with_buildkit() else {
        return;
    };
    let dockerfile = format!(
        "FROM busybox:1.37\n\nRUN echo {} && echo this is why >&2; \\\n    exit 17\n",
        unique()
    );
    workshop.package("p", BUILD_YML, &dockerfile);
    for progress in ["plain", "quiet", "tty"] {
        let run = workshop.build(&["--progress", progress, "p"]);
        let run = run.failed(
            1,
            &[
                "error: failed to build test/p:",
                "Dockerfile:3",
                ">    3 | RUN echo",
                ">    4 |     exit 17",
                "exit code: 17",
                "hint: ",
                "network: true",
            ],
        );
        // The log of the step is repeated before the error, whatever was shown.
        let (before, _) = run.stderr.split_once("error: failed to build").unwrap();
        let (_, last) = before.rsplit_once(" > ").unwrap();
        assert!(last.contains("this is why"), "{}", run.stderr);
        assert_eq!(run.stdout, "");
    }
    assert_eq!(workshop.names(), ["docker.io/library/busybox:1.37"]);
}

#[test]
fn when_one_package_fails_the_others_are_stopped() {
    let Some(workshop) = Workshop::with_buildkit() else {
        return;
    };
    // A number of seconds that nobody else sleeps.
    let sleep = format!("sleep 4{}", std::process::id());
    workshop.package(
        "slow",
        "image: slow\norg: test\narches: [amd64]\n",
        &format!("FROM busybox:1.37\nRUN {sleep}\n"),
    );
    let fails = format!("FROM busybox:1.37\nRUN echo {} && exit 3\n", unique());
    workshop.package("p", BUILD_YML, &fails);
    let run = workshop.build(&["slow", "p"]);
    run.failed(
        1,
        &["cancelled test/slow:", "error: failed to build test/p:", "exit code: 3"],
    );
    crate::servers::until("the other RUN is gone", || processes(&sleep).is_empty());
    workshop.verify();
}

#[test]
fn a_buildkit_that_goes_away() {
    let Some(program) = server("LKPKG_BUILDKITD") else {
        return;
    };
    let Some(mut workshop) = Workshop::with_bases() else {
        return;
    };
    let mut buildkit = OwnBuildKit::start(&program);
    workshop.build_on(&buildkit.address());
    let sleep = format!("sleep 6{}", std::process::id());
    workshop.package(
        "p",
        BUILD_YML,
        &format!("FROM busybox:1.37\nRUN echo begun && {sleep}\n"),
    );
    let arguments = ["build", "--sbom-scanner=false", "p"];
    let running = Running::start(&mut workshop.command(&arguments));
    running.until_said(" begun\n");
    buildkit.kill();
    let (run, _) = running.end();
    // Nobody takes the container down with a BuildKit that is killed.
    for process in processes(&sleep) {
        let process = rustix::process::Pid::from_raw(process).unwrap();
        rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
    }
    run.failed(
        1,
        &["error: failed to build test/p:", "was lost during the build", "hint: "],
    );
    workshop.verify();
    let address = buildkit.address();
    workshop
        .build(&["p"])
        .failed(3, &["no BuildKit answers at ", &address, "BUILDKIT_HOST"]);
}

#[test]
fn no_builder_at_all() {
    let workshop = workshop();
    let mut command = workshop.command(&["build", "p"]);
    let run = command.env("PATH", "/nowhere").output().unwrap();
    let run = crate::program::Run::of(run).failed(
        3,
        &[
            "no builder for linux/amd64",
            "no Docker daemon answers at unix://",
            "There are three ways to get a builder",
            "1. start a Docker daemon",
            "BUILDKIT_HOST=unix://",
            "LKPKG_BUILDKITD",
        ],
    );
    assert_eq!(run.stdout, "");
    workshop
        .run_with("LKPKG_BUILDKITD", "/nowhere/buildkitd", &["build", "p"])
        .failed(3, &["/nowhere/buildkitd", "three ways"]);
    workshop
        .run(&["build", "--builders", "linux/amd64=docker-container", "p"])
        .failed(3, &["no Docker daemon answers at unix://"]);
}

#[test]
fn a_scanner_that_cannot_be_pulled() {
    let Some(workshop) = Workshop::with_buildkit() else {
        return;
    };
    workshop.package("p", BUILD_YML, "FROM scratch\nCOPY . /\n");
    let scanner = "registry.invalid/scanner:1";
    let run = workshop.run(&["build", "--sbom-scanner", scanner, "p"]);
    run.failed(
        3,
        &[
            scanner,
            "name another with --sbom-scanner IMAGE",
            "--sbom-scanner=false",
        ],
    );
}
