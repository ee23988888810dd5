//! Composed trees.

#![expect(clippy::unwrap_used, reason = "tests")]

use super::super::WalkOptions;
use super::*;
use proptest::prelude::*;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;

/// A file holds the name of its source; a path that ends with `/` is a directory.
fn make(root: &Path, source: &str, paths: &[&str]) {
    for path in paths {
        let target = root.join(path);
        if path.ends_with('/') {
            fs::create_dir_all(target).unwrap();
        } else {
            fs::create_dir_all(target.parent().unwrap()).unwrap();
            fs::write(target, source).unwrap();
        }
    }
}

/// `path/` of directories, `path=content` of files, in the order of the walk.
fn listing(tree: &Tree) -> Vec<String> {
    tree.walk(&WalkOptions::default())
        .unwrap()
        .map(|entry| {
            let stat = entry.unwrap().stat;
            if stat.mode & 1 << 31 != 0 {
                return format!("{}/", stat.path);
            }
            let (file, _) = tree.open(&stat.path).unwrap();
            format!("{}={}", stat.path, std::io::read_to_string(file).unwrap())
        })
        .collect()
}

struct Sources(tempfile::TempDir);

impl Sources {
    fn new(sources: &[(&str, &[&str])]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for (name, paths) in sources {
            fs::create_dir(directory.path().join(name)).unwrap();
            make(&directory.path().join(name), name, paths);
        }
        Self(directory)
    }

    fn tree(&self, mounts: &[(&str, &str)]) -> Result<Tree, FileSyncError> {
        let path = |name: &str| self.0.path().join(name);
        Tree::new(
            path("p"),
            mounts
                .iter()
                .map(|(source, target)| (path(source), PathBuf::from(target)))
                .collect(),
        )
    }
}

#[track_caller]
fn check(sources: &[(&str, &[&str])], mounts: &[(&str, &str)], expected: &[&str]) {
    assert_eq!(listing(&Sources::new(sources).tree(mounts).unwrap()), expected);
}

#[test]
fn sources_appear_at_their_destinations() {
    check(
        &[("p", &["Dockerfile", "z"]), ("q", &["x", "d/y"])],
        &[("q", "/a/b"), ("q/x", "a.txt")],
        &[
            "Dockerfile=p",
            "a/",
            "a/b/",
            "a/b/d/",
            "a/b/d/y=q",
            "a/b/x=q",
            "a.txt=q",
            "z=p",
        ],
    );
}

#[test]
fn later_sources_lie_over_earlier_ones() {
    check(
        &[
            ("p", &["a/1", "a/2", "a/3/x", "b"]),
            ("q", &["1", "3"]),
            ("r", &["2/y", "b/c"]),
        ],
        &[("q", "a"), ("r", "a"), ("r", ".")],
        &[
            "2/", "2/y=r", "a/", "a/1=q", "a/2/", "a/2/y=r", "a/3=q", "a/b/", "a/b/c=r", "b/", "b/c=r",
        ],
    );
    // A file in the way of a destination gives way; a file that comes later takes all below it away.
    check(
        &[("p", &["a"]), ("q", &["x"])],
        &[("q", "a/b")],
        &["a/", "a/b/", "a/b/x=q"],
    );
    check(&[("p", &[]), ("q", &["x"])], &[("q", "a/b"), ("q/x", "a")], &["a=q"]);
}

#[test]
fn directories_made_up_have_a_fixed_record() {
    let sources = Sources::new(&[("p", &[]), ("q", &["x"])]);
    let tree = sources.tree(&[("q", "a/b")]).unwrap();
    let first = tree
        .walk(&WalkOptions::default())
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .stat;
    assert_eq!(
        (first.path.as_str(), first.mode, first.mod_time),
        ("a", 1 << 31 | 0o755, 0)
    );
}

#[test]
fn sources_that_cannot_be_placed_are_refused() {
    let sources = Sources::new(&[("p", &["f"]), ("q", &["x"])]);
    for destination in ["..", "../x", "a/../../x", "/.."] {
        let error = sources.tree(&[("q", destination)]).unwrap_err();
        assert!(
            matches!(error, FileSyncError::Destination { .. }),
            "{destination}: {error}"
        );
    }
    assert!(sources.tree(&[("q", "a/../b")]).is_ok());
    assert!(matches!(
        sources.tree(&[("q/x", "/")]),
        Err(FileSyncError::NotADirectory(_))
    ));
    assert!(matches!(sources.tree(&[("none", "a")]), Err(FileSyncError::Io { .. })));
    assert!(matches!(
        Tree::new(sources.0.path().join("p/f"), vec![]),
        Err(FileSyncError::NotADirectory(_))
    ));
}

