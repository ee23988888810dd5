//! One `buildkitd` process: started, waited for, ended. What the supervisor owns. An ordinary user's is RootlessKit, with
//! `buildkitd` in it.

use super::super::error::io;
use super::super::{BuilderError, dial};
use super::lock;
use super::places::Places;
use super::supervise::SuperviseOptions;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

/// BuildKit is up within 2 s; a loaded machine, or a large state to be read, takes longer.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// The pause between two attempts to dial a daemon that is starting. An attempt costs microseconds.
const ATTEMPT_INTERVAL: Duration = Duration::from_millis(20);

/// How long BuildKit gets to end its builds and close its databases, before it is killed.
pub(super) const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// How much of a log is shown.
const TAIL_LINES: usize = 20;
/// How much of a log is read for that.
const TAIL_BYTES: u64 = 16 * 1024;

/// A running `buildkitd`.
pub(super) struct Daemon {
    child: Child,
    group: Pid,
}

impl Daemon {
    /// Starts it, in a process group of its own.
    pub fn start(options: &SuperviseOptions, places: &Places) -> Result<Self, BuilderError> {
        let log = places.open_log()?;
        let errors = log.try_clone().map_err(io("opening the log", &places.log))?;
        let mut command = match &options.rootless {
            None => Command::new(&options.buildkitd),
            Some(manner) => {
                places.make_runtime()?;
                let mut command = manner.command(Some(&places.rootlesskit));
                command.env("XDG_RUNTIME_DIR", &places.runtime).arg(&options.buildkitd);
                command
            }
        };
        command
            .arg("--addr")
            .arg(address(places))
            .arg("--root")
            .arg(&places.root);
        command
            .arg("--oci-worker-binary")
            .arg(&options.runc)
            .arg("--containerd-worker=false");
        command.arg("--otel-socket-path").arg(&places.trace_socket);
        // The same as in the container: it only allows what a solve asks for explicitly.
        command.args(["--allow-insecure-entitlement", "network.host"]);
        if options.rootless.as_ref().is_some_and(|manner| !manner.has_sandbox) {
            command.arg("--oci-worker-no-process-sandbox");
        }
        if let Some(config) = &options.config {
            command.arg("--config").arg(config);
        }
        let program = command.as_std().get_program().to_owned();
        let child = command
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .map_err(io("starting", program))?;
        let id = child
            .id()
            .and_then(pid)
            .ok_or_else(|| not_started("it ended at once", places))?;
        std::fs::write(&places.pid, format!("{id}\n")).map_err(io("writing", &places.pid))?;
        Ok(Self { child, group: id })
    }

    /// Its process ID.
    pub fn id(&self) -> u32 {
        self.group.as_raw_nonzero().get().unsigned_abs()
    }

    /// Waits until it answers.
    pub async fn ready(&mut self, places: &Places) -> Result<(), BuilderError> {
        let attempts = async {
            let mut interval = tokio::time::interval(ATTEMPT_INTERVAL);
            loop {
                interval.tick().await;
                if dial::unix("local", &places.buildkitd_socket).await.is_ok() {
                    return;
                }
            }
        };
        tokio::select! {
            result = tokio::time::timeout(READY_TIMEOUT, attempts) => match result {
                Ok(()) => Ok(()),
                Err(_) => Err(not_started(&format!("it did not answer within {} s", READY_TIMEOUT.as_secs()), places)),
            },
            reason = self.ended() => Err(not_started(&reason, places)),
        }
    }

    /// Waits until it ends by itself; how it ended.
    pub async fn ended(&mut self) -> String {
        match self.child.wait().await {
            Ok(status) => format!("it ended with {status}"),
            Err(error) => format!("it is gone: {error}"),
        }
    }

    /// Ends it and everything that it started, and takes its files away.
    pub async fn end(mut self, places: &Places) {
        ask_to_end(self.group);
        if tokio::time::timeout(STOP_TIMEOUT, self.child.wait()).await.is_err() {
            let _ = rustix::process::kill_process_group(self.group, Signal::KILL);
            let _ = self.child.wait().await;
        }
        kill_adopted();
        places.clear();
    }
}

/// Asks a daemon, the leader of a process group, to end. Signals fail only for one that is gone.
fn ask_to_end(leader: Pid) {
    let _ = match rustix::process::geteuid().is_root() {
        true => rustix::process::kill_process_group(leader, Signal::TERM),
        // RootlessKit hands it on. Whoever in the group got it as well would hand it on once more, and BuildKit takes the
        // third one for impatience.
        false => rustix::process::kill_process(leader, Signal::TERM),
    };
}

/// Lets processes whose parent dies become children of this one, so that [`kill_adopted`] finds them.
pub(super) fn adopt_orphans() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
}

