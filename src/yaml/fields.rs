//! The fields of files as data: [`Field`] and [`Kind`]; and those of a container, which build.yml (`config`) and image YAMLs
//! share: [`IMAGE_CONFIG`], moby.ImageConfig of linuxkit and what it takes from the OCI runtime specification 1.2.1.
//!
//! The order is the order in the label. Types of the runtime specification have no YAML names of their own: Go then takes
//! the field's name in lower case, so `uidMappings` of a mount is written `uidmappings` in build.yml.

use Kind::{Choice, Embedded, Flag, Id, List, Map, Number, Struct, Text};

/// One field of a struct.
pub(crate) struct Field {
    /// Key in build.yml. In an image YAML and in the label, the key of the label is understood as well.
    pub(crate) yaml: &'static str,
    /// Key in the label.
    pub(crate) json: &'static str,
    pub(crate) kind: Kind,
    /// Whether absent and empty differ: an empty value is written then.
    pub(crate) is_pointer: bool,
    /// Whether an empty value is left out (`omitempty`).
    pub(crate) omits_empty: bool,
}

/// What a field holds.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Text,
    /// One of these texts.
    Choice(&'static [&'static str]),
    Flag,
    /// A whole number from the first to the second.
    Number(i128, i128),
    /// A user or group, by number or name.
    Id,
    List(&'static Kind),
    Map(&'static Kind),
    Struct(&'static [Field]),
    /// A struct whose members appear in the label beside those of the struct that holds it.
    Embedded(&'static [Field]),
}

impl Kind {
    /// The JSON of Go's zero value.
    pub(crate) fn zero(self) -> &'static str {
        match self {
            Text | Choice(_) => "\"\"",
            Flag => "false",
            Number(..) => "0",
            Id | List(_) | Map(_) => "null",
            Struct(_) | Embedded(_) => "{}",
        }
    }
}

const fn field(yaml: &'static str, json: &'static str, kind: Kind, is_pointer: bool, omits_empty: bool) -> Field {
    Field {
        yaml,
        json,
        kind,
        is_pointer,
        omits_empty,
    }
}

/// A field of the same name everywhere.
pub(crate) const fn given(name: &'static str, kind: Kind) -> Field {
    optional(name, name, kind)
}

/// A pointer with `omitempty`: left out when absent or null.
const fn optional(yaml: &'static str, json: &'static str, kind: Kind) -> Field {
    field(yaml, json, kind, true, true)
}

/// A value with `omitempty`: left out when empty.
const fn filled(yaml: &'static str, json: &'static str, kind: Kind) -> Field {
    field(yaml, json, kind, false, true)
}

/// A value that is always written.
const fn always(yaml: &'static str, json: &'static str, kind: Kind) -> Field {
    field(yaml, json, kind, false, false)
}

const I64: Kind = Number(i64::MIN as i128, i64::MAX as i128);
const U64: Kind = Number(0, u64::MAX as i128);
const U32: Kind = Number(0, u32::MAX as i128);
const U16: Kind = Number(0, u16::MAX as i128);
const TEXTS: Kind = List(&Text);

pub(crate) const IMAGE_CONFIG: &[Field] = &[
    optional("capabilities", "capabilities", TEXTS),
    optional("capabilities.add", "capabilities.add", TEXTS),
    optional("ambient", "ambient", TEXTS),
    optional("mounts", "mounts", List(&Struct(MOUNT))),
    optional("binds", "binds", TEXTS),
    optional("binds.add", "binds.add", TEXTS),
    optional("devices", "devices", List(&Struct(DEVICE))),
    optional("tmpfs", "tmpfs", TEXTS),
    optional("command", "command", TEXTS),
    optional("env", "env", TEXTS),
    filled("cwd", "cwd", Text),
    filled("net", "net", Text),
    filled("pid", "pid", Text),
    filled("ipc", "ipc", Text),
    filled("uts", "uts", Text),
    filled("userns", "userns", Text),
    filled("hostname", "hostname", Text),
    optional("readonly", "readonly", Flag),
    optional("maskedPaths", "maskedPaths", TEXTS),
    optional("readonlyPaths", "readonlyPaths", TEXTS),
    optional("uid", "uid", Id),
    optional("gid", "gid", Id),
    optional("additionalGids", "additionalGids", List(&Id)),
    optional("noNewPrivileges", "noNewPrivileges", Flag),
    optional("oomScoreAdj", "oomScoreAdj", I64),
    optional("rootfsPropagation", "rootfsPropagation", Text),
    optional("cgroupsPath", "cgroupsPath", Text),
    optional("resources", "resources", Struct(RESOURCES)),
    optional("sysctl", "sysctl", Map(&Text)),
    optional("rlimits", "rlimits", TEXTS),
    optional("uidMappings", "uidMappings", List(&Struct(ID_MAPPING))),
    optional("gidMappings", "gidMappings", List(&Struct(ID_MAPPING))),
    optional("annotations", "annotations", Map(&Text)),
    optional("runtime", "runtime", Struct(RUNTIME)),
];

const DEVICE: &[Field] = &[
    always("path", "path", Text),
    always("type", "type", Text),
    always("major", "major", I64),
    always("minor", "minor", I64),
    filled("mode", "mode", Text),
];

const RUNTIME: &[Field] = &[
    optional("cgroups", "cgroups", TEXTS),
    optional("mounts", "mounts", List(&Struct(MOUNT))),
    optional("mkdir", "mkdir", TEXTS),
    optional("interfaces", "interfaces", List(&Struct(INTERFACE))),
    filled("bindNS", "bindNS", Struct(NAMESPACES)),
    optional("namespace", "namespace", Text),
];

const NAMESPACES: &[Field] = &[
    optional("cgroup", "cgroup", Text),
    optional("ipc", "ipc", Text),
    optional("mnt", "mnt", Text),
    optional("net", "net", Text),
    optional("pid", "pid", Text),
    optional("user", "user", Text),
    optional("uts", "uts", Text),
];

const INTERFACE: &[Field] = &[
    filled("name", "name", Text),
    filled("add", "add", Text),
    filled("peer", "peer", Text),
    always("createInRoot", "createInRoot", Flag),
];

const MOUNT: &[Field] = &[
    always("destination", "destination", Text),
    filled("type", "type", Text),
    filled("source", "source", Text),
    filled("options", "options", TEXTS),
    filled("uidmappings", "uidMappings", List(&Struct(ID_MAPPING))),
    filled("gidmappings", "gidMappings", List(&Struct(ID_MAPPING))),
];

// The Go fields have no YAML names here, so the keys are in lower case.
const ID_MAPPING: &[Field] = &[
    always("containerid", "containerID", U32),
    always("hostid", "hostID", U32),
    always("size", "size", U32),
];

const RESOURCES: &[Field] = &[
    filled("devices", "devices", List(&Struct(DEVICE_CGROUP))),
    optional("memory", "memory", Struct(MEMORY)),
    optional("cpu", "cpu", Struct(CPU)),
    optional("pids", "pids", Struct(&[always("limit", "limit", I64)])),
    optional("blockio", "blockIO", Struct(BLOCK_IO)),
    filled("hugepagelimits", "hugepageLimits", List(&Struct(HUGEPAGE_LIMIT))),
    optional("network", "network", Struct(NETWORK)),
    filled("rdma", "rdma", Map(&Struct(RDMA))),
    filled("unified", "unified", Map(&Text)),
];

const DEVICE_CGROUP: &[Field] = &[
    always("allow", "allow", Flag),
    filled("type", "type", Text),
    optional("major", "major", I64),
    optional("minor", "minor", I64),
    filled("access", "access", Text),
];

const MEMORY: &[Field] = &[
    optional("limit", "limit", I64),
    optional("reservation", "reservation", I64),
    optional("swap", "swap", I64),
    optional("kernel", "kernel", I64),
    optional("kerneltcp", "kernelTCP", I64),
    optional("swappiness", "swappiness", U64),
    optional("disableoomkiller", "disableOOMKiller", Flag),
    optional("usehierarchy", "useHierarchy", Flag),
    optional("checkbeforeupdate", "checkBeforeUpdate", Flag),
];

const CPU: &[Field] = &[
    optional("shares", "shares", U64),
    optional("quota", "quota", I64),
    optional("burst", "burst", U64),
    optional("period", "period", U64),
    optional("realtimeruntime", "realtimeRuntime", I64),
    optional("realtimeperiod", "realtimePeriod", U64),
    filled("cpus", "cpus", Text),
    filled("mems", "mems", Text),
    optional("idle", "idle", I64),
];

const BLOCK_IO: &[Field] = &[
    optional("weight", "weight", U16),
    optional("leafweight", "leafWeight", U16),
    filled("weightdevice", "weightDevice", List(&Struct(WEIGHT_DEVICE))),
    filled("throttlereadbpsdevice", "throttleReadBpsDevice", THROTTLE_DEVICES),
    filled("throttlewritebpsdevice", "throttleWriteBpsDevice", THROTTLE_DEVICES),
    filled("throttlereadiopsdevice", "throttleReadIOPSDevice", THROTTLE_DEVICES),
    filled("throttlewriteiopsdevice", "throttleWriteIOPSDevice", THROTTLE_DEVICES),
];

const BLOCK_IO_DEVICE: &[Field] = &[always("major", "major", I64), always("minor", "minor", I64)];

const WEIGHT_DEVICE: &[Field] = &[
    always("linuxblockiodevice", "", Embedded(BLOCK_IO_DEVICE)),
    optional("weight", "weight", U16),
    optional("leafweight", "leafWeight", U16),
];

const THROTTLE_DEVICES: Kind = List(&Struct(&[
    always("linuxblockiodevice", "", Embedded(BLOCK_IO_DEVICE)),
    always("rate", "rate", U64),
]));

const HUGEPAGE_LIMIT: &[Field] = &[always("pagesize", "pageSize", Text), always("limit", "limit", U64)];

const NETWORK: &[Field] = &[
    optional("classid", "classID", U32),
    filled(
        "priorities",
        "priorities",
        List(&Struct(&[
            always("name", "name", Text),
            always("priority", "priority", U32),
        ])),
    ),
];

const RDMA: &[Field] = &[
    optional("hcahandles", "hcaHandles", U32),
    optional("hcaobjects", "hcaObjects", U32),
];
