//! A container of the YAML, and what its image says of itself → `config.json` and `runtime.json`. Pure.
//!
//! The YAML goes before the label `org.mobyproject.config`, which goes before the image's configuration.

pub mod rules;
pub mod spec;

use super::config::{self, ContainerConfig, Id, ImageYaml, Mount, Resources};
use serde::Deserialize;
use spec::{Capabilities, Linux, Namespace, Process, Root, RuntimeJson, Spec, User};
use std::collections::{BTreeMap, BTreeSet};

/// The label of an image with its defaults.
const LABEL: &str = "org.mobyproject.config";
/// The first user that a container gets; those below are for the system.
const FIRST_ID: u32 = 100;
/// The kinds of namespaces that `runtime.json` always lists.
const NAMESPACES: [&str; 7] = ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"];

/// The part of an image's configuration that says how it runs.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ImageConfig {
    /// What is run.
    pub entrypoint: Option<Vec<String>>,
    /// Its arguments.
    pub cmd: Option<Vec<String>>,
    /// Environment.
    pub env: Option<Vec<String>>,
    /// Working directory.
    pub working_dir: String,
    /// Labels.
    pub labels: Option<BTreeMap<String, String>>,
}

/// The users of containers, by name; each has one of its own, in the order of the sections.
pub fn ids(image: &ImageYaml) -> BTreeMap<String, u32> {
    let names = image.containers().map(|(.., container)| container.name.clone());
    names.zip(FIRST_ID..).collect()
}

/// The number of a user or group. Names have been checked.
pub fn id(id: Option<&Id>, ids: &BTreeMap<String, u32>) -> u32 {
    match id {
        Some(Id::Number(number)) => *number,
        Some(Id::Name(name)) => ids.get(name).copied().unwrap_or_default(),
        None => 0,
    }
}

/// What the YAML says, with the paths of volumes in the place of their names.
pub fn with_volumes(config: &ContainerConfig) -> ContainerConfig {
    let merged = |source: &str| match source.starts_with('/') {
        true => source.to_owned(),
        false => format!("/containers/volumes/{source}/merged"),
    };
    let mut config = config.clone();
    for bind in [&mut config.binds, &mut config.binds_add]
        .into_iter()
        .flatten()
        .flatten()
    {
        if let Some((source, rest)) = bind.split_once(':') {
            *bind = format!("{}:{rest}", merged(source));
        }
    }
    for mount in config.mounts.iter_mut().flatten() {
        if mount.kind == "bind" {
            mount.source = merged(&mount.source);
        }
    }
    config
}

