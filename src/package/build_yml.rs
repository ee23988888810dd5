//! The fields of build.yml as they stand there, each with its place; types are checked, meanings are not yet.

use crate::yaml::{Diagnostic, Document, Node};

/// Every field that build.yml may have, in the order of the documentation.
pub(crate) const FIELDS: [&str; 12] = [
    "image",
    "org",
    "tag",
    "dockerfile",
    "arches",
    "extra-sources",
    "gitrepo",
    "network",
    "disable-cache",
    "config",
    "buildArgs",
    "depends",
];

/// A text and the node it comes from.
pub(crate) type Located<'n> = (String, &'n Node);

/// build.yml, field by field; `None` is "not there", and null is "not there" too, as linuxkit has it.
#[derive(Default)]
pub(crate) struct BuildYml<'n> {
    pub(crate) image: Option<Located<'n>>,
    pub(crate) org: Option<Located<'n>>,
    pub(crate) tag: Option<Located<'n>>,
    pub(crate) dockerfile: Option<Located<'n>>,
    /// An explicit null empties the list of architectures.
    pub(crate) architectures: Option<Vec<Located<'n>>>,
    pub(crate) extra_sources: Vec<Located<'n>>,
    pub(crate) git_repository: Option<Located<'n>>,
    pub(crate) has_network: Option<bool>,
    pub(crate) is_cache_disabled: Option<bool>,
    pub(crate) config: Option<&'n Node>,
    pub(crate) build_args: Vec<Located<'n>>,
    pub(crate) docker_images: DockerImages<'n>,
}

/// `depends.docker-images`.
#[derive(Default)]
pub(crate) struct DockerImages<'n> {
    pub(crate) list: Vec<Located<'n>>,
    pub(crate) from_file: Option<Located<'n>>,
    pub(crate) target: Option<Located<'n>>,
    pub(crate) target_dir: Option<Located<'n>>,
}

/// Reads the fields of a parsed build.yml.
pub(crate) fn read<'n>(document: &'n Document<'_>) -> Result<BuildYml<'n>, Diagnostic> {
    let mut yml = BuildYml::default();
    let fields = document.fields_value(&document.root, "build.yml", &FIELDS)?;
    for (key, node) in fields.into_iter().flatten() {
        let what = format!("`{key}`");
        let text = || Ok(document.text_value(node, &what)?.map(|text| (text, node)));
        let texts = || document.texts_value(node, &what);
        match key {
            "image" => yml.image = text()?,
            "org" => yml.org = text()?,
            "tag" => yml.tag = text()?,
            "dockerfile" => yml.dockerfile = text()?,
            "gitrepo" => yml.git_repository = text()?,
            "arches" => yml.architectures = Some(texts()?.unwrap_or_default()),
            "extra-sources" => yml.extra_sources = texts()?.unwrap_or_default(),
            "buildArgs" => yml.build_args = texts()?.unwrap_or_default(),
            "network" => yml.has_network = document.flag_value(node, &what)?,
            "disable-cache" => yml.is_cache_disabled = document.flag_value(node, &what)?,
            "config" => yml.config = Some(node),
            _ => yml.docker_images = depends(document, node)?,
        }
    }
    Ok(yml)
}

fn depends<'n>(document: &'n Document<'_>, node: &'n Node) -> Result<DockerImages<'n>, Diagnostic> {
    let mut images = DockerImages::default();
    let depends = document.fields_value(node, "`depends`", &["docker-images"])?;
    let Some((_, node)) = depends.into_iter().flatten().next() else {
        return Ok(images);
    };
    let fields = document.fields_value(
        node,
        "`depends.docker-images`",
        &["list", "from-file", "target", "target-dir"],
    )?;
    for (key, node) in fields.into_iter().flatten() {
        let what = format!("`depends.docker-images.{key}`");
        let text = || Ok(document.text_value(node, &what)?.map(|text| (text, node)));
        match key {
            "list" => images.list = document.texts_value(node, &what)?.unwrap_or_default(),
            "from-file" => images.from_file = text()?,
            "target" => images.target = text()?,
            _ => images.target_dir = text()?,
        }
    }
    Ok(images)
}
