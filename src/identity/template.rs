//! The language of `tag`, and of names of caches: the part of Go's text/template that makes sense for names.
//!
//! Text, `{{ }}` with trim marks (`{{-`, `-}}`), comments, `.Hash` and other fields, string and number constants, `printf` with `%s`,
//! `%v`, `%q`, `%d` and `%%`, `slice`, and pipes. Anything else is an error with its column: a tag that is not what its author
//! meant is worse than none.

use super::IdentityError;

/// What a template can call.
const FUNCTIONS: &str = "printf, slice";

/// What a template can refer to: names with their dot, and what they stand for.
pub type Fields<'a> = [(&'a str, &'a str)];

/// The text that `template` makes of `fields`.
///
/// # Errors
/// [`IdentityError::Template`], with the column.
pub fn expand(template: &str, fields: &Fields<'_>) -> Result<String, IdentityError> {
    let error = |(offset, reason): Fault| IdentityError::Template {
        template: template.to_owned(),
        column: template.get(..offset).unwrap_or(template).chars().count() + 1,
        reason,
    };
    let mut output = String::new();
    let mut at = 0;
    let mut is_trimmed = false;
    loop {
        let open = template[at..].find("{{").map(|found| at + found);
        let text = &template[at..open.unwrap_or(template.len())];
        let text = if is_trimmed { text.trim_start() } else { text };
        let Some(open) = open else {
            output.push_str(text);
            return Ok(output);
        };
        let action = Action::find(template, open).map_err(error)?;
        output.push_str(if action.trims_before { text.trim_end() } else { text });
        if !action.is_comment {
            let tokens = tokens(template, action.start, action.end).map_err(error)?;
            output.push_str(&evaluate(&tokens, open, fields).map_err(error)?.to_string());
        }
        (at, is_trimmed) = (action.after, action.trims_after);
    }
}

/// Byte offset in the template, and what is wrong there.
type Fault = (usize, String);

/// The inside of `{{ }}`, in byte offsets.
struct Action {
    start: usize,
    end: usize,
    after: usize,
    trims_before: bool,
    trims_after: bool,
    is_comment: bool,
}

impl Action {
    fn find(template: &str, open: usize) -> Result<Self, Fault> {
        let inner = open + 2;
        let rest = &template[inner..];
        let trims_before = rest.starts_with('-') && rest[1..].starts_with(char::is_whitespace);
        let start = inner + usize::from(trims_before);
        let unclosed = || (open, "this {{ has no }}".to_owned());
        let comment = template[start..].trim_start();
        let is_comment = comment.starts_with("/*");
        let close = if is_comment {
            let body = template.len() - comment.len();
            let end = template[body..]
                .find("*/")
                .ok_or((body, "this comment has no end".to_owned()))?;
            body + end + template[body + end..].find("}}").ok_or_else(unclosed)?
        } else {
            closing(template, start).ok_or_else(unclosed)?
        };
        let body = &template[start..close];
        let trims_after = body.ends_with('-') && body[..body.len() - 1].ends_with(char::is_whitespace);
        Ok(Self {
            start,
            end: close - usize::from(trims_after),
            after: close + 2,
            trims_before,
            trims_after,
            is_comment,
        })
    }
}

/// Offset of the `}}` that ends the action; one inside a string does not.
fn closing(template: &str, start: usize) -> Option<usize> {
    let bytes = template.as_bytes();
    let (mut at, mut quote) = (start, None);
    while at < bytes.len() {
        match (quote, bytes[at]) {
            (None, b'}') if bytes.get(at + 1) == Some(&b'}') => return Some(at),
            (None, mark @ (b'"' | b'`')) => quote = Some(mark),
            (Some(b'"'), b'\\') => at += 1,
            (Some(mark), byte) if mark == byte => quote = None,
            _ => {}
        }
        at += 1;
    }
    None
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Pipe,
    Field(String),
    Word(String),
    Value(Value),
}

#[derive(Clone, Debug, PartialEq)]
enum Value {
    Text(String),
    Number(i64),
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => number.fmt(f),
        }
    }
}

