//! Wrong packages and wrong flags.

use super::*;

#[test]
fn a_directory_without_build_yml() {
    let workshop = Workshop::new();
    workshop.write("p/Dockerfile", DOCKERFILE);
    workshop.run(&["show-tag", "p"]).failed(
        2,
        &["/p is not a package: there is no ", "/p/build.yml", "`image: NAME`"],
    );
    workshop
        .run(&["show-tag", "nowhere"])
        .failed(2, &["nowhere is not a package directory: it does not exist"]);
    workshop
        .run(&["show-tag", "p/Dockerfile"])
        .failed(2, &["it is a file; give the directory that holds build.yml"]);
}

#[test]
fn an_unknown_field_is_shown_where_it_stands() {
    let workshop = Workshop::new();
    workshop.package("p", "image: p\nnetwrok: true\n", DOCKERFILE);
    for verb in ["show-tag", "build", "plan"] {
        workshop.run(&[verb, "p"]).failed(
            2,
            &[
                "p/build.yml:2:1",
                "netwrok",
                "network",
                "2 | netwrok: true\n  | ^^^^^^^",
            ],
        );
    }
}

#[test]
fn a_value_of_the_wrong_type_is_shown_where_it_stands() {
    let workshop = Workshop::new();
    for (line, words) in [
        ("network: sometimes", ["build.yml:2:10", "sometimes"]),
        ("arches: amd64", ["build.yml:2:9", "arches"]),
        ("arches: [amd46]", ["build.yml:2:10", "amd46"]),
        ("extra-sources: {a: b}", ["build.yml:2:16", "extra-sources"]),
        ("buildArgs: [NOEQUALS]", ["build.yml:2:13", "NOEQUALS"]),
        ("network: true\nnetwork: true", ["build.yml:3:1", "network"]),
        ("tag: '{{.Nope}}'", ["{{.Nope}}", "column"]),
        ("image: [", ["build.yml:", "image"]),
    ] {
        workshop.package("p", &format!("image: p\n{line}\n"), DOCKERFILE);
        workshop.run(&["show-tag", "p"]).failed(2, &words);
    }
}

#[test]
fn a_missing_dockerfile_matters_to_a_build_and_not_to_a_tag() {
    let workshop = Workshop::new();
    workshop.write("p/build.yml", BUILD_YML);
    workshop.commit();
    let tag = workshop.run(&["show-tag", "p"]).done();
    assert!(tag.starts_with("test/p:"), "{tag}");
    for verb in ["build", "plan"] {
        workshop.run(&[verb, "p"]).failed(
            2,
            &[
                "there is no ",
                "/p/Dockerfile; a package needs a Dockerfile",
                "--dockerfile",
            ],
        );
    }
    workshop
        .run(&["build", "--dockerfile", "other", "p"])
        .failed(2, &["there is no ", "/p/other"]);
}

#[test]
fn a_dockerfile_outside_of_the_package_is_refused() {
    let workshop = Workshop::new();
    workshop.package("p", &format!("{BUILD_YML}dockerfile: ../Dockerfile\n"), DOCKERFILE);
    workshop.write("Dockerfile", DOCKERFILE);
    workshop.run(&["build", "p"]).failed(
        2,
        &["p/build.yml:4:13", "`../Dockerfile` is outside the package directory"],
    );
    workshop.package("q", BUILD_YML, DOCKERFILE);
    std::fs::remove_file(workshop.repository().join("q/Dockerfile")).unwrap();
    std::os::unix::fs::symlink("../Dockerfile", workshop.repository().join("q/Dockerfile")).unwrap();
    workshop
        .run(&["build", "q"])
        .failed(2, &["`Dockerfile` leads outside the package directory"]);
    workshop
        .run(&["build", "--dockerfile", "../Dockerfile", "q"])
        .failed(2, &["`../Dockerfile` is outside the package directory"]);
}

#[test]
fn platforms_that_are_unknown_or_given_twice() {
    let workshop = workshop();
    workshop
        .run(&["build", "--platforms", "linux/amd46", "p"])
        .failed(2, &["unknown platform linux/amd46", "linux/amd64, linux/arm64"]);
    workshop
        .run(&["build", "--platforms", "amd64", "p"])
        .failed(2, &["\"amd64\" is not a platform", "for example linux/arm64"]);
    workshop
        .run(&[
            "build",
            "--platforms",
            "linux/amd64",
            "--skip-platforms",
            "linux/arm64",
            "p",
        ])
        .failed(2, &["--platforms and --skip-platforms cannot be used together"]);
}

