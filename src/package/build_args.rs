//! Build args as text: `KEY=VALUE`, one a line in a file, one an item in build.yml.
//!
//! `@lkt:` values are kept as written; identity resolves them.

use super::error::PackageError;
use crate::yaml::{Diagnostic, Position};
use std::io::ErrorKind;
use std::path::Path;

/// Reads a file of `--build-arg-file`: one `KEY=VALUE` a line, in order. Space around a line is dropped, blank lines and
/// lines that start with `#` are skipped.
///
/// # Errors
/// The file cannot be read, or a line has no `=` or no key; the error names file and line.
pub fn parse_build_arg_file(path: &Path) -> Result<Vec<String>, PackageError> {
    let text = std::fs::read_to_string(path).map_err(|source| match source.kind() {
        ErrorKind::NotFound => Diagnostic::of_file(path, "there is no such build arg file").into(),
        ErrorKind::InvalidData => Diagnostic::of_file(path, "not a text file: it must be UTF-8").into(),
        _ => PackageError::Read {
            path: path.to_owned(),
            source,
        },
    })?;
    let mut args = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let arg = line.trim();
        if arg.is_empty() || arg.starts_with('#') {
            continue;
        }
        if let Err(message) = check(arg) {
            let indent = line.chars().take_while(|c| c.is_whitespace()).count();
            let column = u32::try_from(indent + 1).unwrap_or(u32::MAX);
            let position = Position { line: number, column };
            return Err(Diagnostic::at(path, &text, position, arg.chars().count(), message).into());
        }
        args.push(arg.to_owned());
    }
    Ok(args)
}

/// Whether `arg` is `KEY=VALUE`; else what is wrong. The value is not repeated in the message beyond what is shown as the
/// source line.
pub(crate) fn check(arg: &str) -> Result<(), String> {
    match arg.split_once('=') {
        Some((key, _)) if key.trim().is_empty() => Err("a build arg needs a name before the `=`".into()),
        Some((key, _)) if key.contains(char::is_whitespace) => {
            Err(format!("the name of a build arg must not contain spaces: {key:?}"))
        }
        Some(_) => Ok(()),
        None => Err(format!("{arg:?} is not a build arg: it must be `KEY=VALUE`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<String>, String> {
        let directory = tempfile::tempdir().expect("temporary directory");
        let file = directory.path().join("args");
        std::fs::write(&file, text).expect("written");
        let top = format!("{}/", directory.path().display());
        parse_build_arg_file(&file).map_err(|error| error.to_string().replace(&top, ""))
    }

    #[test]
    fn one_a_line() {
        let args = parse("A=1\n\n  B=x=y \r\n# no\nC=\nD_%=@lkt:pkgs:../*\n");
        let expected = ["A=1", "B=x=y", "C=", "D_%=@lkt:pkgs:../*"].map(str::to_owned).to_vec();
        assert_eq!(args, Ok(expected));
        assert_eq!(parse(""), Ok(Vec::new()));
    }

    #[test]
    fn what_is_no_arg_is_refused_with_its_line() {
        for (text, message) in [
            (
                "A=1\n  B\n",
                "args:2:3: \"B\" is not a build arg: it must be `KEY=VALUE`\n  |\n2 |   B\n  |   ^",
            ),
            (
                "=x",
                "args:1:1: a build arg needs a name before the `=`\n  |\n1 | =x\n  | ^^",
            ),
            (
                "A B=x",
                "args:1:1: the name of a build arg must not contain spaces: \"A B\"\n  |\n1 | A B=x\n  | ^^^^^",
            ),
        ] {
            assert_eq!(parse(text), Err(message.to_owned()));
        }
        let error = parse_build_arg_file(Path::new("/nowhere")).expect_err("is not there");
        assert_eq!(error.to_string(), "/nowhere: there is no such build arg file");
    }
}