fn tokens(template: &str, start: usize, end: usize) -> Result<Vec<(usize, Token)>, Fault> {
    let mut tokens = Vec::new();
    let mut at = start;
    while let Some(first) = template[at..end].chars().next() {
        let rest = &template[at..end];
        let is_name = |c: char| c.is_alphanumeric() || c == '_';
        let (token, length) = match first {
            space if space.is_whitespace() => {
                at += space.len_utf8();
                continue;
            }
            '|' => (Token::Pipe, 1),
            '.' => {
                let name = rest[1..]
                    .split(|c: char| !is_name(c) && c != '.')
                    .next()
                    .unwrap_or_default();
                (Token::Field(format!(".{name}")), 1 + name.len())
            }
            '"' => quoted(rest).map_err(|reason| (at, reason))?,
            '`' => {
                let text = rest[1..].split_once('`').ok_or((at, "this ` has no end".to_owned()))?.0;
                (Token::Value(Value::Text(text.to_owned())), text.len() + 2)
            }
            digit if digit.is_ascii_digit() => {
                let digits = rest.split(|c: char| !is_name(c)).next().unwrap_or_default();
                let number = digits
                    .parse()
                    .map_err(|_| (at, format!("{digits:?} is not a whole number")))?;
                (Token::Value(Value::Number(number)), digits.len())
            }
            letter if is_name(letter) => {
                let word = rest.split(|c: char| !is_name(c)).next().unwrap_or_default();
                (Token::Word(word.to_owned()), word.len())
            }
            other => return Err((at, format!("unexpected {other:?}"))),
        };
        tokens.push((at, token));
        at += length;
    }
    Ok(tokens)
}

/// A string in double quotes with Go's common escapes, and its length as written.
fn quoted(rest: &str) -> Result<(Token, usize), String> {
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Ok((Token::Value(Value::Text(text)), at + 1)),
            '\\' => match chars.next() {
                Some((_, 'n')) => text.push('\n'),
                Some((_, 't')) => text.push('\t'),
                Some((_, escaped @ ('"' | '\\'))) => text.push(escaped),
                Some((_, other)) => return Err(format!("unknown escape \\{other}")),
                None => break,
            },
            other => text.push(other),
        }
    }
    Err("this \" has no end".to_owned())
}

/// The value of a pipeline: each command's value is the last argument of the next.
fn evaluate(tokens: &[(usize, Token)], open: usize, fields: &Fields<'_>) -> Result<Value, Fault> {
    let mut piped: Option<Value> = None;
    for command in tokens.split(|(_, token)| *token == Token::Pipe) {
        let Some(((at, head), rest)) = command.split_first() else {
            return Err((open, "a value or a function is missing".to_owned()));
        };
        let operand = |(at, token): &(usize, Token)| match token {
            Token::Field(name) => match fields.iter().find(|(known, _)| known == name) {
                Some((_, value)) => Ok(Value::Text((*value).to_owned())),
                None => Err((*at, unknown(name, fields))),
            },
            Token::Word(name) => Err((*at, format!("{name} cannot stand here: functions come first"))),
            Token::Value(value) => Ok(value.clone()),
            Token::Pipe => Err((*at, "unexpected |".to_owned())),
        };
        let Token::Word(name) = head else {
            if let Some((at, _)) = rest.first() {
                return Err((*at, "a value takes no arguments".to_owned()));
            }
            if piped.is_some() {
                return Err((*at, "a value takes nothing from a pipe".to_owned()));
            }
            piped = Some(operand(&(*at, head.clone()))?);
            continue;
        };
        let mut arguments = rest.iter().map(operand).collect::<Result<Vec<_>, _>>()?;
        arguments.extend(piped.take());
        piped = Some(Value::Text(call(name, &arguments).map_err(|reason| (*at, reason))?));
    }
    piped.ok_or((open, "a value or a function is missing".to_owned()))
}

fn unknown(name: &str, fields: &Fields<'_>) -> String {
    let known: Vec<&str> = fields.iter().map(|(known, _)| *known).collect();
    let verb = if known.len() == 1 { "is" } else { "are" };
    format!("unknown field {name}: there {verb} {}", known.join(", "))
}

fn call(name: &str, arguments: &[Value]) -> Result<String, String> {
    match (name, arguments) {
        ("printf", [Value::Text(format), rest @ ..]) => printf(format, rest),
        ("printf", _) => Err("printf needs a format".to_owned()),
        ("slice", [Value::Text(text), bounds @ ..]) => slice(text, bounds),
        ("slice", _) => Err("slice needs a text and one or two numbers".to_owned()),
        _ => Err(format!("unknown function {name}: there are {FUNCTIONS}")),
    }
}

fn slice(text: &str, bounds: &[Value]) -> Result<String, String> {
    let (from, to) = match bounds {
        [Value::Number(from)] => (*from, text.len() as i64),
        [Value::Number(from), Value::Number(to)] => (*from, *to),
        _ => return Err("slice needs a text and one or two numbers".to_owned()),
    };
    let range = usize::try_from(from).ok().zip(usize::try_from(to).ok());
    let part = range.and_then(|(from, to)| text.get(from..to));
    part.map(str::to_owned)
        .ok_or_else(|| format!("there is no {from} to {to} in a text of {} bytes", text.len()))
}

