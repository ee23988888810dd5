//! What a build can be given.

use super::*;

#[test]
fn extra_sources_and_dockerignore() {
    let Some(workshop) = Workshop::with_buildkit() else {
        return;
    };
    workshop.write("common/one", "1");
    workshop.write("common/deep/two", "2");
    workshop.write("p/.dockerignore", "secret\n**/*.o\n");
    workshop.write("p/secret", "no");
    workshop.write("p/sub/x.o", "no");
    workshop.write("p/sub/x.c", "yes");
    let found = built(
        &workshop,
        "extra-sources: ['../common:from/common', '../common/one:single']\n",
        "FROM scratch\nCOPY . /\n",
        &[],
    );
    for (name, content) in [
        ("from/common/one", "1"),
        ("from/common/deep/two", "2"),
        ("single", "1"),
        ("sub/x.c", "yes"),
    ] {
        assert_eq!(found[name], content, "{name}");
    }
    assert!(
        !found.contains_key("secret") && !found.contains_key("sub/x.o"),
        "{found:?}"
    );
}

#[test]
fn secrets_reach_run_steps_and_nothing_else() {
    let Some(workshop) = Workshop::with_buildkit() else {
        return;
    };
    let secret = format!("hidden-{}", unique());
    let dockerfile = format!(
        "FROM busybox:1.37\nRUN --mount=type=secret,id=a --mount=type=secret,id=b \\\n  \
         test $(cat /run/secrets/a) = $(cat /run/secrets/b) && echo {} >/mark\n",
        unique()
    );
    workshop.package("p", BUILD_YML, &dockerfile);
    let file = workshop.path().join("secret");
    std::fs::write(&file, &secret).unwrap();
    let from_file = format!("id=b,src={}", file.display());
    let arguments = [
        "build",
        "--sbom-scanner=false",
        "--secret",
        "id=a,env=SOME_SECRET",
        "--secret",
        &from_file,
        "p",
    ];
    let run = workshop.run_with("SOME_SECRET", &secret, &arguments);
    assert!(!run.stderr.contains(&secret), "{}", run.stderr);
    run.done();
    let grep = std::process::Command::new("grep")
        .args(["-rqF", &secret])
        .arg(workshop.cache())
        .status();
    assert_eq!(grep.unwrap().code(), Some(1), "the secret is in the cache");
    workshop
        .run(&["build", "--force", "--secret", "id=a,env=SOME_SECRET", "p"])
        .failed(2, &["the secret a cannot be used", "SOME_SECRET is not set"]);
}

#[test]
fn build_args_come_from_presets_build_yml_and_files() {
    let Some(workshop) = Workshop::with_buildkit() else {
        return;
    };
    let dockerfile = "FROM busybox:1.37\nARG ONE\nARG TWO\nARG THREE=default\nARG PKG_IMAGE\nARG PKG_HASH\nARG SOURCE\n\
                      RUN echo \"$ONE $TWO $THREE $PKG_IMAGE $PKG_HASH $SOURCE\" >/args\n";
    workshop.write("args", "TWO=file\n\nTHREE=a b\n");
    let found = built(
        &workshop,
        "gitrepo: https://git.example/x\nbuildArgs: [ONE=yml, TWO=yml]\n",
        dockerfile,
        &["--build-arg-file", "args"],
    );
    let tag = workshop.run(&["show-tag", "p"]).done();
    let hash = tag.trim_end().rsplit_once(':').unwrap().1;
    assert_eq!(
        found["args"],
        format!("yml file a b test/p {hash} https://git.example/x")
    );
}

#[test]
fn another_dockerfile_and_another_build_yml() {
    let Some(workshop) = Workshop::with_buildkit() else {
        return;
    };
    workshop.write("p/docker/Other", "FROM scratch\nCOPY docker /is-other\n");
    let found = built(
        &workshop,
        "",
        "FROM scratch\nCOPY nope /\n",
        &["--dockerfile", "docker/Other"],
    );
    assert!(
        found.contains_key("is-other/Other") || found.contains_key("is-other"),
        "{found:?}"
    );
    workshop.write(
        "p/second.yml",
        "org: test\nimage: second\narches: [amd64]\ndockerfile: docker/Other\n",
    );
    workshop.commit();
    let line = workshop.build(&["--build-yml", "second.yml", "p"]).done();
    assert!(line.starts_with("test/second:"), "{line}");
}

#[test]
fn run_steps_have_the_network_only_when_it_is_given() {
    let Some(workshop) = Workshop::with_buildkit() else {
        return;
    };
    let dockerfile = format!(
        "FROM busybox:1.37\nRUN echo {} && wc -l </proc/net/dev >/interfaces\n",
        unique()
    );
    // Two lines of heading, and one for `lo`.
    for (field, flag, is_open) in [
        ("", "--network=false", false),
        ("", "--network", true),
        ("network: true\n", "--quiet", true),
        ("network: true\n", "--network=false", false),
        ("network: true\n", "--nonetwork", false),
        ("", "--quiet", false),
    ] {
        let found = built(&workshop, field, &dockerfile, &["--force", flag]);
        let lines: u32 = found["interfaces"].parse().unwrap();
        assert_eq!(lines > 3, is_open, "{field}{flag}: {lines}");
    }
}

#[test]
fn labels_say_where_an_image_comes_from() {
    let Some(workshop) = Workshop::with_buildkit() else {
        return;
    };
    let yml = "config:\n  capabilities: [all]\n";
    workshop.package("p", &format!("{BUILD_YML}{yml}"), "FROM scratch\nCOPY build.yml /\n");
    let labels = |line: &str| {
        let index = workshop.document(&digest(line));
        let manifest = workshop.document(index["manifests"][0]["digest"].as_str().unwrap());
        workshop.document(manifest["config"]["digest"].as_str().unwrap())["config"]["Labels"].clone()
    };
    let clean = labels(&workshop.build(&["p"]).done());
    assert_eq!(clean["org.mobyproject.config"], r#"{"capabilities":["all"]}"#);
    assert_eq!(clean["org.opencontainers.image.revision"].as_str().unwrap().len(), 40);
    workshop.write("p/new", "x");
    let line = workshop.build(&["p"]).done();
    assert!(line.contains("-dirty-"), "{line}");
    let dirty = labels(&line);
    assert_eq!(dirty["org.opencontainers.image.revision"], serde_json::Value::Null);
    assert_eq!(
        dirty["org.opencontainers.image.source"],
        clean["org.opencontainers.image.source"]
    );
}
