//! Whether and how an ordinary user can have a `buildkitd`: [`Facts`] → the [`Manner`]s to start it in, best first, or all
//! that is [`Missing`]. Pure; the facts are gathered by `facts.rs`.

use super::{Manner, Missing, Network};
use std::path::PathBuf;

/// How many subordinate IDs a user gets by `useradd`, and as many as an image may use.
const RANGE_COUNT: u64 = 65_536;

/// Where `useradd` begins to give out subordinate IDs; below are those of people and services.
const RANGE_MIN: u64 = 100_000;

/// What is to be known of a machine and a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// Whether the kernel is Linux.
    pub is_linux: bool,
    /// Name of the user, or the number where it has none.
    pub user: String,
    /// `buildkitd`, where it is or should be.
    pub buildkitd: Program,
    /// The container runtime.
    pub has_runc: bool,
    /// `rootlesskit`, where it is or should be.
    pub rootlesskit: Program,
    /// `newuidmap`.
    pub newuidmap: Helper,
    /// `newgidmap`.
    pub newgidmap: Helper,
    /// `slirp4netns`, if it is there.
    pub slirp4netns: Option<PathBuf>,
    /// `pasta`, if it is there.
    pub pasta: Option<PathBuf>,
    /// The network that the user asks for.
    pub network: Option<Network>,
    /// Whether the user may open `/dev/net/tun`.
    pub has_tun: bool,
    /// Subordinate user IDs.
    pub subuid: Ranges,
    /// Subordinate group IDs.
    pub subgid: Ranges,
    /// `user.max_user_namespaces`, where the kernel has it.
    pub max_user_namespaces: Option<u64>,
    /// `kernel.unprivileged_userns_clone`, which only some kernels have.
    pub userns_clone: Option<u64>,
    /// Whether AppArmor keeps `rootlesskit` from making user namespaces.
    pub is_confined: bool,
    /// Whether this process and those that it starts can gain no privileges (no_new_privs).
    pub has_no_new_privileges: bool,
}

/// A program that may have been named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Program {
    /// It is there.
    At(PathBuf),
    /// It is not where the user said.
    NotAt(PathBuf),
    /// Nobody said where it is, and it was not found.
    NotFound,
}

/// A program that has to be able to do more than its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Helper {
    /// It is, and it can.
    Fit,
    /// It is there, and is neither setuid nor has it capabilities.
    Powerless(PathBuf),
    /// It was not found.
    NotFound,
}

/// Subordinate IDs of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ranges {
    /// A file has that many for the user, and those of all users end below `next`.
    Known {
        /// How many.
        count: u64,
        /// The first that nobody has.
        next: u64,
    },
    /// Something else than a file gives them out.
    Elsewhere,
}

impl Ranges {
    /// What `/etc/subuid` or `/etc/subgid` says for a user.
    pub fn parse(text: &str, user: &str, uid: u32) -> Self {
        let uid = uid.to_string();
        let (mut count, mut next) = (0, RANGE_MIN);
        for line in text.lines() {
            let fields: Vec<&str> = line.trim().split(':').collect();
            let &[owner, start, length] = fields.as_slice() else {
                continue;
            };
            let (Ok(start), Ok(length)) = (start.parse::<u64>(), length.parse::<u64>()) else {
                continue;
            };
            next = next.max(start.saturating_add(length));
            if owner == user || owner == uid {
                count += length;
            }
        }
        Self::Known { count, next }
    }

    fn is_empty(self) -> bool {
        matches!(self, Self::Known { count: 0, .. })
    }

    fn next(self) -> u64 {
        match self {
            Self::Known { next, .. } => next,
            Self::Elsewhere => RANGE_MIN,
        }
    }
}

/// The manners in which the user's `buildkitd` may be started, best first; the first that the kernel lets through is taken.
/// The error is everything that is missing.
pub(super) fn decide(facts: &Facts) -> Result<Vec<Manner>, Vec<Missing>> {
    if !facts.is_linux {
        let what = "buildkitd runs on Linux only".to_owned();
        let remedy = "build with a Docker daemon, or name a BuildKit on another machine with --builders".to_owned();
        return Err(vec![Missing { what, remedy }]);
    }
    let missing: Vec<Missing> = [programs(facts), ids(facts), kernel(facts), network(facts)].concat();
    match &facts.rootlesskit {
        Program::At(rootlesskit) if missing.is_empty() => Ok(manners(facts, rootlesskit)),
        _ => Err(missing),
    }
}

fn missing(what: impl Into<String>, remedy: impl Into<String>) -> Missing {
    let (what, remedy) = (what.into(), remedy.into());
    Missing { what, remedy }
}

