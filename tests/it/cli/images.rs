//! From a package to an image in the cache, and out of it.

use super::*;
use crate::servers::skopeo;
use serde_json::Value;

const PLATFORMS: [(&str, &str); 4] = [
    ("amd64", "x86_64"),
    ("arm64", "aarch64"),
    ("riscv64", "riscv64"),
    ("s390x", "s390x"),
];

#[test]
fn a_package_for_four_platforms_is_an_index_in_the_cache() {
    let Some(workshop) = Workshop::with_buildkit() else {
        return;
    };
    workshop.package(
        "hello",
        "org: test\nimage: hello\narches: [amd64, arm64, riscv64, s390x]\n",
        "FROM busybox:1.37 AS build\nRUN uname -m >/machine\nFROM scratch\nCOPY --from=build /machine /machine\n",
    );
    let run = workshop.build(&["hello"]);
    let (stderr, line) = (run.stderr.clone(), run.done());
    let tag = workshop.run(&["show-tag", "hello"]).done().trim_end().to_owned();
    assert!(
        line.starts_with(&format!("{tag}@sha256:")) && line.lines().count() == 1,
        "{line}"
    );
    assert!(stderr.contains(&format!("hello built {tag}")), "{stderr}");

    let index = workshop.document(&digest(&line));
    let platform = |entry: &Value| {
        let platform = &entry["platform"];
        format!(
            "{}/{}",
            platform["os"].as_str().unwrap(),
            platform["architecture"].as_str().unwrap()
        )
    };
    let found: Vec<String> = index["manifests"].as_array().unwrap().iter().map(platform).collect();
    assert_eq!(found, ["linux/amd64", "linux/arm64", "linux/riscv64", "linux/s390x"]);
    for (architecture, machine) in PLATFORMS {
        let found = files(&workshop, &tag, &format!("linux/{architecture}"));
        assert_eq!(found["machine"], machine);
        let one = files(
            &workshop,
            &format!("{tag}-{architecture}"),
            &format!("linux/{architecture}"),
        );
        assert_eq!(one, found);
    }

    let text = workshop.run(&["cache", "ls"]).done();
    assert!(text.starts_with("NAME  ") && text.lines().count() == 7, "{text}");
    assert!(
        text.contains("linux/amd64,linux/arm64,linux/riscv64,linux/s390x"),
        "{text}"
    );
    let mut names: Vec<String> = PLATFORMS.map(|(name, _)| format!("docker.io/{tag}-{name}")).to_vec();
    names.insert(0, format!("docker.io/{tag}"));
    names.insert(0, "docker.io/library/busybox:1.37".to_owned());
    assert_eq!(workshop.names(), names);
    workshop.verify();

    let place = format!("oci:{}:docker.io/{tag}", workshop.cache().display());
    if let Some(raw) = skopeo(&["inspect", "--raw", &place]) {
        assert_eq!(serde_json::from_str::<Value>(&raw).unwrap(), index);
    }
}

#[test]
fn what_is_exported_can_be_imported_and_removed() {
    let Some(workshop) = Workshop::with_buildkit() else {
        return;
    };
    let dockerfile = format!("FROM scratch\nCOPY build.yml /{}\n", unique());
    workshop.package("p", "org: test\nimage: p\narches: [amd64, arm64]\n", &dockerfile);
    let line = workshop.build(&["p"]).done();
    let tag = line.split('@').next().unwrap();
    let path = |name: &str| workshop.path().join(name).to_str().unwrap().to_owned();
    let export = |format: &str, platform: &str, to: &str| {
        let arguments = [
            "cache",
            "export",
            tag,
            "--format",
            format,
            "--platform",
            platform,
            "--outfile",
            to,
        ];
        workshop.run(&arguments).done();
    };
    let archive = path("all.tar");
    export("oci", "all", &archive);
    let other = path("other");
    let imported = workshop.run(&["cache", "import", "--cache", &other, &archive]).done();
    assert_eq!(imported, format!("docker.io/{line}"));
    // And the same once more through pipes.
    let mut export_one = workshop.command(&["cache", "export", tag, "--platform", "linux/arm64", "--outfile", "-"]);
    let mut export_one = export_one.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let third = path("third");
    let mut import = workshop.command(&["cache", "import", "--cache", &third, "-", "--name", "one:1"]);
    let imported = import.stdin(export_one.stdout.take().unwrap()).output().unwrap();
    assert!(export_one.wait().unwrap().success());
    assert!(Run::of(imported).done().starts_with("docker.io/library/one:1@sha256:"));
    for cache in [&other, &third] {
        workshop.run(&["cache", "verify", "--cache", cache]).done();
    }

    export("docker", "linux/amd64", &path("docker.tar"));
    let bytes = std::fs::read(path("docker.tar")).unwrap();
    let mut archive = tar::Archive::new(&bytes[..]);
    let manifest = archive.entries().unwrap().map(Result::unwrap).find_map(|mut entry| {
        let mut text = String::new();
        let is_it = entry.path().unwrap().as_os_str() == "manifest.json";
        is_it.then(|| entry.read_to_string(&mut text).map(|_| text).unwrap())
    });
    let manifest: Value = serde_json::from_str(&manifest.unwrap()).unwrap();
    assert!(
        manifest[0]["RepoTags"][0].as_str().unwrap().ends_with(tag),
        "{manifest}"
    );

    let du = workshop.run(&["cache", "du"]).done();
    assert!(du.contains(tag) && du.contains("all blobs"), "{du}");
    let names = [tag.to_owned(), format!("{tag}-amd64"), format!("{tag}-arm64")];
    let arguments: Vec<&str> = ["cache", "rm"]
        .into_iter()
        .chain(names.iter().map(String::as_str))
        .collect();
    let run = workshop.run(&arguments);
    assert!(run.stderr.contains("removed 3 names and freed "), "{run:?}");
    assert_eq!(run.done().lines().count(), 3);
    assert_eq!(workshop.names(), ["docker.io/library/busybox:1.37"]);
    workshop.verify();
    assert!(!workshop.blob(&digest(&line)).exists());
}

