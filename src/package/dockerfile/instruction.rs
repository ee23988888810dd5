//! Text → [`Instruction`]s: parser directives, comments, continued lines, flags, and heredocs, whose bodies are skipped.

use super::DockerfileError;
use super::expand::{Lexer, Variables};

/// A Dockerfile cut into instructions.
pub(super) struct File {
    /// `\`, or a backtick by `# escape=`.
    pub(super) escape: char,
    pub(super) instructions: Vec<Instruction>,
}

/// One instruction, its lines joined.
#[derive(Debug, PartialEq)]
pub(super) struct Instruction {
    /// In capitals.
    pub(super) keyword: String,
    /// `--name=value` words in front of the arguments, quotes and escapes removed.
    pub(super) flags: Vec<String>,
    /// What follows the flags.
    pub(super) arguments: String,
    /// Line on which it starts.
    pub(super) line: u32,
}

const KEYWORDS: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// The parser directives, which count only above everything else in the file.
#[derive(Default)]
struct Directives {
    is_over: bool,
    seen: Vec<String>,
    syntax: Option<(String, u32)>,
    escape: Option<char>,
}

impl Directives {
    /// Takes a line if it is a directive; the first line that is none ends them.
    fn take(&mut self, line: &str, number: u32) -> Result<(), DockerfileError> {
        if self.is_over {
            return Ok(());
        }
        let Some((name, value)) = directive(line) else {
            self.is_over = true;
            return Ok(());
        };
        if self.seen.contains(&name) {
            return Err(error(number, format!("the directive `{name}` appears twice")));
        }
        match (name.as_str(), value) {
            ("syntax", value) => {
                let image = value.split(' ').next().unwrap_or_default();
                self.syntax = Some((image.to_owned(), number));
            }
            ("escape", "\\") => self.escape = Some('\\'),
            ("escape", "`") => self.escape = Some('`'),
            ("escape", value) => {
                return Err(error(
                    number,
                    format!("the escape character must be \\ or `, not {value:?}"),
                ));
            }
            _ => {}
        }
        self.seen.push(name);
        Ok(())
    }
}

/// `# name = value` with one of the names that BuildKit knows.
fn directive(line: &str) -> Option<(String, &str)> {
    let (name, value) = line.strip_prefix('#')?.trim_start().split_once('=')?;
    let name = name.trim_end().to_ascii_lowercase();
    let value = value.trim();
    (matches!(name.as_str(), "syntax" | "escape" | "check") && !value.is_empty()).then_some((name, value))
}

/// The image of `# syntax=`, and its line.
pub(super) fn syntax(text: &str) -> Option<(String, u32)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut directives = Directives::default();
    for (number, line) in (1..).zip(text.lines()) {
        // What is wrong with a directive is said when the file is parsed.
        if directives.take(line.trim_start(), number).is_err() || directives.is_over {
            break;
        }
    }
    directives.syntax
}

/// Cuts a Dockerfile into its instructions.
pub(super) fn parse(text: &str) -> Result<File, DockerfileError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = (1..).zip(text.split_inclusive('\n'));
    let mut directives = Directives::default();
    let mut instructions = Vec::new();
    while let Some((start, first)) = lines.next() {
        let first = first.trim_start();
        directives.take(first.trim_end_matches(['\r', '\n']), start)?;
        if first.is_empty() || first.starts_with('#') {
            continue;
        }
        let escape = directives.escape.unwrap_or('\\');
        let mut joined = String::new();
        let mut is_open = continued(first, escape, &mut joined);
        while is_open {
            let Some((_, next)) = lines.next() else { break };
            // Comments and empty lines do not end an instruction.
            let bare = next.trim();
            if !bare.is_empty() && !bare.starts_with('#') {
                is_open = continued(next, escape, &mut joined);
            }
        }
        if joined.trim().is_empty() {
            continue;
        }
        let instruction = instruction(&joined, escape, start)?;
        for heredoc in heredocs(&instruction, &joined, start)? {
            let mut body = lines.by_ref().map(|(_, line)| line.trim_end_matches(['\r', '\n']));
            if !body.any(|line| heredoc.ends_at(line)) {
                let message = format!(
                    "the heredoc <<{} has no end: a line with only {}",
                    heredoc.word, heredoc.word
                );
                return Err(error(start, message));
            }
        }
        instructions.push(instruction);
    }
    Ok(File {
        escape: directives.escape.unwrap_or('\\'),
        instructions,
    })
}

