//! Instructions → images: which names are stages, which are images, with ARGs filled in.

use super::expand::{Lexer, Variables};
use super::instruction::{self, File, Instruction, error};
use super::{DockerfileError, ImageReference, Kind};
use crate::oci::Reference;
use std::collections::BTreeMap;

/// The base that is no image.
const SCRATCH: &str = "scratch";
/// Build arg that replaces the frontend of `# syntax=`.
const SYNTAX_ARGUMENT: &str = "BUILDKIT_SYNTAX";

/// One stage: its name in lower case, and the instructions below its FROM.
struct Stage<'f> {
    name: Option<String>,
    base: ImageReference,
    /// The stage it starts from, when it is one of this file.
    parent: Option<usize>,
    instructions: Vec<&'f Instruction>,
}

/// The images that `file` names, by line, after the frontend that reads it.
pub(super) fn references(
    file: &File,
    build_args: &BTreeMap<String, String>,
    frontend: Option<ImageReference>,
) -> Result<Vec<ImageReference>, DockerfileError> {
    let mut found = Vec::from_iter(frontend);
    let stages = stages(file, build_args)?;
    for (index, stage) in stages.iter().enumerate() {
        if stage.parent.is_none() && stage.base.name != SCRATCH {
            found.push(stage.base.clone());
        }
        let is_parent = stages[index + 1..].iter().any(|later| later.parent == Some(index));
        for step in &stage.instructions {
            let trigger = match step.keyword.as_str() {
                "ONBUILD" => Some(instruction::instruction(&step.arguments, file.escape, step.line)?),
                _ => None,
            };
            match &trigger {
                Some(trigger) if is_parent => sources(trigger, &stages, &mut found)?,
                Some(_) => {}
                None => sources(step, &stages, &mut found)?,
            }
        }
    }
    found.sort_by_key(|reference| reference.line);
    for reference in found.iter().filter(|reference| reference.is_resolved()) {
        if let Err(bad_name) = reference.name.parse::<Reference>() {
            return Err(error(reference.line, bad_name.to_string()));
        }
    }
    Ok(found)
}

/// The frontend, from the build args or from the file's first lines.
pub(super) fn frontend(text: &str, build_args: &BTreeMap<String, String>) -> Option<ImageReference> {
    let given = build_args.get(SYNTAX_ARGUMENT).filter(|image| !image.is_empty());
    let given = given.map(|image| (image.split(' ').next().unwrap_or_default().to_owned(), 1));
    let (name, line) = given.or_else(|| instruction::syntax(text))?;
    Some(ImageReference {
        name,
        line,
        kind: Kind::Syntax,
        platform: None,
    })
}

fn stages<'f>(file: &'f File, build_args: &BTreeMap<String, String>) -> Result<Vec<Stage<'f>>, DockerfileError> {
    let mut variables = Variables::platform(build_args);
    let mut stages: Vec<Stage<'f>> = Vec::new();
    for step in &file.instructions {
        match (step.keyword.as_str(), stages.last_mut()) {
            ("FROM", _) => {
                let stage = from(step, file.escape, &variables, &stages)?;
                stages.push(stage);
            }
            (_, Some(stage)) => stage.instructions.push(step),
            ("ARG", None) => global_arguments(step, file.escape, build_args, &mut variables)?,
            (keyword, None) => return Err(error(step.line, format!("{keyword} must come after FROM"))),
        }
    }
    if stages.is_empty() {
        return Err(error(1, "there is no FROM"));
    }
    Ok(stages)
}

/// `ARG NAME[=DEFAULT]…` above the first FROM: the build arg's value, else the default.
fn global_arguments(
    step: &Instruction,
    escape: char,
    build_args: &BTreeMap<String, String>,
    variables: &mut Variables,
) -> Result<(), DockerfileError> {
    let words = Lexer::raw(&step.arguments, escape)
        .words()
        .map_err(|message| error(step.line, message))?;
    if words.is_empty() {
        return Err(error(step.line, "ARG needs a name"));
    }
    for word in words {
        let (name, default) = word
            .split_once('=')
            .map_or((word.as_str(), None), |(name, value)| (name, Some(value)));
        if name.is_empty() {
            return Err(error(step.line, format!("ARG {word} has no name")));
        }
        let value = match (build_args.get(name), default) {
            (Some(value), _) => Some(value.clone()),
            (None, Some(default)) => {
                let expanded = Lexer::new(default, escape, variables).text();
                Some(expanded.map_err(|message| error(step.line, message))?.text)
            }
            (None, None) => None,
        };
        if let Some(value) = value {
            variables.set(name, value);
        }
    }
    Ok(())
}

