//! BuildKit and Docker daemons that someone else looks after: how they are reached → a stream of bytes, an [`Endpoint`].
//!
//! A [`Way`] says how, and does nothing; an [`Opener`](stream::Opener) made of it opens streams, as many as are wanted. Both
//! kinds of server are reached the same ways: a Unix socket, TCP with or without TLS (`tls.rs`), or the standard streams of a
//! program (`command.rs`): ssh and kubectl. `client.rs` lets the Docker Engine API go over such a stream, `embedded.rs` turns
//! one to a Docker daemon into one to the BuildKit inside of it.

mod client;
mod command;
mod embedded;
mod stream;
mod tcp;
mod tls;

pub use command::{KubePod, Ssh};
pub use tcp::Tcp;
pub use tls::Tls;

pub(super) use client::client;
pub(super) use stream::{ByteStream, Opener};

use super::context::Daemon;
use super::{BuilderConfig, BuilderError, Endpoint, dial, docker};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// How long a builder may take to answer when nothing else is asked for: ssh through a proxy to the other side of the world
/// takes a few seconds, and what does not answer after this is gone rather than slow.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(20);

/// What BuildKit and Go's gRPC want to be agreed on in TLS.
const HTTP2: &[u8] = b"h2";

/// How a server is reached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// A socket of this machine.
    Unix(PathBuf),
    /// A port, perhaps with TLS.
    Tcp(Tcp),
    /// The standard streams of a program: its name and its arguments.
    Program(Vec<String>),
}

/// A BuildKit that is only dialled.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dialled {
    /// As the user writes it.
    pub address: String,
    /// How it is reached.
    pub way: Way,
}

impl fmt::Display for Dialled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address)
    }
}

impl FromStr for Dialled {
    type Err = BuilderError;

    fn from_str(text: &str) -> Result<Self, BuilderError> {
        match text.parse()? {
            super::Address::Dialled(dialled) => Ok(dialled),
            _ => Err(BuilderError::BadAddress {
                text: text.into(),
                reason: "it is no address to dial".into(),
            }),
        }
    }
}

/// The BuildKit at an address.
pub(super) async fn dialled(to: &Dialled, config: &BuilderConfig) -> Result<Endpoint, BuilderError> {
    let opener = Opener::new(&to.way, HTTP2)?;
    let why = opener.why.clone();
    let open = move || {
        let opener = opener.clone();
        async move { opener.open().await }
    };
    // Which files it takes is not what it is called.
    let name = to.address.split('?').next().unwrap_or_default();
    let endpoint = dial::within(name, config.timeout, open).await;
    endpoint.map_err(|reason| unreachable(name, why.or(reason)))
}

/// The BuildKit in a container that someone else looks after.
pub(super) async fn in_container(
    name: &str,
    daemon: &Daemon,
    config: &BuilderConfig,
) -> Result<Endpoint, BuilderError> {
    let client = docker::connect(daemon, config.timeout).await?;
    let (address, container) = (format!("docker-container://{name}"), name.to_owned());
    let open = move || docker::open_stream(client.clone(), container.clone());
    let endpoint = dial::within(&address, config.timeout, open).await;
    let endpoint = endpoint.map_err(|reason| unreachable(&address, reason))?;
    Ok(endpoint.in_context(daemon.context.as_deref()))
}

/// The BuildKit that is part of a Docker daemon.
pub(super) async fn embedded(daemon: &Daemon, config: &BuilderConfig) -> Result<Endpoint, BuilderError> {
    let client = docker::connect(daemon, config.timeout).await?;
    embedded::has_exporter(&client, daemon).await?;
    let opener = Opener::new(&daemon.way, client::HTTP1)?;
    let why = opener.why.clone();
    let open = move || {
        let opener = opener.clone();
        async move { embedded::upgraded(opener.open().await?).await }
    };
    let address = format!("docker://{}", daemon.context.as_deref().unwrap_or_default());
    let endpoint = dial::within(&address, config.timeout, open).await;
    endpoint.map_err(|reason| unreachable(&address, why.or(reason)))
}

fn unreachable(address: &str, reason: String) -> BuilderError {
    BuilderError::Unreachable {
        address: address.into(),
        reason,
    }
}
