//! What goes where: data to standard output, everything else to standard error.

use super::*;
use crate::servers::server;
use serde_json::{Value, json};
use std::process::{Command, Stdio};

#[test]
fn a_dry_run_prints_the_plan() {
    let mut workshop = Workshop::new();
    // What would be emulated is not known then.
    workshop.build_on("unix:///nowhere/buildkitd.sock");
    workshop.package(
        "p",
        "org: test\nimage: p\narches: [amd64, arm64]\n",
        "FROM scratch\nCOPY . /\n",
    );
    let tag = workshop.run(&["show-tag", "p"]).done().trim_end().to_owned();
    let plan = workshop.run(&["plan", "p"]).done();
    let expected =
        format!("{tag}\n  linux/amd64    build  not in the cache\n  linux/arm64    build  not in the cache\n");
    assert_eq!(plan, expected);
    let run = workshop.run(&["build", "--dry-run", "p"]);
    assert_eq!((run.stderr.as_str(), run.stdout.as_str()), ("", plan.as_str()));
    assert!(workshop.names().is_empty());
    let forced = workshop
        .run(&["plan", "--force", "--skip-platforms", "linux/arm64", "p"])
        .done();
    assert!(forced.contains("linux/amd64    build  --force"), "{forced}");
    let text = workshop
        .run(&["plan", "--format", "json", "--platforms", "linux/amd64", "p"])
        .done();
    assert_eq!(
        serde_json::from_str::<Value>(&text).unwrap(),
        json!({"packages": [{
            "tag": tag,
            "directory": workshop.repository().canonicalize().unwrap().join("p"),
            "platforms": [{"platform": "linux/amd64", "action": "build", "reason": "not-in-cache"}],
            "needs": [],
        }]})
    );
}

#[test]
fn verbosity_and_styles_of_progress() {
    let Some(workshop) = Workshop::with_buildkit() else {
        return;
    };
    workshop.package("p", BUILD_YML, "FROM scratch\nCOPY . /\n");
    let build = |more: &[&str]| {
        let run = workshop.build(&[&["--force", "p"], more].concat());
        let stdout = &run.stdout;
        assert!(stdout.starts_with("test/p:") && stdout.lines().count() == 1, "{stdout}");
        run
    };
    let plain = build(&[]).stderr;
    assert!(
        plain
            .lines()
            .any(|line| line.starts_with("p #1 [internal] load build definition")),
        "{plain}"
    );
    assert!(plain.lines().last().unwrap().starts_with("p built test/p:"), "{plain}");
    assert!(!plain.contains('\x1b'), "{plain}");
    for quiet in [
        &["--quiet"][..],
        &["-q"],
        &["--verbose", "0"],
        &["-v", "0"],
        &["--progress", "quiet"],
    ] {
        assert_eq!(build(quiet).stderr, "", "{quiet:?}");
    }
    for verbose in [&["--verbose", "2"][..], &["-v", "2"], &["-v2"]] {
        let text = build(verbose).stderr;
        assert!(text.contains("linux/amd64    build  --force"), "{text}");
    }
    for style in ["rawjson", "plain", "quiet", "auto"] {
        let by_flag = build(&["--progress", style]).stderr;
        let arguments = ["build", "--sbom-scanner=false", "--force", "p"];
        let by_variable = workshop.run_with("BUILDKIT_PROGRESS", style, &arguments).stderr;
        for text in [&by_flag, &by_variable] {
            let kind = match text.chars().next() {
                None => "quiet",
                Some('{') => "rawjson",
                Some(_) => "plain",
            };
            assert!(kind == style || (style == "auto" && kind == "plain"), "{style}: {text}");
        }
    }
    // The flag goes first.
    let arguments = ["build", "--sbom-scanner=false", "--force", "--progress", "quiet", "p"];
    assert_eq!(workshop.run_with("BUILDKIT_PROGRESS", "rawjson", &arguments).stderr, "");
    let raw = build(&["--progress", "rawjson"]).stderr;
    let lines: Vec<Value> = raw
        .lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect();
    assert!(lines.iter().any(|line| line.get("vertexes").is_some()), "{raw}");
}

/// Runs the program on a terminal of its own, and gives what that showed.
fn on_a_terminal(workshop: &Workshop, variables: &[(&str, &str)], arguments: &[&str]) -> Option<String> {
    let program = workshop.command(&[]);
    let line = format!("{} {}", program.get_program().to_str().unwrap(), arguments.join(" "));
    let mut script = Command::new("script");
    script
        .args(["-qec", &line, "/dev/null"])
        .current_dir(workshop.repository());
    script.env_clear();
    for (name, value) in program.get_envs() {
        script.env(name, value.unwrap_or_default());
    }
    script
        .env("TERM", "xterm")
        .envs(variables.iter().copied())
        .stdin(Stdio::null());
    match script.output() {
        Ok(output) => Some(String::from_utf8_lossy(&output.stdout).into_owned()),
        Err(error) => {
            let test = std::thread::current().name().unwrap_or("a test").to_owned();
            crate::servers::skip(&format!("SKIP {test}: script (bsdutils) cannot be run: {error}"));
            None
        }
    }
}