/// Adds a line to an instruction; true when it ends in the escape character and so goes on with the next line. A doubled
/// escape character is an escaped one and goes on nothing.
fn continued(line: &str, escape: char, joined: &mut String) -> bool {
    let line = line.trim_end_matches(['\r', '\n']);
    let bare = line.trim_end_matches([' ', '\t']);
    match bare.strip_suffix(escape) {
        Some(rest) if !rest.ends_with(escape) => {
            joined.push_str(rest);
            true
        }
        _ => {
            joined.push_str(line);
            false
        }
    }
}

/// Keyword, flags, arguments.
pub(super) fn instruction(line: &str, escape: char, number: u32) -> Result<Instruction, DockerfileError> {
    let line = line.trim();
    let (keyword, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let upper = keyword.to_ascii_uppercase();
    if !KEYWORDS.contains(&upper.as_str()) {
        let near = crate::yaml::nearest(keyword, KEYWORDS.into_iter());
        let help = near.map_or(String::new(), |near| format!(": did you mean {near}?"));
        return Err(error(number, format!("unknown instruction {keyword}{help}")));
    }
    let (flags, arguments) = flags(rest, escape);
    Ok(Instruction {
        keyword: upper,
        flags,
        arguments: arguments.trim().to_owned(),
        line: number,
    })
}

/// The words in front that start with `--`, and the rest. A bare `--` ends them.
fn flags(rest: &str, escape: char) -> (Vec<String>, &str) {
    let mut flags = Vec::new();
    let mut rest = rest.trim_start();
    while rest.starts_with("--") {
        let (word, length) = flag_word(rest, escape);
        rest = rest[length..].trim_start();
        if word == "--" {
            break;
        }
        flags.push(word);
    }
    (flags, rest)
}

/// The first word of `text` without its quotes and escapes, and its length in bytes.
fn flag_word(text: &str, escape: char) -> (String, usize) {
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match quote {
            None if c.is_whitespace() => return (word, at),
            None if matches!(c, '"' | '\'') => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ if c == escape => word.extend(chars.next().map(|(_, escaped)| escaped)),
            _ => word.push(c),
        }
    }
    (word, text.len())
}

/// A heredoc that an instruction opens.
struct Heredoc {
    word: String,
    /// `<<-`: tabs in front of the end do not count.
    is_indented: bool,
}

impl Heredoc {
    fn ends_at(&self, line: &str) -> bool {
        let line = if self.is_indented {
            line.trim_start_matches('\t')
        } else {
            line
        };
        line == self.word
    }

    /// `<<word`, `<<-word`, `3<<"word"`.
    fn parse(word: &str) -> Option<Self> {
        let rest = word
            .trim_start_matches(|c: char| c.is_ascii_digit())
            .strip_prefix("<<")?;
        let (is_indented, rest) = rest.strip_prefix('-').map_or((false, rest), |rest| (true, rest));
        let rest = rest.trim_start();
        if rest.is_empty() || rest.contains('<') {
            return None;
        }
        let nothing = Variables::none();
        let words = Lexer::new(rest, '\\', &nothing).words().ok()?;
        let [word] = words.as_slice() else { return None };
        Some(Self {
            word: word.clone(),
            is_indented,
        })
    }
}

/// The heredocs that an instruction opens, in order. Only ADD, COPY and RUN (also behind ONBUILD) in shell form have any.
fn heredocs(instruction: &Instruction, joined: &str, line: u32) -> Result<Vec<Heredoc>, DockerfileError> {
    let inner = match instruction.keyword.as_str() {
        "ONBUILD" if instruction.arguments.is_empty() => return Err(error(line, "ONBUILD needs an instruction")),
        "ONBUILD" => &self::instruction(&instruction.arguments, '\\', line)?,
        _ => instruction,
    };
    let is_json =
        inner.arguments.starts_with('[') && serde_json::from_str::<Vec<serde_json::Value>>(&inner.arguments).is_ok();
    if !joined.contains("<<") || is_json || !matches!(inner.keyword.as_str(), "ADD" | "COPY" | "RUN") {
        return Ok(Vec::new());
    }
    // A line that is no sound shell words opens no heredoc: its `<<` are for the shell to judge.
    let words = Lexer::raw(joined, '\\').words().unwrap_or_default();
    Ok(words.iter().filter_map(|word| Heredoc::parse(word)).collect())
}

pub(super) fn error(line: u32, message: impl Into<String>) -> DockerfileError {
    DockerfileError {
        line,
        message: message.into(),
    }
}
