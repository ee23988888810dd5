//! What the tree looks like, and where errors point.

use super::*;

/// The tree on one line: `text` plain, 'text' otherwise, each with line:column.
fn show(node: &Node) -> String {
    let Position { line, column } = node.position;
    match &node.value {
        Value::Scalar { text, is_plain: true } => format!("{text}@{line}:{column}"),
        Value::Scalar { text, .. } => format!("'{text}'@{line}:{column}"),
        Value::List(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(" ")),
        Value::Mapping(entries) => {
            let entries: Vec<_> = entries
                .iter()
                .map(|(k, v)| format!("{}={}", show(k), show(v)))
                .collect();
            format!("{{{}}}", entries.join(" "))
        }
    }
}

fn check(text: &str, expected: &str) {
    let shown = match Document::parse(Path::new("f.yml"), text) {
        Ok(document) => show(&document.root),
        Err(error) => error.to_string(),
    };
    assert_eq!(shown, expected, "{text}");
}

#[test]
fn scalars_keep_their_text() {
    check("a: 1.10", "{a@1:1=1.10@1:4}");
    check("a: 0755 # mode", "{a@1:1=0755@1:4}");
    check(
        "a: yes\nb: ~\nc:\nd: null",
        "{a@1:1=yes@1:4 b@2:1=~@2:4 c@3:1=@3:2 d@4:1=null@4:4}",
    );
    check("a: \"yes\"\nb: 'n'", "{a@1:1='yes'@1:4 b@2:1='n'@2:4}");
    check("a: |\n  x\n  y\n", "{a@1:1='x\ny\n'@2:3}");
    check("a: >- # why\n  5\nb:\n  5", "{a@1:1='5'@2:3 b@3:1=5@4:3}");
    check("a: 99999999999999999999999", "{a@1:1=99999999999999999999999@1:4}");
    check("a: !!str 5\r\nb: !!int \"5\"\r\n", "{a@1:1=5@1:10 b@2:1=5@2:10}");
    check("\u{feff}a: x", "{a@1:1=x@1:4}");
    check("a: .inf", "{a@1:1=.inf@1:4}");
    check("a: 1e999", "{a@1:1=1e999@1:4}");
    check("a: one\n  two", "{a@1:1=one two@1:4}");
    check("ü: [1, \"ö\", x]", "{ü@1:1=[1@1:5 'ö'@1:8 x@1:13]}");
}

#[test]
fn aliases_and_merge_keys_are_resolved() {
    check("a: &x 1.10\nb: *x", "{a@1:1=1.10@1:7 b@2:1=1.10@2:4}");
    check(
        "a: &x {k: 1, l: 2}\nb:\n  <<: *x\n  k: 3",
        "{a@1:1={k@1:8=1@1:11 l@1:14=2@1:17} b@2:1={k@4:3=3@4:6 l@3:7=2@3:7}}",
    );
}

#[test]
fn what_is_not_yaml_is_refused_with_its_place() {
    check(
        "a: 1\na: 2",
        "f.yml:2:1: `a` appears twice; each field may appear once\n  |\n2 | a: 2\n  | ^",
    );
    for (text, start) in [
        (
            "a: [1",
            "f.yml:1:4: not valid YAML: unclosed bracket '['\n  |\n1 | a: [1\n  |    ^",
        ),
        (
            "a: b: c",
            "f.yml:1:5: not valid YAML: mapping values are not allowed in this context\n",
        ),
        ("a: *x", "f.yml:1:4: not valid YAML: alias references unknown anchor\n"),
        (
            "a: 1\n---\nb: 2",
            "f.yml:3:1: a second document starts; the file may hold one only\n",
        ),
        (
            "<<: 1",
            "f.yml:1:5: not valid YAML: YAML merge value must be mapping or sequence of mappings\n",
        ),
        ("a: \"x", "f.yml:1:4: not valid YAML: unclosed quote\n"),
    ] {
        let error = Document::parse(Path::new("f.yml"), text)
            .err()
            .map(|error| error.to_string());
        assert!(
            error.as_ref().is_some_and(|error| error.starts_with(start)),
            "{error:?}"
        );
    }
    check("", "@1:1");
}

#[test]
fn a_small_text_cannot_become_a_huge_tree() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for i in 1..12 {
        let aliases = vec![format!("*a{}", i - 1); 9].join(", ");
        text += &format!("a{i}: &a{i} [{aliases}]\n");
    }
    assert!(Document::parse(Path::new("f.yml"), &text).is_err());
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "[ab:\\-\\[\\]{}&*<>|'\",#!?% \n\tü]{0,40}") {
        if let Err(error) = Document::parse(Path::new("f.yml"), &text) {
            proptest::prop_assert!(error.to_string().starts_with("f.yml:"));
        }
    }
}