#[test]
fn a_terminal_gets_colours_unless_they_are_unwanted() {
    let workshop = Workshop::new();
    let arguments = ["plan", "nowhere"];
    let Some(coloured) = on_a_terminal(&workshop, &[], &arguments) else {
        return;
    };
    assert!(
        coloured.contains("\x1b[1;31merror\x1b[0m: nowhere is not"),
        "{coloured:?}"
    );
    let plain = on_a_terminal(&workshop, &[("NO_COLOR", "1")], &arguments).unwrap();
    assert!(
        plain.contains("error: nowhere is not") && !plain.contains('\x1b'),
        "{plain:?}"
    );
}

#[test]
fn a_terminal_shows_what_runs_and_what_was_built() {
    let Some(workshop) = Workshop::with_buildkit() else {
        return;
    };
    workshop.package(
        "p",
        BUILD_YML,
        &format!("FROM busybox:1.37\nRUN echo {}; echo said-in-run\n", unique()),
    );
    let arguments = ["build", "--sbom-scanner=false", "p"];
    let Some(shown) = on_a_terminal(&workshop, &[], &arguments) else {
        return;
    };
    assert!(shown.contains("built test/p:") && shown.contains("\x1b["), "{shown:?}");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let Some(workshop) = Workshop::with_bases() else { return };
    let digest = workshop.run(&[
        "cache",
        "import",
        "--name",
        "x:1",
        &std::env::var("LKPKG_TEST_BASES").unwrap(),
    ]);
    digest.done();
    for arguments in [
        &["cache", "ls"][..],
        &["cache", "ls", "--format", "json"],
        &["completions", "bash"],
        &["--help"],
    ] {
        let mut child = workshop
            .command(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(
            (output.status.code(), output.stderr.len()),
            (Some(0), 0),
            "{arguments:?}: {output:?}"
        );
    }
    // An export that nobody reads is not whole.
    let mut export = workshop.command(&["cache", "export", "busybox:1.37", "--outfile", "-"]);
    let mut child = export.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let run = Run::of(child.wait_with_output().unwrap());
    run.failed(1, &["cannot write the export", "Broken pipe"]);
}

#[test]
fn a_plan_says_what_would_be_emulated() {
    let Some(workshop) = Workshop::with_buildkit() else {
        return;
    };
    workshop.package(
        "p",
        "image: p\narches: [amd64, arm64, s390x]\n",
        "FROM scratch\nCOPY . /\n",
    );
    let own = lkpkg::oci::Platform::host().to_string();
    for arguments in [&["plan", "p"][..], &["build", "--dry-run", "p"]] {
        let plan = workshop.run(arguments).done();
        for line in plan.lines().skip(1) {
            assert_eq!(
                line.ends_with("not in the cache; emulated"),
                !line.contains(&own),
                "{plan}"
            );
        }
    }
    let text = workshop.run(&["plan", "--format", "json", "p"]).done();
    let plan: Value = serde_json::from_str(&text).unwrap();
    for one in plan["packages"][0]["platforms"].as_array().unwrap() {
        assert_eq!(one["emulated"], json!(one["platform"] != own.as_str()), "{plan}");
    }
    // A daemon knows it before there is a builder, and none is made.
    let Some(docker) = server("LKPKG_TEST_DOCKER") else {
        return;
    };
    let name = format!("lkpkg-it-planned-{}", std::process::id());
    let arguments = [
        "build",
        "--dry-run",
        "--builders=docker-container",
        "--builder-name",
        &name,
        "p",
    ];
    let plan = workshop.run_with("DOCKER_HOST", &docker, &arguments).done();
    assert!(plan.contains("; emulated\n"), "{plan}");
    let list = Command::new("docker")
        .args(["-H", &docker, "ps", "-a", "--format", "{{.Names}}"])
        .output();
    let names = String::from_utf8(list.unwrap().stdout).unwrap();
    assert!(!names.contains(&name), "{names}");
    // Who is silent is not waited for long, and a plan is a plan without him.
    let plan = workshop
        .run(&["plan", "--builders", "unix:///nowhere/buildkitd.sock", "p"])
        .done();
    assert!(!plan.contains("emulated"), "{plan}");
}
