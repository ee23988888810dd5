//! Help, versions and completions.

use super::*;
use std::io::Write;
use std::process::{Command, Stdio};

#[test]
fn help_is_what_is_asked_for() {
    let workshop = Workshop::new();
    let help = workshop.run(&["--help"]).done();
    for word in [
        "build",
        "show-tag",
        "plan",
        "cache",
        "completions",
        "version",
        "--cache",
    ] {
        assert!(help.contains(word), "{word}: {help}");
    }
    assert!(!help.contains("__keep-buildkitd"), "{help}");
    let build = workshop.run(&["build", "--help"]).done();
    assert_eq!(build, workshop.run(&["help", "build"]).done());
    for word in [
        "--platforms",
        "--skip-platforms",
        "--force",
        "--sbom-scanner",
        "--builders",
        "LINUXKIT_BUILDER_NAME",
    ] {
        assert!(build.contains(word), "{word}: {build}");
    }
    workshop.run(&["pkg", "build", "--help"]).done();
    workshop.run(&["build", "-h"]).done();
    // Nothing at all is a question too, and a wrong one.
    for (arguments, words) in [
        (&[][..], &["Usage: lkpkg [OPTIONS] <COMMAND>", "show-tag"]),
        (&["pkg"], &["Usage: lkpkg pkg [OPTIONS] <COMMAND>", "show-tag"]),
        (&["cache"], &["Usage: lkpkg cache [OPTIONS] <COMMAND>", "verify"]),
    ] {
        let run = workshop.run(arguments).failed(2, words);
        assert!(
            !run.stderr.contains("error: ") && !run.stderr.contains("__keep"),
            "{}",
            run.stderr
        );
        assert_eq!(run.stdout, "");
    }
}

#[test]
fn the_version_is_told() {
    let workshop = Workshop::new();
    let version = format!("lkpkg {}", lkpkg::VERSION);
    assert!(workshop.run(&["version"]).done().starts_with(&version));
    assert_eq!(workshop.run(&["--version"]).done(), format!("{version}\n"));
    let json: serde_json::Value = serde_json::from_str(&workshop.run(&["version", "--format", "json"]).done()).unwrap();
    assert_eq!(json["version"], lkpkg::VERSION);
}

#[test]
fn completions_are_scripts_of_their_shells() {
    let workshop = Workshop::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = workshop.run(&["completions", shell]).done();
        assert!(script.contains("show-tag") && script.contains("lkpkg"), "{shell}");
        // bash is everywhere; another shell judges its script where it is installed.
        let Ok(mut child) = Command::new(shell).arg("-n").stdin(Stdio::piped()).spawn() else {
            assert_ne!(shell, "bash");
            continue;
        };
        child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success(), "{shell}");
    }
}
