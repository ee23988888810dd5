//! A `buildkitd` of our own, kept between calls: found or started → [`Endpoint`].
//!
//! ```text
//! lkpkg ──starts, once──▶ supervisor (lkpkg __keep-buildkitd) ──owns──▶ buildkitd
//!   └── one control connection while it works ──▶┘  the last one closed + idle time → both end
//! ```
//!
//! Whether the daemon that runs is the one that is wanted is decided by `decide.rs`, purely. The supervisor is
//! [`supervise()`]; the two talk as `talk.rs` says. An ordinary user's daemon is started by RootlessKit (`rootless/`). Nothing
//! here looks at the environment: the caller finds the programs.

mod asked;
mod daemon;
mod decide;
mod lock;
mod look;
mod places;
mod programs;
mod rootless;
mod supervise;
mod talk;
mod tend;

pub(super) use look::{inspect, look};
pub use programs::Local;
pub use rootless::{Manner, Missing, Network, Rootless, missing};
pub use supervise::{SUPERVISE_COMMAND, SuperviseOptions, supervise};
pub(super) use tend::{logs, remove, stop};

use super::configuration::CERTIFICATES_VARIABLE;
use super::error::{io, users};
use super::{BuilderConfig, BuilderError, Endpoint, dial};
use crate::event::{Event, Events};
use asked::{Asked, Configured};
use decide::{Decision, decide};
use places::Places;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};
use talk::{Conversation, Report};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::UnixStream;

/// How long an unused `buildkitd` stays when nothing else is asked for: long enough for the next build of a person at
/// work, short enough that a machine used once is clean again soon.
pub const DEFAULT_IDLE: Duration = Duration::from_secs(15 * 60);

/// What root's `buildkitd` reads when it is told nothing else. Where it is told something, that comes on top of it.
const AMBIENT_CONFIG: &str = "/etc/buildkit/buildkitd.toml";

/// How often we look again. Each round ends with a daemon in use, an error, or one that ended just now under our hands;
/// the last is rare, and three times in a row does not happen by chance.
const ROUNDS: usize = 3;

/// The pause between two questions whether a daemon is used; a question costs microseconds.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// The most that a supervisor may take until it reports: its own limits (a predecessor that ends, a daemon that starts)
/// and some room.
const REPORT_TIMEOUT: Duration = Duration::from_secs(90);

/// How long a supervisor may take to notice that its daemon is gone.
const NOTICE_TIMEOUT: Duration = Duration::from_secs(2);

/// The local `buildkitd`, started when none runs. It is in use as long as the endpoint's channel lives.
pub async fn endpoint(local: &Local, config: &BuilderConfig, events: &Events) -> Result<Endpoint, BuilderError> {
    let asked = Asked::read(local, config)?;
    if config.as_it_is && !Places::has_root(&asked.options.state) {
        let what = format!("no buildkitd in {}", asked.options.state.display());
        return Err(BuilderError::NoneYet { what });
    }
    let places = Places::prepare(&asked.options.state)?;
    let mut is_restart = config.restart && !config.as_it_is;

    // The usual case needs no lock: it runs, and is right.
    if !is_restart && let Some(endpoint) = join(&places, &asked, events).await? {
        return Ok(endpoint);
    }
    // One process at a time starts or ends a daemon; the others wait here and then find it.
    let _start = lock::exclusive(&places.start_lock, REPORT_TIMEOUT).await?;
    for _ in 0..ROUNDS {
        if !is_restart && let Some(endpoint) = join(&places, &asked, events).await? {
            return Ok(endpoint);
        }
        if let Some(conversation) = Conversation::begin(&places.control_socket).await {
            let wanted = asked.wanted(&conversation.greeting, &places)?;
            if let Decision::Replace { reason } = decide(&wanted, &conversation.greeting, is_restart) {
                end(conversation, &places, &reason, config.wait, events).await?;
                events.notice(format!("restarting buildkitd: {reason}")).await;
            } else {
                continue; // it came up between the two looks
            }
        }
        is_restart = false;
        start(&asked, &places, events).await?;
    }
    let reason = format!("it ended {ROUNDS} times as soon as it was there");
    Err(BuilderError::NotStarted {
        what: "buildkitd".into(),
        reason,
        log: daemon::log_tail(&places.log),
    })
}

/// Starts a daemon: the way is found out, the configuration written, and a supervisor told of both.
async fn start(asked: &Asked<'_>, places: &Places, events: &Events) -> Result<(), BuilderError> {
    let mut options = asked.options.clone();
    options.rootless = asked.manner().await?;
    let network = options.rootless.as_ref().map(|manner| manner.network);
    let Configured {
        configuration,
        left_out,
    } = asked.configuration(network)?;
    for mirror in left_out {
        let text = format!(
            "the mirror {mirror} is on the loopback of this machine, which buildkitd cannot reach from its own network; it goes \
             without. LKPKG_ROOTLESS_NETWORK=host gives it the machine's"
        );
        events.send(Event::Warning(text)).await;
    }
    options.config = configuration
        .as_ref()
        .map(|configuration| places.config_file(configuration));
    events.notice(starting(&options, places)).await;
    places.write_config(configuration.as_ref())?;
    let mut supervisor = tokio::process::Command::new(&asked.local.lkpkg);
    if let (Some(configuration), Some(directory)) = (&configuration, options.config.as_deref().and_then(Path::parent))
        && let Some(value) = configuration.certificates(directory, asked.local.certificates.as_deref())
    {
        // The supervisor's environment is the daemon's.
        supervisor.env(CERTIFICATES_VARIABLE, value);
    }
    start_supervisor(supervisor, &options, places).await
}

