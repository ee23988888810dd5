//! containerd's content service over the session: BuildKit reads cached images from, and writes its result into, the
//! caller's [`Content`]; local caches have one of their own each.
//!
//! Nothing is held here but one message a stream; writes are in [`super::ingest`].

use super::ingest::Ingest;
use super::proto::content_server::Content as ContentService;
use super::proto::{
    AbortRequest, Empty, Info, InfoRequest, InfoResponse, ReadContentRequest, ReadContentResponse, StatusRequest,
    StatusResponse, UpdateRequest, UpdateResponse, WriteContentRequest, WriteContentResponse,
};
use super::{Answers, FirstFailure, Held};
use crate::build::cache::{CacheDirectories, STORE_PREFIX};
use crate::content::{Content, ContentError};
use crate::oci::Digest;
use futures_util::StreamExt;
use std::sync::Arc;
use tokio::io::AsyncReadExt;
use tokio_util::io::ReaderStream;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

/// BuildKit's name for the store that an exporter writes to.
const EXPORT_STORE: &str = "export";
/// The name in `oci-layout://…` under which cached images are found.
pub const CACHE_STORE: &str = "lkpkg-cache";
/// Header in which BuildKit names the store.
const STORE_HEADER: &str = "buildkit-attachable-store-id";
/// How much of a blob goes into one message: few messages, and still little memory.
const READ_CHUNK_BYTES: usize = 256 * 1024;

/// Serves one [`Content`] as both stores, and the local caches.
pub struct ContentServer {
    pub content: Arc<dyn Content>,
    pub caches: CacheDirectories,
    pub failure: Arc<FirstFailure>,
    pub held: Held,
}

/// One of the stores.
struct Chosen {
    content: Arc<dyn Content>,
    is_written: bool,
    /// Where it is said that reading failed.
    failure: Arc<FirstFailure>,
}

impl ContentServer {
    fn chosen(&self, metadata: &MetadataMap) -> Result<Chosen, Status> {
        let name = metadata
            .get(STORE_HEADER)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let unknown = || Status::not_found(format!("there is no store {name:?} here"));
        if let Some(path) = name.strip_prefix(STORE_PREFIX) {
            return Ok(Chosen {
                content: self.caches.get(path).ok_or_else(unknown)?.clone(),
                is_written: true,
                // A build does without a cache that cannot be read.
                failure: Arc::default(),
            });
        }
        let is_written = match name.strip_prefix("oci:") {
            Some(CACHE_STORE) => false,
            None if name == EXPORT_STORE => true,
            _ => return Err(unknown()),
        };
        Ok(Chosen {
            content: self.content.clone(),
            is_written,
            failure: self.failure.clone(),
        })
    }
}

impl Chosen {
    async fn size(&self, digest: &Digest) -> Result<u64, Status> {
        match self.content.size(digest).await {
            Ok(Some(size)) => Ok(size),
            Ok(None) => Err(Status::not_found(format!("content {digest}: not found"))),
            Err(error) => Err(self.fail(error)),
        }
    }

    /// Keeps the reason for the user, and gives BuildKit a text.
    fn fail(&self, error: ContentError) -> Status {
        if let ContentError::Missing(digest) = &error {
            return Status::not_found(format!("content {digest}: not found"));
        }
        let status = Status::internal(error.to_string());
        self.failure.set(error.into());
        status
    }
}

fn digest(text: &str) -> Result<Digest, Status> {
    text.parse()
        .map_err(|error: crate::oci::DigestError| Status::invalid_argument(error.to_string()))
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[tonic::async_trait]
impl ContentService for ContentServer {
    type ReadStream = Answers<ReadContentResponse>;
    type WriteStream = Answers<WriteContentResponse>;

    async fn info(&self, request: Request<InfoRequest>) -> Result<Response<InfoResponse>, Status> {
        let store = self.chosen(request.metadata())?;
        let digest = digest(&request.get_ref().digest)?;
        let size = number(store.size(&digest).await?);
        let info = Info {
            digest: digest.to_string(),
            size,
            ..Info::default()
        };
        Ok(Response::new(InfoResponse { info: Some(info) }))
    }

    /// Labels are for containerd's garbage collection; they are taken and not kept.
    async fn update(&self, request: Request<UpdateRequest>) -> Result<Response<UpdateResponse>, Status> {
        self.chosen(request.metadata())?;
        Ok(Response::new(UpdateResponse {
            info: request.into_inner().info,
        }))
    }

    async fn read(&self, request: Request<ReadContentRequest>) -> Result<Response<Self::ReadStream>, Status> {
        let store = self.chosen(request.metadata())?;
        let request = request.into_inner();
        let digest = digest(&request.digest)?;
        let size = store.size(&digest).await?;
        let offset = u64::try_from(request.offset).unwrap_or(u64::MAX);
        let rest = size.checked_sub(offset).ok_or_else(|| {
            Status::out_of_range(format!(
                "content {digest} has {size} bytes, asked for offset {}",
                request.offset
            ))
        })?;
        let length = match u64::try_from(request.size) {
            Ok(wanted) if wanted > 0 => wanted.min(rest),
            _ => rest,
        };
        let reader = store.content.read(&digest, offset).await;
        let reader = reader.map_err(|error| store.fail(error))?;
        let failure = store.failure;
        let chunks = ReaderStream::with_capacity(reader.take(length), READ_CHUNK_BYTES);
        let answers = chunks.scan(offset, move |at, chunk| {
            let answer = match chunk {
                Ok(data) => {
                    let offset = number(*at);
                    *at += data.len() as u64;
                    Ok(ReadContentResponse {
                        offset,
                        data: data.into(),
                    })
                }
                Err(error) => {
                    let status = Status::data_loss(format!("content {digest}: {error}"));
                    let doing = format!("cannot read {digest}");
                    failure.set(
                        ContentError::Failed {
                            doing,
                            source: error.into(),
                        }
                        .into(),
                    );
                    Err(status)
                }
            };
            std::future::ready(Some(answer))
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn write(
        &self,
        request: Request<Streaming<WriteContentRequest>>,
    ) -> Result<Response<Self::WriteStream>, Status> {
        let store = self.chosen(request.metadata())?;
        if !store.is_written {
            return Err(Status::permission_denied("the cache is not written to by name"));
        }
        let ingest = Ingest::new(
            store.content,
            self.failure.clone(),
            self.held.clone(),
            request.into_inner(),
        );
        Ok(Response::new(ingest.answer().await?))
    }

    async fn status(&self, request: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        self.chosen(request.metadata())?;
        // An ingest lives as long as its stream and cannot be taken up again.
        Err(Status::not_found(format!(
            "there is no ingest {:?}",
            request.get_ref().r#ref
        )))
    }

    async fn abort(&self, request: Request<AbortRequest>) -> Result<Response<Empty>, Status> {
        self.chosen(request.metadata())?;
        Ok(Response::new(Empty {}))
    }
}
