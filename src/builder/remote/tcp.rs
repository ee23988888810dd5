//! A server behind a port, with or without TLS: [`Tcp`].

use super::stream::{ByteStream, Why};
use super::tls::{Tls, TlsOpener};
use crate::builder::BuilderError;
use rustix::net::sockopt;
use std::io;
use std::time::Duration;
use tokio::net::TcpStream;

/// A connection that is silent is asked whether the other side is still there after this time, again and again. While
/// BuildKit works for us it is never silent for more than 5 s.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(15);
/// The pause between two questions that get no answer.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// How many questions without an answer make the other side gone.
const KEEPALIVE_QUESTIONS: u32 = 4;

/// Where it listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tcp {
    /// Name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// None for plain TCP.
    pub tls: Option<Tls>,
}

/// Opens connections to it.
#[derive(Clone)]
pub struct TcpOpener {
    host: String,
    port: u16,
    tls: Option<TlsOpener>,
}

impl TcpOpener {
    /// Reads the files that TLS needs.
    pub fn new(tcp: &Tcp, protocol: &[u8], why: &Why) -> Result<Self, BuilderError> {
        let tls = tcp
            .tls
            .as_ref()
            .map(|tls| TlsOpener::new(tls, &tcp.host, protocol, why));
        Ok(Self {
            host: tcp.host.clone(),
            port: tcp.port,
            tls: tls.transpose()?,
        })
    }

    /// Connects, and agrees on TLS.
    pub async fn open(&self) -> io::Result<ByteStream> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        keep_alive(&stream)?;
        match &self.tls {
            None => Ok(ByteStream::new(stream)),
            Some(tls) => tls.open(stream).await,
        }
    }
}

/// A machine that vanishes says nothing: the kernel has to ask.
fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, KEEPALIVE_AFTER)?;
    sockopt::set_tcp_keepintvl(stream, KEEPALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(stream, KEEPALIVE_QUESTIONS)?;
    // What was sent and is not acknowledged stops the questions.
    let limit = KEEPALIVE_AFTER + KEEPALIVE_INTERVAL * KEEPALIVE_QUESTIONS;
    sockopt::set_tcp_user_timeout(stream, u32::try_from(limit.as_millis()).unwrap_or(u32::MAX))?;
    Ok(())
}
