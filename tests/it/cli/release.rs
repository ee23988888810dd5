//! Releases of packages that are in a real registry.

use super::*;
use crate::gate::Gate;
use crate::registry::daemon::Bed;
use crate::servers::until;
use lkpkg::content::Sink as _;
use lkpkg::oci::credentials::CredentialSource;
use lkpkg::oci::{Descriptor, Digest, Index, Platform, Reference, annotation, media_type};
use lkpkg::registry::{Existing, Mirrors, PushOptions, Registry, RegistrySettings, Repository};
use lkpkg::store::Store;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

const BOTH: [&str; 2] = ["amd64", "arm64"];

/// Packages in a repository, and a registry where they belong.
struct Yard {
    workshop: Workshop,
    /// Before the registry: under this name it is known to the packages.
    gate: Gate,
    bed: Bed,
}

impl Yard {
    /// With packages of these names for both architectures. None after a SKIP line.
    async fn with(packages: &[&str]) -> Option<Self> {
        let bed = Bed::start().await?;
        let (workshop, gate) = (Workshop::new(), Gate::before(bed.plain()));
        for name in packages {
            let build_yml = format!("org: {}/test\nimage: {name}\narches: [amd64, arm64]\n", gate.host());
            workshop.write(&format!("{name}/build.yml"), &build_yml);
            workshop.write(&format!("{name}/Dockerfile"), "FROM scratch\nCOPY . /\n");
        }
        workshop.commit();
        Some(Self { workshop, gate, bed })
    }

    /// As `with`, and all of them are in the registry.
    async fn with_pushed(packages: &[&str]) -> Option<Self> {
        let yard = Self::with(packages).await?;
        for name in packages {
            yard.push(name, &BOTH).await;
        }
        Some(yard)
    }

    /// `127.0.0.1:1/test/NAME:hash`.
    fn tag(&self, package: &str) -> Reference {
        let tag = self.workshop.run(&["show-tag", package]).done();
        tag.trim_end().parse().unwrap()
    }

    fn repository(&self, package: &str) -> Repository {
        let settings = RegistrySettings {
            credentials: Arc::new(CredentialSource::docker(None)),
            mirrors: Mirrors::default(),
            certificates: Vec::new(),
            certificate_directories: Vec::new(),
            jobs: 8,
        };
        let name = format!("{}/test/{package}:x", self.bed.plain());
        Registry::new(settings).unwrap().repository(&name.parse().unwrap())
    }

    /// Pushes an image of these architectures as the package's.
    async fn push(&self, package: &str, architectures: &[&str]) -> Descriptor {
        let tag = self.tag(package).tag().unwrap().to_owned();
        self.push_as(package, package, &tag, architectures).await
    }

    /// Pushes an image that `what` makes another than others are.
    async fn push_as(&self, package: &str, what: &str, tag: &str, architectures: &[&str]) -> Descriptor {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let root = image(&store, what, architectures).await;
        let options = PushOptions {
            existing: Existing::Replace,
            ..PushOptions::default()
        };
        let tags = [tag.to_owned()];
        lkpkg::registry::push(&store, &self.repository(package), &root, &tags, &options)
            .await
            .unwrap();
        root
    }

    /// What a tag stands for.
    async fn at(&self, package: &str, tag: &str) -> Option<(Descriptor, Index)> {
        self.repository(package).index(tag).await.unwrap()
    }

    /// The tags of a package, but for its own.
    async fn tags(&self, package: &str) -> Vec<String> {
        let own = self.tag(package).tag().unwrap().to_owned();
        let mut tags = self.repository(package).tags().await.unwrap();
        tags.retain(|tag| *tag != own);
        tags
    }

    fn journals(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.workshop.cache().join("releases"))
            .into_iter()
            .flatten();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths
            .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
            .collect()
    }

    /// How many packages the one journal says are released.
    fn noted(&self) -> usize {
        let Some(path) = self.journals().into_iter().next() else {
            return 0;
        };
        let record: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        let packages = record["packages"].as_array().unwrap().iter();
        packages.filter(|one| one["state"] == "released").count()
    }

    fn release(&self, arguments: &[&str]) -> Run {
        self.workshop.run(&[&["release", "v1"], arguments].concat())
    }

    /// `test/NAME:v1@DIGEST` for each, as it should be printed.
    fn line(&self, package: &str, root: &Descriptor) -> String {
        format!("{}/test/{package}:v1@{}\n", self.gate.host(), root.digest)
    }
}

