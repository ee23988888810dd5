//! Flags and variables in every form that linuxkit knows.

use super::*;

#[test]
fn flags_stand_before_and_after_the_verb_and_the_directories() {
    let workshop = Workshop::new();
    workshop.package("p", BUILD_YML, "FROM scratch\nCOPY . /\n");
    let tag = workshop.run(&["show-tag", "p"]).done();
    let expected = tag.replacen("test/", "x/", 1);
    for arguments in [
        &["pkg", "--org", "x", "show-tag", "p"][..],
        &["pkg", "show-tag", "--org", "x", "p"],
        &["pkg", "show-tag", "p", "--org=x"],
        &["show-tag", "--org", "x", "p"],
        &["show-tag", "p", "--org", "x"],
        &[
            "pkg",
            "--org=x",
            "--network=false",
            "--force-dirty=false",
            "show-tag",
            "p",
        ],
        &["pkg", "--org=x", "--network", "--disable-cache", "show-tag", "p"],
    ] {
        assert_eq!(workshop.run(arguments).done(), expected, "{arguments:?}");
    }
    for arguments in [
        &["pkg", "--org", "x", "build", "--dry-run", "p"][..],
        &["pkg", "build", "--dry-run", "--org", "x", "p"],
        &["build", "--dry-run", "--org", "x", "p"],
        &["build", "p", "--org", "x", "--dry-run"],
        &["build", "--dry-run=true", "--force=false", "--org", "x", "p"],
    ] {
        let plan = workshop.run(arguments).done();
        assert!(
            plan.starts_with(&expected) && plan.contains("build  not in the cache"),
            "{plan}"
        );
    }
    for forced in [&["--force"][..], &["--force=true"], &["--force=1"], &["--force=T"]] {
        let plan = workshop.run(&[&["plan", "p"], forced].concat()).done();
        assert!(plan.contains("build  --force"), "{plan}");
    }
    // A word after a yes-or-no flag is a directory, as with Go's flags.
    workshop
        .run(&["plan", "--force", "false"])
        .failed(2, &["false is not a package directory"]);
}

#[test]
fn tags_follow_the_flags() {
    let workshop = Workshop::new();
    workshop.package("p", BUILD_YML, "FROM scratch\nCOPY . /\n");
    workshop.package("q", "image: q\ntag: v1-{{.Hash}}\n", "FROM scratch\nCOPY . /\n");
    let tag = |arguments: &[&str]| workshop.run(&[&["show-tag"], arguments].concat()).done();
    let both = tag(&["q", "p"]);
    let lines: Vec<&str> = both.lines().collect();
    assert!(
        lines[0].starts_with("linuxkit/q:v1-") && lines[1].starts_with("test/p:"),
        "{both}"
    );
    assert_eq!(tag(&["--canonical", "p"]), format!("docker.io/{}", tag(&["p"])));
    assert_eq!(tag(&["--tag", "fixed", "p"]), "test/p:fixed\n");
    assert_eq!(tag(&["--hash", "abc", "q"]), "linuxkit/q:v1-abc\n");
    let dirty = tag(&["--force-dirty", "p"]);
    assert!(
        dirty.starts_with(&format!("{}-dirty", tag(&["p"]).trim_end())),
        "{dirty}"
    );
    let dev = workshop.run_with("USER", "someone", &["show-tag", "--dev", "p"]).done();
    assert_eq!(dev, "someone/p:dev\n");
    workshop
        .run(&["show-tag", "--dev", "p"])
        .failed(2, &["USER, which is not set", "--org"]);
}

#[test]
fn variables_give_way_to_flags() {
    let workshop = Workshop::new();
    workshop.package("p", BUILD_YML, "FROM scratch\nCOPY . /\n");
    let org = |arguments: &[&str]| {
        let tag = workshop.run_with("LINUXKIT_PKG_ORG", "by-variable", arguments).done();
        tag.split('/').next().unwrap().to_owned()
    };
    assert_eq!(org(&["show-tag", "p"]), "by-variable");
    assert_eq!(org(&["pkg", "show-tag", "p"]), "by-variable");
    assert_eq!(org(&["show-tag", "--org", "by-flag", "p"]), "by-flag");
    assert_eq!(org(&["pkg", "--org", "by-flag", "show-tag", "p"]), "by-flag");
    let other = workshop.path().join("other");
    workshop.run(&["cache", "ls"]).done();
    assert!(workshop.cache().join("index.json").exists() && !other.exists());
    workshop
        .run(&["cache", "ls", "--cache", other.to_str().unwrap()])
        .done();
    assert!(other.join("index.json").exists());
    let mut command = workshop.command(&["cache", "ls"]);
    Run::of(command.env_remove("LINUXKIT_CACHE").output().unwrap()).done();
    assert!(workshop.path().join("home/.linuxkit/cache/index.json").exists());
    for (builders, variable, address) in [
        (
            "linux/amd64=unix:///flag",
            "linux/amd64=unix:///variable",
            "unix:///flag",
        ),
        ("", "linux/amd64=unix:///variable", "unix:///variable"),
        (
            "linux/arm64=unix:///flag",
            "linux/amd64=unix:///variable",
            "unix:///variable",
        ),
        (
            "linux/arm64=unix:///flag",
            "linux/arm64=unix:///variable",
            "unix:///host",
        ),
    ] {
        let mut command = workshop.command(&["build", "--builders", builders, "p"]);
        command
            .env("LINUXKIT_BUILDERS", variable)
            .env("BUILDKIT_HOST", "unix:///host");
        Run::of(command.output().unwrap()).failed(3, &[&format!("no BuildKit answers at {address}: ")]);
    }
    workshop
        .run_with("LINUXKIT_BUILDERS", "linux/amd64=npipe://nope", &["build", "p"])
        .failed(2, &["LINUXKIT_BUILDERS: ", "nope"]);
}

#[test]
fn how_much_is_said_may_be_a_level_or_nothing() {
    let workshop = Workshop::new();
    workshop.package("p", BUILD_YML, "FROM scratch\nCOPY . /\n");
    for verbose in [
        &["-v", "2"][..],
        &["-v"],
        &["--verbose"],
        &["--verbose=2"],
        &["--verbose", "1"],
    ] {
        let tag = workshop.run(&[&["show-tag"], verbose, &["p"]].concat()).done();
        assert!(tag.starts_with("test/p:"), "{verbose:?}: {tag}");
        let tag = workshop.run(&[&["show-tag", "p"], verbose].concat()).done();
        assert!(tag.starts_with("test/p:"), "{verbose:?}: {tag}");
    }
    workshop.run(&["show-tag", "--", "--verbose"]).failed(2, &["--verbose"]);
}
