//! What goes to registries: a real BuildKit, a real docker-registry, and skopeo as the witness.

use super::*;
use crate::registry::daemon::{Bed, PASSWORD, USER};
use crate::servers::{server, skopeo};
use serde_json::Value;

mod ask;
mod cached;
mod release;
mod tags;

const TWO: &str = "arches: [amd64, arm64]\n";
const DOCKERFILE: &str = "FROM scratch\nCOPY content /\n";

/// A machine that builds packages of an organisation that no other test has.
pub(super) struct Machine {
    pub workshop: Workshop,
    /// `127.0.0.1:5000/<unique>`.
    pub org: String,
}

impl Machine {
    /// None after a SKIP line.
    pub fn new() -> Option<Self> {
        let registry = server("LKPKG_TEST_REGISTRY")?;
        Self::at(&registry)
    }

    /// One whose registry is another.
    pub fn at(registry: &str) -> Option<Self> {
        Some(Self {
            workshop: Workshop::with_buildkit()?,
            org: format!("{registry}/{}", unique()),
        })
    }

    /// Another machine with the same repository and nothing in its cache.
    pub fn other(&self) -> Self {
        let workshop = Workshop::with_buildkit().unwrap();
        let from = self.workshop.repository();
        let copy = std::process::Command::new("cp")
            .args(["-a", "-T"])
            .arg(from)
            .arg(workshop.repository())
            .status();
        assert!(copy.unwrap().success());
        let org = self.org.clone();
        Self { workshop, org }
    }

    /// Writes and commits a package of one file.
    pub fn package(&self, name: &str, content: &str) {
        self.workshop.write(&format!("{name}/content"), content);
        let build_yml = format!("org: {}\nimage: {name}\n{TWO}", self.org);
        self.workshop.package(name, &build_yml, DOCKERFILE);
    }

    /// `lkpkg push` without an SBoM.
    pub fn push(&self, arguments: &[&str]) -> Run {
        self.workshop
            .run(&[&["push", "--sbom-scanner=false"], arguments].concat())
    }

    /// The package's tag.
    pub fn tag(&self, package: &str) -> String {
        let line = self.workshop.run(&["show-tag", package]).done();
        line.trim_end().to_owned()
    }

    /// The tags of a package in the registry, sorted.
    pub fn tags(&self, package: &str) -> Vec<String> {
        let repository = format!("docker://{}/{package}", self.org);
        let text = skopeo(&["list-tags", "--tls-verify=false", &repository]).unwrap();
        let found: Value = serde_json::from_str(&text).unwrap();
        let tags = found["Tags"].as_array().unwrap();
        let mut tags: Vec<String> = tags.iter().map(|tag| tag.as_str().unwrap().to_owned()).collect();
        tags.sort();
        tags
    }
}

/// What a name stands for in its registry: its bytes, and the same as JSON.
pub(super) fn standing(name: &str) -> (String, Value) {
    let text = skopeo(&["inspect", "--raw", "--tls-verify=false", &format!("docker://{name}")]).unwrap();
    let value = serde_json::from_str(&text).unwrap();
    (text, value)
}

/// The digest of bytes.
pub(super) fn digest_of(text: &str) -> String {
    lkpkg::oci::Digest::of(text.as_bytes()).to_string()
}

/// The architectures of an index, in its order.
pub(super) fn architectures(index: &Value) -> Vec<&str> {
    let entries = index["manifests"].as_array().unwrap().iter();
    entries
        .map(|entry| entry["platform"]["architecture"].as_str().unwrap())
        .collect()
}

#[test]
fn a_push_builds_and_everybody_can_read_it() {
    let Some(machine) = Machine::new() else { return };
    machine.package("p", "one");
    let line = machine.push(&["p"]).done();
    let tag = machine.tag("p");
    let (text, index) = standing(&tag);
    assert_eq!(line, format!("{tag}@{}\n", digest_of(&text)));
    assert_eq!(index["mediaType"], "application/vnd.oci.image.index.v1+json");
    assert_eq!(architectures(&index), ["amd64", "arm64"]);
    let hash = tag.rsplit_once(':').unwrap().1;
    let ends = ["", "-amd64", "-arm64"].map(|end| format!("{hash}{end}"));
    assert_eq!(machine.tags("p"), ends);
    for (entry, end) in index["manifests"].as_array().unwrap().iter().zip(["amd64", "arm64"]) {
        let (text, manifest) = standing(&format!("{tag}-{end}"));
        assert_eq!(entry["digest"], digest_of(&text).as_str());
        assert_eq!(manifest["mediaType"], "application/vnd.oci.image.manifest.v1+json");
    }
    // Once more, and nothing is sent.
    let again = machine.push(&["--progress", "plain", "p"]);
    assert!(again.stderr.contains("nothing new"), "{}", again.stderr);
    assert_eq!(again.done(), line);
    machine.workshop.verify();
}

