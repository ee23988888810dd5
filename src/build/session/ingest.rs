//! One blob on its way from BuildKit into the content: `Content.Write` → [`crate::content::Sink::put`].
//!
//! BuildKit asks (STAT), sends pieces (WRITE) and waits for the answer to each, then ends (COMMIT). The put runs inside
//! the answers' stream: when BuildKit or the session goes away, stream and put are dropped together and nothing stays.

use super::proto::{WriteAction, WriteContentRequest, WriteContentResponse};
use super::{Answers, FirstFailure, Held};
use crate::content::{BlobReader, Content, ContentError};
use crate::oci::{Descriptor, Digest};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream;
use std::io;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_util::io::StreamReader;
use tonic::{Status, Streaming};

/// How many messages may lie between BuildKit and the disk. BuildKit waits for an answer to each, so that one is enough
/// to keep both busy, and one message is at most [`super::MESSAGE_MAX_BYTES`].
const PIECES: usize = 1;
/// Content services are not told a blob's media type, and nobody asks for it.
const MEDIA_TYPE: &str = "application/octet-stream";

/// What the reader of a blob gets.
enum Piece {
    Data(Bytes),
    /// The blob is complete; without it the end of the channel is an error.
    End,
}

/// A blob that is being written.
pub struct Ingest {
    content: Arc<dyn Content>,
    failure: Arc<FirstFailure>,
    /// Tells the session that a write is still on its way.
    _held: Held,
    requests: Streaming<WriteContentRequest>,
    blob: Option<Blob>,
}

struct Blob {
    descriptor: Descriptor,
    /// Bytes that have come.
    offset: u64,
    pieces: mpsc::Sender<Piece>,
    /// `None` when it has ended well; what still comes is then thrown away.
    put: Option<BoxFuture<'static, Result<(), ContentError>>>,
}

impl Ingest {
    pub fn new(
        content: Arc<dyn Content>,
        failure: Arc<FirstFailure>,
        held: Held,
        requests: Streaming<WriteContentRequest>,
    ) -> Self {
        Self {
            content,
            failure,
            _held: held,
            requests,
            blob: None,
        }
    }

    /// The answers. The first one is waited for here, so that "there already" is the call's own answer.
    pub async fn answer(mut self) -> Result<Answers<WriteContentResponse>, Status> {
        let Some(first) = self.next().await? else {
            return Ok(Box::pin(stream::empty()));
        };
        if first.is_last {
            return Ok(Box::pin(stream::iter([Ok(first.response)])));
        }
        let rest = stream::unfold(Some(self), |state| async {
            let mut ingest = state?;
            match ingest.next().await {
                Ok(None) => None,
                Ok(Some(answer)) => Some((Ok(answer.response), (!answer.is_last).then_some(ingest))),
                Err(status) => Some((Err(status), None)),
            }
        });
        Ok(Box::pin(stream::iter([Ok(first.response)]).chain(rest)))
    }

    /// Takes one message; `None` when BuildKit ends the stream.
    async fn next(&mut self) -> Result<Option<Answer>, Status> {
        let message = match &mut self.blob {
            None => self.requests.message().await?,
            Some(blob) => {
                // The put works on what it has while the next message is on its way, and may fail meanwhile.
                let ended = tokio::select! {
                    message = self.requests.message() => Ok(message?),
                    result = blob.finish() => Err(result),
                };
                match ended {
                    Ok(message) => message,
                    Err(Ok(())) => self.requests.message().await?,
                    Err(Err(error)) => return Err(self.fail(error)),
                }
            }
        };
        let Some(mut message) = message else { return Ok(None) };
        if self.blob.is_none() {
            self.blob = Some(self.open(&message).await?);
        }
        let data = std::mem::take(&mut message.data);
        self.take(&message, data).await.map(Some)
    }

    /// The first message says what comes.
    async fn open(&mut self, message: &WriteContentRequest) -> Result<Blob, Status> {
        let digest: Digest = message
            .expected
            .parse()
            .map_err(|error| Status::invalid_argument(format!("a write must begin with its digest: {error}")))?;
        let size = u64::try_from(message.total).map_err(|_| Status::invalid_argument("the size is negative"))?;
        let descriptor = Descriptor::new(MEDIA_TYPE, digest, size);
        match self.content.has(&descriptor).await {
            Ok(true) => {
                return Err(Status::already_exists(format!(
                    "content {}: already exists",
                    descriptor.digest
                )));
            }
            Ok(false) => {}
            Err(error) => return Err(self.fail(error)),
        }
        let (pieces, receiver) = mpsc::channel(PIECES);
        let (content, target) = (self.content.clone(), descriptor.clone());
        let put = Box::pin(async move { content.put(&target, reader(receiver)).await });
        Ok(Blob {
            descriptor,
            offset: 0,
            pieces,
            put: Some(put),
        })
    }

