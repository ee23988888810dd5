//! The order in which builders are looked for.

use super::*;
use crate::builder::{DockerSettings, Kind};

const DOCKER: &str = "unix:///var/run/docker.sock";

fn facts(builders: &str, host: Option<&str>, has_docker: bool, has_buildkitd: bool, uid: u32) -> Facts {
    let local = Local {
        buildkitd: has_buildkitd.then(|| "/usr/bin/buildkitd".into()),
        ..Local::new("/lkpkg", "/state")
    };
    let missing = (uid != 0).then(|| Missing {
        what: "rootlesskit is not there".into(),
        remedy: "install it".into(),
    });
    let missing = missing.into_iter().collect();
    Facts {
        builders: Builders::parse(builders).expect(builders),
        contexts: Contexts::read(&DockerSettings::default()),
        buildkit_host: host.map(str::to_owned),
        docker_silent_because: (!has_docker).then(|| "no such socket".to_owned()),
        local,
        missing,
    }
}

/// The same with these contexts in Docker's files, each the name of a context and the address of its daemon.
fn with_contexts(mut facts: Facts, contexts: &[(&str, &str)]) -> Facts {
    let directory = tempfile::tempdir().expect("a directory");
    for (name, host) in contexts {
        crate::builder::context::write_context(directory.path(), name, host);
    }
    facts.contexts = Contexts::read(&DockerSettings {
        directory: Some(directory.path().to_owned()),
        ..DockerSettings::default()
    });
    facts
}

fn name(place: Where) -> String {
    match place {
        Where::Address(dialled) => dialled.address,
        Where::DockerContainer { docker } => format!("docker-container at {docker}"),
        Where::InContainer { name, docker } => format!("{name} at {docker}"),
        Where::Embedded { docker } => format!("embedded at {docker}"),
        Where::Local(_) => "local".into(),
    }
}

#[track_caller]
fn check(facts: Facts, platform: &str, expected: &[&str]) {
    let places = choose(&facts, &platform.parse().expect(platform)).expect("places");
    let names: Vec<String> = places.into_iter().map(name).collect();
    assert_eq!(names, expected, "{facts:?}");
}

#[test]
fn the_first_that_is_there_is_taken() {
    let docker = format!("docker-container at {DOCKER}");
    let docker: &[&str] = &[&docker];
    let map = "linux/arm64=unix:///arm,linux/amd64=local";
    let host = Some("unix:///host");
    check(facts(map, host, true, true, 0), "linux/arm64", &["unix:///arm"]);
    check(facts(map, host, true, true, 0), "linux/arm64/v8", &["unix:///arm"]);
    check(facts(map, host, true, true, 0), "linux/amd64", &["local"]);
    check(facts(map, host, true, true, 0), "linux/riscv64", &["unix:///host"]);
    check(facts(map, None, true, true, 0), "linux/riscv64", docker);
    let map = "unix:///all,linux/amd64=docker-container";
    check(facts(map, None, true, true, 0), "linux/riscv64", &["unix:///all"]);
    check(facts(map, None, true, true, 0), "linux/amd64", docker);
    check(facts("", Some("local"), true, true, 0), "linux/amd64", &["local"]);
    check(facts("", host, false, false, 1000), "linux/amd64", &["unix:///host"]);
    check(facts("", None, true, true, 0), "linux/amd64", docker);
    check(facts("", None, true, false, 1000), "linux/amd64", docker);
    check(facts("", None, false, true, 0), "linux/amd64", &["local"]);
    let mut fit = facts("", None, false, true, 1000);
    fit.missing.clear();
    check(fit, "linux/amd64", &["local"]);
}

#[test]
fn a_platform_given_several_times_is_a_pool() {
    let map = "linux/arm64=unix:///a,linux/arm64=tcp://b:1,linux/arm64=unix:///a,local";
    check(
        facts(map, None, true, true, 0),
        "linux/arm64",
        &["unix:///a", "tcp://b:1"],
    );
    check(facts(map, None, true, true, 0), "linux/amd64", &["local"]);
    check(
        facts("local,docker://", None, true, true, 0),
        "linux/amd64",
        &["local", &format!("embedded at {DOCKER}")],
    );
}