/// `FROM [--platform=…] NAME [AS STAGE]`.
fn from<'f>(
    step: &Instruction,
    escape: char,
    variables: &Variables,
    earlier: &[Stage<'f>],
) -> Result<Stage<'f>, DockerfileError> {
    let words: Vec<&str> = step.arguments.split_whitespace().collect();
    let (written, name) = match words.as_slice() {
        [written] => (*written, None),
        [written, keyword, name] if keyword.eq_ignore_ascii_case("as") => {
            (*written, Some(stage_name(name, step.line)?))
        }
        _ => return Err(error(step.line, "FROM must be `FROM IMAGE` or `FROM IMAGE AS NAME`")),
    };
    let expand = |text: &str| {
        Lexer::new(text, escape, variables)
            .text()
            .map_err(|message| error(step.line, message))
    };
    let expanded = expand(written)?;
    // With a name missing, what is left may be no name at all: then what was written says more.
    let is_broken = expanded.has_unset && expanded.text.parse::<Reference>().is_err();
    let base = if is_broken { written.to_owned() } else { expanded.text };
    if base.is_empty() {
        return Err(error(step.line, format!("FROM {written} names nothing")));
    }
    let platform = step.flags.iter().find_map(|flag| flag.strip_prefix("--platform="));
    let platform = platform.map(expand).transpose()?.map(|expanded| expanded.text);
    Ok(Stage {
        name,
        parent: find(earlier, &base),
        base: ImageReference {
            name: base,
            line: step.line,
            kind: Kind::From,
            platform: platform.filter(|platform| !platform.is_empty()),
        },
        instructions: Vec::new(),
    })
}

fn stage_name(name: &str, line: u32) -> Result<String, DockerfileError> {
    let lower = name.to_lowercase();
    let is_name = lower.starts_with(|c: char| c.is_ascii_lowercase())
        && lower
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.'));
    if is_name {
        return Ok(lower);
    }
    Err(error(
        line,
        format!("{name:?} cannot name a stage: a letter first, then letters, digits, `-`, `_`, `.`"),
    ))
}

/// The last stage of that name, as later ones hide earlier ones.
fn find(stages: &[Stage<'_>], name: &str) -> Option<usize> {
    let name = name.to_lowercase();
    stages
        .iter()
        .rposition(|stage| stage.name.as_deref() == Some(name.as_str()))
}

/// The images that one instruction of a stage takes files from.
fn sources(step: &Instruction, stages: &[Stage<'_>], found: &mut Vec<ImageReference>) -> Result<(), DockerfileError> {
    let mut add = |name: &str, kind: Kind| {
        if name != SCRATCH && !name.is_empty() && find(stages, name).is_none() {
            found.push(ImageReference {
                name: name.to_owned(),
                line: step.line,
                kind,
                platform: None,
            });
        }
    };
    match step.keyword.as_str() {
        "COPY" => {
            for name in step.flags.iter().filter_map(|flag| flag.strip_prefix("--from=")) {
                no_variable(name, "COPY --from", step.line)?;
                match name.parse::<usize>() {
                    Ok(index) if index < stages.len() => {}
                    Ok(index) => return Err(error(step.line, format!("COPY --from={index}: there is no such stage"))),
                    Err(_) => add(name, Kind::CopyFrom),
                }
            }
        }
        "RUN" => {
            for mount in step.flags.iter().filter_map(|flag| flag.strip_prefix("--mount=")) {
                if let Some(name) = mount_source(mount) {
                    no_variable(&name, "RUN --mount from", step.line)?;
                    add(&name, Kind::MountFrom);
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// BuildKit fills in no variables here.
fn no_variable(name: &str, place: &str, line: u32) -> Result<(), DockerfileError> {
    if name.trim_end_matches('$').contains('$') {
        let message =
            format!("{place}={name}: variables are not filled in here; name a stage with `FROM {name} AS NAME`");
        return Err(error(line, message));
    }
    Ok(())
}

/// `from` of a mount: fields separated by commas, a field in double quotes may hold commas.
fn mount_source(mount: &str) -> Option<String> {
    let mut fields = vec![String::new()];
    let mut is_quoted = false;
    for c in mount.chars() {
        match c {
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => fields.push(String::new()),
            c => fields.last_mut()?.push(c),
        }
    }
    // The last one wins.
    let values = fields.iter().filter_map(|field| field.split_once('='));
    values
        .rev()
        .find(|(key, _)| key.eq_ignore_ascii_case("from"))
        .map(|(_, value)| value.to_owned())
}
