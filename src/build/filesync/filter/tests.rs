//! Filters against trees and patterns.

#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use proptest::prelude::*;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

fn make(root: &Path, files: &[&str]) -> Tree {
    for file in files {
        fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
        fs::write(root.join(file), file).unwrap();
    }
    Tree::new(root.to_owned(), vec![]).unwrap()
}

fn options(include: &[&str], exclude: &[&str], follow: &[&str]) -> WalkOptions {
    let owned = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect();
    WalkOptions {
        include_patterns: owned(include),
        exclude_patterns: owned(exclude),
        follow_paths: owned(follow),
    }
}

fn paths(tree: &Tree, options: &WalkOptions) -> Vec<String> {
    tree.walk(options)
        .unwrap()
        .map(|entry| entry.unwrap().stat.path)
        .collect()
}

#[test]
fn parents_are_given_only_when_needed() {
    let directory = tempfile::tempdir().unwrap();
    let tree = make(directory.path(), &["a/b/keep", "a/drop", "c/drop", "d.txt"]);
    for (options, expected) in [
        (options(&["a/b/keep"], &[], &[]), vec!["a", "a/b", "a/b/keep"]),
        (options(&["**/keep"], &[], &[]), vec!["a", "a/b", "a/b/keep"]),
        (options(&[], &["**", "!a/b"], &[]), vec!["a", "a/b", "a/b/keep"]),
        (
            options(&[], &["**/drop"], &[]),
            vec!["a", "a/b", "a/b/keep", "c", "d.txt"],
        ),
        (options(&["*.txt", "c"], &["c/drop"], &[]), vec!["c", "d.txt"]),
        (options(&[" "], &[], &[]), vec![]),
        (options(&[], &[], &["/d.txt"]), vec!["d.txt"]),
        (options(&["c"], &[], &["."]), vec!["c", "c/drop"]),
        (options(&[], &["c", "a"], &["/"]), vec!["d.txt"]),
    ] {
        assert_eq!(paths(&tree, &options), expected, "{options:?}");
    }
}

#[test]
fn symlinks_are_followed_and_never_out_of_the_tree() {
    let outside = tempfile::tempdir().unwrap();
    let root = outside.path().join("root");
    fs::create_dir(&root).unwrap();
    std::os::unix::fs::symlink("root/x", outside.path().join("trap")).unwrap();
    let tree = make(&root, &["x", "y", "d/z"]);
    for (target, link) in [
        ("../../d", "to-d"),
        ("/y", "d/to-y"),
        ("loop", "loop"),
        ("to-d", "twice"),
    ] {
        std::os::unix::fs::symlink(target, root.join(link)).unwrap();
    }
    for (path, expected) in [
        ("twice/z", vec!["d", "d/z", "to-d", "twice"]),
        ("to-d/to-*", vec!["d", "d/to-y", "to-d", "y"]),
        ("loop/a", vec!["loop"]),
        ("../trap", vec![]),
        ("none", vec![]),
    ] {
        assert_eq!(paths(&tree, &options(&[], &[], &[path])), expected, "{path}");
    }
}

/// Root may read everything: then the test runs once more, as somebody else.
fn is_left_to_nobody(test: &str) -> bool {
    use std::os::unix::process::CommandExt as _;
    if !rustix::process::geteuid().is_root() {
        return false;
    }
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = directory.path().join("test");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let mut command = std::process::Command::new(program);
    let name = format!("{}::{test}", module_path!().split_once("::").unwrap().1);
    let output = command
        .args(["--exact", &name])
        .uid(65534)
        .gid(65534)
        .current_dir("/")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    true
}

#[test]
fn an_unreadable_directory_matters_only_when_it_is_wanted() {
    if is_left_to_nobody("an_unreadable_directory_matters_only_when_it_is_wanted") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let tree = make(directory.path(), &["closed/x", "open"]);
    let closed = directory.path().join("closed");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    let excluded = paths(&tree, &options(&[], &["closed", "!**/y"], &[]));
    let wanted = tree.walk(&WalkOptions::default()).unwrap().find_map(Result::err);
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(excluded, ["open"]);
    assert!(matches!(wanted, Some(FileSyncError::Io { path, .. }) if path == closed));
}

#[test]
fn a_malformed_pattern_is_an_error_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let tree = make(directory.path(), &[]);
    for (options, expected) in [
        (options(&["["], &[], &[]), "include"),
        (options(&[], &["!"], &[]), "exclude"),
    ] {
        let error = tree.walk(&options).err().unwrap();
        assert!(
            matches!(&error, FileSyncError::Pattern { kind, .. } if *kind == expected),
            "{error}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Directories that are left out hold nothing: the files given are those that pass when each is asked by itself,
    /// and every parent of one stands before it.
    #[test]
    fn nothing_is_lost_by_leaving_directories_out(
        files in prop::collection::btree_set("[abc]{1,2}(/[abc]{1,2}){0,3}", 1..12),
        include in prop::collection::vec("!?[abc*]{1,2}(/([abc?]{1,2}|[*][*]?)){0,2}", 0..3),
        exclude in prop::collection::vec("!?[abc*]{1,2}(/([abc?]{1,2}|[*][*]?)){0,2}", 0..4),
    ) {
        // BuildKit takes `c/*/**` for the prefix `c` and does not look into `c/a`. So do we: the same files are sent.
        prop_assume!(!include.iter().chain(&exclude).any(|pattern| pattern.ends_with("/*/**")));
        let directory = tempfile::tempdir().unwrap();
        let files: Vec<&str> = files.iter().map(String::as_str)
            .filter(|path| !files.iter().any(|other| other.starts_with(&format!("{path}/")))).collect();
        let tree = make(directory.path(), &files);
        let matches = |patterns: &[String], path: &str| {
            let matcher = PatternMatcher::new(patterns).unwrap();
            let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
            ends.fold((false, MatchInfo::default()), |(_, info), end| matcher.matches(&path[..end], &info)).0
        };
        let expected: Vec<&str> = files.iter().copied()
            .filter(|path| (include.is_empty() || matches(&include, path)) && !matches(&exclude, path)).collect();
        let given = paths(&tree, &WalkOptions {
            include_patterns: include.clone(), exclude_patterns: exclude.clone(), follow_paths: vec![],
        });
        let mut found: Vec<&str> = given.iter().map(String::as_str).filter(|path| files.contains(path)).collect();
        found.sort_unstable();
        prop_assert_eq!(found, expected);
        for (index, path) in given.iter().enumerate() {
            if let Some((parent, _)) = path.rsplit_once('/') {
                prop_assert!(given[..index].iter().any(|earlier| earlier == parent), "{} before its parent", path);
            }
        }
    }
}