/// An image for each architecture with an attestation each, in a store.
async fn image(store: &Store, what: &str, architectures: &[&str]) -> Descriptor {
    let mut entries = Vec::new();
    for architecture in architectures {
        let config = json!({"os": "linux", "architecture": architecture, "author": what}).to_string();
        let config = put(store, media_type::CONFIG, config.into_bytes()).await;
        let layer = put(
            store,
            media_type::LAYER,
            format!("{what} for {architecture}").into_bytes(),
        )
        .await;
        let mut image = manifest(store, &config, &layer).await;
        image.platform = Some(Platform::linux(architecture));
        let statement = put(
            store,
            "application/vnd.in-toto+json",
            format!("about {what} {architecture}").into_bytes(),
        )
        .await;
        let mut attestation = manifest(store, &config, &statement).await;
        attestation.platform = "unknown/unknown".parse().ok();
        let about = [
            (annotation::REFERENCE_TYPE, "attestation-manifest".to_owned()),
            (annotation::REFERENCE_DIGEST, image.digest.to_string()),
        ];
        attestation.annotations = about.map(|(key, value)| (key.to_owned(), value)).into();
        entries.extend([image, attestation]);
    }
    put(
        store,
        media_type::INDEX,
        serde_json::to_vec(&Index::of(entries)).unwrap(),
    )
    .await
}

async fn manifest(store: &Store, config: &Descriptor, layer: &Descriptor) -> Descriptor {
    let text = json!({"schemaVersion": 2, "mediaType": media_type::MANIFEST, "config": config, "layers": [layer]});
    put(store, media_type::MANIFEST, text.to_string().into_bytes()).await
}

