//! Caches that builders share: written by the BuildKit of the test bed, read by another one that has nothing.

use crate::program::{Run, Workshop, unique};
use crate::registry::daemon::{Bed, PASSWORD, USER};
use crate::servers::{OwnBuildKit, server, skopeo};
use serde_json::Value;

/// A repository with packages whose steps nobody has done before, and a second BuildKit.
struct Fleet {
    workshop: Workshop,
    other: OwnBuildKit,
    registry: String,
}

impl Fleet {
    /// None after a SKIP line.
    fn new(packages: &[&str]) -> Option<Self> {
        let (registry, buildkitd) = (server("LKPKG_TEST_REGISTRY")?, server("LKPKG_BUILDKITD")?);
        let workshop = Workshop::with_buildkit()?;
        for name in packages {
            let dockerfile = format!(
                "FROM busybox:1.37 AS early\nRUN echo {} >/made\nFROM busybox:1.37\nCOPY --from=early /made /\nRUN echo late\n",
                unique()
            );
            let build_yml = format!("org: {registry}/{}\nimage: {name}\narches: [amd64]\n", unique());
            workshop.package(name, &build_yml, &dockerfile);
        }
        Some(Self {
            workshop,
            other: OwnBuildKit::start(&buildkitd),
            registry,
        })
    }

    /// On the BuildKit of the test bed.
    fn build(&self, arguments: &[&str]) -> Run {
        self.workshop.build(&[&["--force"], arguments].concat())
    }

    /// On the one that has nothing.
    fn build_elsewhere(&self, arguments: &[&str]) -> Run {
        let all = [&["build", "--sbom-scanner=false", "--force"], arguments].concat();
        self.workshop.run_with("BUILDKIT_HOST", &self.other.address(), &all)
    }

    fn name(&self) -> String {
        format!("{}/{}", self.registry, unique())
    }
}

/// How many of the RUN steps came from a cache.
#[track_caller]
fn cached_steps(run: Run) -> usize {
    let said = run.stderr.clone();
    run.done();
    let names = said.lines().filter(|line| line.contains("] RUN "));
    // `p #7`: steps are numbered for each package.
    let steps: Vec<String> = names
        .map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" "))
        .collect();
    assert!(!steps.is_empty(), "{said}");
    let is_cached = |step: &&String| said.lines().any(|line| line == format!("{step} CACHED"));
    steps.iter().filter(is_cached).count()
}

#[test]
fn a_registry_carries_steps_from_one_builder_to_another() {
    let Some(fleet) = Fleet::new(&["p"]) else { return };
    let name = fleet.name();
    let to = format!("type=registry,ref={name},mode=max,compression=zstd,image-manifest=true");
    assert_eq!(cached_steps(fleet.build(&["--cache-to", &to, "p"])), 0);
    let from = format!("type=registry,ref={name}");
    assert_eq!(cached_steps(fleet.build_elsewhere(&["--cache-from", &from, "p"])), 2);
    // Another one that has nothing, and the name alone.
    let fresh = OwnBuildKit::start(&server("LKPKG_BUILDKITD").expect("it was there"));
    let all = ["build", "--sbom-scanner=false", "--force", "--cache-from", &name, "p"];
    let run = fleet.workshop.run_with("BUILDKIT_HOST", &fresh.address(), &all);
    assert_eq!(cached_steps(run), 2);
}

#[test]
fn a_directory_carries_steps_too_and_is_what_buildx_makes() {
    let Some(fleet) = Fleet::new(&["p"]) else { return };
    // Relative to the working directory; with a letter that no header takes.
    let to = "type=local,dest=../cachés/{{.Name}},mode=max";
    assert_eq!(cached_steps(fleet.build(&["--cache-to", to, "p"])), 0);
    let directory = fleet.workshop.path().join("cachés/p");
    let index: Value =
        serde_json::from_slice(&std::fs::read(directory.join("index.json")).expect("a file")).expect("JSON");
    let entry = &index["manifests"][0];
    assert_eq!(
        entry["annotations"]["org.opencontainers.image.ref.name"], "latest",
        "{index}"
    );
    let digest = entry["digest"].as_str().expect("a digest");
    assert!(directory.join("blobs").join(digest.replace(':', "/")).is_file());
    let from = "type=local,src=../cachés/{{.Name}}";
    assert_eq!(cached_steps(fleet.build_elsewhere(&["--cache-from", from, "p"])), 2);
    fleet.workshop.verify();
    // By another name, and by the digest alone.
    fleet
        .build(&["--cache-to", "type=local,dest=../cachés/p,tag=other", "p"])
        .done();
    let from = format!("type=local,src=../cachés/p,digest={digest}");
    fleet.build(&["--cache-from", &from, "p"]).done();
    let run = fleet.build(&["--cache-from", "type=local,src=../cachés/p,tag=third", "p"]);
    assert!(run.stderr.contains("nothing in it is called third"), "{}", run.stderr);
    run.done();
}

