//! Our patterns, walks and records against what docker's own libraries gave for the same trees and options; how the
//! vectors were made is said in tests/data/filesync/README.md.

#![expect(clippy::unwrap_used, reason = "tests")]

use super::pattern::{MatchInfo, PatternMatcher, glob_matches};
use super::{Tree, WalkOptions};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

fn vectors<T: DeserializeOwned>(name: &str) -> Vec<T> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/filesync")
        .join(name);
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[derive(Deserialize)]
struct Glob {
    pattern: String,
    name: String,
    result: String,
}

#[test]
fn globs_match_as_in_go() {
    for Glob { pattern, name, result } in vectors("globs.json") {
        let ours = match glob_matches(&pattern, &name) {
            Ok(true) => "yes",
            Ok(false) => "no",
            Err(_) => "bad",
        };
        assert_eq!(ours, result, "{pattern:?} against {name:?}");
    }
}

#[derive(Deserialize)]
struct Patterns {
    patterns: Vec<String>,
    #[serde(default)]
    bad: bool,
    #[serde(default)]
    yes: Vec<String>,
    #[serde(default)]
    no: Vec<String>,
}

fn is_match(matcher: &PatternMatcher, path: &str) -> bool {
    let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
    ends.fold((false, MatchInfo::default()), |(_, info), end| {
        matcher.matches(&path[..end], &info)
    })
    .0
}

#[test]
fn patterns_match_as_in_go() {
    for Patterns { patterns, bad, yes, no } in vectors("patterns.json") {
        let Ok(matcher) = PatternMatcher::new(&patterns) else {
            assert!(bad, "{patterns:?} are good");
            continue;
        };
        assert!(!bad, "{patterns:?} are bad");
        for (paths, expected) in [(yes, true), (no, false)] {
            for path in paths {
                assert_eq!(is_match(&matcher, &path), expected, "{patterns:?} against {path:?}");
            }
        }
    }
}

#[derive(Deserialize)]
struct Trees {
    items: Vec<Item>,
    stats: Vec<Record>,
    walks: Vec<WalkVector>,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Item {
    path: String,
    kind: String,
    mode: u32,
    mtime: u64,
    size: usize,
    target: String,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Record {
    path: String,
    mode: u32,
    size: i64,
    mtime: i64,
    link: String,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct WalkVector {
    include: Vec<String>,
    exclude: Vec<String>,
    follow: Vec<String>,
    entries: Vec<String>,
}

fn make(root: &Path, items: &[Item]) {
    for item in items {
        let path = root.join(&item.path);
        match item.kind.as_str() {
            "dir" => fs::create_dir(path).unwrap(),
            "file" => fs::write(path, vec![0; item.size]).unwrap(),
            "symlink" => symlink(&item.target, path).unwrap(),
            "hardlink" => fs::hard_link(root.join(&item.target), path).unwrap(),
            "fifo" => {
                rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, 0o644.into(), 0).unwrap();
            }
            "socket" => drop(std::os::unix::net::UnixListener::bind(path).unwrap()),
            other => panic!("{other}"),
        }
    }
    for item in items.iter().rev() {
        let path = root.join(&item.path);
        if item.mtime != 0 && ["dir", "file"].contains(&item.kind.as_str()) {
            let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(item.mtime);
            fs::File::open(&path).unwrap().set_modified(time).unwrap();
        }
        if item.mode != 0 {
            fs::set_permissions(&path, fs::Permissions::from_mode(item.mode)).unwrap();
        }
    }
}

#[test]
fn trees_are_walked_as_by_fsutil() {
    for (number, Trees { items, stats, walks }) in vectors("trees.json").into_iter().enumerate() {
        let directory = tempfile::tempdir().unwrap();
        make(directory.path(), &items);
        let timed: Vec<&str> = items
            .iter()
            .filter(|item| ["dir", "file"].contains(&item.kind.as_str()))
            .map(|item| &*item.path)
            .collect();
        let tree = Tree::new(directory.path().to_owned(), Vec::new()).unwrap();
        let ours: Vec<Record> = tree
            .walk(&WalkOptions::default())
            .unwrap()
            .map(|entry| {
                let stat = entry.unwrap().stat;
                assert_eq!((stat.uid, stat.gid), (0, 0));
                Record {
                    path: stat.path,
                    mode: stat.mode,
                    size: stat.size,
                    mtime: stat.mod_time,
                    link: stat.linkname,
                }
            })
            .collect();
        assert_eq!(ours.len(), stats.len(), "tree {number}");
        for (ours, mut theirs) in ours.iter().zip(stats) {
            if !timed.contains(&theirs.path.as_str()) {
                theirs.mtime = ours.mtime;
            }
            assert_eq!(*ours, theirs, "tree {number}");
        }
        for WalkVector {
            include,
            exclude,
            follow,
            entries,
        } in walks
        {
            let options = WalkOptions {
                include_patterns: include,
                exclude_patterns: exclude,
                follow_paths: follow,
            };
            assert_eq!(listing(&tree, &options), entries, "tree {number} with {options:?}");
        }
    }
}

fn listing(tree: &Tree, options: &WalkOptions) -> Vec<String> {
    let name = |entry: super::Entry| match entry.stat.linkname.as_str() {
        "" => entry.stat.path,
        link => format!("{} -> {link}", entry.stat.path),
    };
    tree.walk(options).unwrap().map(|entry| name(entry.unwrap())).collect()
}
