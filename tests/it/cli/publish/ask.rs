//! What registries have is found out before something is built.

use super::*;

/// What keeps a run from building anything: no BuildKit is there.
const NO_BUILDKIT: (&str, &str) = ("BUILDKIT_HOST", "unix:///no/such/socket");

fn run(machine: &Machine, arguments: &[&str]) -> Run {
    machine.workshop.run_with(NO_BUILDKIT.0, NO_BUILDKIT.1, arguments)
}

#[test]
fn what_the_registry_has_is_not_built_and_is_pulled_where_that_is_wanted() {
    let Some(machine) = Machine::new() else { return };
    machine.package("p", "one");
    let line = machine.push(&["p"]).done();
    let other = machine.other();
    let plan = run(&other, &["plan", "--offline=false", "p"]).done();
    assert_eq!(plan.matches("found  in its registry").count(), 2, "{plan}");
    let plan = run(&other, &["plan", "--offline=false", "--pull", "p"]).done();
    assert_eq!(plan.matches("pull   in its registry").count(), 2, "{plan}");
    assert_eq!(run(&other, &["build", "--offline=false", "p"]).done(), line);
    assert!(!other.workshop.names().iter().any(|name| name.contains("/p:")));
    assert_eq!(run(&other, &["push", "--offline=false", "p"]).done(), line);

    let pull = ["build", "--offline=false", "--pull", "p"];
    assert_eq!(run(&other, &pull).done(), line);
    let tag = machine.tag("p");
    let names = ["", "-amd64", "-arm64"].map(|end| format!("{tag}{end}"));
    assert!(names.iter().all(|name| other.workshop.names().contains(name)));
    other.workshop.verify();
    // All is there now, and nobody is asked.
    let again = run(
        &other,
        &["build", "--offline=false", "--mirror", "http://127.0.0.1:1", "p"],
    );
    assert_eq!(again.done(), line);
    run(&other, &["build", "--force", "--pull", "p"]).failed(2, &["--force and --pull"]);
}

#[test]
fn a_pull_keeps_what_was_built_here() {
    let Some(machine) = Machine::new() else { return };
    machine.package("p", "one");
    machine.push(&["--platforms", "linux/amd64", "p"]).done();
    let other = machine.other();
    other.workshop.build(&["--platforms", "linux/arm64", "p"]).done();
    let built = run(&other, &["build", "--offline=false", "--pull", "p"]).done();
    let tag = machine.tag("p");
    let index = other.workshop.document(&digest(&built));
    assert_eq!(architectures(&index), ["amd64", "arm64"]);
    // The same by its name, which the registry has for one platform only.
    assert_eq!(run(&other, &["cache", "pull", &tag]).done(), built);
    other.workshop.verify();
}

#[test]
fn a_registry_that_says_nothing_stops_a_push_and_no_build() {
    let Some(machine) = Machine::at("127.0.0.1:1") else {
        return;
    };
    machine.package("p", "one");
    let built = machine.workshop.build(&["--offline=false", "p"]);
    assert!(
        built.stderr.contains("warning: 127.0.0.1:1 does not say what it has"),
        "{}",
        built.stderr
    );
    built.done();
    machine.package("p", "two");
    let refused = run(&machine, &["push", "--offline=false", "p"]);
    refused.failed(3, &["cannot find out whether", "127.0.0.1:1"]);
}
