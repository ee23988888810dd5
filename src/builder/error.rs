//! Why there is no builder: [`BuilderError`], and what kind of failure it is ([`Kind`]), from which the exit code follows.

use super::local::Missing;
use std::path::PathBuf;

/// The three ways to get a builder, for a user who has none.
pub const THREE_WAYS: &str = "There are three ways to get a builder:
  1. start a Docker daemon; lkpkg runs BuildKit in a container there
  2. name a BuildKit that runs already: BUILDKIT_HOST=unix:///run/buildkit/buildkitd.sock, or --builders unix://…
  3. have buildkitd and runc on PATH, or set LKPKG_BUILDKITD to the program; lkpkg starts it itself. Who is not root needs
     rootlesskit, newuidmap and newgidmap as well";

/// What kind of failure an error is; the exit code follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The work was tried and failed (exit code 1).
    Failed,
    /// What the user gave is wrong (exit code 2).
    Input,
    /// Something that is needed is not there (exit code 3).
    Missing,
    /// Someone else uses it (exit code 4).
    Busy,
    /// The user cancelled (exit code 130).
    Cancelled,
}

/// What the user can do about a container of someone else's that has the builder's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Have it replaced.
    Replace,
    /// Do it himself: a verb of the `docker` program.
    Docker(&'static str),
    /// Name another one.
    OtherName,
}

impl Remedy {
    fn text(self, name: &str) -> String {
        match self {
            Self::Replace => {
                "--builder-name chooses another name, --builder-restart replaces the container.".to_owned()
            }
            Self::Docker(verb) => {
                format!(
                    "--builder-name names another builder; for this container, whosever it is: docker {verb} {name}"
                )
            }
            Self::OtherName => "--builder-name names another builder.".to_owned(),
        }
    }
}

