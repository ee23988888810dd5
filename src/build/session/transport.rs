//! Bytes of a connection, carried in the messages of `Control.Session`.

use bollard_buildkit_proto::moby::buildkit::v1::BytesMessage;
use bollard_buildkit_proto::moby::buildkit::v1::control_client::ControlClient;
use futures_util::{StreamExt, TryStreamExt};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio_util::io::{ReaderStream, StreamReader};
use tokio_util::sync::CancellationToken;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tonic::transport::Channel;
use tonic::transport::server::Connected;
use tonic::{Request, Status};

/// How much may wait on its way to BuildKit; HTTP/2 frames are 16 KiB.
const PIPE_BYTES: usize = 256 * 1024;
/// How much goes into one message, as in BuildKit's own client.
const CHUNK_BYTES: usize = 32 * 1024;

/// Our end of the connection.
pub struct Pipe {
    reader: Pin<Box<dyn AsyncRead + Send>>,
    writer: DuplexStream,
}

/// Opens the stream; it ends when `stop` is cancelled.
pub async fn open(
    client: &mut ControlClient<Channel>,
    id: &str,
    shared_key: &str,
    methods: &[&'static str],
    stop: &CancellationToken,
) -> Result<Pipe, Status> {
    let (writer, outgoing) = tokio::io::duplex(PIPE_BYTES);
    let messages = ReaderStream::with_capacity(outgoing, CHUNK_BYTES)
        .filter_map(|chunk| std::future::ready(chunk.ok()))
        .map(|chunk| BytesMessage { data: chunk.into() })
        .take_until(stop.clone().cancelled_owned());
    let mut request = Request::new(messages);
    describe(request.metadata_mut(), id, shared_key, methods)?;
    let incoming = client.session(request).await?.into_inner();
    let bytes = incoming
        .map_ok(|message| io::Cursor::new(message.data))
        .map_err(io::Error::other)
        .take_until(stop.clone().cancelled_owned());
    Ok(Pipe {
        reader: Box::pin(StreamReader::new(bytes)),
        writer,
    })
}

fn describe(metadata: &mut MetadataMap, id: &str, shared_key: &str, methods: &[&'static str]) -> Result<(), Status> {
    let text = |value: &str| AsciiMetadataValue::try_from(value).map_err(|e| Status::invalid_argument(e.to_string()));
    metadata.insert("x-docker-expose-session-uuid", text(id)?);
    metadata.insert("x-docker-expose-session-name", AsciiMetadataValue::from_static("lkpkg"));
    metadata.insert("x-docker-expose-session-sharedkey", text(shared_key)?);
    for method in methods {
        metadata.append(
            "x-docker-expose-session-grpc-method",
            AsciiMetadataValue::from_static(method),
        );
    }
    Ok(())
}

impl Connected for Pipe {
    type ConnectInfo = ();
    fn connect_info(&self) {}
}

impl AsyncRead for Pipe {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.reader.as_mut().poll_read(cx, buffer)
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.writer).poll_write(cx, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_shutdown(cx)
    }
}