/// Ends the daemon as soon as nobody uses it, and says whom it waits for.
async fn end(
    mut conversation: Conversation,
    places: &Places,
    reason: &str,
    limit: Duration,
    events: &Events,
) -> Result<(), BuilderError> {
    let begin = Instant::now();
    // Who was seen at the last look, and who was told of. Who has just left is seen for a moment yet.
    let (mut seen, mut told) = (Vec::new(), Vec::new());
    let mut interval = tokio::time::interval(LOOK_INTERVAL);
    loop {
        interval.tick().await;
        let Err(pids) = conversation.end().await else {
            return Ok(());
        };
        if begin.elapsed() >= limit {
            let reason = reason.to_owned();
            return Err(BuilderError::InUse { reason, pids });
        }
        if pids == seen && pids != told {
            let (limit, users) = (limit.as_secs(), users(&pids));
            let text =
                format!("waiting at most {limit} s before buildkitd is restarted ({reason}): process {users} uses it");
            events.notice(text).await;
            told = pids.clone();
        }
        seen = pids;
        match Conversation::begin(&places.control_socket).await {
            Some(again) => conversation = again,
            None => return Ok(()), // it has ended by itself
        }
    }
}

/// What users read: that something stays behind, for how long, and where.
fn starting(options: &SuperviseOptions, places: &Places) -> String {
    let (program, state) = (options.buildkitd.display(), places.state.display());
    let manner = match &options.rootless {
        Some(manner) => format!(" {manner}"),
        None => String::new(),
    };
    format!(
        "starting {program}{manner}; it ends {} s after its last use, its state and log are in {state}",
        options.idle.as_secs()
    )
}

/// The daemon that runs, when one does and it is the right one. The connection to its supervisor goes into the channel's
/// dialler, and so is held as long as any clone of the endpoint.
async fn join(places: &Places, asked: &Asked<'_>, events: &Events) -> Result<Option<Endpoint>, BuilderError> {
    let Some(conversation) = Conversation::begin(&places.control_socket).await else {
        return Ok(None);
    };
    let wanted = asked.wanted(&conversation.greeting, places)?;
    if decide(&wanted, &conversation.greeting, false) != Decision::Keep {
        return Ok(None);
    }
    let pid = conversation.greeting.pid;
    let Some(lease) = conversation.hold().await else {
        return Ok(None);
    };
    let lease = Arc::new(lease);
    let (held, socket) = (Arc::clone(&lease), places.buildkitd_socket.clone());
    let open = move || {
        let _held = &held;
        UnixStream::connect(socket.clone())
    };
    match dial::connect("local", open).await {
        Ok(endpoint) => {
            events
                .notice(format!("using buildkitd {}, process {pid}", endpoint.version))
                .await;
            Ok(Some(endpoint))
        }
        // Gone in this very moment: its supervisor ends as well, and closes the lease.
        Err(_) if tokio::time::timeout(NOTICE_TIMEOUT, lease.closed()).await.is_ok() => Ok(None),
        Err(reason) => {
            let address = format!("unix://{}", places.buildkitd_socket.display());
            Err(BuilderError::Unreachable { address, reason })
        }
    }
}

/// Starts a supervisor and waits for its word.
async fn start_supervisor(
    mut supervisor: tokio::process::Command,
    options: &SuperviseOptions,
    places: &Places,
) -> Result<(), BuilderError> {
    let log = places.fresh_log()?;
    let program = supervisor.as_std().get_program().to_owned();
    let mut supervisor = supervisor
        .args(options.arguments())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .map_err(io("starting", program))?;
    let not_started = |reason: String, log| BuilderError::NotStarted {
        what: "buildkitd".into(),
        reason,
        log,
    };
    let wordless = |reason: String| not_started(reason, daemon::log_tail(&places.log));
    let mut line = String::new();
    let stdout = supervisor
        .stdout
        .take()
        .ok_or_else(|| wordless("its supervisor has no output".into()))?;
    let mut stdout = BufReader::new(stdout);
    match tokio::time::timeout(REPORT_TIMEOUT, stdout.read_line(&mut line)).await {
        Ok(_) => match serde_json::from_str(&line) {
            Ok(Report::Ready) => Ok(()),
            Ok(Report::Failed { reason, log }) => Err(not_started(reason, log)),
            Err(_) => Err(wordless("its supervisor ended without a word".into())),
        },
        Err(_) => {
            // It owns a daemon perhaps, which it ends when it is asked to.
            if let Some(pid) = supervisor.id().and_then(daemon::pid) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            }
            Err(wordless(format!(
                "its supervisor did not report within {} s",
                REPORT_TIMEOUT.as_secs()
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;

    #[tokio::test]
    async fn what_is_missing_is_said_before_anything_is_started() {
        let check = async |local: Local, part: &str| {
            let error = endpoint(&local, &BuilderConfig::default(), &Events::silent())
                .await
                .expect_err("no buildkitd");
            assert!(error.to_string().contains(part), "{error}");
        };
        let nowhere = Path::new("/nowhere/buildkitd");
        check(Local::new("/l", "/s"), "there is no buildkitd on PATH").await;
        check(
            Local::new("/l", "/s").with_programs(Some(nowhere), OsStr::new("")),
            "there is no buildkitd at /nowhere",
        )
        .await;
    }
}