    async fn take(&mut self, message: &WriteContentRequest, data: Vec<u8>) -> Result<Answer, Status> {
        let Some(blob) = &mut self.blob else {
            return Err(Status::internal("there is no blob"));
        };
        let digest = blob.descriptor.digest.clone();
        if !data.is_empty() {
            if u64::try_from(message.offset) != Ok(blob.offset) {
                return Err(Status::invalid_argument(format!(
                    "content {digest}: a piece for offset {} came at {}",
                    message.offset, blob.offset
                )));
            }
            let length = data.len() as u64;
            blob.offset += length;
            if let Err(error) = blob.send(Piece::Data(data.into())).await {
                return Err(self.fail(error));
            }
        }
        let action = message.action();
        if action == WriteAction::Commit {
            self.commit(message).await?;
        }
        let Some(blob) = &self.blob else {
            return Err(Status::internal("there is no blob"));
        };
        let response = WriteContentResponse {
            action: action.into(),
            offset: i64::try_from(blob.offset).unwrap_or(i64::MAX),
            total: i64::try_from(blob.descriptor.size).unwrap_or(i64::MAX),
            // The digest so far is not known before the end; containerd's client asks for it then only.
            digest: if action == WriteAction::Commit {
                digest.to_string()
            } else {
                String::new()
            },
        };
        Ok(Answer {
            response,
            is_last: action == WriteAction::Commit,
        })
    }

    async fn commit(&mut self, message: &WriteContentRequest) -> Result<(), Status> {
        let Some(blob) = &mut self.blob else {
            return Err(Status::internal("there is no blob"));
        };
        let digest = &blob.descriptor.digest;
        let is_other = !message.expected.is_empty() && message.expected != digest.as_str();
        if is_other || (message.total > 0 && u64::try_from(message.total) != Ok(blob.offset)) {
            return Err(Status::failed_precondition(format!(
                "content {digest}: {} of {} bytes came as {}",
                blob.offset, message.total, message.expected
            )));
        }
        let result = match blob.send(Piece::End).await {
            Ok(()) if blob.put.is_some() => blob.finish().await,
            result => result,
        };
        result.map_err(|error| self.fail(error))
    }

    /// Keeps the reason for the user, and gives BuildKit a text.
    fn fail(&self, error: ContentError) -> Status {
        let status = Status::failed_precondition(error.to_string());
        self.failure.set(error.into());
        status
    }
}

impl Blob {
    /// Hands a piece over while the put works.
    async fn send(&mut self, piece: Piece) -> Result<(), ContentError> {
        if self.put.is_none() {
            return Ok(());
        }
        let pieces = self.pieces.clone();
        tokio::select! {
            biased;
            // When the put has let go of its reader, its result says why.
            sent = pieces.send(piece) => if sent.is_ok() { Ok(()) } else { self.finish().await },
            result = self.finish() => result,
        }
    }

    /// Waits until the put has ended. It can end before all has come: somebody else has put the same blob meanwhile.
    async fn finish(&mut self) -> Result<(), ContentError> {
        let Some(put) = &mut self.put else {
            return std::future::pending().await;
        };
        put.await?;
        self.put = None;
        Ok(())
    }
}

struct Answer {
    response: WriteContentResponse,
    is_last: bool,
}

/// The bytes of the pieces, and an error where they end too soon.
fn reader(receiver: mpsc::Receiver<Piece>) -> BlobReader {
    let pieces = stream::unfold(Some(receiver), |state| async {
        let mut receiver = state?;
        match receiver.recv().await {
            Some(Piece::Data(bytes)) => Some((Ok(bytes), Some(receiver))),
            Some(Piece::End) => None,
            None => {
                let error = io::Error::new(io::ErrorKind::UnexpectedEof, "BuildKit gave up before the end");
                Some((Err(error), None))
            }
        }
    });
    Box::pin(StreamReader::new(Box::pin(pieces)))
}
