//! Shell patterns, as `${NAME#PATTERN}` and its like cut and replace with them.

/// A shell pattern: `*`, `?`, and characters that stand for themselves.
pub(super) struct Pattern(Vec<Token>);

enum Token {
    Any,
    One,
    Char(char),
}

impl Pattern {
    pub(super) fn new(text: &str) -> Self {
        let mut tokens = Vec::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            tokens.push(match c {
                '*' => Token::Any,
                '?' => Token::One,
                '\\' => Token::Char(chars.next().unwrap_or('\\')),
                c => Token::Char(c),
            });
        }
        Self(tokens)
    }

    pub(super) fn matches(&self, text: &[char]) -> bool {
        // reached[i]: the tokens so far can match the first i characters.
        let mut reached = vec![false; text.len() + 1];
        reached[0] = true;
        for token in &self.0 {
            let before = reached.clone();
            for i in 0..=text.len() {
                reached[i] = match token {
                    Token::Any => before[i] || (i > 0 && reached[i - 1]),
                    Token::One => i > 0 && before[i - 1],
                    Token::Char(c) => i > 0 && before[i - 1] && text[i - 1] == *c,
                };
            }
        }
        reached[text.len()]
    }
}

/// `value` without the shortest or longest start (or end) that the pattern matches.
pub(super) fn trim(value: &str, pattern: &Pattern, is_start: bool, is_longest: bool) -> String {
    let chars: Vec<char> = value.chars().collect();
    let rest_of = |length: usize| match is_start {
        true => (&chars[..length], &chars[length..]),
        false => (&chars[chars.len() - length..], &chars[..chars.len() - length]),
    };
    let mut lengths: Vec<usize> = (0..=chars.len()).collect();
    if is_longest {
        lengths.reverse();
    }
    let cut = lengths.into_iter().find(|length| pattern.matches(rest_of(*length).0));
    cut.map_or(value.to_owned(), |length| rest_of(length).1.iter().collect())
}

/// `value` with the first, or every, longest match of the pattern replaced.
pub(super) fn replace(value: &str, pattern: &Pattern, replacement: &str, is_everywhere: bool) -> String {
    let chars: Vec<char> = value.chars().collect();
    let mut result = String::new();
    let mut at = 0;
    while at < chars.len() {
        let end = (at + 1..=chars.len())
            .rev()
            .find(|end| pattern.matches(&chars[at..*end]));
        match end {
            Some(end) => {
                result.push_str(replacement);
                at = end;
                if !is_everywhere {
                    break;
                }
            }
            None => {
                result.push(chars[at]);
                at += 1;
            }
        }
    }
    result.extend(&chars[at..]);
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a pattern means, written the slow way.
    fn matches_slowly(pattern: &[char], text: &[char]) -> bool {
        match pattern {
            [] => text.is_empty(),
            ['*', rest @ ..] => (0..=text.len()).any(|skip| matches_slowly(rest, &text[skip..])),
            ['?', rest @ ..] => !text.is_empty() && matches_slowly(rest, &text[1..]),
            [c, rest @ ..] => text.first() == Some(c) && matches_slowly(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn patterns_match_what_they_mean(pattern in "[ab*?]{0,6}", text in "[ab]{0,8}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            let expected = matches_slowly(&chars(&pattern), &chars(&text));
            prop_assert_eq!(Pattern::new(&pattern).matches(&chars(&text)), expected);
        }
    }
}