/// What the runtime is told of a container.
///
/// # Errors
/// What the image's label says wrongly, in words.
pub fn convert(
    yaml: &ContainerConfig,
    image: &ImageConfig,
    ids: &BTreeMap<String, u32>,
) -> Result<(Spec, RuntimeJson), String> {
    let text = image.labels.as_ref().and_then(|labels| labels.get(LABEL));
    let label = match text.filter(|text| !text.is_empty()) {
        Some(text) => config::label(text).map_err(|error| format!("its label {LABEL}: {error}"))?,
        None => ContainerConfig::default(),
    };
    let yaml = &with_volumes(yaml);
    let is_readonly = yaml.readonly.or(label.readonly).unwrap_or(false);
    let (capabilities, ambient) = (capabilities(yaml, &label)?, ambient(yaml, &label)?);
    let command = yaml.command.clone().or(label.command.clone());
    let inspected = || {
        [image.entrypoint.clone(), image.cmd.clone()]
            .into_iter()
            .flatten()
            .flatten()
            .collect()
    };
    let (resources, devices) = devices(yaml, &label)?;
    let number = |id: &Id| self::id(Some(id), ids);
    let cwd = [yaml.cwd.as_deref(), label.cwd.as_deref(), Some(&image.working_dir)];
    let spec = Spec {
        oci_version: spec::VERSION,
        process: Process {
            user: User {
                uid: id(yaml.uid.as_ref().or(label.uid.as_ref()), ids),
                gid: id(yaml.gid.as_ref().or(label.gid.as_ref()), ids),
                additional_gids: either(&yaml.additional_gids, &label.additional_gids)
                    .iter()
                    .map(number)
                    .collect(),
            },
            args: command.unwrap_or_else(inspected),
            env: yaml
                .env
                .clone()
                .or(label.env.clone())
                .or(image.env.clone())
                .unwrap_or_default(),
            // Empty is not allowed.
            cwd: cwd
                .into_iter()
                .flatten()
                .find(|cwd| !cwd.is_empty())
                .unwrap_or("/")
                .to_owned(),
            capabilities: sets(capabilities, ambient),
            rlimits: either(&yaml.rlimits, &label.rlimits)
                .iter()
                .map(|text| rules::rlimit(text))
                .collect::<Result<_, _>>()?,
            no_new_privileges: yaml.no_new_privileges.or(label.no_new_privileges).unwrap_or(false),
            oom_score_adj: yaml.oom_score_adj.or(label.oom_score_adj),
        },
        root: Root {
            path: "rootfs".to_owned(),
            readonly: is_readonly,
        },
        hostname: filled(&yaml.hostname, &label.hostname).unwrap_or_default(),
        mounts: mounts(yaml, &label, is_readonly)?,
        annotations: either(&yaml.annotations, &label.annotations),
        linux: Linux {
            uid_mappings: either(&yaml.uid_mappings, &label.uid_mappings),
            gid_mappings: either(&yaml.gid_mappings, &label.gid_mappings),
            sysctl: either(&yaml.sysctl, &label.sysctl),
            resources,
            cgroups_path: either(&yaml.cgroups_path, &label.cgroups_path),
            namespaces: namespaces(yaml, &label),
            devices,
            rootfs_propagation: either(&yaml.rootfs_propagation, &label.rootfs_propagation),
            masked_paths: either(&yaml.masked_paths, &label.masked_paths),
            readonly_paths: either(&yaml.readonly_paths, &label.readonly_paths),
        },
    };
    Ok((spec, runtime(yaml, &label)))
}

/// The YAML's value, or the label's, or the type's own.
fn either<T: Clone + Default>(yaml: &Option<T>, label: &Option<T>) -> T {
    yaml.as_ref().or(label.as_ref()).cloned().unwrap_or_default()
}

/// The first text that is not empty: where there is always a word for "none".
fn filled(yaml: &Option<String>, label: &Option<String>) -> Option<String> {
    let texts = [yaml, label].into_iter().flatten();
    texts.into_iter().find(|text| !text.is_empty()).cloned()
}

/// The YAML's list; else the label's with what the YAML adds.
fn added(yaml: &Option<Vec<String>>, label: &Option<Vec<String>>, add: &Option<Vec<String>>) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    match yaml {
        Some(list) => all.clone_from(list),
        None => {
            for one in [label, add].into_iter().flatten().flatten() {
                if !all.contains(one) {
                    all.push(one.clone());
                }
            }
        }
    }
    all
}

fn capabilities(yaml: &ContainerConfig, label: &ContainerConfig) -> Result<Vec<String>, String> {
    rules::capabilities(&added(&yaml.capabilities, &label.capabilities, &yaml.capabilities_add))
}

fn ambient(yaml: &ContainerConfig, label: &ContainerConfig) -> Result<Vec<String>, String> {
    rules::capabilities(&either(&yaml.ambient, &label.ambient))
}

fn sets(effective: Vec<String>, ambient: Vec<String>) -> Capabilities {
    let bounding: BTreeSet<String> = effective.iter().chain(&ambient).cloned().collect();
    let bounding: Vec<String> = bounding.into_iter().collect();
    Capabilities {
        effective,
        inheritable: bounding.clone(),
        permitted: bounding.clone(),
        bounding,
        ambient,
    }
}

