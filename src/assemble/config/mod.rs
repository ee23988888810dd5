//! Image YAMLs → [`ImageYaml`]: read strictly, checked, merged in their order, packages replaced by their images.
//!
//! Reads no file and asks nobody: texts come in, and who knows packages is a function.

mod check;
mod fields;
mod model;
mod read;
mod schema;
mod write;

pub use model::{
    Container, ContainerConfig, Device, DeviceCgroup, FileEntry, Id, IdMapping, ImageYaml, Interface, Kernel, Mount,
    Resources, Runtime, Volume,
};
pub use schema::schema;
pub use write::yaml;

use crate::oci;
use crate::yaml::{Diagnostic, Document, Node};
use check::PACKAGE;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// An image YAML as text.
#[derive(Clone, Debug)]
pub struct SourceText {
    /// What it is called in errors: a path, an address, `<stdin>`.
    pub name: PathBuf,
    /// The text.
    pub text: String,
    /// What paths of packages are relative to; None for what is no file.
    pub directory: Option<PathBuf>,
}

/// A file that was read.
struct Parsed<'a> {
    document: &'a Document<'a>,
    nodes: BTreeMap<String, &'a Node>,
    yaml: ImageYaml,
    directory: Option<&'a Path>,
}

impl Parsed<'_> {
    /// A problem with what is at `path`; where that is not there, with what should have it.
    fn problem(&self, path: &str, message: String) -> Diagnostic {
        let mut path = path;
        loop {
            if let Some(node) = self.nodes.get(path) {
                return self.document.error(node, message);
            }
            match path.rfind(['.', '[']) {
                Some(end) => path = &path[..end],
                None => return self.document.error_of_file(message),
            }
        }
    }
}

/// Reads image YAMLs and merges them. `package` gives the image of the package in a directory.
///
/// # Errors
/// Everything that is wrong in any of the files.
pub fn load(
    sources: &[SourceText],
    package: &mut dyn FnMut(&Path) -> Result<String, String>,
) -> Result<ImageYaml, Vec<Diagnostic>> {
    let documents = sources.iter().map(|source| Document::parse(&source.name, &source.text));
    let (mut documents_read, mut problems) = (Vec::new(), Vec::new());
    for (document, source) in documents.zip(sources) {
        match document {
            Ok(document) => documents_read.push((document, source)),
            Err(problem) => problems.push(problem),
        }
    }
    let mut parsed = Vec::new();
    for (document, source) in &documents_read {
        let read = read::read(document);
        problems.extend(read.problems);
        match serde_json::from_value(read.json) {
            Ok(yaml) => parsed.push(Parsed {
                document,
                nodes: read.nodes,
                yaml,
                directory: source.directory.as_deref(),
            }),
            Err(error) => problems.push(document.error_of_file(error.to_string())),
        }
    }
    problems.extend(check::check(&parsed));
    for file in &mut parsed {
        problems.extend(replace_packages(file, package));
    }
    if problems.is_empty() {
        return Ok(merge(parsed.into_iter().map(|file| file.yaml)));
    }
    problems.sort_by_key(|problem| {
        let file = sources.iter().position(|source| source.name == problem.path);
        (file, problem.position)
    });
    problems.dedup();
    Err(problems)
}

/// Puts images in the place of packages, and expands all names, as linuxkit does.
fn replace_packages(
    file: &mut Parsed<'_>,
    package: &mut dyn FnMut(&Path) -> Result<String, String>,
) -> Vec<Diagnostic> {
    let mut failed = Vec::new();
    let directory = file.directory;
    file.yaml
        .each_image(&mut |path, image| match (image.strip_prefix(PACKAGE), directory) {
            (Some(name), Some(directory)) => match package(&directory.join(name)) {
                Ok(found) => *image = oci::expand(&found),
                Err(message) => failed.push((path, message)),
            },
            (None, _) => *image = oci::expand(image),
            _ => {}
        });
    let problem = |(path, message): (String, String)| file.problem(&path, message);
    failed.into_iter().map(problem).collect()
}

/// Later files go first in what the kernel is; lists grow.
fn merge(files: impl Iterator<Item = ImageYaml>) -> ImageYaml {
    let mut all = ImageYaml::default();
    for file in files {
        let kernel = file.kernel;
        for (own, new) in [
            (&mut all.kernel.image, kernel.image),
            (&mut all.kernel.cmdline, kernel.cmdline),
            (&mut all.kernel.binary, kernel.binary),
        ] {
            if !new.is_empty() {
                *own = new;
            }
        }
        all.kernel.tar = kernel.tar.or(all.kernel.tar);
        all.kernel.ucode = kernel.ucode.or(all.kernel.ucode);
        all.init.extend(file.init);
        all.onboot.extend(file.onboot);
        all.onshutdown.extend(file.onshutdown);
        all.services.extend(file.services);
        all.files.extend(file.files);
        all.volumes.extend(file.volumes);
    }
    all
}

impl ImageYaml {
    /// Every name of an image, with the path of its field.
    fn images(&self) -> Vec<(String, String)> {
        let mut all = Vec::new();
        // One list of fields serves those who read and those who write.
        self.clone()
            .each_image(&mut |path, image| all.push((path, image.clone())));
        all
    }

    fn each_image(&mut self, visit: &mut dyn FnMut(String, &mut String)) {
        let mut visit = |path: String, image: &mut String| {
            if !image.is_empty() {
                visit(path, image);
            }
        };
        visit("kernel.image".to_owned(), &mut self.kernel.image);
        for (number, image) in self.init.iter_mut().enumerate() {
            visit(format!("init[{number}]"), image);
        }
        for (number, volume) in self.volumes.iter_mut().enumerate() {
            visit(format!("volumes[{number}].image"), &mut volume.image);
        }
        let lists = [
            ("onboot", &mut self.onboot),
            ("onshutdown", &mut self.onshutdown),
            ("services", &mut self.services),
        ];
        for (section, list) in lists {
            for (number, container) in list.iter_mut().enumerate() {
                visit(format!("{section}[{number}].image"), &mut container.image);
            }
        }
    }
}

/// Reads the label `org.mobyproject.config` of an image.
///
/// # Errors
/// What is wrong with it, in words.
pub fn label(text: &str) -> Result<ContainerConfig, String> {
    let name = Path::new("org.mobyproject.config");
    let document = Document::parse(name, text).map_err(|problem| problem.message)?;
    let read = read::read_fields(&document, fields::LABEL, "the label");
    if let Some(problem) = read.problems.first() {
        return Err(problem.message.clone());
    }
    serde_json::from_value(read.json).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
