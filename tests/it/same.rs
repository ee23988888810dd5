//! The same bytes again: two machines with nothing in common but a commit, and what tells two images apart.

#![expect(clippy::unwrap_used, reason = "tests")]

use crate::program::{Run, Running, Workshop, digest, unique};
use crate::servers::server;
use rustix::process::Signal;
use std::fs::{self, File, FileTimes, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

const BUILD_YML: &str = "org: test\nimage: p\narches: [amd64, arm64]\n";

/// What builds mostly do: several stages, directories, links, owners, modes, files of the context.
const DOCKERFILE: &str = "FROM busybox:1.37 AS build
WORKDIR /build/deep
COPY . /context
RUN cp /context/sub/a one && ln one two && mkdir -p d/e && mkfifo fifo && ln -s one link && chmod 4711 two
FROM busybox:1.37
RUN mkdir -p /made/by/run && echo x >/made/by/run/f && ln /made/by/run/f /made/by/run/l && chown 5:6 /made/by/run/f
COPY --from=build /build/deep /out
COPY sub /copied
COPY program /usr/bin/
";

/// A machine with a repository of one package.
fn first() -> Option<Workshop> {
    let workshop = Workshop::with_bases()?;
    for (name, text) in [("p/sub/a", "a"), ("p/sub/b", "b"), ("p/program", "#!/bin/sh\n")] {
        workshop.write(name, text);
    }
    fs::set_permissions(workshop.repository().join("p/program"), Permissions::from_mode(0o755)).unwrap();
    workshop.package("p", BUILD_YML, DOCKERFILE);
    Some(workshop)
}

/// Another machine, with a clone of the repository below another path, where somebody works with another umask.
fn second(first: &Workshop) -> Workshop {
    let second = Workshop::with_bases().unwrap();
    fs::remove_dir_all(second.repository()).unwrap();
    let (from, to) = (first.repository(), second.repository());
    let script = "umask 077 && exec git clone -q \"$1\" \"$2\"";
    let cloned = Command::new("sh")
        .args(["-c", script, "sh"])
        .args([&from, &to])
        .status();
    assert!(cloned.unwrap().success());
    // Some files are old, and two are one.
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    for name in ["p/sub/a", "p/sub", "p/program"] {
        let file = File::open(to.join(name)).unwrap();
        file.set_times(FileTimes::new().set_modified(old)).unwrap();
    }
    fs::set_permissions(to.join("p/program"), Permissions::from_mode(0o700)).unwrap();
    second
}

/// Builds on a BuildKit that is started for it and has no state yet.
fn build_fresh(workshop: &Workshop, arguments: &[&str]) -> Option<Run> {
    let buildkitd = server("LKPKG_BUILDKITD")?;
    let run = workshop.run_with("LKPKG_BUILDKITD", &buildkitd, arguments);
    workshop.run(&["builder", "rm"]).done();
    Some(run)
}

#[test]
fn two_machines_with_empty_states_build_the_same_index() {
    let (Some(registry), Some(scanner)) = (server("LKPKG_TEST_REGISTRY"), server("LKPKG_TEST_SCANNER")) else {
        return;
    };
    let Some(first) = first() else { return };
    let second = second(&first);
    let mirror = format!("http://{registry}");
    let arguments = ["build", "--mirror", &mirror, "--sbom-scanner", &scanner, "p"];
    let Some(one) = build_fresh(&first, &arguments) else {
        return;
    };
    let line = one.done();
    // Committed beside the package, which changes nothing in it.
    second.write("beside", "x");
    second.commit();
    assert_eq!(build_fresh(&second, &arguments).unwrap().done(), line);
    // There is an SBoM in it, and times are those of the commit.
    let index = first.document(&digest(&line));
    let kinds: Vec<&str> = index["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["platform"]["architecture"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["amd64", "unknown", "arm64", "unknown"]);
    let tag = line.split('@').next().unwrap();
    let sboms = [&first, &second].map(|workshop| workshop.run(&["sbom", "show", "--format", "spdx", tag]).done());
    assert_eq!(sboms[0], sboms[1]);
    let inspected = first.run(&["inspect", "--format", "json", tag]).done();
    let inspected: serde_json::Value = serde_json::from_str(&inspected).unwrap();
    let sbom: serde_json::Value = serde_json::from_str(&sboms[0]).unwrap();
    let created = &inspected["images"][0]["created"];
    assert_eq!(&sbom["creationInfo"]["created"], created);
    let head = git(&first.repository(), &["log", "-1", "--format=%H"]);
    assert_eq!(
        inspected["images"][0]["labels"]["org.opencontainers.image.revision"],
        head.as_str()
    );
    first.verify();
}

fn git(directory: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .arg("-C")
        .arg(directory)
        .args(arguments)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn built_again_by_ourselves_it_is_the_same_and_leaves_nothing() {
    let Some(workshop) = first() else { return };
    let arguments = ["build", "--sbom-scanner=false", "--verify", "p"];
    let Some(run) = build_fresh(&workshop, &arguments) else {
        return;
    };
    let text = run.done();
    assert!(
        text.contains("  linux/amd64    same ") && text.contains("  linux/arm64    same "),
        "{text}"
    );
    let left: Vec<String> = fs::read_dir(workshop.cache())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with("verify-"))
        .collect();
    assert_eq!(left, [""; 0]);
    workshop.verify();
}

#[test]
fn a_difference_is_told_with_its_layer_file_and_field() {
    let Some(workshop) = Workshop::with_buildkit() else {
        return;
    };
    // A step from another run's cache would have times of its own.
    let steps = format!(
        "FROM busybox:1.37\nRUN cat /proc/sys/kernel/random/uuid >/id && echo {} >/same\n",
        unique()
    );
    workshop.package("p", "org: test\nimage: p\narches: [amd64]\n", &steps);
    let run = workshop.build(&["--verify", "p"]);
    let run = run.failed(1, &["keeps its state", "built again, it is not the same: test/p:"]);
    for words in ["  linux/amd64    differs ", "layer 2: RUN", "/id: content sha256:"] {
        assert!(run.stdout.contains(words), "{words}: {}", run.stdout);
    }
    assert!(!run.stdout.contains("/same:"), "{}", run.stdout);
    let json = workshop.build(&["--verify=json", "p"]).failed(1, &[]).stdout;
    let found: serde_json::Value = serde_json::from_str(&json).unwrap();
    let differences = found[0]["platforms"][0]["differences"].as_array().unwrap();
    assert_eq!(differences.len(), 1, "{json}");
    assert_eq!(
        (&differences[0]["path"], &differences[0]["field"]),
        (&"id".into(), &"content".into())
    );
    let push = workshop.run(&["push", "--verify", "p"]);
    push.failed(2, &["--verify does not go with --push"]);
}

#[test]
fn a_published_image_comes_from_its_source_and_from_no_other() {
    let (Some(registry), Some(workshop)) = (server("LKPKG_TEST_REGISTRY"), Workshop::with_buildkit()) else {
        return;
    };
    let build_yml = format!("org: {registry}/{}\nimage: p\narches: [amd64]\n", unique());
    workshop.write("p/content", "one");
    workshop.package(
        "p",
        &build_yml,
        "FROM busybox:1.37\nCOPY content /\nRUN echo x >/made\n",
    );
    let epoch = ["--source-date-epoch", "1700000000"];
    let push = [&["push", "--sbom-scanner=false"], epoch.as_slice(), &["p"]].concat();
    let line = workshop.run(&push).done();
    let tag = line.split('@').next().unwrap().to_owned();
    let before = workshop.names();
    let text = workshop.run(&["verify", &tag, "p"]).done();
    assert!(text.contains("  linux/amd64    same "), "{text}");
    let cached = workshop
        .run(&["verify", "--from", "cache", "--format", "json", &tag, "p"])
        .done();
    let cached: serde_json::Value = serde_json::from_str(&cached).unwrap();
    assert_eq!(cached[0]["platforms"][0]["differences"], serde_json::json!([]));
    workshop.write("p/content", "two");
    workshop.commit();
    let run = workshop.run(&["verify", &tag, "p"]).failed(1, &["it is not the same"]);
    assert!(run.stdout.contains("/content: content sha256:"), "{}", run.stdout);
    assert!(
        run.stdout
            .contains("config config.Labels.org.opencontainers.image.revision"),
        "{}",
        run.stdout
    );
    let absent = format!("{}-absent", tag);
    workshop.run(&["verify", &absent, "p"]).failed(3, &["no such image"]);
    assert_eq!(workshop.names(), before);
    workshop.verify();
}

#[test]
fn the_time_is_the_users_when_he_gives_one() {
    let Some(workshop) = Workshop::with_buildkit() else {
        return;
    };
    workshop.package(
        "p",
        "org: test\nimage: p\narches: [amd64]\n",
        "FROM busybox:1.37\nRUN echo x >/made\n",
    );
    let created = |variable: (&str, &str), arguments: &[&str]| {
        let arguments = [&["build", "--sbom-scanner=false", "--force"], arguments, &["p"]].concat();
        let line = workshop.run_with(variable.0, variable.1, &arguments).done();
        let text = workshop
            .run(&["inspect", "--format", "json", line.split('@').next().unwrap()])
            .done();
        let found: serde_json::Value = serde_json::from_str(&text).unwrap();
        found["images"][0]["created"].as_str().unwrap().to_owned()
    };
    let none = ("X", "");
    let variable = ("SOURCE_DATE_EPOCH", "1600000000");
    assert_eq!(created(variable, &[]), "2020-09-13T12:26:40Z");
    assert_eq!(
        created(variable, &["--source-date-epoch", "1700000000"]),
        "2023-11-14T22:13:20Z"
    );
    assert!(
        created(variable, &["--source-date-epoch=false"]).contains('.'),
        "a time with fractions"
    );
    workshop.write("args", "SOURCE_DATE_EPOCH=1500000000\n");
    let given = ["--build-arg-file", "args"];
    assert_eq!(created(variable, &given), "2017-07-14T02:40:00Z");
    let commit = git(
        &workshop.repository(),
        &["log", "-1", "--format=%cd", "--date=format-local:%Y-%m-%dT%H:%M"],
    );
    assert!(!created(none, &[]).is_empty() && !commit.is_empty());
    let wrong = workshop.run_with("SOURCE_DATE_EPOCH", "yesterday", &["build", "p"]);
    wrong.failed(2, &["SOURCE_DATE_EPOCH is \"yesterday\"", "git log -1"]);
}

#[test]
fn what_was_started_to_verify_is_gone_after_a_signal() {
    let Some(buildkitd) = server("LKPKG_BUILDKITD") else {
        return;
    };
    let Some(workshop) = Workshop::with_buildkit() else {
        return;
    };
    // It takes its time only where it has the secret, which it has the second time.
    let steps =
        "FROM busybox:1.37\nRUN --mount=type=secret,id=wait [ ! -e /run/secrets/wait ] || (echo begun; sleep 600)\n";
    workshop.package("p", "org: test\nimage: p\narches: [amd64]\n", steps);
    workshop.build(&["p"]).done();
    let verify = [
        "build",
        "--sbom-scanner=false",
        "--verify",
        "--secret",
        "id=wait,env=WAIT",
    ];
    let mut command = workshop.command(&[&verify[..], &["--progress=plain", "p"]].concat());
    command
        .env_remove("BUILDKIT_HOST")
        .env("LKPKG_BUILDKITD", &buildkitd)
        .env("WAIT", "1");
    let running = Running::start(&mut command);
    running.until_said(" begun\n");
    running.signal(Signal::INT);
    let (run, _) = running.end();
    run.failed(130, &["error: cancelled"]);
    let left = fs::read_dir(workshop.cache())
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left
        .filter(|name| name.to_string_lossy().starts_with("verify-"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    workshop.verify();
}