#[test]
fn an_image_carries_its_own_steps() {
    let Some(fleet) = Fleet::new(&["p"]) else { return };
    let push = ["push", "--sbom-scanner=false", "--cache-to", "type=inline", "p"];
    let tag = fleet.workshop.run(&push).done();
    let tag = tag.split('@').next().expect("a name");
    // What is in the image, and not the stage before it.
    let steps = cached_steps(fleet.build_elsewhere(&["--cache-from", tag, "p"]));
    assert_eq!(steps, 2);
    let config = skopeo(&[
        "inspect",
        "--config",
        "--raw",
        "--tls-verify=false",
        &format!("docker://{tag}"),
    ]);
    assert!(config.expect("skopeo is there").contains("moby.buildkit.cache"));
}

#[test]
fn a_cache_that_cannot_be_read_is_a_warning() {
    let Some(fleet) = Fleet::new(&["p"]) else { return };
    let name = fleet.name();
    let run = fleet.build(&["--cache-from", &name, "--cache-from", "type=local,src=nowhere", "p"]);
    for words in [
        format!("the cache {name} is not read: "),
        "nowhere is not read: there is none yet".to_owned(),
    ] {
        let warning = |line: &&str| line.starts_with("warning: ") && line.contains(&words);
        assert!(run.stderr.lines().any(|line| warning(&line)), "{words}: {}", run.stderr);
    }
    run.done();
    // What cannot be written is a failure, unless the user says otherwise.
    let closed = "127.0.0.1:1/x";
    let to = format!("type=registry,ref={closed}");
    fleet.build(&["--cache-to", &to, "p"]).failed(3, &["127.0.0.1:1"]);
    let to = format!("{to},ignore-error=true");
    let run = fleet.build(&["--cache-to", &to, "p"]);
    assert!(run.stderr.contains("is not written: "), "{}", run.stderr);
    run.done();
}

#[test]
fn packages_do_not_overwrite_each_others_caches() {
    let Some(fleet) = Fleet::new(&["a", "b"]) else { return };
    let name = fleet.name();
    let run = fleet.build(&["--cache-to", &name, "a", "b"]);
    run.failed(
        2,
        &["/a and ", "/b would both write their cache to", &name, "{{.Name}}"],
    );
    fleet
        .build(&[
            "--cache-to",
            "type=local,dest=c",
            "--cache-to",
            "type=local,dest=c",
            "a",
        ])
        .failed(2, &["would both write"]);
    let to = format!("{name}:{{{{.Name}}}}-{{{{.Arch}}}}");
    assert_eq!(cached_steps(fleet.build(&["--cache-to", &to, "a", "b"])), 0);
    assert_eq!(cached_steps(fleet.build_elsewhere(&["--cache-from", &to, "a", "b"])), 4);
    let text = skopeo(&["list-tags", "--tls-verify=false", &format!("docker://{name}")]).expect("skopeo is there");
    assert!(text.contains("\"a-amd64\"") && text.contains("\"b-amd64\""), "{text}");
    // Both read from one place without harm.
    let one = format!("{name}:a-amd64");
    fleet.build(&["--cache-from", &one, "a", "b"]).done();
}

#[test]
fn what_is_no_cache_is_said_before_anything_is_begun() {
    let workshop = Workshop::new();
    workshop.package("p", "image: p\n", "FROM scratch\n");
    for (arguments, words) in [
        (
            ["--cache-to", "type=gha"],
            "--cache-to: the cache \"type=gha\" cannot be used: unknown type \"gha\"",
        ),
        (
            ["--cache-from", "type=local,dest=x"],
            "--cache-from: the cache \"type=local,dest=x\" cannot be used: it has no src",
        ),
        (
            ["--cache-to", "type=registry,ref=a,modus=max"],
            "unknown key \"modus\": there are type, ref, registry.insecure, mode",
        ),
        (
            ["--cache-to", "r/{{.Nmae}}"],
            "unknown field .Nmae: there are .Arch, .Hash, .Image, .Name, .Tag",
        ),
        (
            ["--cache-to", "r/X{{.Name}}"],
            "the cache \"r/X{{.Name}}\" cannot be used: ",
        ),
    ] {
        let run = workshop.build(&[&arguments[..], &["p"]].concat());
        run.failed(2, &[words]);
    }
}

#[tokio::test]
async fn a_cache_behind_a_password_is_written_and_read_and_the_password_is_not_said() {
    let (Some(fleet), Some(bed)) = (Fleet::new(&["p"]), Bed::start().await) else {
        return;
    };
    let registry = bed.with_passwords().await;
    let name = format!("{}/caches/p", registry.host());
    let credentials = format!("{}={USER}:{PASSWORD}", registry.host());
    let built = fleet.build(&["--registry-creds", &credentials, "--cache-to", &name, "-v", "p"]);
    let read = fleet.build_elsewhere(&["--registry-creds", &credentials, "--cache-from", &name, "-v", "p"]);
    for run in [&built, &read] {
        assert!(!run.stderr.contains(PASSWORD), "{}", run.stderr);
    }
    built.done();
    assert_eq!(cached_steps(read), 2);
    let run = fleet.build_elsewhere(&["--cache-from", &name, "p"]);
    assert!(run.stderr.contains("is not read: "), "{}", run.stderr);
    run.done();
}
