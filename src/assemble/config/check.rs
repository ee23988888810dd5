//! What an image YAML says → whether it holds. Everything that does not is named, each at its place.

use super::Parsed;
use super::model::{Container, ContainerConfig, FileEntry, Id, Volume};
use crate::assemble::container::rules;
use crate::layers;
use crate::oci::{Platform, Reference};
use crate::yaml::Diagnostic;
use std::collections::{BTreeMap, BTreeSet};

/// What stands before the path of a package in the place of an image.
pub(super) const PACKAGE: &str = "@pkg:";

/// All that is wrong in these files, which are going to be merged.
pub(super) fn check(files: &[Parsed<'_>]) -> Vec<Diagnostic> {
    let names = files.iter().flat_map(|file| file.yaml.containers());
    let names: BTreeSet<&str> = names.map(|(.., container)| container.name.as_str()).collect();
    let volumes = files.iter().flat_map(|file| &file.yaml.volumes);
    let volumes: BTreeMap<&str, &Volume> = volumes.map(|volume| (volume.name.as_str(), volume)).collect();
    let mut checker = Checker {
        names,
        volumes,
        problems: Vec::new(),
    };
    let (mut services, mut volumes) = (BTreeSet::new(), BTreeSet::new());
    for file in files {
        checker.images(file);
        for (section, number, container) in file.yaml.containers() {
            let at = format!("{section}[{number}]");
            if section == "services" && !container.name.is_empty() && !services.insert(container.name.as_str()) {
                let message = format!(
                    "there are two services `{}`; each needs a name of its own",
                    container.name
                );
                checker.push(file, &format!("{at}.name"), message);
            }
            checker.container(file, &at, container);
        }
        for (number, volume) in file.yaml.volumes.iter().enumerate() {
            let at = format!("volumes[{number}]");
            if !volume.name.is_empty() && !volumes.insert(volume.name.as_str()) {
                let message = format!("there are two volumes `{}`; each needs a name of its own", volume.name);
                checker.push(file, &format!("{at}.name"), message);
            }
            checker.volume(file, &at, volume);
        }
        for (number, entry) in file.yaml.files.iter().enumerate() {
            checker.file(file, &format!("files[{number}]"), entry);
        }
    }
    checker.problems
}

struct Checker<'a> {
    /// Of containers: their users may be named so.
    names: BTreeSet<&'a str>,
    volumes: BTreeMap<&'a str, &'a Volume>,
    problems: Vec<Diagnostic>,
}

