//! What lkpkg and its supervisor say to each other: one JSON value a line.
//!
//! On the control socket the supervisor greets; the client answers with a [`Wish`]; the supervisor grants it, refuses it,
//! or is gone. A client that got [`Answer::Granted`] for [`Wish::Hold`] is counted as a user until its connection closes,
//! by whatever end: no user is forgotten, none stays behind. To the process that started it, the supervisor says one
//! [`Report`] on standard output.

use super::rootless::Network;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

/// Both sides answer at once; whoever does not is stuck.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// More than any line of ours has.
const LINE_MAX_BYTES: u64 = 64 * 1024;

/// The supervisor's first word: what runs here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Greeting {
    /// The program.
    pub buildkitd: PathBuf,
    /// Its configuration file, if it has one.
    pub config: Option<PathBuf>,
    /// Its network; None for root's, which has the machine's.
    #[serde(default)]
    pub network: Option<Network>,
    /// Process ID of `buildkitd`; of the RootlessKit around it where there is one.
    pub pid: u32,
}

/// What a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Wish {
    /// Keep the daemon until I close this connection.
    Hold,
    /// End the daemon, unless someone holds it.
    End,
}

/// The supervisor's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Answer {
    /// So it is done.
    Granted,
    /// These processes hold it.
    InUse(Vec<i32>),
}

/// What the supervisor says to the process that started it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Report {
    /// The daemon answers, and the control socket is there.
    Ready,
    /// It could not be started; the supervisor ends.
    Failed {
        /// Why.
        reason: String,
        /// The last lines of the daemon's log; empty when there are none.
        log: String,
    },
}

/// A connection with one side's lines.
pub(super) type Line = BufReader<UnixStream>;

/// Reads one value; None when the other side is gone, stuck, or talks nonsense.
pub(super) async fn hear<T: DeserializeOwned>(stream: &mut Line) -> Option<T> {
    let mut line = String::new();
    let mut limited = stream.take(LINE_MAX_BYTES);
    tokio::time::timeout(ANSWER_TIMEOUT, limited.read_line(&mut line))
        .await
        .ok()?
        .ok()?;
    serde_json::from_str(&line).ok()
}

/// Writes one value; None when the other side is gone.
pub(super) async fn say<T: Serialize>(stream: &mut Line, value: &T) -> Option<()> {
    let line = serde_json::to_string(value).ok()? + "\n";
    tokio::time::timeout(ANSWER_TIMEOUT, stream.write_all(line.as_bytes()))
        .await
        .ok()?
        .ok()
}

/// The client's side, after the greeting.
pub(super) struct Conversation {
    pub greeting: Greeting,
    stream: Line,
}

impl Conversation {
    /// Greets a supervisor, if one listens. One that is just ending counts as none.
    pub async fn begin(control_socket: &Path) -> Option<Self> {
        let mut stream = BufReader::new(UnixStream::connect(control_socket).await.ok()?);
        let greeting = hear(&mut stream).await?;
        Some(Self { greeting, stream })
    }

    /// Process ID of the supervisor, where the system says it.
    pub fn supervisor(&self) -> Option<u32> {
        let peer = self.stream.get_ref().peer_cred().ok()?;
        peer.pid()?.try_into().ok()
    }

    /// Holds the daemon; None when it is just ending.
    pub async fn hold(mut self) -> Option<Lease> {
        say(&mut self.stream, &Wish::Hold).await?;
        (hear::<Answer>(&mut self.stream).await? == Answer::Granted).then(|| Lease(self.stream.into_inner()))
    }

    /// Ends the daemon; the error are those who hold it.
    pub async fn end(mut self) -> Result<(), Vec<i32>> {
        let _ = say(&mut self.stream, &Wish::End).await;
        match hear(&mut self.stream).await {
            Some(Answer::InUse(pids)) => Err(pids),
            _ => Ok(()), // granted, or gone already
        }
    }
}

/// The daemon is held as long as this lives.
pub(super) struct Lease(UnixStream);

impl Lease {
    /// Waits until the supervisor closes the connection, which it does when the daemon ends.
    pub async fn closed(&self) {
        let mut byte = [0];
        while self.0.readable().await.is_ok() {
            match self.0.try_read(&mut byte) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                _ => return,
            }
        }
    }
}
