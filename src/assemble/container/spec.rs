//! `config.json` and `runtime.json` as they are written: the OCI runtime specification's names, in its order.

use crate::assemble::config::{DeviceCgroup, IdMapping, Interface, Mount, Resources};
use serde::Serialize;
use std::collections::BTreeMap;

/// The version of the runtime specification that is followed.
pub const VERSION: &str = "1.2.1";

/// `config.json` of a container.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    /// [`VERSION`].
    pub oci_version: &'static str,
    /// The process.
    pub process: Process,
    /// The root file system.
    pub root: Root,
    /// The name of the machine.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    /// Mounts, by destination.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// Annotations.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// What is Linux's own.
    pub linux: Linux,
}

/// The process of a container.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// Whose it is.
    pub user: User,
    /// What is run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Environment.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// Working directory.
    pub cwd: String,
    /// Capabilities.
    pub capabilities: Capabilities,
    /// Limits.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rlimits: Vec<Rlimit>,
    /// Whether nothing it runs gains privileges.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_new_privileges: bool,
    /// How readily the kernel ends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oom_score_adj: Option<i64>,
}

/// A user.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// More groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub additional_gids: Vec<u32>,
}

/// The sets of capabilities.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Capabilities {
    /// What can be had at most.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bounding: Vec<String>,
    /// What counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub effective: Vec<String>,
    /// What programs with such capabilities keep.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inheritable: Vec<String>,
    /// What can be made effective.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub permitted: Vec<String>,
    /// What programs of other users keep.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ambient: Vec<String>,
}

/// A limit of a process.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rlimit {
    /// `RLIMIT_…`.
    #[serde(rename = "type")]
    pub kind: String,
    /// As far as it can be raised.
    pub hard: u64,
    /// What holds.
    pub soft: u64,
}

/// The root file system of a container.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Root {
    /// Where it is in the bundle.
    pub path: String,
    /// Whether nobody may write to it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub readonly: bool,
}

/// What is Linux's own.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Linux {
    /// Users.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub uid_mappings: Vec<IdMapping>,
    /// Groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gid_mappings: Vec<IdMapping>,
    /// Settings of the kernel.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctl: BTreeMap<String, String>,
    /// Limits of control groups.
    pub resources: Resources,
    /// Where the control groups are.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cgroups_path: String,
    /// Namespaces.
    pub namespaces: Vec<Namespace>,
    /// Devices.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<Device>,
    /// How mounts of the root spread.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub rootfs_propagation: String,
    /// Paths that are hidden.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub masked_paths: Vec<String>,
    /// Paths that are read-only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub readonly_paths: Vec<String>,
}

/// A namespace; with a path, one that is there.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Namespace {
    /// Its kind.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Where it is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
}

/// A device.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    /// Where it appears.
    pub path: String,
    /// `c` or `b`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Major number.
    pub major: i64,
    /// Minor number.
    pub minor: i64,
    /// Permissions.
    pub file_mode: u32,
}

impl Device {
    /// Leave to use it.
    pub fn cgroup(&self) -> DeviceCgroup {
        DeviceCgroup {
            allow: true,
            kind: self.kind.clone(),
            major: Some(self.major),
            minor: Some(self.minor),
            access: "rwm".to_owned(),
        }
    }
}

/// `runtime.json`: what linuxkit's init does before it starts the container.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RuntimeJson {
    /// Control groups to make.
    pub cgroups: Vec<String>,
    /// Mounts in the root.
    pub mounts: Vec<Mount>,
    /// Directories to make.
    pub mkdir: Vec<String>,
    /// Interfaces to make or to move.
    pub interfaces: Vec<Interface>,
    /// Where namespaces are bound, by kind; empty for not at all.
    #[serde(rename = "bindNS")]
    pub bind_ns: BTreeMap<String, String>,
    /// containerd's namespace.
    pub namespace: String,
}

/// JSON as linuxkit writes it: four blanks, and what HTML gives a meaning as escapes.
pub fn json(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    // Nothing in it can fail to be written: its maps have texts as keys.
    let _ = value.serialize(&mut serializer);
    // Outside of texts these do not occur.
    let text = String::from_utf8_lossy(&bytes);
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => escaped.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => escaped.push(c),
        }
    }
    escaped.into_bytes()
}
