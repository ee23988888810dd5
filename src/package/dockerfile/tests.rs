//! Whole Dockerfiles: cut as BuildKit cuts them (tests/data/package/dockerfile), and the images that they name.

use super::*;
use proptest::prelude::*;

fn data(name: &str) -> String {
    let path = format!("{}/tests/data/package/dockerfile/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).expect("is there")
}

fn args(args: &[(&str, &str)]) -> BTreeMap<String, String> {
    args.iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// `line kind name [platform]`, one a line.
fn shown(text: &str, build_args: &[(&str, &str)]) -> Vec<String> {
    match references(text, &args(build_args)) {
        Ok(references) => references
            .iter()
            .map(|r| {
                let platform = r
                    .platform
                    .as_ref()
                    .map_or(String::new(), |platform| format!(" {platform}"));
                format!("{} {:?} {}{platform}", r.line, r.kind, r.name)
            })
            .collect(),
        Err(error) => vec![error.to_string()],
    }
}

#[test]
fn files_are_cut_as_buildkit_cuts_them() {
    for name in ["plain", "heredoc", "escape", "onbuild", "platform"] {
        let file = instruction::parse(&data(&format!("{name}.Dockerfile"))).unwrap_or_else(|error| panic!("{error}"));
        let mut cut = String::new();
        for step in &file.instructions {
            let mut flags = step.flags.clone();
            flags.sort();
            let flags: Vec<String> = flags.iter().map(|flag| format!("{flag:?}")).collect();
            cut += &format!("{} {} [{}]", step.line, step.keyword, flags.join(" "));
            if step.keyword == "FROM" {
                let words: Vec<&str> = step.arguments.split_whitespace().collect();
                cut += &format!(" {}", words.join(" "));
            }
            cut.push('\n');
        }
        assert_eq!(cut, data(&format!("{name}.instructions")), "{name}");
    }
}

#[test]
fn images_are_told_from_stages() {
    let plain = data("plain.Dockerfile");
    let expected = [
        "1 Syntax docker/dockerfile:1.7",
        "9 From alpine:3.20-slim",
        "16 CopyFrom busybox:1.37",
        "19 MountFrom golang:1.26",
        "21 From tools:9 $BUILDPLATFORM",
    ];
    assert_eq!(shown(&plain, &[]), expected);
    let given = [
        ("VERSION", "edge"),
        ("EXTRA", ""),
        ("BUILDPLATFORM", "linux/amd64"),
        ("N", "1"),
        ("BUILDKIT_SYNTAX", "own/fe"),
    ];
    let shown = shown(&plain, &given);
    assert_eq!(shown[0], "1 Syntax own/fe");
    assert_eq!(shown[1], "9 From alpine:edge");
    // An ARG counts in FROM only where it is declared above.
    assert_eq!(shown[4], "21 From tools:9 linux/amd64");
}

#[test]
fn heredoc_bodies_are_not_instructions() {
    assert_eq!(
        shown(&data("heredoc.Dockerfile"), &[]),
        ["1 From alpine", "26 CopyFrom busybox"]
    );
    assert_eq!(
        shown(&data("escape.Dockerfile"), &[]),
        ["2 From windows", "8 CopyFrom a:1"]
    );
}

#[test]
fn triggers_count_where_a_stage_of_the_file_starts_from_them() {
    let expected = [
        "1 From alpine:1",
        "2 CopyFrom files:1",
        "3 MountFrom tools:1",
        "4 From alpine:2",
    ];
    assert_eq!(shown(&data("onbuild.Dockerfile"), &[]), expected);
}

#[test]
fn what_depends_on_something_unknown_is_not_resolved() {
    let text = data("platform.Dockerfile");
    let expected = [
        "3 From a:${TARGETARCH} $BUILDPLATFORM",
        "4 From b",
        "5 From c:${NONE}",
        "6 From ${NONE}",
        "7 From d",
    ];
    assert_eq!(shown(&text, &[]), expected);
    let resolved: Vec<bool> = references(&text, &args(&[]))
        .expect("is right")
        .iter()
        .map(ImageReference::is_resolved)
        .collect();
    assert_eq!(resolved, [false, true, false, false, true]);
    let expected = [
        "3 From a:arm64 linux/amd64",
        "4 From bx",
        "5 From c:x",
        "6 From x",
        "7 From x",
    ];
    let given = [("TARGETARCH", "arm64"), ("BUILDPLATFORM", "linux/amd64"), ("NONE", "x")];
    assert_eq!(shown(&text, &given), expected);
}

#[test]
fn what_buildkit_refuses_is_refused_with_its_line() {
    for (text, message) in [
        ("", "line 1: there is no FROM"),
        ("# only\nARG A", "line 1: there is no FROM"),
        ("FROM", "line 1: FROM must be `FROM IMAGE` or `FROM IMAGE AS NAME`"),
        ("FROM a b", "line 1: FROM must be `FROM IMAGE` or `FROM IMAGE AS NAME`"),
        ("FROM a AS", "line 1: FROM must be `FROM IMAGE` or `FROM IMAGE AS NAME`"),
        (
            "FROM a AS 1x",
            "line 1: \"1x\" cannot name a stage: a letter first, then letters, digits, `-`, `_`, `.`",
        ),
        ("\nRUN x\nFROM a", "line 2: RUN must come after FROM"),
        ("FROM a\nRNU x", "line 2: unknown instruction RNU: did you mean RUN?"),
        ("FROM a\nxyzzy", "line 2: unknown instruction xyzzy"),
        (
            "FROM a\nRUN <<EOF\nx\n",
            "line 2: the heredoc <<EOF has no end: a line with only EOF",
        ),
        (
            "FROM a\nCOPY --from=1 x y",
            "line 2: COPY --from=1: there is no such stage",
        ),
        (
            "ARG A=b\nFROM a\nCOPY --from=$A x y",
            "line 3: COPY --from=$A: variables are not filled in here; name a stage with `FROM $A AS NAME`",
        ),
        (
            "ARG A=b\nFROM a\nRUN --mount=from=${A},target=/x true",
            "line 3: RUN --mount from=${A}: variables are not filled in here; name a stage with `FROM ${A} AS NAME`",
        ),
        ("FROM ${A", "line 1: there is no '}' to end a substitution"),
        ("FROM ${}", "line 1: a substitution must start with a name: ${NAME}"),
        (
            "FROM ${A:?base wanted}",
            "line 1: FROM must be `FROM IMAGE` or `FROM IMAGE AS NAME`",
        ),
        ("FROM ${A:?wanted}", "line 1: A: wanted"),
        ("ARG\nFROM a", "line 1: ARG needs a name"),
        ("ARG =x\nFROM a", "line 1: ARG =x has no name"),
        (
            "# escape=x\nFROM a",
            "line 1: the escape character must be \\ or `, not \"x\"",
        ),
        (
            "# escape=`\n# escape=`\nFROM a",
            "line 2: the directive `escape` appears twice",
        ),
        ("FROM a\nONBUILD", "line 2: ONBUILD needs an instruction"),
    ] {
        assert_eq!(shown(text, &[]), [message], "{text}");
    }
    let foreign = "# syntax=example.com/own:1\ntarget: x\n";
    assert_eq!(shown(foreign, &[]), ["1 Syntax example.com/own:1"]);
    let standard = "# syntax=mirror.example/docker/dockerfile:1\ntarget: x\n";
    assert_eq!(shown(standard, &[]), ["line 2: unknown instruction target:"]);
    let bad_name = shown("FROM a\nFROM Up/Case:x", &[]);
    assert!(
        bad_name[0].starts_with("line 2: \"Up/Case:x\" is not an image name"),
        "{bad_name:?}"
    );
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "((FROM|ARG|RUN|COPY|ONBUILD|#| ) ?[a-z$\\{}<=\\\\\"-]{0,8}\n?){0,6}") {
        let _ = references(&text, &BTreeMap::new());
    }

    #[test]
    fn comments_and_case_change_no_image(names in proptest::collection::vec("[a-z]{1,8}", 1..4), upper: bool) {
        let (from, comment) = if upper { ("FROM", "# x\n") } else { ("from", "") };
        let text: String = names.iter().map(|name| format!("{comment}{from} \\\n{comment}  i/{name}\n")).collect();
        let found = references(&text, &BTreeMap::new()).expect("is right");
        let found: Vec<String> = found.into_iter().map(|reference| reference.name).collect();
        let expected: Vec<String> = names.iter().map(|name| format!("i/{name}")).collect();
        prop_assert_eq!(found, expected);
    }
}
