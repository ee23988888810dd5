//! A `buildkitd` for an ordinary user: by RootlessKit, in namespaces in which the user is root.
//!
//! `facts.rs` looks at the machine, `decide.rs` says purely in which [`Manner`]s it could be started or what is [`Missing`],
//! and [`try_out`] takes the first manner that the kernel lets through. [`Manner::command`] is how everything gets in there.

mod decide;
mod facts;

use super::super::BuilderError;
use super::Local;
use super::programs::find;
use decide::Program;
use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::str::FromStr;
use std::time::Duration;
use tokio::process::Command;

/// An attempt takes 0.1 s, with a network 0.3 s; a loaded machine takes longer.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(20);

/// Ends well when `/proc` shows the process namespace that the shell is in: RootlessKit goes on with a warning where the kernel
/// does not let it mount that, and then BuildKit can make no sandbox for processes either.
const SANDBOX_TEST: [&str; 3] = ["sh", "-c", "test /proc/self -ef /proc/$$"];

/// What an ordinary user's `buildkitd` needs besides itself and runc, as far as it was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rootless {
    /// The program `rootlesskit`.
    pub rootlesskit: Option<PathBuf>,
    /// The program `newuidmap`.
    pub newuidmap: Option<PathBuf>,
    /// The program `newgidmap`.
    pub newgidmap: Option<PathBuf>,
    /// The program `slirp4netns`.
    pub slirp4netns: Option<PathBuf>,
    /// The program `pasta`.
    pub pasta: Option<PathBuf>,
    /// The network that the user asks for; None for the best that there is.
    pub network: Option<Network>,
}

impl Rootless {
    /// Finds the programs: `rootlesskit` beside `buildkitd` or on the path; the others on the path, where RootlessKit looks for
    /// them.
    pub(super) fn find(buildkitd: Option<&Path>, on_path: &[PathBuf]) -> Self {
        let beside = buildkitd.and_then(Path::parent).map(Path::to_owned);
        let directories: Vec<PathBuf> = beside.into_iter().chain(on_path.iter().cloned()).collect();
        Self {
            rootlesskit: find("rootlesskit", &directories),
            newuidmap: find("newuidmap", on_path),
            newgidmap: find("newgidmap", on_path),
            slirp4netns: find("slirp4netns", on_path),
            pasta: find("pasta", on_path),
            network: None,
        }
    }
}

/// The network in which an ordinary user's `buildkitd` and its builds are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Network {
    /// The machine's, as root's `buildkitd` has it.
    #[default]
    Host,
    /// One of its own, by slirp4netns.
    Slirp4netns,
    /// One of its own, by pasta.
    Pasta,
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Host => "host",
            Self::Slirp4netns => "slirp4netns",
            Self::Pasta => "pasta",
        })
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Host, Self::Slirp4netns, Self::Pasta]
            .into_iter()
            .find(|network| network.to_string() == text)
            .ok_or_else(|| format!("{text:?} is no network; there are host, slirp4netns and pasta"))
    }
}

/// Something without which an ordinary user can have no `buildkitd`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// What is missing.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

/// How an ordinary user's `buildkitd` is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manner {
    /// The program `rootlesskit`.
    pub rootlesskit: PathBuf,
    /// The network.
    pub network: Network,
    /// The program that makes the network, unless it is the machine's.
    pub network_program: Option<PathBuf>,
    /// Whether the builds' processes are in process namespaces of their own. Not where the kernel refuses to mount `/proc` again,
    /// as in many containers.
    pub has_sandbox: bool,
}

impl Manner {
    /// RootlessKit, to be followed by a program and its arguments. Its own files are in `state`; None for a temporary directory.
    pub(super) fn command(&self, state: Option<&Path>) -> Command {
        let mut command = Command::new(&self.rootlesskit);
        if let Some(state) = state {
            command.arg("--state-dir").arg(state);
        }
        command.arg("--net").arg(self.network.to_string());
        if self.network != Network::Host {
            if let Some(program) = &self.network_program {
                command.arg(format!("--{}-binary", self.network)).arg(program);
            }
            // With an /etc of its own, in which the names of that network are found.
            command.args(["--copy-up", "/etc", "--disable-host-loopback"]);
        }
        if self.has_sandbox {
            // When its first process ends, by whatever end, the kernel ends all others.
            command.arg("--pidns");
        }
        // RootlessKit, runc and BuildKit look whether they are root by this name as well.
        command.env("USER", facts::user());
        command
    }
}

impl fmt::Display for Manner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "by {} (network: {}",
            self.rootlesskit.display(),
            self.network
        )?;
        match self.has_sandbox {
            true => write!(formatter, ")"),
            false => write!(formatter, "; no sandbox for processes)"),
        }
    }
}

/// In which manners the user's `buildkitd` may be started, best first.
pub(super) fn manners(local: &Local) -> Result<Vec<Manner>, BuilderError> {
    decide::decide(&facts::gather(local)).map_err(refuse)
}

/// What this user lacks for a `buildkitd` of their own, as far as it can be seen without an attempt; nothing for root.
pub fn missing(local: &Local) -> Vec<Missing> {
    if rustix::process::geteuid().is_root() {
        return Vec::new();
    }
    decide::decide(&facts::gather(local)).err().unwrap_or_default()
}

