//! The supervisor: a process of lkpkg that owns one `buildkitd`, counts who uses it, and ends it when nobody has for a while.
//!
//! It is started by the first lkpkg that needs a daemon, outlives it, and ends with its daemon: when the idle time is over,
//! when the daemon ends by itself, when it is asked to, or by a signal. A lock, held to the end, keeps it the only one.

use super::super::BuilderError;
use super::super::error::io;
use super::daemon::{Daemon, STOP_TIMEOUT, adopt_orphans, clear_away};
use super::lock;
use super::places::Places;
use super::rootless::Manner;
use super::talk::{Answer, Greeting, Line, Report, Wish, hear, say};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncReadExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// The hidden verb by which lkpkg starts itself as the supervisor.
pub const SUPERVISE_COMMAND: &str = "__keep-buildkitd";

/// A predecessor needs at most [`STOP_TIMEOUT`] to end; twice that is room enough.
const PREDECESSOR_TIMEOUT: Duration = Duration::from_secs(STOP_TIMEOUT.as_secs() * 2);

/// What the supervisor is told. All paths are absolute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuperviseOptions {
    /// `--state`: directory of state, log and locks.
    pub state: PathBuf,
    /// `--buildkitd`: the program.
    pub buildkitd: PathBuf,
    /// `--runc`: its container runtime.
    pub runc: PathBuf,
    /// `--config`: its configuration file.
    pub config: Option<PathBuf>,
    /// `--rootlesskit`, `--network`, `--network-program` and `--no-process-sandbox`: how an ordinary user's is started; None for
    /// root's.
    pub rootless: Option<Manner>,
    /// `--idle-seconds`: how long an unused daemon stays.
    pub idle: Duration,
}

impl SuperviseOptions {
    /// The command line of the supervisor, without the program: [`SUPERVISE_COMMAND`] and its flags.
    pub fn arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec![SUPERVISE_COMMAND.into()];
        let paths = [
            ("--state", Some(&self.state)),
            ("--buildkitd", Some(&self.buildkitd)),
            ("--runc", Some(&self.runc)),
        ];
        let manner = self.rootless.as_ref();
        let others = [
            ("--config", self.config.as_ref()),
            ("--rootlesskit", manner.map(|manner| &manner.rootlesskit)),
            (
                "--network-program",
                manner.and_then(|manner| manner.network_program.as_ref()),
            ),
        ];
        for (flag, path) in paths.into_iter().chain(others) {
            if let Some(path) = path {
                arguments.extend([flag.into(), path.into()]);
            }
        }
        if let Some(manner) = manner {
            arguments.extend(["--network".into(), manner.network.to_string().into()]);
            if !manner.has_sandbox {
                arguments.push("--no-process-sandbox".into());
            }
        }
        arguments.extend(["--idle-seconds".into(), self.idle.as_secs().to_string().into()]);
        arguments
    }
}

/// Runs the supervisor to its end. Says on standard output, in one line for the process that started it, whether the
/// daemon is ready; standard error should go to the daemon's log.
pub async fn supervise(options: SuperviseOptions) -> Result<(), BuilderError> {
    // Out of the terminal's session, so that neither Ctrl-C nor a closed window reaches it. It fails only for the leader of
    // a process group, one that was started by hand.
    let _ = rustix::process::setsid();
    adopt_orphans();
    let places = Places::prepare(&options.state)?;
    let (_lock, mut daemon, listener, greeting) = match start(&options, &places).await {
        Ok(started) => started,
        Err(BuilderError::NotStarted { what, reason, log }) => {
            report(&Report::Failed {
                reason: reason.clone(),
                log,
            });
            // What is printed of it goes to that very log.
            return Err(BuilderError::NotStarted {
                what,
                reason,
                log: String::new(),
            });
        }
        Err(error) => {
            report(&Report::Failed {
                reason: error.to_string(),
                log: String::new(),
            });
            return Err(error);
        }
    };
    report(&Report::Ready);
    let ended = serve(listener, &mut daemon, &greeting, options.idle, &places).await;
    daemon.end(&places).await;
    ended
}

/// What the supervisor owns: its lock, the daemon, its socket, and what it says of itself.
type Started = (std::fs::File, Daemon, UnixListener, Greeting);

async fn start(options: &SuperviseOptions, places: &Places) -> Result<Started, BuilderError> {
    let lock = lock::exclusive(&places.supervisor_lock, PREDECESSOR_TIMEOUT).await?;
    clear_away(places).await?;
    places.make_sockets()?;
    let mut daemon = Daemon::start(options, places)?;
    if let Err(error) = daemon.ready(places).await {
        daemon.end(places).await;
        return Err(error);
    }
    let greeting = Greeting {
        buildkitd: options.buildkitd.clone(),
        config: options.config.clone(),
        network: options.rootless.as_ref().map(|manner| manner.network),
        pid: daemon.id(),
    };
    match UnixListener::bind(&places.control_socket) {
        Ok(listener) => Ok((lock, daemon, listener, greeting)),
        Err(source) => {
            daemon.end(places).await;
            Err(io("listening at", &places.control_socket)(source))
        }
    }
}