impl Checker<'_> {
    fn push(&mut self, file: &Parsed<'_>, path: &str, message: String) {
        self.problems.push(file.problem(path, message));
    }

    fn check<T>(&mut self, file: &Parsed<'_>, path: &str, result: Result<T, String>) {
        if let Err(message) = result {
            self.push(file, path, message);
        }
    }

    /// Whether every name of an image is one.
    fn images(&mut self, file: &Parsed<'_>) {
        for (path, image) in file.yaml.images() {
            let result = match image.strip_prefix(PACKAGE) {
                Some("") => Err(format!("`{path}` names no package: write {PACKAGE} and its directory")),
                Some(_) if file.directory.is_none() => Err(format!(
                    "`{path}` names a package by its directory, which only a YAML in a file can do: {} is none",
                    file.document.path.display()
                )),
                Some(_) => Ok(()),
                None => image
                    .parse::<Reference>()
                    .map(drop)
                    .map_err(|error| format!("`{path}`: {error}")),
            };
            self.check(file, &path, result);
        }
    }

    fn container(&mut self, file: &Parsed<'_>, at: &str, container: &Container) {
        for (field, value) in [("name", &container.name), ("image", &container.image)] {
            if value.is_empty() {
                self.push(file, at, format!("`{at}` has no `{field}`"));
            }
        }
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if !container.name.chars().all(is_plain) || container.name.starts_with('.') {
            let message = format!(
                "`{}` cannot be the name of a container: allowed are letters, digits, `_`, `-` and, not at its beginning, `.`",
                container.name
            );
            self.push(file, &format!("{at}.name"), message);
        }
        self.config(file, at, &container.config);
    }

    fn config(&mut self, file: &Parsed<'_>, at: &str, config: &ContainerConfig) {
        let lists = [
            ("capabilities", &config.capabilities),
            ("capabilities.add", &config.capabilities_add),
            ("ambient", &config.ambient),
        ];
        for (field, list) in lists {
            let list = list.as_deref().unwrap_or_default();
            if rules::capabilities(list).is_err() {
                for (number, name) in list.iter().enumerate() {
                    self.check(file, &format!("{at}.{field}[{number}]"), rules::capability(name));
                }
            }
        }
        for (field, list) in [("binds", &config.binds), ("binds.add", &config.binds_add)] {
            for (number, text) in list.iter().flatten().enumerate() {
                let path = format!("{at}.{field}[{number}]");
                match rules::bind(text) {
                    Ok(mount) => self.mounted(file, &path, &mount.source, &mount.options),
                    Err(message) => self.push(file, &path, message),
                }
            }
        }
        for (number, mount) in config.mounts.iter().flatten().enumerate() {
            let path = format!("{at}.mounts[{number}]");
            self.check(file, &path, rules::mount(mount.clone()).map(drop));
            if mount.kind == "bind" {
                self.mounted(file, &path, &mount.source, &mount.options);
            }
        }
        for (number, text) in config.tmpfs.iter().flatten().enumerate() {
            self.check(file, &format!("{at}.tmpfs[{number}]"), rules::tmpfs(text).map(drop));
        }
        for (number, text) in config.rlimits.iter().flatten().enumerate() {
            self.check(file, &format!("{at}.rlimits[{number}]"), rules::rlimit(text).map(drop));
        }
        for (number, device) in config.devices.iter().flatten().enumerate() {
            self.check(
                file,
                &format!("{at}.devices[{number}]"),
                rules::device(device).map(drop),
            );
        }
        self.id(file, &format!("{at}.uid"), config.uid.as_ref());
        self.id(file, &format!("{at}.gid"), config.gid.as_ref());
        for (number, id) in config.additional_gids.iter().flatten().enumerate() {
            self.id(file, &format!("{at}.additionalGids[{number}]"), Some(id));
        }
    }

    /// What is bound into a container: a path, or a volume.
    fn mounted(&mut self, file: &Parsed<'_>, path: &str, source: &str, options: &[String]) {
        if source.starts_with('/') {
            return;
        }
        let result = match self.volumes.get(source) {
            None => Err(format!(
                "there is no volume `{source}`: add it to `volumes`, or write a path that begins with `/`"
            )),
            Some(volume) if volume.readonly && !options.iter().any(|option| option == "ro") => Err(format!(
                "the volume `{source}` is read-only and is mounted read-write: add the option `ro`"
            )),
            Some(_) => Ok(()),
        };
        self.check(file, path, result);
    }

    fn id(&mut self, file: &Parsed<'_>, path: &str, id: Option<&Id>) {
        let Some(Id::Name(name)) = id else { return };
        if !name.is_empty() && name != "root" && !self.names.contains(name.as_str()) {
            let message = format!("there is no container `{name}` whose user this could be; write a number, or `root`");
            self.push(file, path, message);
        }
    }

    fn volume(&mut self, file: &Parsed<'_>, at: &str, volume: &Volume) {
        let is_allowed = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '_' | '-');
        if volume.name.is_empty() {
            self.push(file, at, format!("`{at}` has no `name`"));
        } else if !volume.name.chars().all(is_allowed) {
            let message = format!(
                "`{}` cannot be the name of a volume: allowed are a-z, 0-9, `_` and `-`",
                volume.name
            );
            self.push(file, &format!("{at}.name"), message);
        }
        if volume.format == "oci" && volume.image.is_empty() {
            self.push(file, at, format!("`{at}` has the format oci and no `image`"));
        }
        for (number, platform) in volume.platforms.iter().enumerate() {
            let parsed = platform.parse::<Platform>().map(drop);
            let path = format!("{at}.platforms[{number}]");
            self.check(file, &path, parsed.map_err(|error| error.to_string()));
        }
    }

    fn file(&mut self, file: &Parsed<'_>, at: &str, entry: &FileEntry) {
        if entry.path.is_empty() {
            self.push(file, at, format!("`{at}` has no `path`"));
        } else if layers::normalize(entry.path.as_bytes()).is_none_or(|path| path.is_empty()) {
            self.push(
                file,
                &format!("{at}.path"),
                format!("`{}` leads outside of the root", entry.path),
            );
        }
        let said = [
            ("directory", entry.directory),
            ("symlink", !entry.symlink.is_empty()),
            ("contents", entry.contents.is_some()),
            ("source", !entry.source.is_empty()),
            ("metadata", !entry.metadata.is_empty()),
        ];
        let said: Vec<&str> = said.iter().filter(|(_, is)| *is).map(|(field, _)| *field).collect();
        match said.as_slice() {
            [_] => {}
            [] => {
                let message = format!(
                    "`{at}` says nothing of what `{}` is: give it `contents`, say",
                    entry.path
                );
                self.push(file, at, message);
            }
            more => self.push(
                file,
                at,
                format!("`{at}` has {}; one of them can be", more.join(" and ")),
            ),
        }
        if !entry.mode.is_empty() {
            self.check(file, &format!("{at}.mode"), rules::mode(&entry.mode).map(drop));
        }
        self.id(file, &format!("{at}.uid"), entry.uid.as_ref());
        self.id(file, &format!("{at}.gid"), entry.gid.as_ref());
    }
}