fn refuse(missing: Vec<Missing>) -> BuilderError {
    let user = facts::user();
    BuilderError::Rootless { user, missing }
}

/// The first manner in which namespaces can be made. Leaves nothing behind.
pub(super) async fn try_out(manners: &[Manner]) -> Result<Manner, BuilderError> {
    let mut reason = "there is no way to start it".to_owned();
    for manner in manners {
        let test: &[&str] = if manner.has_sandbox { &SANDBOX_TEST } else { &["true"] };
        match run(manner, Some(ATTEMPT_TIMEOUT), test).await {
            Ok(()) => return Ok(manner.clone()),
            Err(refused) => reason = refused,
        }
    }
    Err(refuse(vec![Missing {
        what: format!("rootlesskit cannot make its namespaces: {reason}"),
        remedy: "in a container, start that one with --privileged, or with --security-opt seccomp=unconfined, \
                 apparmor=unconfined and systempaths=unconfined; elsewhere `rootlesskit true` shows the same"
            .to_owned(),
    }]))
}

/// Whether [`remove`] can do its work; the error is what is missing for it.
pub(super) fn can_remove(local: &Local) -> Result<(), BuilderError> {
    let mut facts = facts::gather(local);
    // Neither BuildKit nor a network takes part in it.
    facts.buildkitd = Program::At(PathBuf::new());
    facts.has_runc = true;
    facts.network = None;
    decide::decide(&facts).map(|_| ()).map_err(refuse)
}

/// Removes a directory in which there are files of the user's subordinate IDs.
pub(super) async fn remove(local: &Local, directory: &Path) -> Result<(), String> {
    let manner = Manner {
        rootlesskit: local.rootless.rootlesskit.clone().unwrap_or_default(),
        network: Network::Host,
        network_program: None,
        has_sandbox: false,
    };
    let [rm, flags, end] = ["rm", "-rf", "--"].map(OsStr::new);
    run(&manner, None, &[rm, flags, end, directory.as_os_str()]).await
}

/// Runs a program in there; the error is why it failed. Without a limit it takes as long as it takes.
async fn run<S: AsRef<OsStr>>(manner: &Manner, limit: Option<Duration>, arguments: &[S]) -> Result<(), String> {
    let mut command = manner.command(None);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let output = match limit {
        None => command.output().await,
        Some(limit) => match tokio::time::timeout(limit, command.output()).await {
            Ok(output) => output,
            Err(_) => return Err(format!("no answer within {} s", limit.as_secs())),
        },
    };
    let output = output.map_err(|error| format!("{} cannot be started: {error}", manner.rootlesskit.display()))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(reason(&String::from_utf8_lossy(&output.stderr))),
    }
}

/// What RootlessKit says went wrong: its first error, else its last line.
fn reason(said: &str) -> String {
    let error = said.lines().find_map(|line| line.split_once("error: "));
    let last = said.lines().rfind(|line| !line.trim().is_empty());
    let words = error.map(|(_, words)| words).or(last);
    words.unwrap_or("it ended without a word").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manner(network: Network, has_sandbox: bool) -> Manner {
        let network_program = (network != Network::Host).then(|| "/p".into());
        Manner {
            rootlesskit: "/r".into(),
            network,
            network_program,
            has_sandbox,
        }
    }

    #[test]
    fn the_command_line_is_that_of_rootlesskit() {
        let check = |manner: Manner, state: Option<&str>, expected: &str| {
            let command = manner.command(state.map(Path::new));
            let arguments: Vec<_> = command.as_std().get_args().map(OsStr::to_string_lossy).collect();
            assert_eq!(arguments.join(" "), expected);
        };
        check(manner(Network::Host, false), None, "--net host");
        check(
            manner(Network::Host, true),
            Some("/s"),
            "--state-dir /s --net host --pidns",
        );
        check(
            manner(Network::Slirp4netns, true),
            None,
            "--net slirp4netns --slirp4netns-binary /p --copy-up /etc --disable-host-loopback --pidns",
        );
        check(
            manner(Network::Pasta, false),
            None,
            "--net pasta --pasta-binary /p --copy-up /etc --disable-host-loopback",
        );
    }

    #[test]
    fn networks_have_names() {
        for network in [Network::Host, Network::Slirp4netns, Network::Pasta] {
            assert_eq!(network.to_string().parse(), Ok(network));
        }
        let error = "bridge".parse::<Network>().expect_err("no network");
        assert!(error.contains("there are host"), "{error}");
    }

    #[test]
    fn what_rootlesskit_says_is_found() {
        let check = |said: &str, expected: &str| assert_eq!(reason(said), expected);
        check(
            "time=1 level=warning msg=\"a warning\"\n[rootlesskit:parent] error: failed to setup UID/GID map: newuidmap 1 failed\n: exit status 1\n",
            "failed to setup UID/GID map: newuidmap 1 failed",
        );
        check("rm: cannot remove 'x'\n\n", "rm: cannot remove 'x'");
        check("", "it ended without a word");
    }
}