/// Docker's mounts without `/dev/shm` and `/dev/mqueue`, and what YAML and label put beside them or in their place.
fn mounts(yaml: &ContainerConfig, label: &ContainerConfig, is_readonly: bool) -> Result<Vec<Mount>, String> {
    let mut all = BTreeMap::new();
    let mut add = |mount: Mount| drop(all.insert(mount.destination.clone(), mount));
    let usual: [(&str, &str, &str, &[&str], bool); 5] = [
        (
            "/proc",
            "proc",
            "proc",
            &["nosuid", "nodev", "noexec", "relatime"],
            false,
        ),
        (
            "/dev",
            "tmpfs",
            "tmpfs",
            &["nosuid", "strictatime", "mode=755", "size=65536k"],
            is_readonly,
        ),
        (
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
            false,
        ),
        ("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev"], is_readonly),
        (
            "/sys/fs/cgroup",
            "cgroup",
            "cgroup",
            &["nosuid", "noexec", "nodev", "relatime"],
            true,
        ),
    ];
    for (destination, kind, source, options, is_readonly) in usual {
        let options = options.iter().copied().chain(is_readonly.then_some("ro"));
        add(Mount {
            destination: destination.to_owned(),
            kind: kind.to_owned(),
            source: source.to_owned(),
            options: options.map(str::to_owned).collect(),
            ..Mount::default()
        });
    }
    for text in either(&yaml.tmpfs, &label.tmpfs) {
        add(rules::tmpfs(&text)?);
    }
    for text in added(&yaml.binds, &label.binds, &yaml.binds_add) {
        add(rules::bind(&text)?);
    }
    for mount in either(&yaml.mounts, &label.mounts) {
        add(rules::mount(mount)?);
    }
    // By destination: `/dev` comes before `/dev/pts`.
    Ok(all.into_values().collect())
}

/// New namespaces for processes and mounts; the root's for network, IPC, names and users, unless it is said otherwise.
fn namespaces(yaml: &ContainerConfig, label: &ContainerConfig) -> Vec<Namespace> {
    let mut all = Vec::new();
    let wanted = [
        ("network", &yaml.net, &label.net, "root"),
        ("ipc", &yaml.ipc, &label.ipc, "root"),
        ("uts", &yaml.uts, &label.uts, "root"),
        ("pid", &yaml.pid, &label.pid, ""),
        ("user", &yaml.userns, &label.userns, "root"),
    ];
    for (kind, yaml, label, usual) in wanted {
        let path = filled(yaml, label).unwrap_or_else(|| usual.to_owned());
        let path = match path.as_str() {
            "host" | "root" => continue,
            "new" => String::new(),
            "none" if kind == "network" => String::new(),
            path => path.to_owned(),
        };
        all.push(Namespace { kind, path });
    }
    let path = String::new();
    all.push(Namespace { kind: "mount", path });
    all
}

/// Devices, and the leave to use them.
fn devices(yaml: &ContainerConfig, label: &ContainerConfig) -> Result<(Resources, Vec<spec::Device>), String> {
    let mut resources = either(&yaml.resources, &label.resources);
    let mut devices = Vec::new();
    for wanted in either(&yaml.devices, &label.devices) {
        match rules::device(&wanted)? {
            Some(device) => {
                resources.devices.push(device.cgroup());
                devices.push(device);
            }
            None => resources.devices.push(config::DeviceCgroup {
                allow: true,
                kind: wanted.kind,
                access: "rwm".to_owned(),
                ..config::DeviceCgroup::default()
            }),
        }
    }
    Ok((resources, devices))
}

fn runtime(yaml: &ContainerConfig, label: &ContainerConfig) -> RuntimeJson {
    let (yaml, label) = (either(&yaml.runtime, &None), either(&label.runtime, &None));
    let bind = |kind: &str| {
        let places = [&yaml.bind_ns, &label.bind_ns].into_iter().flatten();
        places
            .into_iter()
            .find_map(|bound| bound.get(kind))
            .cloned()
            .unwrap_or_default()
    };
    RuntimeJson {
        cgroups: either(&yaml.cgroups, &label.cgroups),
        mounts: either(&yaml.mounts, &label.mounts),
        mkdir: either(&yaml.mkdir, &label.mkdir),
        interfaces: either(&yaml.interfaces, &label.interfaces),
        bind_ns: NAMESPACES.iter().map(|kind| ((*kind).to_owned(), bind(kind))).collect(),
        namespace: either(&yaml.namespace, &label.namespace),
    }
}

#[cfg(test)]
mod tests;
