//! Who builds in a container: the streams to BuildKit that are open in it, of any program on any machine.
//!
//! A stream is an exec of `buildctl dial-stdio`, and the daemon lists it as long as it lives; it ends with the process that
//! opened it, by whatever end. lkpkg writes behind the command who it is ([`Mark`]); buildctl passes over it. Whoever wants to
//! replace the container opens a stream too, marked as [`Mark::Replacing`], *before* it looks for others; whoever wants to build
//! looks for that mark *after* it has opened its own. So of two that meet, one at least sees the other.

use super::super::BuilderError;
use super::container::Container;
use super::fault::{is_gone, is_taken};
use bollard::models::ProcessConfig;
use futures_util::future::try_join_all;

/// What opens a stream to BuildKit.
const DIAL: [&str; 2] = ["buildctl", "dial-stdio"];

/// What stands behind the command of a stream that lkpkg opens, before its name.
const BUILDING: &str = "lkpkg-builds";
const REPLACING: &str = "lkpkg-replaces";

/// What lkpkg opens a stream for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// To build. The container must not be replaced.
    Building,
    /// To replace the container as soon as nobody builds. Nobody must begin to.
    Replacing,
}

impl Mark {
    /// The command that opens a stream with this mark.
    pub fn command(self) -> Vec<String> {
        let word = match self {
            Self::Building => BUILDING,
            Self::Replacing => REPLACING,
        };
        DIAL.into_iter()
            .chain([word])
            .map(str::to_owned)
            .chain([name()])
            .collect()
    }
}

/// Those with a stream to BuildKit, as users call them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Users {
    /// Who builds, or could begin to.
    pub building: Vec<String>,
    /// Who wants to replace the container.
    pub replacing: Vec<String>,
}

/// What others call this process.
fn name() -> String {
    let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("process {} on {machine}", std::process::id())
}

/// Who has a stream to BuildKit in the container with this ID; None when it is gone, or does not run.
pub(super) async fn users(container: &Container, id: &str) -> Result<Option<Users>, BuilderError> {
    let failed = || container.failed("looking who uses");
    let Some(found) = container.look(id).await? else {
        return Ok(None);
    };
    if !found.state.and_then(|state| state.running).unwrap_or_default() {
        return Ok(None);
    }
    let execs = found.exec_ids.unwrap_or_default();
    let inspected = execs
        .iter()
        .map(async |exec| match container.docker.inspect_exec(exec).await {
            Err(error) if is_gone(&error) || is_taken(&error) => Ok(None), // it has just ended
            response => response.map(Some),
        });
    let found = try_join_all(inspected).await.map_err(failed())?;
    let running = found.into_iter().flatten().filter(|exec| exec.running == Some(true));
    Ok(Some(sort(running.filter_map(|exec| exec.process_config))))
}

fn sort(processes: impl Iterator<Item = ProcessConfig>) -> Users {
    let mut users = Users::default();
    for process in processes {
        let arguments = process.arguments.unwrap_or_default();
        // The program may be written with its path, and flags may stand before the verb.
        let Some(verb) = arguments.iter().position(|argument| argument == DIAL[1]) else {
            continue;
        };
        match arguments.get(verb + 1..).unwrap_or_default() {
            [mark, name, ..] if mark == REPLACING => users.replacing.push(name.clone()),
            [mark, name, ..] if mark == BUILDING => users.building.push(name.clone()),
            _ => users.building.push("another program".to_owned()),
        }
    }
    for names in [&mut users.building, &mut users.replacing] {
        names.sort();
        names.dedup();
    }
    users
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_told_from_other_processes() {
        let strings = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
        let process = |line: &[&str]| ProcessConfig {
            entrypoint: line.first().map(|program| program.to_string()),
            arguments: Some(line.iter().skip(1).map(|argument| argument.to_string()).collect()),
            ..ProcessConfig::default()
        };
        let check = |lines: &[&[&str]], building: &[&str], replacing: &[&str]| {
            let users = sort(lines.iter().map(|line| process(line)));
            assert_eq!(
                (users.building, users.replacing),
                (strings(building), strings(replacing)),
                "{lines:?}"
            );
        };
        check(&[], &[], &[]);
        check(&[&["sh"], &["cat", "/etc/buildkit/buildkitd.toml"]], &[], &[]);
        check(&[&["buildctl", "dial-stdio"]], &["another program"], &[]);
        check(
            &[&["/usr/bin/buildctl", "--addr", "x", "dial-stdio"]],
            &["another program"],
            &[],
        );
        check(
            &[
                &["buildctl", "dial-stdio", "lkpkg-builds", "process 2 on b"],
                &["buildctl", "dial-stdio", "lkpkg-replaces", "process 3 on b"],
                &["buildctl", "dial-stdio", "lkpkg-builds", "process 1 on a"],
                &["buildctl", "dial-stdio", "lkpkg-builds", "process 2 on b"],
            ],
            &["process 1 on a", "process 2 on b"],
            &["process 3 on b"],
        );
        // What it writes is what it reads.
        for mark in [Mark::Building, Mark::Replacing] {
            let command = mark.command();
            let line: Vec<&str> = command.iter().map(String::as_str).collect();
            let own = name();
            let (building, replacing): (&[&str], &[&str]) = match mark {
                Mark::Building => (&[&own], &[]),
                Mark::Replacing => (&[], &[&own]),
            };
            check(&[&line], building, replacing);
        }
    }
}