/// Kills what a daemon has left behind: the containers of a build under way are in sessions of their own, which a signal to
/// the daemon's group does not reach.
fn kill_adopted() {
    let own = std::process::id();
    loop {
        let children = children(own);
        for child in &children {
            let _ = rustix::process::kill_process(*child, Signal::KILL);
            // Its own children come to us when it is gone; they are found in the next round.
            let _ = rustix::process::waitpid(Some(*child), WaitOptions::empty());
        }
        if children.is_empty() {
            return;
        }
    }
}

/// Process IDs of the children of a process.
fn children(parent: u32) -> Vec<Pid> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_child = |id: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        // The name, in parentheses, may hold anything; the state and the parent follow it.
        let found = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1));
        found.and_then(|parent| parent.parse().ok()) == Some(parent)
    };
    ids.filter(is_child).filter_map(pid).collect()
}

/// Ends a `buildkitd` whose supervisor was killed, and takes away what it, or one before a reboot, has left behind.
///
/// The process ID in the file counts only when the process is a `buildkitd` at our address; it may be long gone, and the
/// number someone else's.
pub(super) async fn clear_away(places: &Places) -> Result<(), BuilderError> {
    let recorded = std::fs::read_to_string(&places.pid)
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .and_then(pid);
    if let Some(orphan) = recorded.filter(|orphan| is_at(*orphan, &address(places))) {
        note_in_log(places, &format!("ending buildkitd {orphan}, whose supervisor is gone"));
        let handle = rustix::process::pidfd_open(orphan, PidfdFlags::empty());
        ask_to_end(orphan);
        if wait_for_root(places).await.is_err() || !has_ended(handle).await {
            let _ = rustix::process::kill_process_group(orphan, Signal::KILL);
            wait_for_root(places).await?;
        }
    }
    places.clear();
    Ok(())
}

/// Waits until a process has ended, and says whether it has. RootlessKit goes on taking its directory away when the daemon in
/// it is gone; a new one would lose its own.
async fn has_ended(handle: rustix::io::Result<OwnedFd>) -> bool {
    // A process that is gone has no handle; the handle of one that ends can be read.
    let Ok(handle) = handle else { return true };
    let ended = tokio::task::spawn_blocking(move || {
        let timeout = Timespec::try_from(STOP_TIMEOUT).ok();
        poll(&mut [PollFd::new(&handle, PollFlags::IN)], timeout.as_ref())
    });
    matches!(ended.await, Ok(Ok(1)))
}

/// BuildKit holds a lock in its root as long as it lives.
async fn wait_for_root(places: &Places) -> Result<(), BuilderError> {
    let lock = places.root.join("buildkitd.lock");
    if lock.exists() {
        lock::exclusive(&lock, STOP_TIMEOUT).await?;
    }
    Ok(())
}

/// Whether this process has `address` among its arguments.
fn is_at(process: Pid, address: &str) -> bool {
    let arguments = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    arguments
        .split(|byte| *byte == 0)
        .any(|argument| argument == address.as_bytes())
}

fn address(places: &Places) -> String {
    format!("unix://{}", places.buildkitd_socket.display())
}

fn note_in_log(places: &Places, text: &str) {
    use std::io::Write;
    if let Ok(mut log) = places.open_log() {
        let _ = writeln!(log, "lkpkg: {text}");
    }
}

fn not_started(reason: &str, places: &Places) -> BuilderError {
    BuilderError::NotStarted {
        what: "buildkitd".into(),
        reason: reason.into(),
        log: log_tail(&places.log),
    }
}

/// A process ID as the system calls take it.
pub(super) fn pid(id: u32) -> Option<Pid> {
    i32::try_from(id).ok().and_then(Pid::from_raw)
}

/// The last lines of a log; empty when it cannot be read.
pub(super) fn log_tail(path: &Path) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = std::fs::File::open(path)?;
        let size = file.metadata()?.len();
        file.seek(SeekFrom::Start(size.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_the_last_lines() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("log");
        assert_eq!(log_tail(&path), "");
        let lines: Vec<String> = (0..50).map(|number| format!("line {number}")).collect();
        std::fs::write(&path, lines.join("\n") + "\n").expect("a log");
        assert_eq!(log_tail(&path), lines[30..].join("\n"));
    }

    #[test]
    fn children_are_found() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("a child");
        let id = pid(child.id()).expect("a process ID");
        assert!(children(std::process::id()).contains(&id));
        assert!(!children(child.id()).contains(&id));
        child.kill().and_then(|()| child.wait()).expect("its end");
        assert!(!children(std::process::id()).contains(&id));
    }

    #[test]
    fn only_a_process_with_our_address_is_ours() {
        let own = pid(std::process::id()).expect("a process ID");
        let argument = std::env::args().next().expect("a name");
        assert!(is_at(own, &argument));
        assert!(!is_at(own, "unix:///somewhere/else.sock"));
    }
}