/// Why there is no builder.
#[derive(Debug, thiserror::Error)]
pub enum BuilderError {
    /// Neither named, nor in Docker, nor on PATH.
    #[error("no builder for {platform}: {why}{}\n{THREE_WAYS}", listed(.missing))]
    NoBuilder {
        /// Platform that should be built.
        platform: String,
        /// What was looked for and not found.
        why: String,
        /// What an ordinary user lacks for a `buildkitd` of their own.
        missing: Vec<Missing>,
    },
    /// `buildkitd` is not there.
    #[error("there is no buildkitd {}\n{THREE_WAYS}", .given.as_ref().map_or("on PATH".into(), |path| format!("at {}", path.display())))]
    NoBuildkitd {
        /// Where it should be, when the user said so.
        given: Option<PathBuf>,
    },
    /// `buildkitd` is there, its container runtime is not.
    #[error(
        "buildkitd at {buildkitd} needs runc, and neither runc nor buildkit-runc is beside it or on PATH\n\
         Install runc (Debian: apt-get install runc) or put buildkit-runc, which comes with BuildKit's releases, beside buildkitd."
    )]
    NoRunc {
        /// The program that was found.
        buildkitd: PathBuf,
    },
    /// An ordinary user has not what a `buildkitd` of their own needs.
    #[error("buildkitd cannot be started by the user {user}, who is not root{}", listed(.missing))]
    Rootless {
        /// Name of the user.
        user: String,
        /// All that is missing.
        missing: Vec<Missing>,
    },
    /// No Docker daemon answers.
    #[error("no Docker daemon answers at {address}: {reason}")]
    NoDocker {
        /// Its address.
        address: String,
        /// Why.
        reason: String,
    },
    /// An address or a list of builders that cannot be read.
    #[error("{text:?} names no builder: {reason}")]
    BadAddress {
        /// What was given.
        text: String,
        /// What is wrong, and what is possible.
        reason: String,
    },
    /// A Docker context that does not exist.
    #[error("there is no Docker context {name:?}{named_by}; there are {}, read from {read_from}", .known.join(", "))]
    UnknownContext {
        /// What was given.
        name: String,
        /// Which flag, variable or file names it, a subordinate clause; empty when that is not known.
        named_by: String,
        /// Those that exist.
        known: Vec<String>,
        /// The directory in which they are looked for.
        read_from: String,
    },
    /// A file of Docker's that says what contexts there are cannot be used.
    #[error("Docker's file {path} cannot be used: {reason}")]
    BadContext {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A certificate or a key cannot be used.
    #[error("the certificate or key {path} cannot be used: {reason}")]
    TlsFile {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// TLS cannot be set up on this machine.
    #[error("TLS cannot be set up on this machine: {reason}")]
    Tls {
        /// Why.
        reason: String,
    },
    /// A Docker daemon whose own BuildKit cannot export images.
    #[error(
        "the BuildKit inside of the Docker daemon {daemon} cannot export images: the daemon has no containerd image store\n\
         Turn it on with {{\"features\": {{\"containerd-snapshotter\": true}}}} in its daemon.json (mostly \
         /etc/docker/daemon.json) and restart it; in Docker Desktop it is Settings, General, \"Use containerd for pulling \
         and storing images\". Or build in a container there: name the context alone, without docker://."
    )]
    NoImageStore {
        /// The daemon.
        daemon: String,
    },
    /// A builder that would emulate the platform, which the user does not want.
    #[error("no builder for {platform}: --strict-platform wants one that need not emulate it, and {}", .why.join("; "))]
    Emulates {
        /// Platform that should be built.
        platform: String,
        /// What each builder can.
        why: Vec<String>,
    },
    /// No builder of a pool is left.
    #[error("no builder of the pool is left: {}", .why.join("; "))]
    NoneLeft {
        /// What became of each.
        why: Vec<String>,
    },
    /// The builder's configuration cannot be read.
    #[error("the builder configuration {path} cannot be read: {source}")]
    BadConfig {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The builder's configuration is no TOML.
    #[error("the builder configuration {path} is not TOML: {reason}")]
    ConfigSyntax {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        reason: String,
    },
    /// Something in the builder's configuration is not what it has to be.
    #[error("the builder configuration {path} is wrong at {key}: {reason}")]
    ConfigValue {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// Why.
        reason: String,
    },
    /// A file that a configuration, or a flag, names cannot be read.
    #[error("{named_by} names {path}, which cannot be read: {source}")]
    ConfigFile {
        /// Which key of which configuration, or which flag.
        named_by: String,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// An address at which no BuildKit answers.
    #[error("no BuildKit answers at {address}: {reason}")]
    Unreachable {
        /// The address.
        address: String,
        /// Why.
        reason: String,
    },
    /// A builder was started and does not work.
    #[error("{what} did not start: {reason}{}", shown_log(.log))]
    NotStarted {
        /// What was started: `buildkitd`, or a container by its name.
        what: String,
        /// What happened.
        reason: String,
        /// The last lines of its own log; empty when it wrote none.
        log: String,
    },
    /// The builder's image cannot be had.
    #[error(
        "the builder image {image} cannot be pulled: {reason}\n\
         Name another one with --builder-image, or configure a mirror in the Docker daemon (registry-mirrors)."
    )]
    NoImage {
        /// The image.
        image: String,
        /// What the Docker daemon said.
        reason: String,
    },
    /// A container of this name was made by someone else.
    #[error(
        "the container {name} was made neither by lkpkg nor by linuxkit, and is left alone: {what}\n{}", .remedy.text(.name)
    )]
    Foreign {
        /// Name of the container.
        name: String,
        /// What it is.
        what: String,
        /// What the user can do.
        remedy: Remedy,
    },
    /// A container should be replaced, but others build in it.
    #[error(
        "the container {name} should be replaced ({reason}), but {} in it; waited {waited_s} s\n\
         Try again when that is done, or wait longer with --lock-timeout SECONDS.", who_builds(.users)
    )]
    BuildsGoOn {
        /// Name of the container.
        name: String,
        /// Why it should be replaced.
        reason: String,
        /// Who builds in it.
        users: Vec<String>,
        /// How long we waited, in seconds.
        waited_s: u64,
    },
    /// Another process wants to replace the container, and does not get to it.
    #[error(
        "the container {name} is about to be replaced by {}; waited {waited_s} s\n\
         Try again when that is done, or wait longer with --lock-timeout SECONDS.", .by.join(", ")
    )]
    BeingReplaced {
        /// Name of the container.
        name: String,
        /// Who replaces it.
        by: Vec<String>,
        /// How long we waited, in seconds.
        waited_s: u64,
    },
    /// It should be replaced, but others use it.
    #[error("buildkitd should be restarted ({reason}), but it is in use by process {}\n\
         Try again when that is done, or wait longer with --lock-timeout SECONDS.", users(.pids))]
    InUse {
        /// Why it should be restarted.
        reason: String,
        /// Who uses it.
        pids: Vec<i32>,
    },
    /// A builder should be stopped or removed, but somebody builds in it.
    #[error(
        "{what} is not {doing}: {} in it\n\
         Try again when that is done. With --force it is {doing} all the same, and the build fails.", who_builds(.users)
    )]
    Busy {
        /// The builder.
        what: String,
        /// What should be done to it, a participle.
        doing: &'static str,
        /// Who builds.
        users: Vec<String>,
    },
    /// What someone else looks after.
    #[error("the builder {name} cannot be {doing}: lkpkg only connects to it, and someone else looks after it")]
    NotOurs {
        /// What people call it.
        name: String,
        /// What should be done to it, a participle.
        doing: &'static str,
    },
    /// Another process does not finish.
    #[error("another lkpkg process has held {path} for {waited_s} s; see who it is with: fuser {path}")]
    LockTimeout {
        /// The lock file.
        path: PathBuf,
        /// How long we waited, in seconds.
        waited_s: u64,
    },
    /// There is no builder to look after.
    #[error("there is {what} yet; the first build makes one")]
    NoneYet {
        /// What there is not.
        what: String,
    },
    /// A request to the Docker daemon failed.
    #[error("{doing}: {source}")]
    Docker {
        /// What was being done, to what.
        doing: String,
        /// What the daemon said.
        source: bollard::errors::Error,
    },
    /// A file could not be read or written, or a process not started.
    #[error("{doing} {path}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The user cancelled.
    #[error("cancelled")]
    Cancelled,
}

