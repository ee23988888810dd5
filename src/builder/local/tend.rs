//! A `buildkitd` of our own ended and removed, and its log read. The programs are not needed for it, except for those by which
//! an ordinary user gets into the namespace of the state that is to be removed.

use super::super::BuilderError;
use super::super::error::io;
use super::super::tend::SETTLE_TIMEOUT;
use super::daemon::{STOP_TIMEOUT, clear_away, pid};
use super::places::Places;
use super::talk::Conversation;
use super::{LOOK_INTERVAL, Local, REPORT_TIMEOUT, lock, rootless};
use crate::event::Events;
use rustix::process::Signal;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// A supervisor ends within the time that its daemon has for it; twice that is room enough.
const END_TIMEOUT: Duration = Duration::from_secs(STOP_TIMEOUT.as_secs() * 2);

/// How much of the log is handed over at once.
const PIECE_BYTES: usize = 64 * 1024;

/// Ends the daemon.
pub(in super::super) async fn stop(local: &Local, force: bool, events: &Events) -> Result<(), BuilderError> {
    match places(local) {
        Some(places) => end(&places, force, "stopped", events).await.map(|_| ()),
        None => {
            events.notice(nothing(local)).await;
            Ok(())
        }
    }
}

/// Ends the daemon, and removes what it keeps.
pub(in super::super) async fn remove(
    local: &Local,
    keep_state: bool,
    force: bool,
    events: &Events,
) -> Result<(), BuilderError> {
    let Some(places) = places(local) else {
        events.notice(nothing(local)).await;
        return Ok(());
    };
    if !keep_state && !rustix::process::geteuid().is_root() {
        rootless::can_remove(local)?;
    }
    let _locks = end(&places, force, "removed", events).await?;
    if keep_state {
        return Ok(());
    }
    events.notice(format!("removing {}", places.state.display())).await;
    // First out of the way, in one step: what is not removed to its end is no state that a daemon would begin on.
    match std::fs::rename(&places.root, &places.removed) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        // An earlier removal was interrupted.
        Err(_) if places.removed.exists() => {
            remove_all(local, &places.removed).await?;
            std::fs::rename(&places.root, &places.removed).map_err(io("moving", &places.root))?;
        }
        renamed => renamed.map_err(io("moving", &places.root))?,
    }
    remove_all(local, &places.removed).await?;
    // The locks stay: whoever waits for one at this moment must wait for the same as who comes next.
    let failed = || io("reading the directory", &places.state);
    for entry in std::fs::read_dir(&places.state).map_err(failed())? {
        let entry = entry.map_err(failed())?;
        let path = entry.path();
        if path == places.start_lock || path == places.supervisor_lock {
            continue;
        }
        match entry.file_type().map_err(failed())?.is_dir() {
            true => remove_all(local, &path).await?,
            false => std::fs::remove_file(&path).map_err(io("removing", &path))?,
        }
    }
    Ok(())
}

/// Removes a directory, if it is there. An ordinary user cannot remove what belongs to a user of a build, except in the
/// namespace in which both are the user's.
async fn remove_all(local: &Local, directory: &Path) -> Result<(), BuilderError> {
    if !directory.exists() {
        return Ok(());
    }
    if rustix::process::geteuid().is_root() {
        return std::fs::remove_dir_all(directory).map_err(io("removing", directory));
    }
    let removed = rootless::remove(local, directory).await;
    removed.map_err(|reason| io("removing", directory)(std::io::Error::other(reason)))
}

/// The log of the daemon that runs, or ran last.
pub(in super::super) fn logs(local: &Local, mut more: impl FnMut(&[u8]) -> bool) -> Result<(), BuilderError> {
    let Some(places) = places(local).filter(|places| places.log.exists()) else {
        let what = format!("no buildkitd in {}", local.state.display());
        return Err(BuilderError::NoneYet { what });
    };
    let failed = || io("reading the log", &places.log);
    let mut log = File::open(&places.log).map_err(failed())?;
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let count = log.read(&mut piece).map_err(failed())?;
        if count == 0 || !more(&piece[..count]) {
            return Ok(());
        }
    }
}

/// Where its files are; None when there is no directory for them. Makes none.
fn places(local: &Local) -> Option<Places> {
    let state: &Path = &local.state;
    let state = state.canonicalize().ok()?;
    Some(Places::of(&state, rustix::process::geteuid().as_raw()))
}

fn nothing(local: &Local) -> String {
    format!("there is no buildkitd in {}", local.state.display())
}

/// Ends the daemon, unless somebody uses it. As long as the locks are held nobody starts another.
async fn end(places: &Places, force: bool, doing: &'static str, events: &Events) -> Result<(File, File), BuilderError> {
    let start = lock::exclusive(&places.start_lock, REPORT_TIMEOUT).await?;
    let begin = Instant::now();
    let mut interval = tokio::time::interval(LOOK_INTERVAL);
    let mut is_running = false;
    while let Some(conversation) = Conversation::begin(&places.control_socket).await {
        is_running = true;
        let supervisor = conversation.supervisor();
        let Err(pids) = conversation.end().await else { break };
        if force {
            if let Some(supervisor) = supervisor.and_then(pid) {
                let _ = rustix::process::kill_process(supervisor, Signal::TERM);
            }
            break;
        }
        if begin.elapsed() >= SETTLE_TIMEOUT {
            let users = pids.iter().map(|pid| format!("process {pid}")).collect();
            let what = "buildkitd".to_owned();
            return Err(BuilderError::Busy { what, doing, users });
        }
        interval.tick().await;
    }
    events
        .notice(match is_running {
            true => "ending buildkitd".to_owned(),
            false => format!("no buildkitd runs in {}", places.state.display()),
        })
        .await;
    let supervisor = lock::exclusive(&places.supervisor_lock, END_TIMEOUT).await?;
    // One whose supervisor was killed has no socket to be asked at.
    clear_away(places).await?;
    Ok((start, supervisor))
}
