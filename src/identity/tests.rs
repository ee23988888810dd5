//! Identities against golden vectors that git's own commands made (tests/data/identity/make.sh), and what is refused.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::git::Repositories;
use super::*;
use crate::package::ExtraSource;
use proptest::prelude::*;
use std::process::Command;
use std::sync::OnceLock;

const EXPECTED: &str = include_str!("../../tests/data/identity/expected.tsv");

/// The repositories of make.sh, built once for all tests of this process.
fn repositories() -> &'static Path {
    static DIRECTORY: OnceLock<tempfile::TempDir> = OnceLock::new();
    DIRECTORY
        .get_or_init(|| {
            let directory = tempfile::tempdir().unwrap();
            make("repositories", directory.path());
            directory
        })
        .path()
}

fn make(verb: &str, directory: &Path) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/identity/make.sh");
    let output = Command::new("sh")
        .arg(script)
        .arg(verb)
        .arg(directory)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn git(directory: &Path, arguments: &[&str]) -> bool {
    let mut command = Command::new("git");
    command.arg("-C").arg(directory).args(arguments);
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env_remove("GIT_DIR");
    for who in ["AUTHOR", "COMMITTER"] {
        command
            .env(format!("GIT_{who}_NAME"), "x")
            .env(format!("GIT_{who}_EMAIL"), "x@example.org");
    }
    command.output().unwrap().status.success()
}

pub(super) fn package(directory: &Path) -> Package {
    let directory = directory.canonicalize().unwrap();
    Package {
        build_yml: directory.join("build.yml"),
        image: "image".to_owned(),
        org: "linuxkit".to_owned(),
        tag: "{{.Hash}}".to_owned(),
        dockerfile: "Dockerfile".into(),
        architectures: vec!["amd64".to_owned()],
        extra_sources: Vec::new(),
        git_repository: "https://example.org/x".to_owned(),
        has_network: false,
        is_cache_disabled: false,
        config: None,
        build_args: Vec::new(),
        depends: None,
        directory,
    }
}

fn identify_one(package: &Package, options: &HashOptions) -> Result<Identity, IdentityError> {
    Ok(identify(std::slice::from_ref(package), options)?.remove(0))
}

/// One line of expected.tsv.
struct Vector {
    package: Package,
    options: HashOptions,
    is_dirty: bool,
    hash: &'static str,
    line: &'static str,
}

fn vectors() -> Vec<Vector> {
    let parse = |line: &'static str| {
        let fields: Vec<&str> = line.split('\t').collect();
        let &[case, directory, hash_path, commit, force, sources, dirty, hash] = fields.as_slice() else {
            panic!("{line}");
        };
        let case = repositories().join(case);
        let mut package = package(&case.join(directory));
        let sources = sources.split_whitespace().map(|source| ExtraSource {
            source: case.join(source),
            destination: source.into(),
        });
        package.extra_sources = sources.collect();
        Vector {
            package,
            options: HashOptions {
                hash_path: (hash_path != "-").then(|| case.join(hash_path)),
                hash_commit: commit.to_owned(),
                force_dirty: force == "yes",
                ..HashOptions::default()
            },
            is_dirty: dirty == "yes",
            hash,
            line,
        }
    };
    EXPECTED.lines().map(parse).collect()
}

