//! A package directory → [`Package`]: reads build.yml, applies the flags, checks what the fields mean.

use super::build_yml::{self, BuildYml, Located};
use super::error::PackageError;
use super::{ExtraSource, Overrides, Package, build_args, config, depends, paths};
use crate::oci::{KNOWN_ARCHITECTURES, Reference};
use crate::yaml::{Diagnostic, Document};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The file that makes a directory a package.
const BUILD_YML: &str = "build.yml";
/// What linuxkit takes where build.yml says nothing.
const DEFAULT_ORG: &str = "linuxkit";
const DEFAULT_TAG: &str = "{{.Hash}}";
const DEFAULT_DOCKERFILE: &str = "Dockerfile";
const DEFAULT_GIT_REPOSITORY: &str = "https://github.com/linuxkit/linuxkit";
const DEFAULT_ARCHITECTURES: [&str; 3] = ["amd64", "arm64", "riscv64"];

/// Reads the package in `directory`. `overrides` are the command line's flags, which win over build.yml.
///
/// # Errors
/// The directory or its build.yml is missing or unreadable, or a field does not hold: the error names file, line and
/// column and shows the line. The first problem is reported.
pub fn load(directory: &Path, overrides: &Overrides) -> Result<Package, PackageError> {
    let directory = resolve(directory)?;
    let build_yml = directory.join(overrides.build_yml.as_deref().unwrap_or(BUILD_YML));
    let text = read(&directory, &build_yml)?;
    let document = Document::parse(&build_yml, &text)?;
    let yml = build_yml::read(&document)?;
    let loader = Loader {
        document: &document,
        directory: &directory,
    };
    let text = |field: Option<Located<'_>>, default: &str| field.map_or_else(|| default.to_owned(), |(text, _)| text);
    Ok(Package {
        image: loader.image(&yml)?,
        org: loader.org(yml.org, overrides.org.as_deref())?,
        tag: match overrides.tag.clone().filter(|tag| !tag.is_empty()) {
            Some(tag) => tag,
            None => text(yml.tag.filter(|(tag, _)| !tag.is_empty()), DEFAULT_TAG),
        },
        dockerfile: loader.dockerfile(yml.dockerfile, overrides.dockerfile.as_deref())?,
        architectures: loader.architectures(yml.architectures)?,
        extra_sources: loader.extra_sources(&yml.extra_sources)?,
        git_repository: text(yml.git_repository, DEFAULT_GIT_REPOSITORY),
        has_network: overrides.has_network.or(yml.has_network).unwrap_or(false),
        is_cache_disabled: overrides.is_cache_disabled.or(yml.is_cache_disabled).unwrap_or(false),
        config: match yml.config {
            Some(node) => config::label(&document, node)?,
            None => None,
        },
        build_args: loader.build_args(yml.build_args)?,
        depends: depends::docker_images(&document, &directory, &yml.docker_images)?,
        build_yml: build_yml.clone(),
        directory: directory.clone(),
    })
}

/// The directory, absolute and with its links resolved.
fn resolve(directory: &Path) -> Result<PathBuf, PackageError> {
    let not_a_directory = |reason: String| PackageError::NotADirectory {
        path: directory.to_owned(),
        reason,
    };
    match directory.canonicalize() {
        Ok(resolved) if resolved.is_dir() => Ok(resolved),
        Ok(_) => Err(not_a_directory(
            "it is a file; give the directory that holds build.yml".into(),
        )),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(not_a_directory("it does not exist".into())),
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            Err(not_a_directory("a part of the path is a file".into()))
        }
        Err(source) => Err(PackageError::Read {
            path: directory.to_owned(),
            source,
        }),
    }
}

fn read(directory: &Path, build_yml: &Path) -> Result<String, PackageError> {
    match std::fs::read_to_string(build_yml) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(PackageError::NoBuildYml {
            directory: directory.to_owned(),
            expected: build_yml.to_owned(),
        }),
        Err(error) if error.kind() == ErrorKind::InvalidData => {
            Err(Diagnostic::of_file(build_yml, "not a text file: it must be UTF-8").into())
        }
        Err(source) => Err(PackageError::Read {
            path: build_yml.to_owned(),
            source,
        }),
    }
}

struct Loader<'a> {
    document: &'a Document<'a>,
    directory: &'a Path,
}

