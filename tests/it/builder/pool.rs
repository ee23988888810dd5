//! Several builders for one platform.

use super::*;
use crate::program::{Run, Running, Workshop, unique};
use crate::servers::OwnBuildKit;

const BUILD_YML: &str = "arches: [amd64]\n";

/// A package whose one step takes as long as `step`.
fn package(workshop: &Workshop, name: &str, step: &str) {
    let dockerfile = format!("FROM busybox:1.37\nRUN echo {} >/mark && {step}\n", unique());
    workshop.package(name, &format!("image: {name}\n{BUILD_YML}"), &dockerfile);
}

/// Two daemons, and the pool of them.
fn two() -> Option<(OwnBuildKit, OwnBuildKit, String)> {
    let program = server("LKPKG_BUILDKITD")?;
    let (one, two) = (OwnBuildKit::start(&program), OwnBuildKit::start(&program));
    let pool = format!("linux/amd64={},linux/amd64={}", one.address(), two.address());
    Some((one, two, pool))
}

fn build(workshop: &Workshop, pool: &str, arguments: &[&str]) -> Run {
    workshop.build(&[&["--force", "--builders", pool], arguments].concat())
}

#[test]
fn work_goes_to_the_one_that_is_free() {
    let (Some((one, two, pool)), Some(workshop)) = (two(), Workshop::with_bases()) else {
        return;
    };
    for name in ["a", "b"] {
        package(&workshop, name, "sleep 2");
    }
    let run = build(&workshop, &pool, &["--jobs=2", "a", "b"]);
    for own in [&one, &two] {
        let heading = format!("on {}\n", own.address());
        assert_eq!(run.stderr.matches(&heading).count(), 1, "{}", run.stderr);
    }
    run.done();
}

#[test]
fn what_a_builder_did_that_died_is_done_by_another() {
    let (Some((mut one, mut two, pool)), Some(workshop)) = (two(), Workshop::with_bases()) else {
        return;
    };
    package(&workshop, "p", "sleep 3");
    package(&workshop, "q", "true");
    let arguments = [
        "build",
        "--sbom-scanner=false",
        "--force",
        "--jobs=1",
        "--builders",
        &pool,
        "p",
        "q",
    ];
    let running = Running::start(&mut workshop.command(&arguments));
    running.until_said("RUN echo");
    // Who answered first has it.
    if running.said().contains(&format!("on {}\n", two.address())) {
        std::mem::swap(&mut one, &mut two);
    }
    one.kill();
    let (run, _) = running.end();
    let said = run.stderr.clone();
    run.done();
    let lost = format!(
        "the connection to BuildKit ({}) was lost during the build",
        one.address()
    );
    assert!(
        said.contains(&lost) && said.contains("is repeated on another builder"),
        "{said}"
    );
    assert!(said.contains(&format!("on {}", two.address())), "{said}");
    // Named in the end as well, and not asked again.
    let summary = format!("a builder was taken out of its pool for this run: {lost}");
    assert_eq!(said.matches(&summary).count(), 1, "{said}");
    assert_eq!(said.matches(&format!("on {}\n", one.address())).count(), 1, "{said}");
    workshop.verify();
}

#[test]
fn a_step_that_fails_is_no_reason_to_try_another() {
    let (Some((one, two, pool)), Some(workshop)) = (two(), Workshop::with_bases()) else {
        return;
    };
    package(&workshop, "p", "false");
    let run = build(&workshop, &pool, &["p"]).failed(1, &["exit code: 1"]);
    let asked = [&one, &two].map(|own| run.stderr.contains(&format!("on {}\n", own.address())));
    assert_ne!(asked[0], asked[1], "{}", run.stderr);
}

#[test]
fn one_that_does_not_answer_is_not_waited_for() {
    let (Some(program), Some(workshop)) = (server("LKPKG_BUILDKITD"), Workshop::with_bases()) else {
        return;
    };
    let mut own = OwnBuildKit::start(&program);
    package(&workshop, "p", "true");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent = format!("tcp://{}", listener.local_addr().expect("an address"));
    let pool = format!("linux/amd64={silent},linux/amd64={}", own.address());
    let run = build(&workshop, &pool, &["p"]);
    assert!(run.stderr.contains(&format!("on {}", own.address())), "{}", run.stderr);
    run.done();
    // One that is not there at all is named.
    let pool = format!("linux/amd64=unix:///nowhere,linux/amd64={}", own.address());
    let run = build(&workshop, &pool, &["p"]);
    assert!(
        run.stderr.contains("no BuildKit answers at unix:///nowhere"),
        "{}",
        run.stderr
    );
    run.done();
    // And when nobody is left, all are.
    own.kill();
    let pool = format!("linux/amd64={silent},linux/amd64={}", own.address());
    let words = [
        "no builder of the pool is left",
        &silent,
        "did not answer within 1 s",
        &own.address(),
    ];
    build(&workshop, &pool, &["--builder-timeout=1", "p"]).failed(3, &words);
}