#[test]
fn build_args_that_cannot_be_read() {
    let workshop = workshop();
    workshop.write("args", "ONE=1\n\nTWO\n");
    workshop
        .run(&["build", "--build-arg-file", "args", "p"])
        .failed(2, &["args:3:1", "\"TWO\" is not a build arg: it must be `KEY=VALUE`"]);
    workshop
        .run(&["build", "--build-arg-file", "nowhere", "p"])
        .failed(2, &["nowhere: there is no such build arg file"]);
    workshop.write("args", "X=@lkt:pkg:nowhere\n");
    workshop
        .run(&["build", "--build-arg-file", "args", "p"])
        .failed(2, &["nowhere is not a package directory"]);
    workshop.write("args", "X_%=@lkt:pkgs:nothing/*\n");
    workshop
        .run(&["build", "--build-arg-file", "args", "p"])
        .failed(2, &["X_%", "nothing/*"]);
}

#[test]
fn packages_that_git_does_not_know() {
    let workshop = Workshop::new();
    workshop
        .run_with("HOME", "/nowhere", &["show-tag", "."])
        .failed(2, &["build.yml"]);
    workshop.write("p/build.yml", BUILD_YML);
    workshop.write("p/Dockerfile", DOCKERFILE);
    workshop
        .run(&["show-tag", "p"])
        .failed(2, &["has no commits yet: commit the package, or give --hash"]);
    workshop.git(&["commit", "-q", "--allow-empty", "-m", "nothing"]);
    workshop
        .run(&["show-tag", "p"])
        .failed(2, &["p is not in git at commit HEAD: commit it, or give --hash"]);
    assert_eq!(workshop.run(&["show-tag", "--hash", "abc", "p"]).done(), "test/p:abc\n");
    workshop
        .run(&["show-tag", "--hash-commit", "nope", "p"])
        .failed(2, &["there is no commit \"nope\" in the git repository"]);
    // Outside git there is no hash, and the tag is `latest`.
    let outside = workshop.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("build.yml"), BUILD_YML).unwrap();
    let outside = outside.to_str().unwrap();
    assert_eq!(workshop.run(&["show-tag", outside]).done(), "test/p:latest\n");
    let with_source = format!("{BUILD_YML}extra-sources: ['../home:home']\n");
    workshop.package("q", &with_source.replace("../home", "../../home"), DOCKERFILE);
    workshop
        .run(&["show-tag", "q"])
        .failed(2, &["the extra source ", "/home is not in a git repository"]);
}

#[test]
fn a_hash_path_must_be_a_parent() {
    let workshop = workshop();
    workshop.package("q", BUILD_YML, DOCKERFILE);
    workshop
        .run(&["show-tag", "--hash-path", "q", "p"])
        .failed(2, &["/q is not a parent of the package ", "/p"]);
    workshop
        .run(&["show-tag", "--hash-path", "nowhere", "p"])
        .failed(2, &["the hash path nowhere does not exist"]);
    workshop
        .run(&["show-tag", "--hash-path", "/", "p"])
        .failed(2, &["the hash path / is outside "]);
    workshop.run(&["show-tag", "--hash-path", ".", "p"]).done();
}

#[test]
fn usage_is_explained() {
    let workshop = workshop();
    for (arguments, words) in [
        (
            &["build"][..],
            &["<DIR>...", "Usage: lkpkg build [OPTIONS] <DIR>..."][..],
        ),
        (&["bild", "p"], &["unrecognized subcommand 'bild'", "'build'"]),
        (
            &["build", "--network=maybe", "p"],
            &["--network", "expected true or false"],
        ),
        (&["build", "--progress", "loud", "p"], &["loud", "rawjson"]),
        (&["build", "--nope", "p"], &["unexpected argument '--nope'"]),
        (&["build", "--secret", "nope", "p"], &["the secret nope cannot be used"]),
        (&["build", "--registry-creds", "nope", "p"], &["REGISTRY=USER:PASSWORD"]),
        (
            &["build", "--builders", "linux/amd64=tcp://nope", "p"],
            &["\"tcp://nope\" names no builder", "no port"],
        ),
        (&["cache", "rm", "Not A Name"], &["\"Not A Name\" is not an image name"]),
        (
            &["cache", "rm", "nope:1"],
            &["no image docker.io/library/nope:1 is in the cache"],
        ),
        (
            &["cache", "export", "nope:1", "--outfile", "-"],
            &["no image docker.io/library/nope:1"],
        ),
        (&["completions", "dos"], &["'dos'", "bash"]),
    ] {
        let run = workshop.run(arguments).failed(2, words);
        assert_eq!(run.stdout, "", "{arguments:?}");
    }
    // A password that was given is never repeated.
    let run = workshop.run(&["build", "--registry-creds", "=user:pass-word", "p"]);
    assert!(!run.failed(2, &[]).stderr.contains("pass-word"));
}