impl Loader<'_> {
    fn image(&self, yml: &BuildYml<'_>) -> Result<String, Diagnostic> {
        let Some((image, node)) = yml.image.as_ref().filter(|(image, _)| !image.is_empty()) else {
            let message = "`image` is missing: add `image: NAME`, the last part of the image's name";
            return Err(self.document.error_of_file(message));
        };
        // A registry in front keeps the name from being taken for one itself.
        match format!("registry.invalid/{image}").parse::<Reference>() {
            Ok(name) if name.tag().is_none() && name.digest().is_none() => Ok(image.clone()),
            Ok(_) => Err(self
                .document
                .error(node, "`image` is a name only; its tag comes from `tag`")),
            Err(_) => {
                let message =
                    format!("`image` is {image:?}; allowed are a-z, 0-9 and, between them, `.`, `_`, `-`, `/`");
                Err(self.document.error(node, message))
            }
        }
    }

    fn org(&self, field: Option<Located<'_>>, flag: Option<&str>) -> Result<String, Diagnostic> {
        match (flag, field) {
            (Some(""), _) => Err(self.document.error_of_file("the organisation given must not be empty")),
            (Some(org), _) => Ok(org.to_owned()),
            (None, Some((org, node))) if org.is_empty() => Err(self.document.error(node, "`org` must not be empty")),
            (None, Some((org, _))) => Ok(org),
            (None, None) => Ok(DEFAULT_ORG.to_owned()),
        }
    }

    /// The Dockerfile relative to the package's directory. Whether it is there matters only to who reads it: a tag can be
    /// asked for before the Dockerfile is made.
    fn dockerfile(&self, field: Option<Located<'_>>, flag: Option<&Path>) -> Result<PathBuf, Diagnostic> {
        let (path, node) = match (flag, &field) {
            (Some(flag), _) => (flag, None),
            (None, Some((text, node))) => (Path::new(text), Some(*node)),
            (None, None) => (Path::new(DEFAULT_DOCKERFILE), None),
        };
        paths::below(self.directory, path).map_err(|message| {
            let message = format!("the Dockerfile must be in the package directory: {message}");
            match node {
                Some(node) => self.document.error(node, format!("`dockerfile`: {message}")),
                None => Diagnostic::of_file(self.directory, message),
            }
        })
    }

    fn architectures(&self, field: Option<Vec<Located<'_>>>) -> Result<Vec<String>, Diagnostic> {
        let Some(wanted) = field else {
            return Ok(DEFAULT_ARCHITECTURES.map(str::to_owned).to_vec());
        };
        let mut architectures: Vec<String> = Vec::new();
        for (name, node) in wanted {
            if !KNOWN_ARCHITECTURES.contains(&name.as_str()) {
                let known = KNOWN_ARCHITECTURES.join(", ");
                let message = format!("`arches`: {name:?} is not an architecture that can be built; known are {known}");
                return Err(self.document.error(node, message));
            }
            if !architectures.contains(&name) {
                architectures.push(name);
            }
        }
        Ok(architectures)
    }

    fn extra_sources(&self, field: &[Located<'_>]) -> Result<Vec<ExtraSource>, Diagnostic> {
        let source = |(text, node): &Located<'_>| {
            let error = |message: String| self.document.error(node, format!("`extra-sources`: {message}"));
            let parts: Vec<&str> = text.split(':').collect();
            let [source, destination] = parts.as_slice() else {
                return Err(error(format!("{text:?} must be `SOURCE:DESTINATION` with one colon")));
            };
            if source.is_empty() || destination.is_empty() {
                return Err(error(format!("{text:?} must have text on both sides of the colon")));
            }
            let joined = self.directory.join(source);
            let source = paths::normalize(&joined).unwrap_or(joined);
            if !source.exists() {
                return Err(error(format!("{} does not exist", source.display())));
            }
            // A leading slash means the context's top, as in linuxkit.
            let destination = paths::normalize(Path::new(destination.trim_start_matches('/')))
                .ok_or_else(|| error(format!("the destination {destination:?} is outside the build context")))?;
            Ok(ExtraSource { source, destination })
        };
        field.iter().map(source).collect()
    }

    fn build_args(&self, field: Vec<Located<'_>>) -> Result<Vec<String>, Diagnostic> {
        let check = |(line, node): Located<'_>| match build_args::check(&line) {
            Ok(()) => Ok(line),
            Err(message) => Err(self.document.error(node, format!("`buildArgs`: {message}"))),
        };
        field.into_iter().map(check).collect()
    }
}

#[cfg(test)]
mod tests;
