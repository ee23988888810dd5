//! Every field of build.yml: default, value, override, and the text of every error.

use super::*;
use crate::package::{DockerImages, DockerImagesTarget};
use tempfile::TempDir;

/// A package directory `p` below a fresh directory, with a Dockerfile and the build.yml given.
fn package(build_yml: &str) -> (TempDir, PathBuf) {
    let top = tempfile::tempdir().expect("temporary directory");
    let directory = top.path().canonicalize().expect("exists").join("p");
    std::fs::create_dir(&directory).expect("made");
    write(&directory, "Dockerfile", "FROM scratch\n");
    write(&directory, "build.yml", build_yml);
    (top, directory)
}

fn write(directory: &Path, name: &str, text: &str) {
    let path = directory.join(name);
    std::fs::create_dir_all(path.parent().expect("has a parent")).expect("made");
    std::fs::write(path, text).expect("written");
}

fn loaded(build_yml: &str) -> Package {
    load(&package(build_yml).1, &Overrides::default()).unwrap_or_else(|error| panic!("{error}"))
}

/// Loads and gives the error, with the temporary directory as `/T`.
fn error_of(directory: &Path, overrides: &Overrides) -> String {
    let error = load(directory, overrides).expect_err("is refused").to_string();
    let top = directory.ancestors().find(|d| d.file_name().is_some_and(|n| n == "p"));
    let top = top.and_then(Path::parent).expect("is below p").display().to_string();
    error.replace(&top, "/T")
}

fn refused(build_yml: &str, expected: &str) {
    let (_top, directory) = package(build_yml);
    assert_eq!(error_of(&directory, &Overrides::default()), expected, "{build_yml}");
}

#[test]
fn defaults_are_linuxkits() {
    let (_top, directory) = package("image: hello");
    let package = load(&directory, &Overrides::default()).expect("loads");
    let expected = Package {
        build_yml: directory.join("build.yml"),
        directory,
        image: "hello".into(),
        org: "linuxkit".into(),
        tag: "{{.Hash}}".into(),
        dockerfile: "Dockerfile".into(),
        architectures: ["amd64", "arm64", "riscv64"].map(str::to_owned).to_vec(),
        extra_sources: Vec::new(),
        git_repository: "https://github.com/linuxkit/linuxkit".into(),
        has_network: false,
        is_cache_disabled: false,
        config: None,
        build_args: Vec::new(),
        depends: None,
    };
    assert_eq!(package, expected);
}