fn printf(format: &str, arguments: &[Value]) -> Result<String, String> {
    let mut arguments = arguments.iter();
    let mut output = String::new();
    let mut chars = format.chars().peekable();
    while let Some(char) = chars.next() {
        if char != '%' {
            output.push(char);
            continue;
        }
        let mut precision = None;
        if chars.next_if_eq(&'.').is_some() {
            let mut digits = String::new();
            while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                digits.push(digit);
            }
            precision = Some(digits.parse::<usize>().unwrap_or(0));
        }
        let verb = chars.next().ok_or("the format ends with %")?;
        if verb == '%' {
            output.push('%');
            continue;
        }
        let value = arguments
            .next()
            .ok_or("printf has fewer arguments than its format wants")?;
        match (verb, value) {
            ('s' | 'v', Value::Text(text)) => {
                output.extend(text.chars().take(precision.unwrap_or(usize::MAX)));
            }
            ('d' | 'v', Value::Number(number)) if precision.is_none() => output.push_str(&number.to_string()),
            ('q', Value::Text(text)) if precision.is_none() => output.push_str(&format!("{text:?}")),
            (verb, value) => return Err(format!("%{verb} cannot print {value}")),
        }
    }
    match arguments.next() {
        Some(_) => Err("printf has more arguments than its format wants".to_owned()),
        None => Ok(output),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: &Fields<'_> = &[(".Hash", "0123456789abcdef")];

    #[test]
    fn templates_expand_as_in_go() {
        for (template, expected) in [
            ("", ""),
            ("v1", "v1"),
            ("{{.Hash}}", "0123456789abcdef"),
            ("{{ .Hash }}", "0123456789abcdef"),
            ("a-{{.Hash}}-b", "a-0123456789abcdef-b"),
            ("a {{- .Hash -}} b", "a0123456789abcdefb"),
            ("{{.Hash}}{{.Hash}}", "0123456789abcdef0123456789abcdef"),
            ("{{/* why */}}v2", "v2"),
            ("{{- /* why }} */ -}} v2", "v2"),
            (r#"{{printf "%s-x%%" .Hash}}"#, "0123456789abcdef-x%"),
            (r#"{{ printf "%.7s" .Hash }}"#, "0123456"),
            (r#"{{ .Hash | printf "%s%d" "v" 3 | printf "%s" }}"#, ""),
            ("{{ slice .Hash 0 7 }}", "0123456"),
            ("{{ slice .Hash 12 }}", "cdef"),
            (r#"{{ "}}" }}{{ `a\b` }}{{ 12 }}"#, r"}}a\b12"),
        ] {
            match expand(template, FIELDS) {
                Ok(text) => assert_eq!(text, expected, "{template}"),
                Err(error) => assert!(
                    expected.is_empty() && error.to_string().contains("more arguments"),
                    "{error}"
                ),
            }
        }
    }

    #[test]
    fn other_fields_are_the_callers() {
        let fields = [(".Arch", "amd64"), (".Name", "n")];
        assert_eq!(expand("r/{{.Name}}:{{.Arch}}", &fields).expect("a text"), "r/n:amd64");
        let error = expand("{{.Hash}}", &fields).expect_err("no hash").to_string();
        assert!(
            error.ends_with("unknown field .Hash: there are .Arch, .Name"),
            "{error}"
        );
    }

    #[test]
    fn faults_have_a_column() {
        for (template, column, text) in [
            ("{{.Hash", 1, "has no }}"),
            ("v{{ .Foo }}", 5, "unknown field .Foo: there is .Hash"),
            ("{{.InputHash}}", 3, "unknown field .InputHash: there is .Hash"),
            ("{{.Hash.x}}", 3, "unknown field .Hash.x"),
            (
                "é{{if .Hash}}x{{end}}",
                4,
                "unknown function if: there are printf, slice",
            ),
            ("{{upper .Hash}}", 3, "unknown function upper"),
            ("{{}}", 1, "missing"),
            ("{{ .Hash | }}", 1, "missing"),
            ("{{ .Hash .Hash }}", 10, "takes no arguments"),
            ("{{ slice .Hash 0 99 }}", 4, "there is no 0 to 99"),
            (r#"{{ printf "%s" }}"#, 4, "fewer arguments"),
            ("{{ $x }}", 4, "unexpected '$'"),
            ("{{ (.Hash) }}", 4, "unexpected '('"),
        ] {
            let error = expand(template, FIELDS).expect_err(template).to_string();
            assert!(
                error.contains(&format!("column {column}:")) && error.contains(text),
                "{template}: {error}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics_and_plain_text_stays(text in ".*") {
            let _ = expand(&text, FIELDS);
            let plain = text.replace('{', "");
            proptest::prop_assert_eq!(expand(&plain, FIELDS).ok(), Some(plain));
        }
    }
}
