//! podman's Docker-compatible socket in the place of a Docker daemon.

use crate::program::{Run, Workshop, unique};
use crate::servers::server;

/// Removes the builder at the end, also when the test fails.
struct Removal<'a>(&'a dyn Fn(&[&str]) -> Run);

impl Drop for Removal<'_> {
    fn drop(&mut self) {
        (self.0)(&["builder", "rm", "--force"]);
    }
}

#[test]
fn a_builder_is_created_used_and_removed_by_podmans_socket() {
    let Some(address) = server("LKPKG_TEST_PODMAN") else {
        return;
    };
    let Some(workshop) = Workshop::with_bases() else { return };
    let dockerfile = format!("FROM busybox:1.37\nRUN echo {} >/made\n", unique());
    workshop.package("p", "image: p\narches: [amd64]\n", &dockerfile);
    let name = format!("lkpkg-it-podman-{}", std::process::id());
    let run = |arguments: &[&str]| {
        let all = [arguments, &["--builder-name", &name]].concat();
        workshop.run_with("DOCKER_HOST", &address, &all)
    };
    let _removal = Removal(&run);
    let build = || run(&["build", "--sbom-scanner=false", "--force", "p"]);
    let first = build();
    assert!(
        first.stderr.contains(&format!("creating the container {name}")),
        "{}",
        first.stderr
    );
    let line = first.done();
    let second = build();
    assert!(!second.stderr.contains("creating"), "{}", second.stderr);
    assert!(second.stderr.contains(" CACHED"), "{}", second.stderr);
    assert_eq!(second.done(), line);
    let seen = run(&["builder", "ls"]).done();
    assert!(seen.contains(&name) && seen.contains(" running "), "{seen}");
    run(&["builder", "stop"]).done();
    let seen = run(&["builder", "ls"]).done();
    assert!(seen.contains(" stopped"), "{seen}");
    let third = build();
    assert!(
        third.stderr.contains(&format!("starting the container {name}")),
        "{}",
        third.stderr
    );
    third.done();
    run(&["builder", "rm"]).done();
    let seen = run(&["builder", "ls"]).done();
    assert!(seen.contains(" absent"), "{seen}");
}
