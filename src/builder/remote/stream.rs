//! A stream of bytes to a server, whichever way it is reached: [`Opener`] → [`ByteStream`].

use super::Way;
use super::command::CommandStream;
use super::tcp::TcpOpener;
use crate::builder::BuilderError;
use hyper_util::client::legacy::connect::{Connected, Connection};
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::sync::Semaphore;

/// Both directions.
trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A stream of bytes to a server. Dropping it closes it, and ends the program behind it.
pub struct ByteStream(Box<dyn Duplex>);

impl ByteStream {
    pub(super) fn new(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        Self(Box::new(stream))
    }
}

/// Why a stream ended, in words for the user. Whoever speaks HTTP over the stream may notice its end before he has asked
/// anything, and does not tell why then.
#[derive(Clone, Default)]
pub struct Why(Arc<Mutex<Option<String>>>);

impl Why {
    /// Keeps the first reason, and gives it back as an error.
    pub(super) fn keep(&self, error: io::Error) -> io::Error {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get_or_insert_with(|| error.to_string());
        error
    }

    /// The reason that was kept, else this one.
    pub fn or(&self, reason: String) -> String {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clone().unwrap_or(reason)
    }
}

/// Opens streams to one server. The files that TLS needs are read once, when it is made.
#[derive(Clone)]
pub struct Opener {
    kind: Kind,
    /// Why its first stream ended.
    pub why: Why,
}

#[derive(Clone)]
enum Kind {
    Unix(PathBuf),
    Tcp(TcpOpener),
    Program(Vec<String>, Arc<Semaphore>),
}

/// How many programs of one opener may be about to answer at once. sshd drops logins at random when more than ten are under way
/// (`MaxStartups`), and other processes log in too.
const STARTING_MAX: usize = 4;

impl Opener {
    /// For a server that speaks `protocol`, as TLS calls it.
    pub fn new(way: &Way, protocol: &[u8]) -> Result<Self, BuilderError> {
        let why = Why::default();
        let kind = match way {
            Way::Unix(path) => Kind::Unix(path.clone()),
            Way::Tcp(tcp) => Kind::Tcp(TcpOpener::new(tcp, protocol, &why)?),
            Way::Program(line) => Kind::Program(line.clone(), Arc::new(Semaphore::new(STARTING_MAX))),
        };
        Ok(Self { kind, why })
    }

    /// Opens one. The caller says how long it may take.
    pub async fn open(&self) -> io::Result<ByteStream> {
        Ok(match &self.kind {
            Kind::Unix(path) => ByteStream::new(UnixStream::connect(path).await?),
            Kind::Tcp(tcp) => tcp.open().await?,
            Kind::Program(line, starting) => {
                let permit = starting.clone().acquire_owned().await.map_err(io::Error::other)?;
                ByteStream::new(CommandStream::start(line, &self.why, Some(permit))?)
            }
        })
    }
}

impl AsyncRead for ByteStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for ByteStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl Connection for ByteStream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}