/// The programs without which nothing goes.
fn programs(facts: &Facts) -> Vec<Missing> {
    let mut found = Vec::new();
    match &facts.buildkitd {
        Program::At(_) => {}
        Program::NotAt(path) => found.push(missing(
            format!("there is no buildkitd at {}", path.display()),
            "correct LKPKG_BUILDKITD",
        )),
        Program::NotFound => found.push(missing(
            "there is no buildkitd on PATH",
            "take it from BuildKit's releases, and put it on PATH or name it with LKPKG_BUILDKITD",
        )),
    }
    if !facts.has_runc {
        found.push(missing(
            "neither runc nor buildkit-runc is beside buildkitd or on PATH",
            "Debian: apt-get install runc; buildkit-runc comes with BuildKit's releases",
        ));
    }
    match &facts.rootlesskit {
        Program::At(_) => {}
        Program::NotAt(path) => found.push(missing(
            format!("there is no rootlesskit at {}", path.display()),
            "correct LKPKG_ROOTLESSKIT",
        )),
        Program::NotFound => found.push(missing(
            "rootlesskit is neither beside buildkitd nor on PATH",
            "Debian: apt-get install rootlesskit; or take it from RootlessKit's releases and name it with LKPKG_ROOTLESSKIT",
        )),
    }
    let helpers = [("newuidmap", &facts.newuidmap), ("newgidmap", &facts.newgidmap)];
    let absent: Vec<&str> = helpers
        .iter()
        .filter_map(|(name, helper)| (**helper == Helper::NotFound).then_some(*name))
        .collect();
    if !absent.is_empty() {
        let verb = if absent.len() == 1 { "is" } else { "are" };
        let what = format!("{} {verb} not on PATH", absent.join(" and "));
        found.push(missing(
            what,
            "Debian: apt-get install uidmap; Fedora: dnf install shadow-utils",
        ));
    }
    for (_, helper) in helpers {
        if let Helper::Powerless(path) = helper {
            let path = path.display();
            let what = format!("{path} is neither setuid root nor has it capabilities");
            found.push(missing(what, format!("as root: chown root {path} && chmod u+s {path}")));
        }
    }
    found
}

/// The subordinate IDs, of which an image's users and groups are made.
fn ids(facts: &Facts) -> Vec<Missing> {
    let files = [
        ("/etc/subuid", "--add-subuids", facts.subuid),
        ("/etc/subgid", "--add-subgids", facts.subgid),
    ];
    // One range for both, as useradd gives it: what it is for users it is for groups.
    let start = facts.subuid.next().max(facts.subgid.next());
    let end = start + RANGE_COUNT - 1;
    let without: Vec<_> = files.into_iter().filter(|(_, _, ranges)| ranges.is_empty()).collect();
    if without.is_empty() {
        return Vec::new();
    }
    let names: Vec<&str> = without.iter().map(|(file, _, _)| *file).collect();
    let flags: Vec<String> = without
        .iter()
        .map(|(_, flag, _)| format!("{flag} {start}-{end}"))
        .collect();
    vec![missing(
        format!("{} has no range for the user {}", names.join(" and "), facts.user),
        format!("as root: usermod {} {}", flags.join(" "), facts.user),
    )]
}

/// What the kernel does not let ordinary users do.
fn kernel(facts: &Facts) -> Vec<Missing> {
    let mut found = Vec::new();
    for (name, value, wanted) in [
        ("user.max_user_namespaces", facts.max_user_namespaces, 28_633),
        ("kernel.unprivileged_userns_clone", facts.userns_clone, 1),
    ] {
        if value == Some(0) {
            found.push(missing(
                format!("user namespaces are switched off ({name} is 0)"),
                format!(
                    "as root: sysctl -w {name}={wanted}, and the same line in a file of /etc/sysctl.d to keep it so"
                ),
            ));
        }
    }
    if facts.is_confined {
        let program = match &facts.rootlesskit {
            Program::At(path) | Program::NotAt(path) => path.display().to_string(),
            Program::NotFound => "rootlesskit".to_owned(),
        };
        found.push(missing(
            format!(
                "AppArmor lets only programs with a profile make user namespaces \
                 (kernel.apparmor_restrict_unprivileged_userns is 1), and {program} has none"
            ),
            "install the distribution's rootlesskit, whose profile is there, or write one into /etc/apparmor.d \
             (docs/guide/rootless.md); or, as root: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ));
    }
    if facts.has_no_new_privileges {
        found.push(missing(
            "processes here can gain no privileges (no_new_privs), which newuidmap has to",
            "start the container or the service without no-new-privileges (Kubernetes: allowPrivilegeEscalation: true)",
        ));
    }
    found
}

/// The network that was asked for.
fn network(facts: &Facts) -> Vec<Missing> {
    let Some(network) = facts.network.filter(|network| *network != Network::Host) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    if program_of(facts, network).is_none() {
        let package = match network {
            Network::Pasta => "passt",
            Network::Host | Network::Slirp4netns => "slirp4netns",
        };
        found.push(missing(
            format!("LKPKG_ROOTLESS_NETWORK asks for {network}, which is not on PATH"),
            format!("Debian: apt-get install {package}; or LKPKG_ROOTLESS_NETWORK=host"),
        ));
    }
    if !facts.has_tun {
        found.push(missing(
            format!(
                "LKPKG_ROOTLESS_NETWORK asks for {network}, which needs /dev/net/tun, and the user {} may not open that",
                facts.user
            ),
            "as root: modprobe tun && chmod 666 /dev/net/tun; or LKPKG_ROOTLESS_NETWORK=host",
        ));
    }
    found
}

fn program_of(facts: &Facts, network: Network) -> Option<&PathBuf> {
    match network {
        Network::Host => None,
        Network::Slirp4netns => facts.slirp4netns.as_ref(),
        Network::Pasta => facts.pasta.as_ref(),
    }
}

/// With a network of its own before the machine's, with a sandbox for processes before none.
fn manners(facts: &Facts, rootlesskit: &std::path::Path) -> Vec<Manner> {
    let possible = [Network::Slirp4netns, Network::Pasta].into_iter();
    let possible = possible.filter(|network| facts.has_tun && program_of(facts, *network).is_some());
    let networks: Vec<Network> = match facts.network {
        Some(network) => vec![network],
        None => possible.chain([Network::Host]).collect(),
    };
    let manner = |network: Network, has_sandbox| Manner {
        rootlesskit: rootlesskit.to_owned(),
        network,
        network_program: program_of(facts, network).cloned(),
        has_sandbox,
    };
    let both = |network| [manner(network, true), manner(network, false)];
    networks.into_iter().flat_map(both).collect()
}

#[cfg(test)]
mod tests;
