//! The short forms of a container's fields → what they mean. Used where a YAML is checked and where it is carried out.

use super::spec;
use crate::assemble::config::{Device, Mount};

/// The capabilities of Linux, by number.
const CAPABILITIES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// The limits that `rlimits` may set.
const LIMITS: [&str; 16] = [
    "CPU",
    "FSIZE",
    "DATA",
    "STACK",
    "CORE",
    "RSS",
    "NPROC",
    "NOFILE",
    "MEMLOCK",
    "AS",
    "LOCKS",
    "SIGPENDING",
    "MSGQUEUE",
    "NICE",
    "RTPRIO",
    "RTTIME",
];

/// Names of capabilities; `all` and `none` alone have a meaning of their own.
pub fn capabilities(list: &[String]) -> Result<Vec<String>, String> {
    if let [only] = list {
        match only.to_ascii_lowercase().as_str() {
            "none" => return Ok(Vec::new()),
            "all" => return Ok(CAPABILITIES.map(str::to_owned).to_vec()),
            _ => {}
        }
    }
    let mut all: Vec<String> = Vec::new();
    for name in list {
        capability(name)?;
        if !all.contains(name) {
            all.push(name.clone());
        }
    }
    Ok(all)
}

/// Whether there is a capability of this name.
pub fn capability(name: &str) -> Result<(), String> {
    if CAPABILITIES.contains(&name) {
        return Ok(());
    }
    let near = crate::yaml::nearest(name, CAPABILITIES.into_iter());
    let help = near.map_or(String::new(), |near| format!(": did you mean `{near}`?"));
    Err(format!("there is no capability `{name}`{help}"))
}

/// `SOURCE:DESTINATION[:OPTION,…]`.
pub fn bind(text: &str) -> Result<Mount, String> {
    let parts: Vec<&str> = text.split(':').collect();
    let (source, destination, options) = match parts.as_slice() {
        [source, destination] => (source, destination, vec!["rw", "rbind", "rshared"]),
        [source, destination, options] => (source, destination, options.split(',').chain(["rbind"]).collect()),
        _ => {
            return Err(format!(
                "`{text}` must be SOURCE:DESTINATION or SOURCE:DESTINATION:OPTIONS"
            ));
        }
    };
    if source.is_empty() || !destination.starts_with('/') {
        return Err(format!(
            "`{text}` must be SOURCE:DESTINATION, and DESTINATION begin with `/`"
        ));
    }
    Ok(Mount {
        destination: (*destination).to_owned(),
        kind: "bind".to_owned(),
        source: (*source).to_owned(),
        options: options.into_iter().map(str::to_owned).collect(),
        ..Mount::default()
    })
}

/// `DESTINATION[:OPTION,…]`.
pub fn tmpfs(text: &str) -> Result<Mount, String> {
    let (destination, options) = match text.split_once(':') {
        None => (text, Vec::new()),
        Some((_, options)) if options.contains(':') => {
            return Err(format!("`{text}` must be DESTINATION or DESTINATION:OPTIONS"));
        }
        Some((destination, options)) => (destination, options.split(',').map(str::to_owned).collect()),
    };
    Ok(Mount {
        destination: destination.to_owned(),
        kind: "tmpfs".to_owned(),
        source: "tmpfs".to_owned(),
        options,
        ..Mount::default()
    })
}

/// A mount with what it leaves out filled in.
pub fn mount(mut mount: Mount) -> Result<Mount, String> {
    if mount.kind.is_empty() {
        mount.kind = match mount.source.as_str() {
            kind @ ("mqueue" | "devpts" | "proc" | "sysfs" | "cgroup") => kind.to_owned(),
            _ if mount.destination == "/dev" => "tmpfs".to_owned(),
            _ => return Err(format!("the mount at `{}` has no `type`", mount.destination)),
        };
    }
    if mount.source.is_empty() {
        mount.source.clone_from(&mount.kind);
    }
    if mount.destination.is_empty() {
        mount.destination = match mount.kind.as_str() {
            "proc" => "/proc",
            "devpts" => "/dev/pts",
            "sysfs" => "/sys",
            "cgroup" => "/sys/fs/cgroup",
            "mqueue" => "/dev/mqueue",
            kind => return Err(format!("a mount of the type `{kind}` has no `destination`")),
        }
        .to_owned();
    }
    Ok(mount)
}

/// `NAME,SOFT,HARD`.
pub fn rlimit(text: &str) -> Result<spec::Rlimit, String> {
    let wrong = || format!("`{text}` must be NAME,SOFT,HARD, for example nofile,100,200; `unlimited` is a number too");
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    let [name, soft, hard] = parts.as_slice() else {
        return Err(wrong());
    };
    let name = name.to_ascii_uppercase();
    let name = name.strip_prefix("RLIMIT_").unwrap_or(&name);
    if !LIMITS.contains(&name) {
        return Err(format!("there is no limit `{}`", name.to_ascii_lowercase()));
    }
    let number = |text: &str| match text.eq_ignore_ascii_case("unlimited") {
        true => Ok(u64::MAX),
        false => text.parse().map_err(|_| wrong()),
    };
    Ok(spec::Rlimit {
        kind: format!("RLIMIT_{name}"),
        hard: number(hard)?,
        soft: number(soft)?,
    })
}

/// What a device entry asks for: a device, unless it is leave for all of a kind.
pub fn device(device: &Device) -> Result<Option<spec::Device>, String> {
    if device.path == "all" {
        return Ok(None);
    }
    Ok(Some(spec::Device {
        path: device.path.clone(),
        kind: device.kind.clone(),
        major: device.major,
        minor: device.minor,
        file_mode: mode(&device.mode)?,
    }))
}

/// Permissions, in octal digits.
pub fn mode(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let number = u32::from_str_radix(digits, 8).ok().filter(|mode| *mode <= 0o7777);
    number.ok_or_else(|| format!("the mode `{text}` must be octal digits, 0644 say"))
}
