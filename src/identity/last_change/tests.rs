//! Last changes in repositories that are made for it, compared with git's own answer.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::super::tests::package;
use super::*;
use crate::package::ExtraSource;
use std::process::Command;

/// A repository with a commit a second, and what its history looks like to git.
struct History {
    directory: tempfile::TempDir,
    time_s: u64,
}

impl History {
    fn new() -> Self {
        let history = Self {
            directory: tempfile::tempdir().unwrap(),
            time_s: 1_700_000_000,
        };
        history.git(&["init", "-q", "-b", "main"]);
        history
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn git(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("git");
        command.arg("-C").arg(self.directory.path()).args(arguments);
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env_remove("GIT_DIR");
        for who in ["AUTHOR", "COMMITTER"] {
            command
                .env(format!("GIT_{who}_NAME"), "x")
                .env(format!("GIT_{who}_EMAIL"), "x@example.org")
                .env(format!("GIT_{who}_DATE"), format!("{} +0000", self.time_s));
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn commit(&mut self, file: &str, content: &str) -> String {
        let path = self.path(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self.git(&["add", "--all"]);
        self.commit_staged(&["commit", "-q", "-m", "x"])
    }

    fn commit_staged(&mut self, arguments: &[&str]) -> String {
        self.time_s += 1;
        self.git(arguments);
        self.git(&["rev-parse", "HEAD"])
    }

    fn last(&self, package: &Package) -> Option<LastChange> {
        last_changes(&[package], &HashOptions::default()).unwrap().remove(0)
    }
}

#[test]
fn the_last_change_is_that_of_the_package_and_its_extra_sources() {
    let mut history = History::new();
    let first = history.commit("p/file", "1");
    let mut one = package(&history.path("p"));
    let is = |history: &History, package: &Package, commit: &str, time_s: i64| {
        let expected = LastChange {
            commit: commit.to_owned(),
            time_s,
            is_boundary: false,
        };
        assert_eq!(history.last(package), Some(expected));
    };
    is(&history, &one, &first, 1_700_000_001);
    let beside = history.commit("beside/file", "1");
    is(&history, &one, &first, 1_700_000_001);
    let sources = vec![ExtraSource {
        source: history.path("beside"),
        destination: "x".into(),
    }];
    one.extra_sources = sources;
    is(&history, &one, &beside, 1_700_000_002);
    // What is not committed does not count, and what HEAD does not know has HEAD.
    std::fs::write(history.path("p/file"), "2").unwrap();
    is(&history, &one, &beside, 1_700_000_002);
    std::fs::create_dir(history.path("new")).unwrap();
    is(&history, &package(&history.path("new")), &beside, 1_700_000_002);
    let removed = {
        history.git(&["checkout", "-q", "p/file"]);
        history.commit("p/other", "1");
        history.git(&["rm", "-q", "p/other"]);
        history.commit_staged(&["commit", "-q", "-m", "x"])
    };
    is(&history, &one, &removed, 1_700_000_004);
    // Reading by git's own program says the same.
    history.git(&["config", "core.splitIndex", "true"]);
    is(&history, &one, &removed, 1_700_000_004);
    is(&history, &package(&history.path("new")), &removed, 1_700_000_004);
    // Outside git, and before the first commit.
    let outside = tempfile::tempdir().unwrap();
    assert_eq!(history.last(&package(outside.path())), None);
    assert_eq!(history.last(&package(History::new().directory.path())), None);
}

#[test]
fn a_shallow_clone_says_that_it_ends() {
    let mut history = History::new();
    for content in ["1", "2", "3"] {
        history.commit("p/file", content);
        history.commit("q/file", content);
    }
    let url = format!("file://{}", history.directory.path().display());
    let clone = History::new();
    clone.git(&["fetch", "-q", "--depth", "2", &url, "main"]);
    clone.git(&["checkout", "-q", "FETCH_HEAD"]);
    let [p, q] = ["p", "q"].map(|name| package(&clone.path(name)));
    let found = last_changes(&[&p, &q], &HashOptions::default()).unwrap();
    let found: Vec<_> = found.into_iter().map(|one| one.unwrap()).collect();
    assert!(found[0].is_boundary);
    assert_eq!(found[0].commit, history.git(&["rev-parse", "HEAD~1"]));
    assert_eq!((found[1].is_boundary, found[1].time_s), (false, 1_700_000_006));
    clone.git(&["config", "core.splitIndex", "true"]);
    assert_eq!(clone.last(&p), Some(found[0].clone()));
}

#[test]
fn last_changes_are_gits_in_any_history() {
    let mut history = History::new();
    history.commit("a/x", "0");
    let names = ["a", "b", "a/sub", "c"];
    // Branches that touch the same and different packages, merged in several ways.
    let mut seed: u64 = 7;
    let mut next = |below: u64| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    for round in 0..12 {
        history.git(&["checkout", "-q", "-b", &format!("side{round}")]);
        for _ in 0..=next(2) {
            let name = names[usize::try_from(next(4)).unwrap()];
            let content = next(3).to_string();
            history.commit(&format!("{name}/side{}", next(2)), &format!("{content}{round}"));
        }
        history.git(&["checkout", "-q", "main"]);
        if next(2) == 0 {
            let name = names[usize::try_from(next(4)).unwrap()];
            history.commit(&format!("{name}/main"), &format!("{round}"));
        }
        let strategy = ["ours", "theirs"][usize::try_from(next(2)).unwrap()];
        let merge = [
            "merge",
            "-q",
            "--no-ff",
            "-X",
            strategy,
            "-m",
            "m",
            &format!("side{round}"),
        ];
        history.commit_staged(&merge);
        for name in names.iter().filter(|name| history.path(name).exists()) {
            let expected = history.git(&["rev-list", "-1", "HEAD", "--", name]);
            let found = history.last(&package(&history.path(name))).unwrap();
            assert_eq!(found.commit, expected, "{name} in round {round}");
        }
    }
}