#[test]
fn contexts_stand_between_what_is_named_and_the_default() {
    let contexts: &[(&str, &str)] = &[("linuxkit-linux-arm64", "ssh://arm"), ("big", "tcp://big:2375")];
    let with = |builders: &str, host: Option<&str>| with_contexts(facts(builders, host, true, true, 0), contexts);
    let own: &[&str] = &["docker-container at ssh://arm (context linuxkit-linux-arm64)"];
    check(with("", None), "linux/arm64", own);
    check(with("", Some("unix:///host")), "linux/arm64", own);
    check(with("", Some("unix:///host")), "linux/amd64", &["unix:///host"]);
    check(with("linux/arm64=local", None), "linux/arm64", &["local"]);
    let big = "tcp://big:2375 (context big)";
    check(
        with("big", None),
        "linux/arm64",
        &[&format!("docker-container at {big}")],
    );
    check(
        with("docker://big", None),
        "linux/arm64",
        &[&format!("embedded at {big}")],
    );
    check(
        with("docker-container://b?context=big", None),
        "linux/arm64",
        &[&format!("b at {big}")],
    );
    // Two names for one place are no pool.
    check(
        with("docker-container,default", None),
        "linux/arm64",
        &[&format!("docker-container at {DOCKER}")],
    );
    let error = choose(&with("linux/amd64=bog", None), &Platform::linux("amd64")).expect_err("no such context");
    assert_eq!(error.kind(), Kind::Input);
    assert!(
        error
            .to_string()
            .contains("\"bog\"; there are big, default, linuxkit-linux-arm64"),
        "{error}"
    );
}

#[test]
fn what_is_missing_is_named() {
    let check = |facts: Facts, kind: Kind, parts: &[&str]| {
        let error = choose(&facts, &Platform::linux("amd64")).expect_err("no builder");
        let text = error.to_string();
        assert_eq!(error.kind(), kind, "{text}");
        for part in parts {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    };
    let parts = [
        "linux/amd64",
        DOCKER,
        "no such socket",
        "buildkitd was not found",
        "three ways",
    ];
    check(facts("", None, false, false, 0), Kind::Missing, &parts);
    check(
        facts("", None, false, true, 1000),
        Kind::Missing,
        &[
            "who is not root, cannot start buildkitd",
            "no such socket",
            "rootlesskit is not there",
            "install it",
            "three ways",
        ],
    );
    check(
        facts("", Some("npipe://a"), true, true, 0),
        Kind::Input,
        &["npipe://", "a builder is"],
    );
    // A remote daemon that was meant is not replaced by this machine in silence.
    let mut remote = facts("", None, false, true, 0);
    remote.contexts = Contexts::read(&DockerSettings {
        host: Some("tcp://far:2375".into()),
        ..DockerSettings::default()
    });
    check(
        remote,
        Kind::Missing,
        &["no Docker daemon answers at tcp://far:2375: no such socket"],
    );
}

#[test]
fn a_map_that_cannot_be_read_is_refused() {
    for text in [
        "linux=local",
        "linux/amd64=",
        "linux/amd64=tcp://a",
        "=local",
        "a b",
        "npipe://a",
    ] {
        let error = Builders::parse(text).expect_err(text);
        assert_eq!(error.kind(), Kind::Input, "{text}: {error}");
    }
    assert_eq!(Builders::parse(" ,").expect("empty"), Builders::default());
}

#[test]
fn the_flag_stands_over_the_environment() {
    let check = |flag: &str, environment: &str, expected: &str| {
        let [flag, environment, expected] =
            [flag, environment, expected].map(|text| Builders::parse(text).expect(text));
        assert_eq!(flag.over(environment), expected);
    };
    check(
        "linux/amd64=local",
        "linux/amd64=unix:///e,linux/arm64=unix:///e",
        "linux/amd64=local,linux/arm64=unix:///e",
    );
    check("linux/amd64=local", "unix:///e", "linux/amd64=local,unix:///e");
    check("unix:///f", "linux/amd64=unix:///e", "unix:///f");
    check("", "local", "local");
}

#[test]
fn docker_is_asked_only_when_it_matters() {
    let check = |builders: &str, host: Option<&str>, expected: bool| {
        let platforms = [Platform::linux("amd64"), Platform::linux("arm64")];
        let facts = facts(builders, host, true, true, 0);
        assert_eq!(facts.needs_docker(&platforms).expect("known"), expected, "{facts:?}");
    };
    check("", None, true);
    check("", Some("unix:///h"), false);
    check("local", None, false);
    check("linux/amd64=local", None, true);
    check("linux/amd64=local", Some("unix:///h"), false);
    check("linux/amd64=docker-container", Some("unix:///h"), false);
}

#[test]
fn a_builder_that_is_named_twice_is_one() {
    let count = |text| Builders::parse(text).expect("builders").count();
    assert_eq!(count(""), 0);
    assert_eq!(
        count("linux/amd64=local,linux/arm64=local,linux/arm64=tcp://a:1,unix:///b"),
        3
    );
}
