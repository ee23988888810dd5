//! Words against what BuildKit's own lexer gives for them (tests/data/package/words.json).

use super::*;
use proptest::prelude::*;
use serde_json::Value;

fn variables() -> Variables {
    let mut variables = Variables::platform(&BTreeMap::new());
    for (name, value) in [("A", "alpha"), ("E", ""), ("V", "1.2.3-rc.1"), ("P", "a/b/c")] {
        variables.set(name, value.to_owned());
    }
    variables
}

#[test]
fn words_are_buildkits() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/package/words.json");
    let vectors = std::fs::read_to_string(path).expect("is there");
    let variables = variables();
    let mut count = 0;
    for line in vectors.lines() {
        let vector: Value = serde_json::from_str(line).expect("is JSON");
        let word = vector["word"].as_str().expect("has a word");
        let text = Lexer::new(word, '\\', &variables).text();
        let words = Lexer::new(word, '\\', &variables).words();
        if vector["error"] == true {
            assert!(text.is_err(), "{word}: {text:?}");
        } else {
            assert_eq!(text.map(|e| Value::from(e.text)), Ok(vector["text"].clone()), "{word}");
            assert_eq!(words.map(Value::from), Ok(vector["words"].clone()), "{word}");
        }
        count += 1;
    }
    assert!(count > 60, "{count} vectors");
}

#[test]
fn what_is_not_known_stays_as_written() {
    let variables = variables();
    for (word, text, has_unset) in [
        ("a:$TARGETARCH", "a:$TARGETARCH", false),
        ("a:${TARGETARCH}-$A", "a:${TARGETARCH}-alpha", false),
        ("${TARGETARCH:-x$A}", "${TARGETARCH:-x$A}", false),
        ("${TARGETARCH/arm/x}", "${TARGETARCH/arm/x}", false),
        ("${TARGETARCH:?must}", "${TARGETARCH:?must}", false),
        ("x$N", "x", true),
        ("x${N#a}", "x", true),
        ("x${N:-y}", "xy", false),
    ] {
        let expanded = Lexer::new(word, '\\', &variables).text();
        let text = text.to_owned();
        assert_eq!(expanded, Ok(Expanded { text, has_unset }), "{word}");
    }
    let given = BTreeMap::from([("TARGETARCH".to_owned(), "arm64".to_owned())]);
    let variables = Variables::platform(&given);
    let expanded = Lexer::new("a:$TARGETARCH", '\\', &variables).text();
    assert_eq!(expanded.map(|e| e.text).as_deref(), Ok("a:arm64"));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(word in "[$\\{}:#%/a<'\"\\\\ *?+-]{0,16}") {
        let variables = variables();
        let _ = Lexer::new(&word, '\\', &variables).text();
        let _ = Lexer::raw(&word, '\\').words();
    }

    #[test]
    fn raw_words_without_blanks_are_the_text_itself(word in "[a-z$\\{}\\\\\"']{1,12}") {
        if let Ok(words) = Lexer::raw(&word, '\\').words() {
            prop_assert_eq!(words.concat(), word);
        }
    }
}
