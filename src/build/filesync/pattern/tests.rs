//! Patterns against moby's own answers, and against a model.

#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use proptest::prelude::*;

/// Whether `patterns` match `path`, asked from its first part downwards.
fn is_match(patterns: &[&str], path: &str) -> bool {
    let matcher = PatternMatcher::new(patterns).unwrap();
    let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
    ends.fold((false, MatchInfo::default()), |(_, info), end| {
        matcher.matches(&path[..end], &info)
    })
    .0
}

#[track_caller]
fn check(expected: bool, cases: &[(&[&str], &str)]) {
    for (patterns, path) in cases {
        assert_eq!(is_match(patterns, path), expected, "{patterns:?} against {path:?}");
    }
}

#[test]
fn double_stars_cross_directories() {
    check(
        true,
        &[
            (&["**"], "file"),
            (&["**/"], "dir/file"),
            (&["**/**"], "dir/file"),
            (&["dir/**"], "dir/dir2/file"),
            (&["**/dir"], "dir/file"),
            (&["**/dir2/*"], "dir/dir2/file"),
            (&["**/dir2/**"], "dir/dir2/dir3/file"),
            (&["**file"], "dir/dir/file"),
            (&["**/file*txt"], "dir/dir/file.txt"),
            (&["**/**/*.txt"], "file.txt"),
            (&["a**/*.txt"], "a/dir/dir/file.txt"),
            (&["a/*.txt**"], "a/file.txt"),
            (&["**/foo/bar"], "dir/dir2/foo/bar"),
        ],
    );
    check(
        false,
        &[
            (&["abc/**"], "abc"),
            (&["**/.foo"], "bar.foo"),
            (&["a/*.txt"], "a/dir/file.txt"),
            (&["**/**/*.txt2"], "dir/dir/file.txt"),
        ],
    );
}

#[test]
fn text_means_itself() {
    check(
        true,
        &[
            (&["abc.def"], "abc.def"),
            (&["a(b)c/def"], "a(b)c/def"),
            (&["a.|)$(}+{bc"], "a.|)$(}+{bc"),
            (&["dist/*.whl"], "dist/proxy-2.4.0rc3.dev36+g08ac-py3.whl"),
            (&[r"a\*b"], "a*b"),
            (&[r"a\\"], r"a\"),
            (&["./a//b/"], "a/b/c"),
            (&["  a\t"], "a"),
        ],
    );
    check(
        false,
        &[
            (&["abc.def"], "abcZdef"),
            (&["/a"], "a"),
            (&[".*"], "foo"),
            (&[r"a\*b"], "ab"),
        ],
    );
}

#[test]
fn the_last_pattern_that_matches_decides() {
    check(
        false,
        &[
            (&["**", "!util/docker/web"], "util/docker/web/foo"),
            (&["*.go", "!main.go"], "main.go"),
            (&["!main.go"], "main.go"),
        ],
    );
    check(
        true,
        &[
            (
                &["**", "!util/docker/web", "util/docker/web/foo"],
                "util/docker/web/foo",
            ),
            (&["!main.go", "*.go"], "main.go"),
            (&["a", "!a/b"], "a/c"),
        ],
    );
}

#[test]
fn malformed_patterns_are_named() {
    for pattern in ["!", "[", "a[", r"a\", "[b-a]", "*{2}", "[[:none:]]"] {
        let error = PatternMatcher::new(&["fine", pattern]).unwrap_err();
        assert_eq!(error.0, pattern, "{}", error.1);
    }
    assert!(PatternMatcher::new(&["", "  "]).unwrap().patterns().is_empty());
}

/// A model of `*`, `?`, `**` and plain text, part by part.
fn model(pattern: &[&str], path: &[&str]) -> bool {
    match pattern {
        [] => path.is_empty(),
        ["**", rest @ ..] => {
            // At the end it takes at least one part: `a/**` is not `a`.
            (usize::from(rest.is_empty() && path.is_empty())..=path.len())
                .any(|taken| path.len() >= taken && (!rest.is_empty() || taken > 0) && model(rest, &path[taken..]))
        }
        [first, rest @ ..] => {
            path.first()
                .is_some_and(|part| model_part(first.as_bytes(), part.as_bytes()))
                && model(rest, &path[1..])
        }
    }
}

fn model_part(pattern: &[u8], text: &[u8]) -> bool {
    match pattern {
        [] => text.is_empty(),
        [b'*', rest @ ..] => (0..=text.len()).any(|taken| model_part(rest, &text[taken..])),
        [b'?', rest @ ..] => !text.is_empty() && model_part(rest, &text[1..]),
        [byte, rest @ ..] => text.first() == Some(byte) && model_part(rest, &text[1..]),
    }
}

proptest! {
    /// One pattern against a path and its parents agrees with the model, wherever a `**` stands alone in its part.
    #[test]
    fn agrees_with_a_model(
        pattern in prop::collection::vec(prop_oneof![Just("**".to_owned()), "[ab][ab?]{0,2}[*]?b?", "[*][ab]"], 1..4),
        path in prop::collection::vec("[ab]{1,3}", 1..5),
    ) {
        let parts: Vec<&str> = pattern.iter().map(String::as_str).collect();
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let expected = (1..=path.len()).any(|end| model(&parts, &path[..end]));
        prop_assert_eq!(is_match(&[&parts.join("/")], &path.join("/")), expected);
    }

    /// An exception for everything takes back everything, and matching is the same with a pattern said twice.
    #[test]
    fn exceptions_and_repetitions(pattern in "[ab*?/]{1,6}", path in "[ab]{1,2}(/[ab]{1,2}){0,2}") {
        if PatternMatcher::new(&[&pattern]).is_ok() {
            prop_assert!(!is_match(&[&pattern, "!**"], &path));
            prop_assert_eq!(is_match(&[&pattern, &pattern], &path), is_match(&[&pattern], &path));
        }
    }
}