#[test]
fn hashes_are_the_golden_ones() {
    let mut wrong = Vec::new();
    for vector in vectors() {
        match identify_one(&vector.package, &vector.options) {
            Ok(found) if found.hash.as_deref() == Some(vector.hash) && found.is_dirty == vector.is_dirty => {
                assert_eq!(found.tag, format!("linuxkit/image:{}", vector.hash));
                assert_eq!(found.is_hash_commit_head, vector.options.hash_commit == "HEAD");
                assert!(found.commit.is_some());
            }
            found => wrong.push(format!("{}\n    {found:?}", vector.line)),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn golden_vectors_are_what_git_says() {
    // A directory of its own: `git diff` refreshes the index, which would hide what another test is about.
    let directory = tempfile::tempdir().unwrap();
    make("repositories", directory.path());
    assert_eq!(make("expected", directory.path()), EXPECTED);
}

#[test]
fn all_packages_at_once_are_as_each_alone() {
    let vectors = vectors();
    let plain = HashOptions::default();
    let vectors: Vec<_> = vectors.iter().filter(|vector| vector.options == plain).collect();
    let packages: Vec<_> = vectors.iter().map(|vector| vector.package.clone()).collect();
    let found = identify(&packages, &plain).unwrap();
    for (found, vector) in found.iter().zip(&vectors) {
        assert_eq!(found.hash.as_deref(), Some(vector.hash), "{}", vector.line);
    }
    let expected = identify(&packages, &plain).unwrap();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(8));
    let orders = Just((0..packages.len()).collect::<Vec<_>>()).prop_shuffle();
    let check = |order: Vec<usize>| {
        let shuffled: Vec<_> = order.iter().map(|at| packages[*at].clone()).collect();
        let found = identify(&shuffled, &plain).unwrap();
        for (found, at) in found.iter().zip(order) {
            prop_assert_eq!(found, &expected[at]);
        }
        Ok(())
    };
    runner.run(&orders, check).unwrap();
}

#[test]
fn the_git_program_answers_only_where_it_must() {
    let directory = tempfile::tempdir().unwrap();
    make("repositories", directory.path());
    for (case, expected) in [
        ("clean", false),
        ("modified", false),
        ("untracked", false),
        ("conflict", false),
        ("index-4", false),
        ("packed", false),
        ("worktree-linked", false),
        ("sha256-dirty", false),
        ("top-dirty", false),
        ("touched", false),
        ("crlf", false),
        ("split-index", true),
        ("sparse", true),
        ("sparse-cone", true),
        ("skip-worktree", true),
        ("assume-unchanged", true),
        ("intent-to-add", true),
        ("filter", true),
        ("encoding", true),
        ("partial", true),
        ("replaced", true),
        ("staged-and-reverted", true),
        ("submodule", true),
    ] {
        let mut repositories_met = Repositories::default();
        let top = directory.path().join(case).canonicalize().unwrap();
        let place = repositories_met.locate(&top).unwrap().unwrap();
        for (_, repository) in repositories_met.iter_mut() {
            repository.changes(&BTreeSet::from([place.path.clone()])).unwrap();
            assert_eq!(repository.uses_program(), expected, "{case}");
        }
    }
}

#[test]
fn flags_change_the_hash() {
    let dirty = package(&repositories().join("modified/pkgs/a"));
    let check = |options: HashOptions, tag: &str, is_dirty: bool| {
        let found = identify_one(&dirty, &options).unwrap();
        assert_eq!((found.tag.as_str(), found.is_dirty), (tag, is_dirty), "{options:?}");
    };
    let options = HashOptions::default;
    check(
        HashOptions {
            hash: Some("x1".into()),
            ..options()
        },
        "linuxkit/image:x1",
        true,
    );
    check(
        HashOptions {
            dev_user: Some("me".into()),
            ..options()
        },
        "me/image:dev",
        true,
    );
    check(
        HashOptions {
            dev_user: Some("me".into()),
            hash: Some("x1".into()),
            ..options()
        },
        "me/image:x1",
        true,
    );
    check(
        HashOptions {
            hash_commit: "HEAD~1".into(),
            hash: Some("x1".into()),
            ..options()
        },
        "linuxkit/image:x1",
        false,
    );
}

#[test]
fn outside_git_the_tag_is_latest() {
    let directory = tempfile::tempdir().unwrap();
    let mut package = package(directory.path());
    let check = |package: &Package, options: &HashOptions, tag: &str| {
        let found = identify_one(package, options).unwrap();
        assert_eq!((found.tag.as_str(), found.is_dirty, found.commit), (tag, false, None));
    };
    let mut options = HashOptions {
        force_dirty: true,
        ..HashOptions::default()
    };
    check(&package, &options, "linuxkit/image:latest");
    options.hash = Some("h".to_owned());
    check(&package, &options, "linuxkit/image:h");
    package.tag = "v1-{{.Hash}}".to_owned();
    check(&package, &options, "linuxkit/image:v1-h");
    check(&package, &HashOptions::default(), "linuxkit/image:v1-");
    package.extra_sources = vec![ExtraSource {
        source: directory.path().into(),
        destination: "x".into(),
    }];
    check(&package, &HashOptions::default(), "linuxkit/image:v1-");
    assert_eq!(go_package_version(&package.directory).unwrap(), None);
}

/// The error of the package at `directory`, with `options`.
fn refusal(directory: &Path, options: &HashOptions) -> IdentityError {
    identify_one(&package(directory), options).unwrap_err()
}

#[test]
fn bad_questions_have_clear_answers() {
    let clean = repositories().join("clean");
    let default = HashOptions::default;
    let check = |directory: &str, options: HashOptions, code: u8, text: &str| {
        let error = refusal(&clean.join(directory), &options);
        assert!(error.to_string().contains(text), "{error}");
        assert_eq!(error.exit_code(), code, "{error}");
    };
    let hash_path = |path: PathBuf| HashOptions {
        hash_path: Some(path),
        ..default()
    };
    check(
        "pkgs/a",
        hash_path(clean.join("pkgs/b")),
        2,
        "is not a parent of the package",
    );
    check(
        "pkgs/a",
        hash_path(clean.join("pkgs/a/sub")),
        2,
        "is not a parent of the package",
    );
    check("pkgs/a", hash_path("/".into()), 2, "is outside");
    check("pkgs/a", hash_path("/nowhere".into()), 2, "/nowhere does not exist");
    for commit in ["nothing", "HEAD~9", "", "-x", "^main"] {
        let options = HashOptions {
            hash_commit: commit.to_owned(),
            ..default()
        };
        check("pkgs/a", options, 2, "there is no commit");
    }
    check(".git", default(), 2, "not in its work tree");
    let error = identify_one(
        &Package {
            image: "UPPER".into(),
            ..package(&clean)
        },
        &default(),
    )
    .unwrap_err();
    assert!(error.to_string().contains("\"linuxkit/UPPER:"), "{error}");
}

#[test]
fn what_the_program_is_asked_for_in_vain_is_clear_too() {
    let split = repositories().join("split-index");
    for commit in ["nothing", "HEAD~9", "", "-x"] {
        let options = HashOptions {
            hash_commit: commit.to_owned(),
            ..HashOptions::default()
        };
        let error = refusal(&split.join("pkgs/a"), &options);
        assert!(
            matches!(error, IdentityError::UnknownCommit { .. }),
            "{commit}: {error}"
        );
    }
}

#[test]
fn repositories_at_their_edges() {
    let scratch = tempfile::tempdir().unwrap();
    let repository = scratch.path().join("new");
    std::fs::create_dir_all(repository.join("p")).unwrap();
    assert!(git(&repository, &["init", "-q"]));
    let default = HashOptions::default();
    assert!(matches!(
        refusal(&repository.join("p"), &default),
        IdentityError::NoCommits { .. }
    ));
    std::fs::write(repository.join("p/f"), "1").unwrap();
    let given = HashOptions {
        hash: Some("h".into()),
        ..HashOptions::default()
    };
    let found = identify_one(&package(&repository.join("p")), &given).unwrap();
    assert_eq!((found.is_dirty, found.commit), (true, None));

    assert!(git(&repository, &["commit", "-q", "--allow-empty", "-m", "x"]));
    let error = refusal(&repository.join("p"), &default);
    assert!(
        error.to_string().contains("p is not in git at commit HEAD: commit it"),
        "{error}"
    );
    let mut extra = package(&repositories().join("clean/pkgs/a"));
    let outside = tempfile::tempdir().unwrap();
    extra.extra_sources = vec![ExtraSource {
        source: outside.path().into(),
        destination: "x".into(),
    }];
    assert!(matches!(
        identify_one(&extra, &default).unwrap_err(),
        IdentityError::SourceNotInGit { .. }
    ));
    assert_eq!(identify_one(&extra, &given).unwrap().tag, "linuxkit/image:h");

    let bare = scratch.path().join("bare");
    std::fs::create_dir(&bare).unwrap();
    assert!(git(&bare, &["init", "-q", "--bare"]));
    assert!(matches!(refusal(&bare, &default), IdentityError::NoWorkTree { .. }));
}

/// A git without reftables refuses, and its words are shown; a newer one answers.
#[test]
fn a_reftable_is_read_by_git_or_refused_in_its_words() {
    let scratch = tempfile::tempdir().unwrap();
    let repository = scratch.path();
    std::fs::create_dir(repository.join("p")).unwrap();
    std::fs::write(repository.join("p/f"), "1").unwrap();
    if git(repository, &["init", "-q", "--ref-format=reftable"]) {
        assert!(git(repository, &["add", "-A"]) && git(repository, &["commit", "-qm", "x"]));
        assert!(
            identify_one(&package(&repository.join("p")), &HashOptions::default())
                .unwrap()
                .hash
                .is_some()
        );
        return;
    }
    assert!(git(repository, &["init", "-q"]));
    assert!(git(repository, &["config", "core.repositoryFormatVersion", "1"]));
    assert!(git(repository, &["config", "extensions.refStorage", "reftable"]));
    let error = refusal(&repository.join("p"), &HashOptions::default()).to_string();
    assert!(
        error.contains("git rev-parse") && error.contains("extension"),
        "{error}"
    );
}

#[test]
fn go_versions_follow_the_tags() {
    let check = |case: &str, expected: &str| {
        let directory = repositories().join(case).canonicalize().unwrap();
        let found = go_package_version(&directory).unwrap().unwrap();
        let pattern = expected.replace("COMMIT", "-20231114221320-");
        assert!(found.starts_with(&pattern), "{case}: {found}");
        let digits = found.rsplit('-').next().unwrap();
        assert!(!expected.ends_with("COMMIT") || digits.len() == 12, "{found}");
    };
    check("clean", "v0.0.0COMMIT");
    check("history", "v0.10.1-0.20231114221320-");
    check("history-merged", "v1.0.0-rc.1.0.20231114221320-");
    check("history-tagged", "v1.2.4-rc.1");
    check("split-index", "v0.0.0COMMIT");
    for case in ["history", "history-merged", "history-tagged"] {
        let directory = repositories().join(case).canonicalize().unwrap();
        let by_library = go_package_version(&directory).unwrap();
        assert!(git(&directory, &["update-index", "--split-index"]));
        assert_eq!(go_package_version(&directory).unwrap(), by_library, "{case}");
    }
}

#[test]
fn presets_say_what_is_known() {
    let clean = package(&repositories().join("clean/pkgs/a"));
    let identity = identify_one(&clean, &HashOptions::default()).unwrap();
    let presets = preset_build_args(&clean, &identity);
    let expected = [
        ("PKG_HASH", identity.hash.as_deref().unwrap()),
        ("PKG_IMAGE", "linuxkit/image"),
        ("REVISION", identity.commit.as_deref().unwrap()),
        ("SOURCE", "https://example.org/x"),
    ];
    let found: Vec<_> = presets.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(found, expected);
    let dirty = package(&repositories().join("modified/pkgs/a"));
    let identity = identify_one(&dirty, &HashOptions::default()).unwrap();
    let presets = preset_build_args(
        &Package {
            git_repository: String::new(),
            ..dirty
        },
        &identity,
    );
    assert_eq!(presets.keys().collect::<Vec<_>>(), ["PKG_HASH", "PKG_IMAGE"]);
}

/// Something that happens to a work tree.
#[derive(Clone, Debug)]
enum Edit {
    Write(&'static str, &'static str),
    Remove(&'static str),
    Mode(&'static str, u32),
    Link(&'static str, &'static str),
    Touch(&'static str),
    Git(&'static [&'static str], &'static str),
}

const PATHS: [&str; 12] = [
    "pkgs/a/Dockerfile",
    "pkgs/a/z",
    "pkgs/a/sub/deep/file",
    "pkgs/a/sub/deep",
    "pkgs/a/link",
    "pkgs/a/new",
    "pkgs/a/new/er",
    "pkgs/a/x.log",
    "pkgs/a/ignored/1",
    "pkgs/b/Dockerfile",
    "pkgs/.gitignore",
    "pkgs/a/sub/.gitignore",
];

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let path = || proptest::sample::select(&PATHS[..]);
    let text = proptest::sample::select(&["", "z\n", "deep\n", "*\n", "new\n!z\n", "/sub\nDockerfile\n", "other"][..]);
    let git: [&[&str]; 5] = [
        &["add", "-A", "--"],
        &["add", "-f", "--"],
        &["rm", "-rq", "--cached", "--"],
        &["reset", "-q", "HEAD", "--"],
        &["checkout", "-q", "HEAD", "--"],
    ];
    let edit = prop_oneof![
        4 => (path(), text).prop_map(|(path, text)| Edit::Write(path, text)),
        2 => path().prop_map(Edit::Remove),
        1 => (path(), proptest::sample::select(&[0o644, 0o755, 0o600][..])).prop_map(|(path, mode)| Edit::Mode(path, mode)),
        1 => (path(), proptest::sample::select(&["z", "sub", "nowhere"][..])).prop_map(|(path, to)| Edit::Link(path, to)),
        1 => path().prop_map(Edit::Touch),
        3 => (proptest::sample::select(git.to_vec()), path()).prop_map(|(git, path)| Edit::Git(git, path)),
    ];
    proptest::collection::vec(edit, 1..8)
}

/// Does what can be done; an edit that the state of the tree forbids changes nothing.
fn apply(top: &Path, edit: &Edit) {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let mkdir = |path: &Path| std::fs::create_dir_all(path.parent().unwrap()).is_ok();
    let remove = |path: &Path| {
        std::fs::remove_file(path)
            .or_else(|_| std::fs::remove_dir_all(path))
            .is_ok()
    };
    _ = match edit {
        Edit::Write(path, text) => mkdir(&top.join(path)) && std::fs::write(top.join(path), text).is_ok(),
        Edit::Remove(path) => remove(&top.join(path)),
        Edit::Mode(path, mode) => match std::fs::metadata(top.join(path)) {
            Ok(found) if found.is_file() => {
                std::fs::set_permissions(top.join(path), PermissionsExt::from_mode(*mode)).is_ok()
            }
            _ => false,
        },
        Edit::Link(path, to) => {
            mkdir(&top.join(path)) && {
                remove(&top.join(path));
                symlink(to, top.join(path)).is_ok()
            }
        }
        Edit::Touch(path) => std::fs::File::open(top.join(path))
            .and_then(|file| file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000)))
            .is_ok(),
        Edit::Git(arguments, path) => git(top, &[arguments, &[*path][..]].concat()),
    };
}

/// Whatever happens to a work tree, libgit2's answer leads to the hash that git's commands give.
#[test]
fn random_changes_hash_as_git_says() {
    let scratch = tempfile::tempdir().unwrap();
    let cases = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(24);
    let config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(cases)
    };
    proptest::test_runner::TestRunner::new(config)
        .run(&edits(), |edits| {
            let directory = tempfile::tempdir_in(scratch.path()).unwrap();
            let directory = directory.path();
            let copied = Command::new("cp")
                .arg("-a")
                .arg(repositories().join("clean"))
                .arg(directory)
                .status();
            prop_assert!(copied.unwrap().success());
            let top = directory.join("clean");
            edits.iter().for_each(|edit| apply(&top, edit));
            if !top.join("pkgs/a").is_dir() {
                return Ok(());
            }
            let ours = identify_one(&package(&top.join("pkgs/a")), &HashOptions::default());
            let gits = make("expect_one", directory);
            let ours = ours.map(|found| {
                format!(
                    "{}\t{}\n",
                    if found.is_dirty { "yes" } else { "no" },
                    found.hash.unwrap()
                )
            });
            prop_assert_eq!(ours.unwrap(), gits);
            Ok(())
        })
        .unwrap();
}