impl BuilderError {
    /// What kind of failure this is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::NoBuilder { .. }
            | Self::NoBuildkitd { .. }
            | Self::NoRunc { .. }
            | Self::Rootless { .. }
            | Self::NoDocker { .. }
            | Self::Unreachable { .. }
            | Self::NoImageStore { .. }
            | Self::Emulates { .. }
            | Self::NoneLeft { .. }
            | Self::NoneYet { .. }
            | Self::NoImage { .. } => Kind::Missing,
            Self::BadAddress { .. }
            | Self::UnknownContext { .. }
            | Self::BadContext { .. }
            | Self::TlsFile { .. }
            | Self::BadConfig { .. }
            | Self::ConfigSyntax { .. }
            | Self::ConfigValue { .. }
            | Self::ConfigFile { .. }
            | Self::NotOurs { .. }
            | Self::Foreign { .. } => Kind::Input,
            Self::Busy { .. }
            | Self::InUse { .. }
            | Self::BuildsGoOn { .. }
            | Self::BeingReplaced { .. }
            | Self::LockTimeout { .. } => Kind::Busy,
            Self::NotStarted { .. } | Self::Docker { .. } | Self::Io { .. } | Self::Tls { .. } => Kind::Failed,
            Self::Cancelled => Kind::Cancelled,
        }
    }
}

/// For `map_err`: an I/O error with what was being done, to what.
pub(super) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> BuilderError {
    let path = path.into();
    move |source| BuilderError::Io { doing, path, source }
}

/// One line for each, what is missing and what to do.
fn listed(missing: &[Missing]) -> String {
    let line = |one: &Missing| format!("\n  - {}\n    {}", one.what, one.remedy);
    missing.iter().map(line).collect()
}

fn shown_log(log: &str) -> String {
    if log.is_empty() {
        return String::new();
    }
    let lines: Vec<String> = log.lines().map(|line| format!("  {line}")).collect();
    format!("\nIts log ends with:\n{}", lines.join("\n"))
}

/// `process 1 on a builds`, `process 1 on a, process 2 on b build`.
pub(super) fn who_builds(users: &[String]) -> String {
    let verb = if users.len() == 1 { "builds" } else { "build" };
    format!("{} {verb}", users.join(", "))
}

/// `12, 13`.
pub(super) fn users(pids: &[i32]) -> String {
    pids.iter().map(i32::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_without_a_builder_reads_the_three_ways() {
        for error in [
            BuilderError::NoBuilder {
                platform: "linux/amd64".into(),
                why: "nothing there".into(),
                missing: Vec::new(),
            },
            BuilderError::NoBuildkitd { given: None },
            BuilderError::NoBuildkitd {
                given: Some("/b".into()),
            },
        ] {
            let text = error.to_string();
            assert_eq!(error.kind(), Kind::Missing);
            for way in ["Docker daemon", "BUILDKIT_HOST=unix://", "LKPKG_BUILDKITD"] {
                assert!(text.contains(way), "{text}");
            }
        }
    }

    #[test]
    fn an_ordinary_user_reads_all_that_is_missing() {
        let missing = ["a", "b"].map(|what| Missing {
            what: format!("no {what}"),
            remedy: format!("install {what}"),
        });
        let error = BuilderError::Rootless {
            user: "me".into(),
            missing: missing.into(),
        };
        assert_eq!(error.kind(), Kind::Missing);
        assert_eq!(
            error.to_string(),
            "buildkitd cannot be started by the user me, who is not root\n  - no a\n    install a\n  - no b\n    install b"
        );
    }

    #[test]
    fn what_did_not_start_shows_its_log() {
        let error = |log: &str| BuilderError::NotStarted {
            what: "buildkitd".into(),
            reason: "it ended".into(),
            log: log.into(),
        };
        assert_eq!(error("").to_string(), "buildkitd did not start: it ended");
        assert_eq!(
            error("a\nb").to_string(),
            "buildkitd did not start: it ended\nIts log ends with:\n  a\n  b"
        );
    }
}
