//! Many packages: what runs beside what, what a failure stops, and processes that build the same.

use super::*;
use crate::servers::until;
use rustix::process::Signal;
use std::collections::BTreeSet;

/// Levels of the large repository, each standing on the one before.
const LEVELS: usize = 6;
/// Its packages.
const PACKAGES: usize = 200;

fn build_yml(image: &str, needs: &[&str]) -> String {
    let arguments = needs.iter().enumerate();
    let arguments: Vec<String> = arguments
        .map(|(at, need)| format!("'NEED{at}=@lkt:pkg:../{need}'"))
        .collect();
    format!(
        "org: test\nimage: {image}\narches: [amd64]\nbuildArgs: [{}]\n",
        arguments.join(", ")
    )
}

/// What the table says of each package, by image: the word, and the rest of the line.
fn table(run: &Run) -> BTreeMap<String, (String, String)> {
    let lines = run.stderr.lines().filter_map(|line| {
        let (word, rest) = line.split_once(' ')?;
        let (image, rest) = rest.trim_start().strip_prefix("test/")?.split_once(':')?;
        let words = ["built", "found", "failed", "skipped", "cancelled"];
        words
            .contains(&word)
            .then(|| (image.to_owned(), (word.to_owned(), rest.to_owned())))
    });
    lines.collect()
}

fn images(stdout: &str) -> Vec<&str> {
    let image = |line: &'_ str| -> Option<usize> { line.find(':') };
    stdout.lines().filter_map(|line| line.get(5..image(line)?)).collect()
}

#[test]
fn a_failure_stops_what_needs_it_and_nothing_else_when_told_to_keep_going() {
    let Some(workshop) = Workshop::with_buildkit() else {
        return;
    };
    let mark = unique();
    let fine = format!("FROM busybox:1.37\nRUN echo {mark}\n");
    workshop.package("bad", &build_yml("bad", &[]), "FROM busybox:1.37\nRUN exit 7\n");
    workshop.package("worse", &build_yml("worse", &[]), "FROM busybox:1.37\nRUN exit 8\n");
    workshop.package("fine", &build_yml("fine", &[]), &fine);
    workshop.package("top", &build_yml("top", &["fine"]), "ARG NEED0\nFROM ${NEED0}\n");
    let needing = "ARG NEED0\nFROM ${NEED0}\n";
    workshop.package("child", &build_yml("child", &["bad"]), needing);
    workshop.package("grandchild", &build_yml("grandchild", &["child"]), needing);
    let all = ["grandchild", "child", "top", "bad", "fine", "worse"];

    let run = workshop.build(&[&["--keep-going"], &all[..]].concat());
    let said = table(&run);
    let words: Vec<&str> = all.iter().map(|image| said[*image].0.as_str()).collect();
    assert_eq!(
        words,
        ["skipped", "skipped", "built", "failed", "built", "failed"],
        "{}",
        run.stderr
    );
    for skipped in ["child", "grandchild"] {
        assert!(said[skipped].1.contains("because test/bad:"), "{}", run.stderr);
    }
    assert_eq!(images(&run.stdout), ["top", "fine"]);
    // Each failure is told of, with its reason.
    let run = run.failed(1, &["failed to build test/bad:", "failed to build test/worse:"]);
    assert!(
        run.stderr.contains("2 built, 2 failed, 2 skipped in "),
        "{}",
        run.stderr
    );

    // What is there is found now, and a failure stops the rest.
    let run = workshop.build(&["--jobs=1", "fine", "bad", "child", "top"]);
    let said = table(&run);
    assert_eq!(said["fine"].0, "found");
    assert_eq!(
        (said["bad"].0.as_str(), said["child"].0.as_str()),
        ("failed", "skipped")
    );
    run.failed(1, &["exit code: 7"]);
}

#[test]
fn independent_packages_are_built_beside_each_other() {
    let Some(workshop) = Workshop::with_buildkit() else {
        return;
    };
    for name in ["one", "two"] {
        let slow = format!(
            "FROM busybox:1.37\nRUN echo begun {} && sleep 3 && echo ended\n",
            unique()
        );
        workshop.package(name, &build_yml(name, &[]), &slow);
    }
    let run = workshop.build(&["one", "two", "--progress=plain"]);
    let place = |image: &str, word: &str| {
        let is_it = |line: &str| line.starts_with(&format!("{image} #")) && line.contains(&format!(" {word}"));
        let at = run.stderr.lines().position(|line| is_it(line) && !line.contains("RUN"));
        at.unwrap_or_else(|| panic!("{image} {word}: {}", run.stderr))
    };
    let last_begin = place("one", "begun").max(place("two", "begun"));
    assert!(
        last_begin < place("one", "ended").min(place("two", "ended")),
        "{}",
        run.stderr
    );
    run.done();
}

