//! A Dockerfile → the images that it names: [`references`].
//!
//! Reads only what naming needs: FROM, ARG before the first FROM, COPY --from, RUN --mount from, ONBUILD, and the parser
//! directives. The rules are those of BuildKit's dockerfile frontend; whether the rest of the file builds is BuildKit's to
//! say. [`references`] reads nothing but the text given; [`load`] reads a package's Dockerfile for it.

mod expand;
mod instruction;
mod pattern;
mod stages;

use super::error::PackageError;
use super::{Package, paths};
use crate::yaml::{Diagnostic, Position};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What every name of Docker's own frontend contains, mirrored or not.
const STANDARD_FRONTEND: &str = "docker/dockerfile";

/// An image that a Dockerfile names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageReference {
    /// The name with its ARGs filled in, else as written. It keeps a `$` when it depends on something unknown: see
    /// [`ImageReference::is_resolved`].
    pub name: String,
    /// Line on which the instruction starts, from 1.
    pub line: u32,
    /// Which instruction names it.
    pub kind: Kind,
    /// `--platform` of FROM, filled in like the name.
    pub platform: Option<String>,
}

/// The kinds of places where a Dockerfile names an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `# syntax=`: the frontend that reads the file.
    Syntax,
    /// `FROM`.
    From,
    /// `COPY --from=`.
    CopyFrom,
    /// `RUN --mount=from=`.
    MountFrom,
}

/// Why the images of a Dockerfile cannot be told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct DockerfileError {
    /// Line on which the instruction starts, from 1.
    pub line: u32,
    /// What is wrong.
    pub message: String,
}

impl ImageReference {
    /// Whether the name is complete. It is not when it depends on an ARG that has no value, or on a platform argument such
    /// as `TARGETARCH` that the build args given to [`references`] lack; then it is as written, with its `$`.
    pub fn is_resolved(&self) -> bool {
        !self.name.contains('$')
    }
}

/// The images that the Dockerfile `text` names, in the order of their lines, one entry a place.
///
/// `build_args` win over the defaults of ARG. BuildKit's platform arguments (`TARGETARCH`, `BUILDPLATFORM` and so on) are
/// taken from them too: put them in for the platform at hand, or names that need them stay unresolved. Stages of the file,
/// by name or number, and `scratch` are not images. What an ONBUILD trigger names counts where a later stage of the same
/// file starts from its stage.
///
/// # Errors
/// What BuildKit refuses as well, as far as it concerns names: an unknown instruction, a FROM without exactly one name, a
/// broken substitution, an unterminated heredoc, a variable in `COPY --from`, a stage number that does not exist. A file for
/// a frontend other than Docker's is never refused: what it names beyond that frontend is told only as far as it reads
/// like a Dockerfile.
pub fn references(text: &str, build_args: &BTreeMap<String, String>) -> Result<Vec<ImageReference>, DockerfileError> {
    let frontend = stages::frontend(text, build_args);
    let found = instruction::parse(text).and_then(|file| stages::references(&file, build_args, frontend.clone()));
    match (found, frontend) {
        // Another frontend may read another language.
        (Err(_), Some(frontend)) if !frontend.name.contains(STANDARD_FRONTEND) => Ok(vec![frontend]),
        (found, _) => found,
    }
}

/// [`references`] of a package's Dockerfile.
///
/// # Errors
/// The file is not there, not in the package, or cannot be read; or what [`references`] refuses, with the file and the line
/// shown.
pub fn load(package: &Package, build_args: &BTreeMap<String, String>) -> Result<Vec<ImageReference>, PackageError> {
    let path = locate(package)?;
    let text = std::fs::read(&path).map_err(|source| PackageError::Read {
        path: path.clone(),
        source,
    })?;
    let text = String::from_utf8_lossy(&text);
    references(&text, build_args).map_err(|error| {
        let position = Position {
            line: error.line,
            column: 1,
        };
        Diagnostic::at(&path, &text, position, usize::MAX, error.message).into()
    })
}

/// Where the Dockerfile is: in the package directory, or in what extra sources lay over it.
fn locate(package: &Package) -> Result<PathBuf, Diagnostic> {
    let directory = &package.directory;
    let error = |message: String| Diagnostic::of_file(directory, message);
    let relative = paths::inside(directory, &package.dockerfile)
        .map_err(|message| error(format!("the Dockerfile must be in the package directory: {message}")))?;
    let expected = directory.join(&relative);
    let laid_over = package.extra_sources.iter().filter_map(|extra| {
        let rest = relative.strip_prefix(&extra.destination).ok()?;
        Some(match rest.as_os_str().is_empty() {
            true => extra.source.clone(),
            false => extra.source.join(rest),
        })
    });
    let mut places = std::iter::once(expected.clone()).chain(laid_over);
    places.find(|place| place.is_file()).ok_or_else(|| {
        error(if expected.exists() {
            format!("the Dockerfile {} is not a file", expected.display())
        } else {
            format!(
                "there is no {}; a package needs a Dockerfile, and `dockerfile` in build.yml or --dockerfile says so where it \
                 has another name",
                expected.display()
            )
        })
    })
}

#[cfg(test)]
mod tests;
