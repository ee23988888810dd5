//! What this machine has and allows an ordinary user, as [`Facts`]. Reads files, starts nothing.

use super::super::Local;
use super::decide::{Facts, Helper, Program, Ranges};
use rustix::fs::Access;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Room for the capabilities of a file, which are 20 or 24 bytes.
const CAPABILITIES_MAX_BYTES: usize = 64;

/// The bit of a file's mode by which it runs as its owner.
const SETUID: u32 = 0o4000;

/// Where AppArmor's profiles are.
const PROFILES: &str = "/etc/apparmor.d";

/// Looks at the machine.
pub(super) fn gather(local: &Local) -> Facts {
    let uid = rustix::process::geteuid().as_raw();
    let user = name(&read("/etc/passwd"), uid);
    // Another source than files may know ranges as well (nsswitch.conf(5), `subid`).
    let is_file = !has_other_source(&read("/etc/nsswitch.conf"));
    let ranges = |path| match is_file {
        true => Ranges::parse(&read(path), &user, uid),
        false => Ranges::Elsewhere,
    };
    let rootlesskit = program(local.rootless.rootlesskit.as_deref());
    let is_restricted = number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == Some(1);
    Facts {
        is_linux: std::env::consts::OS == "linux",
        buildkitd: program(local.buildkitd.as_deref()),
        has_runc: local.runc.is_some(),
        newuidmap: helper(local.rootless.newuidmap.as_deref()),
        newgidmap: helper(local.rootless.newgidmap.as_deref()),
        slirp4netns: local.rootless.slirp4netns.clone(),
        pasta: local.rootless.pasta.clone(),
        network: local.rootless.network,
        has_tun: rustix::fs::access("/dev/net/tun", Access::READ_OK | Access::WRITE_OK).is_ok(),
        subuid: ranges("/etc/subuid"),
        subgid: ranges("/etc/subgid"),
        max_user_namespaces: number("/proc/sys/user/max_user_namespaces"),
        userns_clone: number("/proc/sys/kernel/unprivileged_userns_clone"),
        is_confined: is_restricted && !has_profile(Path::new(PROFILES), &rootlesskit),
        has_no_new_privileges: has_no_new_privileges(&read("/proc/self/status")),
        rootlesskit,
        user,
    }
}

/// Name of the user in `/etc/passwd`, else the number.
pub(super) fn user() -> String {
    name(&read("/etc/passwd"), rustix::process::geteuid().as_raw())
}

/// A file that is short, or absent.
fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn number(path: &str) -> Option<u64> {
    read(path).trim().parse().ok()
}

fn name(passwd: &str, uid: u32) -> String {
    let uid = uid.to_string();
    let of = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        (fields.get(2) == Some(&uid.as_str())).then(|| fields[0].to_owned())
    };
    passwd.lines().find_map(of).unwrap_or(uid)
}

fn has_other_source(nsswitch: &str) -> bool {
    let sources = nsswitch.lines().find_map(|line| line.trim().strip_prefix("subid:"));
    sources.is_some_and(|sources| sources.split_whitespace().any(|source| source != "files"))
}

fn has_no_new_privileges(status: &str) -> bool {
    let value = status.lines().find_map(|line| line.strip_prefix("NoNewPrivs:"));
    value.is_some_and(|value| value.trim() == "1")
}

fn program(path: Option<&Path>) -> Program {
    match path {
        Some(path) if path.is_file() => Program::At(path.into()),
        Some(path) => Program::NotAt(path.into()),
        None => Program::NotFound,
    }
}

fn helper(path: Option<&Path>) -> Helper {
    let Some(path) = path else { return Helper::NotFound };
    let is_setuid = std::fs::metadata(path).is_ok_and(|found| found.mode() & SETUID != 0 && found.uid() == 0);
    match is_setuid || has_capabilities(path) {
        true => Helper::Fit,
        false => Helper::Powerless(path.into()),
    }
}

#[cfg(target_os = "linux")]
fn has_capabilities(path: &Path) -> bool {
    let mut value = [0_u8; CAPABILITIES_MAX_BYTES];
    rustix::fs::getxattr(path, "security.capability", &mut value).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn has_capabilities(_: &Path) -> bool {
    false
}

/// Whether a profile allows this program user namespaces. Which profile applies is the kernel's business; one that names the
/// program and the right is taken at its word, and the attempt shows whether it holds.
fn has_profile(directory: &Path, program: &Program) -> bool {
    let Program::At(path) = program else { return false };
    let path = path.to_string_lossy();
    let files = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let texts = files.filter_map(|file| std::fs::read_to_string(file.path()).ok());
    texts
        .into_iter()
        .any(|text| text.contains(&*path) && text.contains("userns"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_as_the_system_does() {
        let passwd = "root:x:0:0::/root:/bin/sh\nme:x:1000:1000::/home/me:/bin/sh\n";
        assert_eq!(name(passwd, 1000), "me");
        assert_eq!(name(passwd, 1001), "1001");
        assert!(!has_other_source("passwd: files sss\nsubid: files\n"));
        assert!(!has_other_source(""));
        assert!(has_other_source("subid:  sss\n"));
        assert!(has_no_new_privileges("Name:\tx\nNoNewPrivs:\t1\n"));
        assert!(!has_no_new_privileges("NoNewPrivs:\t0\n"));
    }

    #[test]
    fn a_helper_needs_more_than_to_be_there() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("newuidmap");
        assert_eq!(helper(None), Helper::NotFound);
        std::fs::write(&path, "").expect("a file");
        assert_eq!(helper(Some(&path)), Helper::Powerless(path));
    }

    #[test]
    fn a_profile_names_the_program_and_the_right() {
        let directory = tempfile::tempdir().expect("a directory");
        let program = directory.path().join("rootlesskit");
        std::fs::write(&program, "").expect("a file");
        let at = Program::At(program.clone());
        let profiles = directory.path().join("apparmor.d");
        assert!(!has_profile(&profiles, &at));
        std::fs::create_dir(&profiles).expect("a directory");
        let text = format!(
            "profile rootlesskit {} flags=(unconfined) {{\n  userns,\n}}\n",
            program.display()
        );
        std::fs::write(profiles.join("rootlesskit"), text).expect("a file");
        assert!(has_profile(&profiles, &at));
        assert!(!has_profile(&profiles, &Program::At("/elsewhere/rootlesskit".into())));
        assert!(!has_profile(&profiles, &Program::NotFound));
    }
}
