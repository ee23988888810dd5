//! What an image YAML says, as values. Only what has been checked travels on.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An image YAML, or several merged into one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageYaml {
    /// `kernel`.
    pub kernel: Kernel,
    /// `init`: images that are unpacked into the root.
    pub init: Vec<String>,
    /// `onboot`: containers that run one after the other before the services.
    pub onboot: Vec<Container>,
    /// `onshutdown`: containers that run at a clean end.
    pub onshutdown: Vec<Container>,
    /// `services`: containers that run under containerd.
    pub services: Vec<Container>,
    /// `files`.
    pub files: Vec<FileEntry>,
    /// `volumes`.
    pub volumes: Vec<Volume>,
}

/// `kernel`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Kernel {
    /// The image; empty where there is no kernel.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub image: String,
    /// The kernel's command line.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cmdline: String,
    /// The kernel's file in the image.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub binary: String,
    /// The tar file in the image that is unpacked into the root; `none` or empty for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tar: Option<String>,
    /// The archive of microcode in the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ucode: Option<String>,
}

/// An entry of `volumes`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// The image that fills it; empty for an empty volume.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub image: String,
    /// Whether nobody may write to it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub readonly: bool,
    /// `filesystem` or `oci`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub format: String,
    /// Of an `oci` volume: the platforms that are wanted; all where there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<String>,
}

/// An entry of `files`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FileEntry {
    /// Where it is in the root.
    pub path: String,
    /// Whether it is a directory.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub directory: bool,
    /// Where it leads, if it is a symbolic link.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub symlink: String,
    /// Its content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contents: Option<String>,
    /// A file on this machine that has its content.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// `yaml` or `json`: its content is this description.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub metadata: String,
    /// Whether it is left out where `source` is not there.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
    /// Permissions, octal.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mode: String,
    /// Owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<Id>,
    /// Group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gid: Option<Id>,
}

/// A user or group: a number, or the name of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Id {
    /// A number.
    Number(u32),
    /// The name of the container whose number it is.
    Name(String),
}

/// An entry of `onboot`, `onshutdown` or `services`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Container {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Its image.
    #[serde(default)]
    pub image: String,
    /// How it runs.
    #[serde(flatten)]
    pub config: ContainerConfig,
}

macro_rules! container_config {
    ($($(#[serde($rename:meta)])? $field:ident: $type:ty,)*) => {
        /// How a container runs: what the YAML says, or the label of its image. None is "not said".
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        pub struct ContainerConfig {
            $(
                #[doc = concat!("`", stringify!($field), "`.")]
                $(#[serde($rename)])?
                #[serde(skip_serializing_if = "Option::is_none")]
                pub $field: Option<$type>,
            )*
        }
    };
}

container_config! {
    capabilities: Vec<String>,
    #[serde(rename = "capabilities.add")] capabilities_add: Vec<String>,
    ambient: Vec<String>,
    mounts: Vec<Mount>,
    binds: Vec<String>,
    #[serde(rename = "binds.add")] binds_add: Vec<String>,
    devices: Vec<Device>,
    tmpfs: Vec<String>,
    command: Vec<String>,
    env: Vec<String>,
    cwd: String,
    net: String,
    pid: String,
    ipc: String,
    uts: String,
    userns: String,
    hostname: String,
    readonly: bool,
    masked_paths: Vec<String>,
    readonly_paths: Vec<String>,
    uid: Id,
    gid: Id,
    additional_gids: Vec<Id>,
    no_new_privileges: bool,
    oom_score_adj: i64,
    rootfs_propagation: String,
    cgroups_path: String,
    resources: Resources,
    sysctl: BTreeMap<String, String>,
    rlimits: Vec<String>,
    uid_mappings: Vec<IdMapping>,
    gid_mappings: Vec<IdMapping>,
    annotations: BTreeMap<String, String>,
    runtime: Runtime,
}

/// A mount, of a container or before one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Mount {
    /// Where it appears.
    pub destination: String,
    /// Kind of file system.
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// What is mounted.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// Options.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// Users in the mount.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub uid_mappings: Vec<IdMapping>,
    /// Groups in the mount.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gid_mappings: Vec<IdMapping>,
}

/// Which users or groups of a container are which outside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IdMapping {
    /// First in the container.
    #[serde(rename = "containerID")]
    pub container_id: u32,
    /// First outside.
    #[serde(rename = "hostID")]
    pub host_id: u32,
    /// How many.
    pub size: u32,
}

/// A device of a container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Device {
    /// Where it appears; `all` for leave to use all of a kind.
    pub path: String,
    /// `c` or `b`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Major number.
    pub major: i64,
    /// Minor number.
    pub minor: i64,
    /// Permissions, octal.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mode: String,
}

/// Limits of control groups; what only the runtime understands is passed on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// Which devices may be used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<DeviceCgroup>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: BTreeMap<String, serde_json::Value>,
}

/// Leave to use devices.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeviceCgroup {
    /// Whether it is given or taken.
    pub allow: bool,
    /// `c`, `b` or `a`.
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Major number; all where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub major: Option<i64>,
    /// Minor number; all where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minor: Option<i64>,
    /// `rwm` or some of them.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub access: String,
}

/// `runtime`: what is done before the container is made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Runtime {
    /// Control groups to make.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroups: Option<Vec<String>>,
    /// Mounts in the root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mounts: Option<Vec<Mount>>,
    /// Directories to make.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mkdir: Option<Vec<String>>,
    /// Network interfaces to make or to move.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interfaces: Option<Vec<Interface>>,
    /// Where the container's namespaces are bound.
    #[serde(rename = "bindNS", skip_serializing_if = "Option::is_none")]
    pub bind_ns: Option<BTreeMap<String, String>>,
    /// containerd's namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// A network interface.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Interface {
    /// Its name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The kind to make.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub add: String,
    /// The other end of a `veth`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub peer: String,
    /// Whether it is made in the root and then moved.
    pub create_in_root: bool,
}

impl ImageYaml {
    /// The containers with the section that each stands in, in their order.
    pub fn containers(&self) -> impl Iterator<Item = (&'static str, usize, &Container)> {
        let lists = [
            ("onboot", &self.onboot),
            ("onshutdown", &self.onshutdown),
            ("services", &self.services),
        ];
        lists.into_iter().flat_map(|(section, list)| {
            let numbered = list.iter().enumerate();
            numbered.map(move |(number, container)| (section, number, container))
        })
    }
}
