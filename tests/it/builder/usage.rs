//! Looking after a builder: what it keeps, and what is removed of it.

use super::contained::Contained;
use super::*;
use crate::program::{Run, Workshop, unique};
use serde_json::Value;

/// Bytes of the layer that a build leaves.
const LAYER_BYTES: usize = 5_000_000;

struct Bench {
    here: Contained,
    workshop: Workshop,
}

impl Bench {
    fn new(name: &str) -> Option<Self> {
        Some(Self {
            here: Contained::new(name)?,
            workshop: Workshop::with_bases()?,
        })
    }

    fn run(&self, arguments: &[&str]) -> Run {
        let Where::DockerContainer { docker } = &self.here.place else {
            unreachable!("it is in a Docker daemon")
        };
        let mut command = self.workshop.command(arguments);
        command
            .args(["--builders", "docker-container"])
            .env("DOCKER_HOST", &docker.address)
            .env("LINUXKIT_BUILDER_NAME", &self.here.config.name);
        Run::of(command.output().expect("the program runs"))
    }

    /// The only builder's object in the JSON that a verb writes.
    fn json(&self, arguments: &[&str]) -> Value {
        let text = self.run(&[arguments, &["--format", "json"]].concat()).done();
        let mut all: Vec<Value> = serde_json::from_str(&text).expect("JSON");
        assert_eq!(all.len(), 1, "{text}");
        assert_eq!(all[0]["builder"].as_str(), Some(self.here.config.name.as_str()));
        all.remove(0)
    }
}

#[tokio::test]
async fn what_a_builder_keeps_is_shown_and_removed() {
    let Some(bench) = Bench::new("usage") else { return };
    let dockerfile = format!(
        "FROM busybox:1.37\nRUN echo {} && head -c {LAYER_BYTES} /dev/urandom >/large\n",
        unique()
    );
    bench.workshop.package("p", "image: p\narches: [amd64]\n", &dockerfile);
    bench.here.build(&bench.workshop, &["p"]).done();
    let id = bench.here.id().await;

    let used = bench.json(&["builder", "du"]);
    let size = |value: &Value, key: &str| value[key].as_u64().expect("bytes");
    assert!(size(&used, "size") > LAYER_BYTES as u64, "{used}");
    assert!(size(&used, "reclaimable") <= size(&used, "size"), "{used}");
    let records = used["records"].as_array().expect("records");
    let layer = &records[0];
    assert!(
        layer["description"].as_str().expect("a text").contains("/large"),
        "the largest is first: {layer}"
    );
    assert!(layer["last_used_unix_s"].is_u64(), "{layer}");

    let text = bench
        .run(&["pkg", "builder", "du", "--platforms", "linux/amd64,linux/arm64"])
        .done();
    assert_eq!(text.lines().count(), 2, "a heading and one builder: {text}");
    let text = bench.run(&["builder", "du", "--verbose", "2"]).done();
    assert!(text.contains("DESCRIPTION") && text.contains("/large"), "{text}");

    // Within the budget nothing goes; down to it, and then everything.
    assert_eq!(size(&bench.json(&["builder", "prune", "--max", "20GB"]), "size"), 0);
    assert_eq!(
        size(&bench.json(&["builder", "prune", "--keep-storage", "20GB"]), "size"),
        0
    );
    let none = bench.json(&["builder", "prune", "--filter", "type==exec.cachemount"]);
    assert_eq!(size(&none, "size"), 0);
    let freed = bench.json(&["pkg", "builder", "prune", "--all"]);
    assert!(size(&freed, "size") > LAYER_BYTES as u64, "{freed}");
    let left = bench.json(&["builder", "du"]);
    assert!(size(&left, "size") < LAYER_BYTES as u64, "{left}");
    assert_eq!(bench.here.id().await, id);
    bench.here.end().await;
}

#[tokio::test]
async fn a_builder_is_looked_after_as_it_is() {
    let Some(bench) = Bench::new("as-it-is") else { return };
    // There is none, and none is made.
    let run = bench.run(&["builder", "du"]);
    assert!(
        run.stderr
            .contains(&format!("there is no container {} yet", bench.here.config.name)),
        "{}",
        run.stderr
    );
    assert_eq!(run.done(), "");
    assert!(!bench.here.is_there().await);

    // One with a configuration, of another image, is not replaced for it; one that is stopped is started.
    let other = bench.here.other_image().await;
    bench.here.create_linuxkits(&other, true).await;
    let id = bench.here.id().await;
    let stop = None::<bollard::query_parameters::StopContainerOptions>;
    bench.here.docker.stop_container(&id, stop).await.expect("stopped");
    assert_eq!(bench.run(&["builder", "prune"]).done().lines().count(), 2);
    assert_eq!(bench.here.id().await, id);
    bench.here.end().await;
}

#[test]
fn a_buildkitd_that_never_ran_is_not_started_to_be_looked_after() {
    let Some(buildkitd) = server("LKPKG_BUILDKITD") else {
        return;
    };
    let workshop = Workshop::new();
    let run = workshop.run_with("LKPKG_BUILDKITD", &buildkitd, &["builder", "du", "--builders", "local"]);
    assert!(run.stderr.contains("there is no buildkitd in"), "{}", run.stderr);
    assert_eq!(run.done(), "");
    assert!(!workshop.cache().join("buildkitd").exists());
}
