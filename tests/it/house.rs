//! The walls of the house: who may import whom, that every file says what lives in it, that no file grows without end.
//! The table is the one of docs/contributing/architecture.md.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Lines that a file may have without its tests.
const LONGEST_FILE_LINES: usize = 700;

/// Room → rooms that it may import, besides itself.
const TABLE: [(&str, &[&str]); 16] = [
    ("oci", &[]),
    ("fsx", &[]),
    ("content", &["oci"]),
    ("event", &["oci"]),
    ("yaml", &[]),
    ("layers", &["oci"]),
    ("package", &["oci", "fsx", "yaml"]),
    ("identity", &["oci", "fsx", "package"]),
    ("plan", &["oci", "package", "identity"]),
    ("builder", &["oci", "event"]),
    ("build", &["oci", "content", "event", "builder"]),
    ("store", &["oci", "content", "event", "fsx", "layers"]),
    ("registry", &["oci", "content", "event"]),
    ("attest", &["oci", "content"]),
    (
        "assemble",
        &["oci", "content", "event", "fsx", "yaml", "layers", "attest"],
    ),
    (
        "orchestrator",
        &[
            "oci", "fsx", "content", "event", "yaml", "layers", "package", "identity", "plan", "builder", "build",
            "store", "registry", "attest", "assemble",
        ],
    ),
];

fn sources() -> Vec<(PathBuf, String)> {
    fn walk(directory: &Path, found: &mut Vec<(PathBuf, String)>) {
        let entries = std::fs::read_dir(directory).expect("src is readable");
        let mut paths: Vec<_> = entries.map(|entry| entry.expect("src is readable").path()).collect();
        paths.sort();
        for path in paths {
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push((path.clone(), std::fs::read_to_string(&path).expect("a source is UTF-8")));
            }
        }
    }
    let mut found = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    found
}

/// The room a file belongs to: its directory below src, or its own name.
fn room(path: &Path) -> String {
    let below = path
        .strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
        .expect("below src");
    let first = below
        .components()
        .next()
        .expect("has a name")
        .as_os_str()
        .to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// Lines without the module of tests at the end.
fn without_tests(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or(text)
}

/// The rooms that a text names as `crate::room`, alone or in braces.
fn imports(text: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = BTreeSet::new();
    for after in text.split("crate::").skip(1) {
        if let Some(list) = after.strip_prefix('{') {
            let list = list.split(';').next().unwrap_or_default();
            found.extend(
                list.split(',')
                    .map(|one| one.trim().chars().take_while(|c| is_name(*c)).collect::<String>()),
            );
        } else {
            found.insert(after.chars().take_while(|c| is_name(*c)).collect());
        }
    }
    found
}

#[test]
fn rooms_import_only_what_the_table_allows() {
    let table: BTreeMap<_, BTreeSet<_>> = TABLE
        .iter()
        .map(|(room, allowed)| (*room, allowed.iter().copied().collect()))
        .collect();
    let rooms: BTreeSet<&str> = table.keys().copied().chain(["cli"]).collect();
    let mut broken = Vec::new();
    for (path, text) in sources() {
        let room = room(&path);
        for import in imports(&text) {
            let is_allowed = room == import
                || table
                    .get(room.as_str())
                    .is_none_or(|allowed| allowed.contains(import.as_str()));
            if rooms.contains(import.as_str())
                && (!is_allowed || (import == "cli" && !["cli", "main", "lib"].contains(&room.as_str())))
            {
                broken.push(format!("{}: {room} may not import {import}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_file_says_what_lives_in_it() {
    let silent: Vec<_> = sources()
        .into_iter()
        .filter(|(_, text)| !text.starts_with("//!"))
        .map(|(path, _)| path)
        .collect();
    assert!(silent.is_empty(), "no //! header: {silent:?}");
}

#[test]
fn no_file_grows_without_end() {
    let is_long = |text: &str| without_tests(text).lines().count() > LONGEST_FILE_LINES;
    let long: Vec<_> = sources()
        .into_iter()
        .filter(|(_, text)| is_long(text))
        .map(|(path, _)| path)
        .collect();
    assert!(long.is_empty(), "more than {LONGEST_FILE_LINES} lines: {long:?}");
}

#[test]
fn only_the_front_door_prints_and_reads_the_environment() {
    let mut broken = Vec::new();
    for (path, text) in sources() {
        if ["cli", "main"].contains(&room(&path).as_str()) {
            continue;
        }
        for word in ["println!(", "print!(", "eprint!(", "env::var", "dbg!("] {
            if without_tests(&text).contains(word) && !path.ends_with("tests.rs") {
                broken.push(format!("{}: {word}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
