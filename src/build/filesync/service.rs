//! [`FileSyncService`]: the gRPC service. It picks the tree; [`super::send()`] does the rest.

use super::error::FileSyncError;
use super::options::parse_call;
use super::send::{PacketStream, send};
use super::tree::Tree;
use bollard_buildkit_proto::fsutil::types::Packet;
use bollard_buildkit_proto::moby::filesync::v1::file_sync_server::FileSync;
use std::collections::BTreeMap;
use std::sync::Arc;
use tonic::{Request, Response, Status, Streaming};

/// Serves named trees to BuildKit. Add it to the session's server inside a `FileSyncServer`.
///
/// Patterns travel as metadata: let the server accept headers larger than hyper's 16 KiB
/// (`http2_max_header_list_size`), or a long .dockerignore is refused.
#[derive(Clone, Debug)]
pub struct FileSyncService {
    directories: BTreeMap<String, Arc<Tree>>,
}

impl FileSyncService {
    /// Trees by the names under which BuildKit asks for them ("context", "dockerfile").
    pub fn new(directories: BTreeMap<String, Arc<Tree>>) -> Self {
        Self { directories }
    }
}

#[async_trait::async_trait]
impl FileSync for FileSyncService {
    type DiffCopyStream = PacketStream;
    type TarStreamStream = PacketStream;

    async fn diff_copy(&self, request: Request<Streaming<Packet>>) -> Result<Response<PacketStream>, Status> {
        let call = parse_call(request.metadata()).map_err(|error| error.to_status())?;
        let tree = self
            .directories
            .get(&call.directory)
            .ok_or_else(|| FileSyncError::UnknownDirectory(call.directory.clone()).to_status())?;
        Ok(Response::new(send(tree.clone(), call.options, request.into_inner())))
    }

    /// An older protocol; BuildKit asks for it only where `diff_copy` is missing.
    async fn tar_stream(&self, _: Request<Streaming<Packet>>) -> Result<Response<PacketStream>, Status> {
        Err(Status::unimplemented("files are sent by DiffCopy only"))
    }
}