async fn put(store: &Store, media_type: &str, bytes: Vec<u8>) -> Descriptor {
    let descriptor = Descriptor::of(media_type, &bytes);
    store
        .put(&descriptor, Box::pin(std::io::Cursor::new(bytes)))
        .await
        .unwrap();
    descriptor
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_released_until_all_is_there() {
    let Some(yard) = Yard::with(&["a", "b", "c", "d"]).await else {
        return;
    };
    let a = yard.push("a", &BOTH).await;
    yard.push("b", &["amd64"]).await;
    yard.push("d", &BOTH).await;
    yard.push_as("d", "another", "v1", &["amd64"]).await;
    let tags =
        ["a", "b", "c", "d"].map(|name| format!("{}/test/{name}:{}", yard.gate.host(), yard.tag(name).tag().unwrap()));
    let [of_a, of_b, of_c, of_d] = &tags;
    let all = ["a", "b", "c", "d"];
    let taken = yard.at("d", "v1").await.unwrap().0.digest;

    yard.gate.take_requests();
    let check = yard.release(&[&["--check"], &all[..]].concat());
    let expected = format!(
        "{of_a}  ready\n{of_b}  missing platforms linux/arm64\n{of_c}  not in the registry\n{of_d}  v1 is another image \
         already: {taken}\n"
    );
    assert_eq!(check.stdout, expected);
    check.failed(
        1,
        &[
            "v1 cannot be released: 3 of 4 packages are not ready",
            "lkpkg push b c",
            "never overwritten",
        ],
    );
    let run = yard.release(&all);
    assert_eq!(run.stdout, "");
    run.failed(
        1,
        &[
            of_b,
            "missing platforms linux/arm64",
            of_c,
            "not in the registry",
            of_d,
            "another image",
            "lkpkg push b c",
        ],
    );
    // Neither has changed anything, or tried to.
    let written: Vec<String> = yard.gate.take_requests();
    let is_writing = |line: &&String| !line.starts_with("GET ") && !line.starts_with("HEAD ");
    assert_eq!(written.iter().find(is_writing), None);
    assert!(yard.tags("a").await.is_empty() && yard.journals().is_empty());

    // What is wanted can be less.
    let run = yard
        .release(&["--check", "a", "b", "--platforms", "linux/amd64"])
        .done();
    assert_eq!(run, format!("{of_a}  ready\n{of_b}  ready\n"));
    let run = yard
        .release(&["--check", "b", "--skip-platforms", "linux/arm64"])
        .done();
    assert_eq!(run, format!("{of_b}  ready\n"));

    let (b, c) = (yard.push("b", &BOTH).await, yard.push("c", &BOTH).await);
    yard.gate.take_requests();
    let run = yard.release(&["a", "b", "c"]).done();
    assert_eq!(
        run,
        [yard.line("a", &a), yard.line("b", &b), yard.line("c", &c)].concat()
    );
    // Whether they are there is asked; none travels, in either direction.
    let requests = yard.gate.take_requests();
    let is_blob = |line: &&String| line.contains("/blobs/") && !line.starts_with("HEAD ");
    assert_eq!(requests.iter().find(is_blob), None);
    for (name, root) in [("a", &a), ("b", &b), ("c", &c)] {
        assert_eq!(yard.tags(name).await, ["v1", "v1-amd64", "v1-arm64"]);
        let (whole, index) = yard.at(name, "v1").await.unwrap();
        assert_eq!(whole.digest, root.digest);
        // The image alone, as a push makes it.
        let (part, _) = yard.at(name, "v1-arm64").await.unwrap();
        assert_eq!(part.digest, index.manifests[2].digest);
    }
    // Once more, nothing is to be done, and nothing is.
    assert_eq!(yard.release(&["a", "b", "c"]).done(), run);
    assert!(!yard.gate.take_requests().iter().any(|line| line.starts_with("PUT ")));
    let check = yard.release(&["--check", "a", "--format", "json"]).done();
    assert_eq!(
        serde_json::from_str::<Value>(&check).unwrap(),
        json!({"release": "v1", "packages": [{
            "tag": of_a, "name": format!("{}/test/a:v1", yard.gate.host()), "digest": a.digest, "state": "released", "problems": [],
        }]})
    );
    assert!(yard.journals().is_empty());
    yard.workshop.verify();
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_input_is_refused_before_anything_is_asked() {
    let Some(yard) = Yard::with_pushed(&["a", "b"]).await else {
        return;
    };
    yard.workshop.write("b/Dockerfile", "FROM scratch\n");
    yard.gate.take_requests();
    yard.release(&["a", "b"])
        .failed(2, &["cannot publish what differs", "test/b:", "-dirty-", "commit"]);
    let run = |tag: &str| yard.workshop.run(&["release", tag, "a"]);
    run("no tag").failed(2, &["\"no tag\" cannot be the tag of a release"]);
    run(&"v".repeat(125)).failed(2, &["too long"]);
    yard.release(&["a", "--platforms", "linux/arm64", "--skip-platforms", "linux/arm64"])
        .failed(2, &["cannot be used together"]);
    yard.release(&["a", "--platforms", "linux/vax"])
        .failed(2, &["unknown platform linux/vax"]);
    yard.release(&[]).failed(2, &["DIR"]);
    assert!(yard.gate.take_requests().is_empty());
    // The same directory twice is one package.
    assert_eq!(yard.release(&["a", "./a"]).done().lines().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_of_platforms_can_be_left_out() {
    let Some(yard) = Yard::with_pushed(&["a"]).await else {
        return;
    };
    let line = yard.release(&["--manifest=false", "a"]).done();
    assert_eq!(yard.tags("a").await, ["v1"]);
    // They can be added, and one of another image is in the way.
    yard.push_as("a", "another", "v1-arm64", &["arm64"]).await;
    yard.release(&["a"]).failed(1, &["v1-arm64 is another image already"]);
    assert_eq!(yard.tags("a").await, ["v1", "v1-arm64"]);
    assert_eq!(yard.release(&["--manifest=false", "a"]).done(), line);
    let other = ["release", "v2", "a"];
    yard.workshop.run(&other).done();
    assert_eq!(yard.tags("a").await, ["v1", "v1-arm64", "v2", "v2-amd64", "v2-arm64"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_releases_makes_the_same() {
    let Some(yard) = Yard::with_pushed(&["a", "b"]).await else {
        return;
    };
    let push = ["push", "--nobuild", "--release", "v1", "a"];
    yard.workshop.run(&push).done();
    let pushed = yard.release(&["--check", "a", "b"]).done();
    assert_eq!(
        pushed
            .lines()
            .map(|line| line.rsplit("  ").next().unwrap())
            .collect::<Vec<_>>(),
        ["released", "ready"]
    );
    yard.release(&["a", "b"]).done();
    assert_eq!(yard.tags("a").await, yard.tags("b").await);
    let push = ["push", "--nobuild", "--release", "v1", "b"];
    yard.workshop.run(&push).done();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_gains_platforms_and_keeps_images() {
    let Some(yard) = Yard::with(&["a"]).await else { return };
    yard.push("a", &["amd64"]).await;
    yard.release(&["a", "--platforms", "linux/amd64"]).done();
    let both = yard.push("a", &BOTH).await;
    assert_eq!(yard.release(&["a"]).done(), yard.line("a", &both));
    assert_eq!(yard.at("a", "v1").await.unwrap().0.digest, both.digest);
    assert_eq!(yard.tags("a").await, ["v1", "v1-amd64", "v1-arm64"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_with_a_hole_is_not_released() {
    let Some(yard) = Yard::with_pushed(&["a"]).await else {
        return;
    };
    let (_, index) = yard.at("a", yard.tag("a").tag().unwrap()).await.unwrap();
    let gone = &index.manifests[2].digest;
    let revisions = "storage/docker/registry/v2/repositories/test/a/_manifests/revisions/sha256";
    fs::remove_file(yard.bed.path().join(revisions).join(gone.hex()).join("link")).unwrap();
    yard.release(&["a"])
        .failed(1, &["the registry does not have", gone.as_str(), "lkpkg push a"]);
    assert!(yard.tags("a").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cache_learns_the_names_of_what_it_has() {
    let Some(yard) = Yard::with_pushed(&["a", "b"]).await else {
        return;
    };
    let name = yard.tag("a").to_string();
    yard.workshop.run(&["cache", "pull", &name]).done();
    yard.release(&["a", "b"]).done();
    let list = |end: &str| {
        yard.workshop
            .names()
            .into_iter()
            .filter(|name| name.ends_with(end))
            .collect::<Vec<_>>()
    };
    assert_eq!(list(":v1"), [format!("{}/test/a:v1", yard.gate.host())]);
    assert!(yard.workshop.names().iter().all(|name| !name.contains("/test/b:")));
    yard.workshop.verify();
}

const EIGHT: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

/// Whether a request writes the tag of the release.
fn is_releasing(line: &str) -> bool {
    line.starts_with("PUT ") && line.contains("/manifests/v1 ")
}

/// A release of eight packages, of which two are done and noted, and others wait at the gate.
async fn in_the_middle() -> Option<(Yard, Running, Vec<Descriptor>)> {
    let yard = Yard::with_pushed(&EIGHT).await?;
    let mut roots = Vec::new();
    for name in EIGHT {
        roots.push(yard.at(name, yard.tag(name).tag().unwrap()).await.unwrap().0);
    }
    yard.gate.hold(2, is_releasing);
    let running = Running::start(&mut yard.workshop.command(&[&["release", "v1"], &EIGHT[..]].concat()));
    until("two packages are noted", || yard.noted() == 2);
    // As many as are released at the same time.
    yard.gate.until_held(4);
    Some((yard, running, roots))
}

impl Yard {
    /// All packages are released as they were, and nothing is left of the way there.
    async fn is_released(&self, run: Run, roots: &[Descriptor]) {
        let lines: String = EIGHT
            .iter()
            .zip(roots)
            .map(|(name, root)| self.line(name, root))
            .collect();
        assert_eq!(run.done(), lines);
        for (name, root) in EIGHT.iter().zip(roots) {
            assert_eq!(self.at(name, "v1").await.unwrap().0.digest, root.digest);
            assert_eq!(self.tags(name).await, ["v1", "v1-amd64", "v1-arm64"]);
        }
        assert!(self.journals().is_empty());
        self.workshop.verify();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_it_goes_on_with_what_it_began_with() {
    let Some((yard, running, roots)) = in_the_middle().await else {
        return;
    };
    running.signal(Signal::KILL);
    assert_eq!(running.end().0.code, -1);
    yard.gate.cut();
    let check = yard.release(&[&["--check"], &EIGHT[..]].concat());
    assert!(
        check.stderr.contains("this release was begun: 2 of 8 are released"),
        "{}",
        check.stderr
    );
    let states = check.done();
    assert_eq!(states.matches("  released\n").count(), 2, "{states}");
    assert_eq!(states.matches("  ready\n").count(), 6, "{states}");
    // Meanwhile the tag of one that is not released is moved.
    let waiting: Vec<_> = EIGHT
        .iter()
        .zip(states.lines())
        .filter(|(_, line)| line.ends_with("ready"))
        .collect();
    let (moved, _) = waiting[5];
    let other = yard
        .push_as(moved, "moved", yard.tag(moved).tag().unwrap(), &BOTH)
        .await;
    assert!(roots.iter().all(|root| root.digest != other.digest));
    let run = yard.release(&EIGHT);
    assert!(run.stderr.contains("resuming: 2 of 8 are released"), "{}", run.stderr);
    yard.is_released(run, &roots).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_stops_between_packages() {
    let Some((yard, running, roots)) = in_the_middle().await else {
        return;
    };
    running.signal(Signal::INT);
    running.until_said("cancelling; once more to stop at once");
    yard.gate.open();
    // Those that had begun are finished.
    let (run, _) = running.end();
    run.failed(130, &["6 of 8 are released; the same command goes on where it stopped"]);
    assert_eq!(yard.noted(), 6);
    let run = yard.release(&EIGHT);
    assert!(run.stderr.contains("resuming: 6 of 8 are released"), "{}", run.stderr);
    yard.is_released(run, &roots).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_release_is_made_by_one_at_a_time() {
    let Some((yard, first, roots)) = in_the_middle().await else {
        return;
    };
    let release = [&["release", "v1"], &EIGHT[..]].concat();
    let refused = yard.workshop.run(&[&release[..], &["--lock-timeout", "0"]].concat());
    refused.failed(4, &["is held by process", "(lkpkg)", "--lock-timeout"]);
    // Another release does not wait.
    yard.workshop.run(&["release", "v2", "a"]).done();
    let second = Running::start(&mut yard.workshop.command(&release));
    second.until_said("waiting at most 30 s for process");
    yard.gate.open();
    first.end().0.done();
    second.end().0.done();
    yard.workshop.run(&["release", "v1", "a"]).done();
    for (name, root) in EIGHT.iter().zip(&roots) {
        assert_eq!(yard.at(name, "v1").await.unwrap().0.digest, root.digest);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_somebody_takes_meanwhile_stops_it() {
    let Some(yard) = Yard::with_pushed(&["a", "b"]).await else {
        return;
    };
    // It was free when it was looked at.
    yard.gate.hold(0, |line| {
        line.starts_with("GET ") && line.contains("/test/b/manifests/v1 ")
    });
    let running = Running::start(&mut yard.workshop.command(&["release", "v1", "a", "b"]));
    yard.gate.until_held(1);
    let theirs = yard.push_as("b", "another", "v1", &BOTH).await;
    yard.gate.open();
    let (run, _) = running.end();
    let name = format!("cannot release {}/test/b:v1", yard.gate.host());
    run.failed(
        1,
        &[
            &name,
            "is not overwritten",
            "1 of 2 are released; the same command goes on",
        ],
    );
    assert_eq!(yard.at("b", "v1").await.unwrap().0.digest, theirs.digest);
    assert_eq!(yard.noted(), 1);
    yard.release(&["a", "b"])
        .failed(1, &["v1 is another image already", "1 of 2 packages"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_makes_no_sense_is_not_passed_over() {
    let Some((yard, running, _)) = in_the_middle().await else {
        return;
    };
    drop(running);
    yard.gate.cut();
    let path = yard.journals().pop().unwrap();
    let good = fs::read_to_string(&path).unwrap();
    fs::write(&path, good.replacen("\"digest\": \"sha256:", "\"digest\": \"md5:", 1)).unwrap();
    for how in [&["--check"][..], &[]] {
        let run = yard.release(&[how, &EIGHT[..]].concat());
        let place = format!("{}:7:", path.file_name().unwrap().to_str().unwrap());
        run.failed(
            4,
            &[
                &place,
                "the journal of the release cannot be read",
                "remove it to begin",
            ],
        );
    }
    // What began with an image that is lost cannot go on.
    let lost = Digest::of(b"lost").to_string();
    let lines: Vec<&str> = good.lines().collect();
    let of_h = lines.iter().rposition(|line| line.contains("sha256:")).unwrap();
    let changed: Vec<String> = lines
        .iter()
        .enumerate()
        .map(|(at, line)| {
            if at == of_h {
                format!("      \"digest\": \"{lost}\",")
            } else {
                (*line).to_owned()
            }
        })
        .collect();
    fs::write(&path, changed.join("\n")).unwrap();
    yard.release(&EIGHT)
        .failed(1, &[&lost, "with which the release began", "remove the journal"]);
    // Another release of the same name is no way around it.
    let other = yard.release(&["--check", "a"]);
    let warning = "v1 was begun with other packages and not finished; remove ";
    assert!(other.stderr.contains(warning), "{}", other.stderr);
    fs::remove_file(&path).unwrap();
    let run = yard.release(&EIGHT);
    assert!(!run.stderr.contains("warning"), "{}", run.stderr);
    run.done();
}

#[test]
fn a_registry_that_cannot_be_reached_is_something_missing() {
    let workshop = Workshop::new();
    for name in ["a", "b"] {
        let build_yml = format!("org: 127.0.0.1:1/test\nimage: {name}\n");
        workshop.write(&format!("{name}/build.yml"), &build_yml);
        workshop.write(&format!("{name}/Dockerfile"), "FROM scratch\n");
    }
    workshop.commit();
    let words = ["2 of 2 packages are not ready", "test/a:", "test/b:", "cannot reach"];
    workshop.run(&["release", "v1", "a", "b"]).failed(3, &words);
}