#[test]
fn what_is_in_the_cache_is_pushed_without_building() {
    let Some(machine) = Machine::new() else { return };
    machine.package("p", "one");
    machine.package("q", "one");
    machine.workshop.build(&["--platforms", "linux/arm64", "p"]).done();
    let pushed = machine.push(&["--nobuild", "--manifest=false", "p", "q"]);
    assert!(pushed.stderr.contains("nothing of "), "{}", pushed.stderr);
    let lines = pushed.done();
    let (tag, other) = (machine.tag("p"), machine.tag("q"));
    let (text, index) = standing(&tag);
    assert_eq!(lines, format!("{tag}@{}\n{other}\n", digest_of(&text)));
    assert_eq!(architectures(&index), ["arm64"]);
    assert_eq!(machine.tags("p").len(), 1);
}

#[test]
fn nothing_that_is_not_committed_is_pushed() {
    let Some(machine) = Machine::new() else { return };
    machine.package("p", "one");
    machine.workshop.write("p/content", "two");
    let refused = machine.push(&["p"]);
    refused.failed(
        2,
        &["cannot publish what differs from what is committed", "-dirty-", "hint"],
    );
    assert_eq!(
        machine
            .workshop
            .names()
            .iter()
            .filter(|name| name.contains("/p:"))
            .count(),
        0
    );
}

#[test]
fn sboms_travel_with_their_images() {
    let Some(machine) = Machine::new() else { return };
    let Some(scanner) = server("LKPKG_TEST_SCANNER") else {
        return;
    };
    machine.package("p", "one");
    machine.workshop.run(&["push", "--sbom-scanner", &scanner, "p"]).done();
    let (_, index) = standing(&machine.tag("p"));
    assert_eq!(architectures(&index), ["amd64", "unknown", "arm64", "unknown"]);
    let entries = index["manifests"].as_array().unwrap();
    for pair in entries.chunks(2) {
        assert_eq!(pair[1]["annotations"]["vnd.docker.reference.digest"], pair[0]["digest"]);
    }
    // Only a part of the index is in another cache, and the rest stays in the registry.
    let other = machine.other();
    let tag = machine.tag("p");
    other
        .workshop
        .run(&["cache", "pull", "--platforms", "linux/arm64", &tag])
        .done();
    let line = other.push(&["--nobuild", "p"]).done();
    let (text, after) = standing(&tag);
    assert_eq!((line, after), (format!("{tag}@{}\n", digest_of(&text)), index));
}

#[test]
fn two_machines_push_two_platforms_of_one_tag() {
    let Some(machine) = Machine::new() else { return };
    machine.package("p", "one");
    let other = machine.other();
    std::thread::scope(|scope| {
        scope.spawn(|| machine.push(&["--platforms", "linux/amd64", "p"]).done());
        scope.spawn(|| other.push(&["--platforms", "linux/arm64", "p"]).done());
    });
    let (_, index) = standing(&machine.tag("p"));
    assert_eq!(architectures(&index), ["amd64", "arm64"]);
    assert_eq!(machine.tags("p").len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_let_in_hears_it_before_anything_is_built() {
    let Some(bed) = Bed::start().await else { return };
    let registry = bed.with_passwords().await;
    let Some(machine) = Machine::at(registry.host()) else {
        return;
    };
    machine.package("p", "one");
    let ask = ["--offline=false", "-v", "2", "p"];
    let denied = machine.push(&ask);
    denied.failed(3, &["refuses access", "docker login"]);
    let wrong = format!("{}={USER}:wrong-s3cret", registry.host());
    let denied = machine.push(&[&["--registry-creds", &wrong][..], &ask].concat());
    assert!(!denied.stderr.contains("wrong-s3cret"), "{}", denied.stderr);
    denied.failed(3, &["its credentials were refused"]);
    assert!(!machine.workshop.names().iter().any(|name| name.contains("/p:")));

    let right = format!("{}={USER}:{PASSWORD}", registry.host());
    let pushed = machine.push(&[&["--registry-creds", &right][..], &ask].concat());
    assert!(!pushed.stderr.contains(PASSWORD), "{}", pushed.stderr);
    let line = pushed.done();

    // The same as Docker has it.
    let docker = machine.workshop.path().join("docker");
    std::fs::create_dir(&docker).unwrap();
    let auth = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("{USER}:{PASSWORD}"));
    let config = serde_json::json!({"auths": {registry.host(): {"auth": auth}}});
    std::fs::write(docker.join("config.json"), config.to_string()).unwrap();
    let again = machine
        .workshop
        .run_with("DOCKER_CONFIG", docker.to_str().unwrap(), &["push", "p"]);
    assert_eq!(again.done(), line);
}