#[test]
fn every_field_is_read() {
    let digest = format!("sha256:{}", "a".repeat(64));
    let (_top, directory) = package(&format!(
        "image: hello\norg: example.com/team\ntag: v1-{{{{.Hash}}}}\ndockerfile: sub/../docker/File\n\
         arches: [s390x, amd64, s390x]\nextra-sources:\n  - ../common/a:src/./b\n  - {{}}/p/x:/y\ngitrepo: https://git.example/x\n\
         network: yes\ndisable-cache: on\nconfig:\n  binds: [/a:/b]\nbuildArgs:\n  - A=1\n  - B_%=@lkt:pkgs:../*\n\
         depends:\n  docker-images:\n    target-dir: images\n    list: ['busybox@{digest}']\n",
    ));
    let top = directory.parent().expect("has one");
    let text = std::fs::read_to_string(directory.join("build.yml")).expect("is there");
    write(&directory, "build.yml", &text.replace("{}", &top.display().to_string()));
    write(&directory, "docker/File", "FROM scratch");
    write(&directory, "x", "");
    write(top, "common/a", "");
    let package = load(&directory, &Overrides::default()).unwrap_or_else(|error| panic!("{error}"));
    let source = |source: PathBuf, destination: &str| ExtraSource {
        source,
        destination: destination.into(),
    };
    let expected = Package {
        build_yml: directory.join("build.yml"),
        image: "hello".into(),
        org: "example.com/team".into(),
        tag: "v1-{{.Hash}}".into(),
        dockerfile: "docker/File".into(),
        architectures: vec!["s390x".into(), "amd64".into()],
        extra_sources: vec![source(top.join("common/a"), "src/b"), source(directory.join("x"), "y")],
        git_repository: "https://git.example/x".into(),
        has_network: true,
        is_cache_disabled: true,
        config: Some(r#"{"binds":["/a:/b"]}"#.into()),
        build_args: vec!["A=1".into(), "B_%=@lkt:pkgs:../*".into()],
        depends: Some(DockerImages {
            images: vec![format!("busybox@{digest}")],
            target: DockerImagesTarget::Directory(directory.join("images")),
        }),
        directory,
    };
    assert_eq!(package, expected);
}

#[test]
fn null_is_not_given_and_scalars_are_text() {
    let package = loaded(
        "image: 1.10\norg: ~\ntag:\ndockerfile: null\ngitrepo: ''\nnetwork: ~\narches:\nextra-sources: ~\nconfig: ~\n\
         buildArgs: ~\ndepends: ~\n",
    );
    assert_eq!(package.image, "1.10");
    assert_eq!((package.org.as_str(), package.tag.as_str()), ("linuxkit", "{{.Hash}}"));
    assert_eq!((package.git_repository.as_str(), package.has_network), ("", false));
    assert_eq!((package.architectures.len(), package.config), (0, None));
    assert_eq!(loaded("image: x\ntag: ''").tag, "{{.Hash}}");
    assert_eq!(loaded("image: x\ntag: 0755").tag, "0755");
    assert_eq!(loaded("image: x\nbuildArgs: [A=1, ~]").build_args, ["A=1"]);
    assert_eq!(loaded("image: &n hello\ntag: *n").tag, "hello");
}

#[test]
fn flags_win_over_build_yml() {
    let (_top, directory) = package("image: [not read]");
    write(
        &directory,
        "other.yml",
        "image: x\norg: a\ntag: t\nnetwork: true\ndisable-cache: false\ndockerfile: gone\n",
    );
    write(&directory, "docker/b", "FROM scratch");
    let mut overrides = Overrides {
        build_yml: Some("other.yml".into()),
        org: Some("b".into()),
        tag: Some("u".into()),
        dockerfile: Some("docker/b".into()),
        has_network: Some(false),
        is_cache_disabled: Some(true),
    };
    let loaded = load(&directory, &overrides).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(loaded.build_yml, directory.join("other.yml"));
    assert_eq!((loaded.org.as_str(), loaded.tag.as_str()), ("b", "u"));
    assert_eq!((loaded.has_network, loaded.is_cache_disabled), (false, true));
    assert_eq!(loaded.dockerfile, Path::new("docker/b"));
    overrides.dockerfile = Some(directory.join("docker/b"));
    overrides.tag = Some(String::new());
    let loaded = load(&directory, &overrides).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(
        (loaded.dockerfile.as_path(), loaded.tag.as_str()),
        (Path::new("docker/b"), "t")
    );
    overrides.org = Some(String::new());
    assert_eq!(
        error_of(&directory, &overrides),
        "/T/p/other.yml: the organisation given must not be empty"
    );
}

#[test]
fn what_is_no_package_is_said() {
    let (_top, directory) = package("image: x");
    let check = |path: &Path, expected: &str| assert_eq!(error_of(path, &Overrides::default()), expected);
    check(
        &directory.join("none"),
        "/T/p/none is not a package directory: it does not exist",
    );
    check(
        &directory.join("build.yml"),
        "/T/p/build.yml is not a package directory: it is a file; give the directory that holds build.yml",
    );
    check(
        &directory.join("build.yml/x"),
        "/T/p/build.yml/x is not a package directory: a part of the path is a file",
    );
    std::fs::create_dir(directory.join("empty")).expect("made");
    check(
        &directory.join("empty"),
        "/T/p/empty is not a package: there is no /T/p/empty/build.yml; every package needs a build.yml with at least \
         `image: NAME`",
    );
    std::fs::write(directory.join("build.yml"), b"image: \xff").expect("written");
    check(&directory, "/T/p/build.yml: not a text file: it must be UTF-8");
}

#[test]
fn fields_are_checked() {
    let missing = "/T/p/build.yml: `image` is missing: add `image: NAME`, the last part of the image's name";
    for text in ["", "# nothing", "org: x", "image:", "image: ''"] {
        refused(text, missing);
    }
    refused(
        "image: x\nimgae: y",
        "/T/p/build.yml:2:1: build.yml has no field `imgae`: did you mean `image`?\n  |\n2 | imgae: y\n  | ^^^^^",
    );
    refused(
        "image: x\nlabels: []",
        "/T/p/build.yml:2:1: build.yml has no field `labels`: known are image, org, tag, dockerfile, arches, \
         extra-sources, gitrepo, network, disable-cache, config, buildArgs, depends\n  |\n2 | labels: []\n  | ^^^^^^",
    );
    refused(
        "image: x\nimage: y",
        "/T/p/build.yml:2:1: `image` appears twice; each field may appear once\n  |\n2 | image: y\n  | ^^^^^",
    );
    refused(
        "- image",
        "/T/p/build.yml:1:1: build.yml must be a mapping, not a list\n  |\n1 | - image\n  | ^",
    );
    refused(
        "image: [x]",
        "/T/p/build.yml:1:8: `image` must be text, not a list\n  |\n1 | image: [x]\n  |        ^",
    );
    refused(
        "image: Hello",
        "/T/p/build.yml:1:8: `image` is \"Hello\"; allowed are a-z, 0-9 and, between them, `.`, `_`, `-`, `/`\n  |\n\
         1 | image: Hello\n  |        ^^^^^",
    );
    refused(
        "image: x:1",
        "/T/p/build.yml:1:8: `image` is a name only; its tag comes from `tag`\n  |\n1 | image: x:1\n  |        ^^^",
    );
    refused(
        "image: x\norg: ''",
        "/T/p/build.yml:2:6: `org` must not be empty\n  |\n2 | org: ''\n  |      ^^",
    );
    refused(
        "image: x\nnetwork: maybe",
        "/T/p/build.yml:2:10: `network` must be true or false, not `maybe`\n  |\n2 | network: maybe\n  |          ^^^^^",
    );
    refused(
        "image: x\narches: amd64",
        "/T/p/build.yml:2:9: `arches` must be a list, not `amd64`\n  |\n2 | arches: amd64\n  |         ^^^^^",
    );
    refused(
        "image: x\narches: [amd64, x86]",
        "/T/p/build.yml:2:17: `arches`: \"x86\" is not an architecture that can be built; known are amd64, arm64, riscv64, \
         s390x\n  |\n2 | arches: [amd64, x86]\n  |                 ^^^",
    );
    refused(
        "image: x\nbuildArgs:\n  - A=1\n  - B",
        "/T/p/build.yml:4:5: `buildArgs`: \"B\" is not a build arg: it must be `KEY=VALUE`\n  |\n4 |   - B\n  |     ^",
    );
    refused(
        "image: x\nconfig:\n  bind: []",
        "/T/p/build.yml:3:3: `config` has no field `bind`: did you mean `binds`?\n  |\n3 |   bind: []\n  |   ^^^^",
    );
}

#[test]
fn extra_sources_are_checked() {
    let check = |entry: &str, message: &str| {
        let mark = "^".repeat(entry.len());
        refused(
            &format!("image: x\nextra-sources:\n  - {entry}"),
            &format!("/T/p/build.yml:3:5: `extra-sources`: {message}\n  |\n3 |   - {entry}\n  |     {mark}"),
        );
    };
    check("a", "\"a\" must be `SOURCE:DESTINATION` with one colon");
    check("a:b:c", "\"a:b:c\" must be `SOURCE:DESTINATION` with one colon");
    check(":b", "\":b\" must have text on both sides of the colon");
    check("gone:b", "/T/p/gone does not exist");
    check("../gone:b", "/T/gone does not exist");
    check(".:../b", "the destination \"../b\" is outside the build context");
    check(
        ".:a/../../b",
        "the destination \"a/../../b\" is outside the build context",
    );
    let loaded = loaded("image: x\nextra-sources: ['.:/']");
    assert_eq!(loaded.extra_sources[0].destination, Path::new(""));
}

#[test]
fn the_dockerfile_must_be_a_file_in_the_package_when_it_is_read() {
    refused(
        "image: x\ndockerfile: ../Dockerfile",
        "/T/p/build.yml:2:13: `dockerfile`: the Dockerfile must be in the package directory: `../Dockerfile` is outside the \
         package directory /T/p\n  |\n2 | dockerfile: ../Dockerfile\n  |             ^^^^^^^^^^^^^",
    );
    let (top, directory) = package("image: x\nextra-sources: ['../laid:laid']");
    write(top.path(), "laid/File", "FROM scratch");
    let check = |name: &str, message: &str| {
        let overrides = Overrides {
            dockerfile: Some(name.into()),
            ..Overrides::default()
        };
        let package = load(&directory, &overrides).unwrap_or_else(|error| panic!("{error}"));
        let found = crate::package::dockerfile::load(&package, &std::collections::BTreeMap::new());
        let text = found.err().map(|error| error.to_string()).unwrap_or_default();
        let parent = directory.parent().expect("has one").display().to_string();
        assert_eq!(text.replace(&parent, "/T"), message);
    };
    check("Dockerfile", "");
    check(
        "gone",
        "/T/p: there is no /T/p/gone; a package needs a Dockerfile, and `dockerfile` in build.yml or --dockerfile says so \
         where it has another name",
    );
    check(".", "/T/p: the Dockerfile /T/p/ is not a file");
    write(directory.parent().expect("has one"), "other", "FROM scratch");
    for (name, target) in [("out", "../other"), ("in", "Dockerfile")] {
        std::os::unix::fs::symlink(target, directory.join(name)).expect("linked");
    }
    check("in", "");
    check(
        "out",
        "/T/p: the Dockerfile must be in the package directory: `out` leads outside the package directory /T/p, to /T/other",
    );
    check("laid/File", "");
}

#[test]
fn docker_images_are_checked() {
    let digest = format!("sha256:{}", "b".repeat(64));
    let of = |fields: &str| format!("image: x\ndepends:\n  docker-images: {{{fields}}}").replace("D1", &digest);
    let start = "/T/p/build.yml:3:";
    for (fields, message) in [
        (
            "target: a, target-dir: b",
            "`depends.docker-images` takes `target` or `target-dir`, not both",
        ),
        (
            "list: [a], from-file: b",
            "`depends.docker-images` takes `list` or `from-file`, not both",
        ),
        (
            "target: /a",
            "`depends.docker-images.target` must be relative to the package directory",
        ),
        (
            "target-dir: .",
            "`depends.docker-images.target-dir` must not be the package directory itself",
        ),
        (
            "target-dir: ../q",
            "`depends.docker-images.target-dir` must be in the package directory: `../q` is outside",
        ),
        (
            "target: t, from-file: ../f",
            "`depends.docker-images.from-file` must be in the package directory",
        ),
        (
            "target: t, from-file: f",
            "`depends.docker-images.from-file`: cannot read /T/p/f: No such file",
        ),
        (
            "target: t, list: ['a:1']",
            "`depends.docker-images.list`: \"a:1\" lacks a digest",
        ),
        ("target: t, list: ['A@D1']", "`depends.docker-images.list`: \"A@sha256"),
        (
            "target: t, list: ['a@sha256:12']",
            "`depends.docker-images.list`: \"a@sha256:12\" is not",
        ),
        (
            "lists: []",
            "`depends.docker-images` has no field `lists`: did you mean `list`?",
        ),
    ] {
        let (_top, directory) = package(&of(fields));
        let error = error_of(&directory, &Overrides::default());
        assert!(error.starts_with(start) && error.contains(message), "{error}");
    }
    refused(
        &of("list: ['a@D1']"),
        "/T/p/build.yml: `depends.docker-images` needs `target: FILE` or `target-dir: DIRECTORY`, where the images go",
    );
    assert_eq!(loaded(&of("target: t")).depends, None);

    let (_top, directory) = package(&of("target: sub/t.tar, from-file: images"));
    write(
        &directory,
        "images",
        &format!("# bases\n\na@{digest}\nb/c:1@{digest}\n"),
    );
    let depends = load(&directory, &Overrides::default())
        .unwrap_or_else(|error| panic!("{error}"))
        .depends;
    let expected = DockerImages {
        images: vec![format!("a@{digest}"), format!("b/c:1@{digest}")],
        target: DockerImagesTarget::File(directory.join("sub/t.tar")),
    };
    assert_eq!(depends, Some(expected));
    write(&directory, "images", "a:1\n");
    assert_eq!(
        error_of(&directory, &Overrides::default()),
        "/T/p/images:1:1: \"a:1\" lacks a digest: write NAME@sha256:…\n  |\n1 | a:1\n  | ^^^"
    );
}

#[test]
fn the_dockerfile_s_images_are_told_with_its_path() {
    let (_top, directory) = package("image: x");
    write(&directory, "Dockerfile", "FROM a:1\nCOPY --from=b / /\n");
    let none = std::collections::BTreeMap::new();
    let loaded = load(&directory, &Overrides::default()).unwrap_or_else(|error| panic!("{error}"));
    let references = crate::package::dockerfile::load(&loaded, &none).unwrap_or_else(|error| panic!("{error}"));
    let names: Vec<&str> = references.iter().map(|reference| reference.name.as_str()).collect();
    assert_eq!(names, ["a:1", "b"]);
    write(&directory, "Dockerfile", "FROM a\nRNU x\n");
    let error = crate::package::dockerfile::load(&loaded, &none).expect_err("is refused");
    assert_eq!(error.position().map(|position| position.line), Some(2));
    let expected = "Dockerfile:2:1: unknown instruction RNU: did you mean RUN?\n  |\n2 | RNU x\n  | ^^^^^";
    assert!(error.to_string().ends_with(expected), "{error}");
}