/// Serves users until there is a reason to end.
async fn serve(
    listener: UnixListener,
    daemon: &mut Daemon,
    greeting: &Greeting,
    idle: Duration,
    places: &Places,
) -> Result<(), BuilderError> {
    let signals = |kind| signal(kind).map_err(io("listening for signals in", &places.state));
    let (mut terminate, mut hang_up) = (signals(SignalKind::terminate())?, signals(SignalKind::hangup())?);
    let mut greetings: JoinSet<Option<(Line, Wish)>> = JoinSet::new();
    let mut users = Users::new();
    let asked = loop {
        let is_unused = users.pids.is_empty() && greetings.is_empty();
        let idle_over = users.last_left + idle;
        tokio::select! {
            Ok((stream, _)) = listener.accept() => {
                greetings.spawn(greet(stream, greeting.clone()));
            }
            Some(greeted) = greetings.join_next() => match greeted.ok().flatten() {
                Some((line, Wish::Hold)) => users.welcome(line).await,
                Some((line, Wish::End)) if users.pids.is_empty() => break Some(line),
                Some((mut line, Wish::End)) => {
                    let _ = say(&mut line, &Answer::InUse(users.pids.values().copied().collect())).await;
                }
                None => {} // it only looked
            },
            () = users.one_leaves() => {}
            () = tokio::time::sleep_until(idle_over), if is_unused => break None,
            _ = daemon.ended() => break None,
            _ = terminate.recv() => break None,
            _ = hang_up.recv() => break None,
        }
    };
    // First the name, then the socket: whoever finds us gone finds no socket either and knows that a new one is needed.
    let _ = std::fs::remove_file(&places.control_socket);
    drop(listener);
    if let Some(mut line) = asked {
        let _ = say(&mut line, &Answer::Granted).await;
    }
    Ok(())
}

/// Says what runs here, and hears what the client wants.
async fn greet(stream: UnixStream, greeting: Greeting) -> Option<(Line, Wish)> {
    let mut line = BufReader::new(stream);
    say(&mut line, &greeting).await?;
    let wish = hear(&mut line).await?;
    Some((line, wish))
}

/// Who holds the daemon: one connection each.
struct Users {
    /// Tasks that end when their connection is closed.
    connections: JoinSet<u64>,
    /// Process IDs at the other ends; 0 where the system does not say.
    pids: BTreeMap<u64, i32>,
    next: u64,
    last_left: Instant,
}

impl Users {
    fn new() -> Self {
        Self {
            connections: JoinSet::new(),
            pids: BTreeMap::new(),
            next: 0,
            last_left: Instant::now(),
        }
    }

    /// Grants a client's wish to hold the daemon.
    async fn welcome(&mut self, mut line: Line) {
        if say(&mut line, &Answer::Granted).await.is_none() {
            return;
        }
        let user = self.next;
        self.next += 1;
        self.pids.insert(
            user,
            line.get_ref()
                .peer_cred()
                .ok()
                .and_then(|peer| peer.pid())
                .unwrap_or_default(),
        );
        self.connections.spawn(async move {
            // Until it closes the connection, or is gone; nothing is said any more.
            let mut byte = [0];
            while matches!(line.read(&mut byte).await, Ok(count) if count > 0) {}
            user
        });
    }

    /// Waits until one of them leaves; for ever when there is none.
    async fn one_leaves(&mut self) {
        match self.connections.join_next().await {
            Some(left) => {
                if let Ok(user) = left {
                    self.pids.remove(&user);
                }
                self.last_left = Instant::now();
            }
            None => std::future::pending().await,
        }
    }
}

/// One line on standard output. Nobody may be there any more to read it, which is no reason to end.
fn report(report: &Report) {
    if let Ok(line) = serde_json::to_string(report) {
        let mut output = std::io::stdout();
        let _ = writeln!(output, "{line}").and_then(|()| output.flush());
    }
}

#[cfg(test)]
mod tests {
    use super::super::rootless::Network;
    use super::*;

    #[test]
    fn the_command_line_has_what_is_given() {
        let options = SuperviseOptions {
            state: "/s".into(),
            buildkitd: "/b".into(),
            runc: "/r".into(),
            config: None,
            rootless: None,
            idle: Duration::from_secs(9),
        };
        let check = |options: &SuperviseOptions, expected: &str| {
            assert_eq!(options.arguments().join(" ".as_ref()), OsString::from(expected))
        };
        check(
            &options,
            "__keep-buildkitd --state /s --buildkitd /b --runc /r --idle-seconds 9",
        );
        let configured = SuperviseOptions {
            config: Some("/c".into()),
            ..options.clone()
        };
        check(
            &configured,
            "__keep-buildkitd --state /s --buildkitd /b --runc /r --config /c --idle-seconds 9",
        );
        let rootless = SuperviseOptions {
            rootless: Some(Manner {
                rootlesskit: "/k".into(),
                network: Network::Pasta,
                network_program: Some("/p".into()),
                has_sandbox: false,
            }),
            ..options
        };
        check(
            &rootless,
            "__keep-buildkitd --state /s --buildkitd /b --runc /r --rootlesskit /k --network-program /p --network pasta \
             --no-process-sandbox --idle-seconds 9",
        );
    }
}
