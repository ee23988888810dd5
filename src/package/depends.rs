//! `depends.docker-images`: which images are saved into the package before it is built, and where.

use super::build_yml::{self, Located};
use super::error::PackageError;
use super::{DockerImages, DockerImagesTarget, paths};
use crate::oci::Reference;
use crate::yaml::{Diagnostic, Document, Position};
use std::path::{Path, PathBuf};

const FIELD: &str = "depends.docker-images";

/// Checks the field; `None` when it names no image, whatever else it says.
pub(crate) fn docker_images(
    document: &Document<'_>,
    directory: &Path,
    field: &build_yml::DockerImages<'_>,
) -> Result<Option<DockerImages>, PackageError> {
    if let (Some(_), Some((_, node))) = (&field.target, &field.target_dir) {
        let message = format!("`{FIELD}` takes `target` or `target-dir`, not both");
        return Err(document.error(node, message).into());
    }
    if let (false, Some((_, node))) = (field.list.is_empty(), &field.from_file) {
        let message = format!("`{FIELD}` takes `list` or `from-file`, not both");
        return Err(document.error(node, message).into());
    }
    let inside = |located: &Located<'_>, name: &str| subpath(document, directory, located, name);
    let target = match (&field.target, &field.target_dir) {
        (Some(target), _) => inside(target, "target")?.map(DockerImagesTarget::File),
        (None, Some(target)) => inside(target, "target-dir")?.map(DockerImagesTarget::Directory),
        (None, None) => None,
    };
    let images = match &field.from_file {
        Some(from_file) => match inside(from_file, "from-file")? {
            Some(path) => images_of_file(document, from_file, &path)?,
            None => Vec::new(),
        },
        None => images_of_list(document, &field.list)?,
    };
    match (images.is_empty(), target) {
        (true, _) => Ok(None),
        (false, Some(target)) => Ok(Some(DockerImages { images, target })),
        (false, None) => {
            let message = format!("`{FIELD}` needs `target: FILE` or `target-dir: DIRECTORY`, where the images go");
            Err(document.error_of_file(message).into())
        }
    }
}

/// A path below the package's directory and not that directory itself; empty text is "not given".
fn subpath(
    document: &Document<'_>,
    directory: &Path,
    (text, node): &Located<'_>,
    name: &str,
) -> Result<Option<PathBuf>, Diagnostic> {
    let error = |message: &str| document.error(node, format!("`{FIELD}.{name}` {message}"));
    if text.is_empty() {
        return Ok(None);
    }
    if Path::new(text).is_absolute() {
        return Err(error("must be relative to the package directory"));
    }
    let relative = paths::inside(directory, Path::new(text))
        .map_err(|message| error(&format!("must be in the package directory: {message}")))?;
    if relative.as_os_str().is_empty() {
        return Err(error("must not be the package directory itself"));
    }
    Ok(Some(directory.join(relative)))
}

fn images_of_list(document: &Document<'_>, list: &[Located<'_>]) -> Result<Vec<String>, Diagnostic> {
    let image = |(image, node): &Located<'_>| match check(image) {
        Ok(()) => Ok(image.clone()),
        Err(message) => Err(document.error(node, format!("`{FIELD}.list`: {message}"))),
    };
    list.iter().map(image).collect()
}

/// One image a line; empty lines and lines with `#` in the first column do not count.
fn images_of_file(document: &Document<'_>, from_file: &Located<'_>, path: &Path) -> Result<Vec<String>, PackageError> {
    let text = std::fs::read_to_string(path).map_err(|source| {
        let message = format!("`{FIELD}.from-file`: cannot read {}: {source}", path.display());
        document.error(from_file.1, message)
    })?;
    let mut images = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Err(message) = check(line) {
            let position = Position {
                line: number,
                column: 1,
            };
            return Err(Diagnostic::at(path, &text, position, line.chars().count(), message).into());
        }
        images.push(line.to_owned());
    }
    Ok(images)
}

/// Whether `image` names an image by its digest, so that the same build.yml always means the same bytes.
fn check(image: &str) -> Result<(), String> {
    match image.parse::<Reference>() {
        Ok(reference) if reference.digest().is_some() => Ok(()),
        Ok(_) => Err(format!("{image:?} lacks a digest: write NAME@sha256:…")),
        Err(error) => Err(error.to_string()),
    }
}