#[test]
fn what_is_there_is_not_built_again_unless_by_force() {
    let Some(workshop) = Workshop::with_buildkit() else {
        return;
    };
    let dockerfile = format!("FROM scratch\nCOPY build.yml /{}\n", unique());
    workshop.package(
        "p",
        "org: test\nimage: p\narches: [amd64, arm64, riscv64]\n",
        &dockerfile,
    );
    let first = workshop.build(&["--platforms", "linux/amd64,linux/arm64", "p"]).done();
    let platforms = |line: &str| {
        let index = workshop.document(&digest(line));
        let entries = index["manifests"].as_array().unwrap().clone();
        entries
            .iter()
            .map(|entry| entry["platform"]["architecture"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(platforms(&first), ["amd64", "arm64"]);
    let second = workshop.build(&["p"]);
    assert!(second.stderr.contains("[linux/riscv64]"), "{}", second.stderr);
    let second = second.done();
    assert_eq!(platforms(&second), ["amd64", "arm64", "riscv64"]);
    let arguments = ["build", "--sbom-scanner=false", "p"];
    let third = workshop.run_with("BUILDKIT_HOST", "unix:///nowhere", &arguments);
    assert_eq!((third.stderr.as_str(), third.code), ("", 0));
    assert_eq!(third.stdout, second);
    workshop
        .run_with("BUILDKIT_HOST", "unix:///nowhere", &["build", "--force", "p"])
        .failed(3, &["no BuildKit answers at unix:///nowhere"]);
    let forced = workshop.build(&["--force", "p"]);
    assert!(forced.stderr.contains("built test/p:"), "{}", forced.stderr);
    assert_eq!(forced.done(), second, "the same bytes");
    workshop.verify();
}

#[test]
fn an_sbom_is_in_the_index_and_in_the_image_of_each_platform() {
    let Some(workshop) = Workshop::with_buildkit() else {
        return;
    };
    let Some(scanner) = crate::servers::server("LKPKG_TEST_SCANNER") else {
        return;
    };
    workshop.package(
        "p",
        "org: test\nimage: p\narches: [amd64, arm64]\n",
        "FROM scratch\nCOPY build.yml /\n",
    );
    let attested = |line: &str| {
        let index = workshop.document(&digest(line));
        let entries = index["manifests"].as_array().unwrap().clone();
        let kind = |entry: &Value| entry["annotations"]["vnd.docker.reference.type"] == "attestation-manifest";
        (
            entries.iter().filter(|entry| !kind(entry)).count(),
            entries.iter().filter(|entry| kind(entry)).count(),
        )
    };
    let without = workshop.build(&["p"]).done();
    assert_eq!(attested(&without), (2, 0));
    let scanner = format!("--sbom-scanner={scanner}");
    let with = workshop.run(&["build", "--force", &scanner, "p"]).done();
    assert_eq!(attested(&with), (2, 2));
    let text = workshop.run(&["cache", "ls", "--format", "json"]).done();
    let images: Vec<Value> = serde_json::from_str(&text).unwrap();
    for architecture in ["amd64", "arm64"] {
        let is_it = |image: &&Value| image["name"].as_str().unwrap().ends_with(&format!("-{architecture}"));
        let one = images.iter().find(is_it).unwrap()["digest"].as_str().unwrap();
        assert_eq!(attested(&format!("x@{one}")), (1, 1), "{architecture}");
    }
    workshop.verify();
}