#[test]
fn processes_on_one_cache_build_each_package_once() {
    let Some(workshop) = Workshop::with_buildkit() else {
        return;
    };
    let mark = unique();
    let slow = |name: &str| format!("FROM busybox:1.37\nRUN echo {name} {mark} && sleep 1\n");
    workshop.package("one", &build_yml("one", &[]), &slow("one"));
    workshop.package("two", &build_yml("two", &[]), &slow("two"));
    workshop.package(
        "top",
        &build_yml("top", &["one"]),
        "ARG NEED0\nFROM ${NEED0}\nRUN true\n",
    );
    let arguments = ["build", "--sbom-scanner=false", "one", "two", "top", "--jobs=1"];
    let start = |_| {
        let mut command = workshop.command(&arguments);
        std::thread::spawn(move || Run::of(command.output().unwrap()))
    };
    let runs: Vec<_> = (0..4).map(start).collect();
    let runs: Vec<Run> = runs.into_iter().map(|run| run.join().unwrap()).collect();
    let mut built = Vec::new();
    for run in &runs {
        built.extend(table(run).into_iter().filter(|(_, (word, _))| word == "built"));
    }
    let mut built: Vec<String> = built.into_iter().map(|(image, _)| image).collect();
    built.sort();
    assert_eq!(built, ["one", "top", "two"], "{runs:#?}");
    let waited = runs.iter().any(|run| run.stderr.contains("is being built by process "));
    assert!(waited, "{runs:#?}");
    let results: BTreeSet<String> = runs.into_iter().map(Run::done).collect();
    assert_eq!(results.len(), 1);
    workshop.verify();
}

#[test]
fn who_waits_for_a_process_that_is_killed_builds_itself() {
    let Some(workshop) = Workshop::with_buildkit() else {
        return;
    };
    let slow = format!("FROM busybox:1.37\nRUN echo begun {} && sleep 2\n", unique());
    workshop.package("p", BUILD_YML, &slow);
    let arguments = ["build", "--sbom-scanner=false", "p", "--progress=plain"];
    let first = Running::start(&mut workshop.command(&arguments));
    first.until_said(" begun ");
    let second = Running::start(&mut workshop.command(&arguments));
    second.until_said(&format!("is being built by process {}", first.pid()));
    first.signal(Signal::KILL);
    let (run, _) = second.end();
    run.done();
    workshop.verify();
    assert!(workshop.names().iter().any(|name| name.contains("test/p:")));
}

/// 200 packages in six levels; each stands on one of the level below, and copies from another one.
fn large(workshop: &Workshop) -> Vec<String> {
    let name = |at: usize| format!("p{at:03}");
    let width = PACKAGES.div_ceil(LEVELS);
    for at in 0..PACKAGES {
        let below = |step: usize| name((at / width - 1) * width + (at * step) % width);
        let (needs, dockerfile) = match at / width {
            0 => (vec![], format!("FROM scratch\nCOPY mark /{}\n", name(at))),
            _ => (
                vec![below(1), below(7)],
                format!(
                    "ARG NEED0\nARG NEED1\nFROM ${{NEED1}} AS other\nFROM ${{NEED0}}\nCOPY --from=other /{} /other\nCOPY mark /{}\n",
                    below(7),
                    name(at)
                ),
            ),
        };
        let needs: Vec<&str> = needs.iter().map(String::as_str).collect();
        workshop.write(&format!("{}/build.yml", name(at)), &build_yml(&name(at), &needs));
        workshop.write(&format!("{}/Dockerfile", name(at)), &dockerfile);
        workshop.write(&format!("{}/mark", name(at)), &format!("{} {}\n", name(at), unique()));
    }
    workshop.commit();
    (0..PACKAGES).map(name).collect()
}

#[test]
fn two_hundred_packages_are_built_in_order_even_after_a_kill() {
    let Some(workshop) = Workshop::with_buildkit() else {
        return;
    };
    let mut names = large(&workshop);
    // The order in which they are named never matters for anything but the order of the results.
    names.reverse();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let arguments = [&["build", "--sbom-scanner=false", "--progress=plain"], &names[..]].concat();
    let killed = Running::start(&mut workshop.command(&arguments));
    until("a few are in the cache", || workshop.names().len() > 24);
    killed.signal(Signal::KILL);
    drop(killed.end());
    workshop.run(&["cache", "verify"]).done();

    let run = workshop.run(&arguments);
    let said = table(&run);
    let count = |word: &str| said.values().filter(|(said, _)| said == word).count();
    assert_eq!(count("built") + count("found"), PACKAGES, "{}", run.stderr);
    assert!(count("found") >= 10, "{}", run.stderr);
    // Each package begins only when what it needs is done.
    let done = |image: &str| run.stderr.find(&format!("test/{image}:")).unwrap_or_default();
    assert!(said.keys().all(|image| done(image) > 0), "{}", run.stderr);
    let stdout = run.done();
    assert_eq!(images(&stdout), names);
    workshop.verify();
    let again = workshop.run(&arguments).done();
    assert_eq!(again, stdout);
}