#[test]
fn lookup_follows_nothing_and_stays_inside() {
    let sources = Sources::new(&[("p", &["d/f"]), ("q", &["x"])]);
    std::os::unix::fs::symlink("d", sources.0.path().join("p/link")).unwrap();
    let tree = sources.tree(&[("q", "m/n")]).unwrap();
    for (path, expected) in [
        ("d/f", true),
        ("m", true),
        ("m/n/x", true),
        ("link", true),
        ("link/f", false),
        ("d/f/g", false),
        ("../q", false),
        ("d/../d", false),
        (".", false),
    ] {
        assert_eq!(tree.lookup(path).unwrap().is_some(), expected, "{path}");
    }
}

#[test]
fn names_that_are_not_utf8_are_an_error_unless_excluded() {
    let sources = Sources::new(&[("p", &["ok"])]);
    let name = OsStr::from_bytes(b"bad\xff");
    fs::write(sources.0.path().join("p").join(name), "").unwrap();
    let tree = sources.tree(&[]).unwrap();
    let last = tree
        .walk(&WalkOptions::default())
        .unwrap()
        .find_map(Result::err)
        .unwrap();
    assert!(
        matches!(&last, FileSyncError::NotUtf8 { path, .. } if path.ends_with(name)),
        "{last}"
    );
    let options = WalkOptions {
        exclude_patterns: vec!["bad*".to_owned()],
        ..WalkOptions::default()
    };
    assert!(tree.walk(&options).unwrap().all(|entry| entry.is_ok()));
}

/// Paths of a random source: a set in which no file is a directory as well.
fn source() -> impl Strategy<Value = Vec<String>> {
    prop::collection::btree_set("[ab](/[ab]){0,2}/?", 0..6).prop_map(|paths| {
        let files: Vec<String> = paths.iter().filter(|path| !path.ends_with('/')).cloned().collect();
        paths
            .into_iter()
            .filter(|path| !files.iter().any(|file| path.starts_with(&format!("{file}/"))))
            .collect()
    })
}

/// What copying one source after the other into one directory gives.
fn copy(from: &Path, to: &Path) {
    let is_directory = from.is_dir();
    if to.exists() && !(is_directory && to.is_dir()) {
        if to.is_dir() {
            fs::remove_dir_all(to).unwrap()
        } else {
            fs::remove_file(to).unwrap()
        }
    }
    if !is_directory {
        fs::copy(from, to).unwrap();
        return;
    }
    fs::create_dir_all(to).unwrap();
    for entry in from.read_dir().unwrap() {
        let entry = entry.unwrap();
        copy(&entry.path(), &to.join(entry.file_name()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// A composed tree is what a directory is into which everything was copied in order.
    #[test]
    fn a_composed_tree_is_a_copied_one(
        package in source(),
        mounts in prop::collection::vec((source(), "[ab](/[ab]){0,2}"), 0..3),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let place = |name: &str, paths: &[String]| {
            let root = directory.path().join(name);
            fs::create_dir(&root).unwrap();
            make(&root, name, &paths.iter().map(String::as_str).collect::<Vec<_>>());
            root
        };
        let root = place("package", &package);
        let copied = place("copied", &[]);
        copy(&root, &copied);
        let mut given = Vec::new();
        for (number, (paths, destination)) in mounts.iter().enumerate() {
            let source = place(&format!("source{number}"), paths);
            let mut parent = copied.clone();
            for part in Path::new(destination).parent().unwrap() {
                parent.push(part);
                if parent.is_file() {
                    fs::remove_file(&parent).unwrap();
                }
                fs::create_dir_all(&parent).unwrap();
            }
            copy(&source, &copied.join(destination));
            given.push((source, PathBuf::from(destination)));
        }
        let composed = Tree::new(root, given).unwrap();
        prop_assert_eq!(listing(&composed), listing(&Tree::new(copied, vec![]).unwrap()));
    }
}
