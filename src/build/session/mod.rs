//! The session: what BuildKit asks its client for while it builds.
//!
//! `Control.Session` is a stream of bytes in both directions; inside it BuildKit is the gRPC client and we are the server.
//! [`Session::open`] starts it, [`Session::close`] ends it and waits until nothing of it works any more; dropping it ends
//! it as well.

mod agent;
mod auth;
mod content;
mod health;
mod ingest;
mod proto;
mod secrets;
mod ssh;
mod transport;

pub use content::CACHE_STORE;

use super::filesync::FileSyncService;
use super::{BuildError, CacheDirectories, SecretSource, SshSource};
use crate::content::Content;
use crate::oci::credentials::CredentialSource;
use bollard_buildkit_proto::health::health_server::HealthServer;
use bollard_buildkit_proto::moby::buildkit::secrets::v1::secrets_server::SecretsServer;
use bollard_buildkit_proto::moby::buildkit::v1::control_client::ControlClient;
use bollard_buildkit_proto::moby::filesync::v1::auth_server::AuthServer;
use bollard_buildkit_proto::moby::filesync::v1::file_sync_server::FileSyncServer;
use bollard_buildkit_proto::moby::sshforward::v1::ssh_server::SshServer;
use futures_util::Stream;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::{Channel, Server};
use tonic::{Response, Status};

/// The largest message that BuildKit sends (containerd's `DefaultMaxSendMsgSize`).
pub const MESSAGE_MAX_BYTES: usize = 16 * 1024 * 1024;
/// How much BuildKit may send ahead in one call: enough for a fast local disk, little enough for memory.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
/// How much it may send ahead in all calls together.
const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
/// The most that the headers of a call may hold: a .dockerignore's patterns travel in them.
const HEADERS_MAX_BYTES: u32 = 4 * 1024 * 1024;
/// How long [`Session::close`] waits for calls to end; they have nothing to wait for themselves.
const CLOSE_TIMEOUT_MS: u64 = 2_000;

/// A stream of answers.
type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
/// Held by everything that still works for a session; never sent through.
type Held = mpsc::Sender<std::convert::Infallible>;

/// What a session serves.
pub struct Services {
    /// Context and Dockerfile.
    pub files: FileSyncService,
    /// Cached images, and the place for the result.
    pub content: Arc<dyn Content>,
    /// Local caches.
    pub caches: CacheDirectories,
    /// What registries are shown.
    pub credentials: CredentialSource,
    /// Secrets of RUN.
    pub secrets: Vec<SecretSource>,
    /// Agents of RUN.
    pub ssh: Vec<SshSource>,
}

/// An open session.
pub struct Session {
    /// What BuildKit knows it by.
    pub id: String,
    /// The first thing that went wrong on our side.
    pub failure: Arc<FirstFailure>,
    tasks: JoinSet<()>,
    stop: DropGuard,
    held: mpsc::Receiver<std::convert::Infallible>,
}

impl Session {
    /// Opens a session. `shared_key` stays the same for the same directory, so that BuildKit asks only for files that
    /// changed since the last session with it.
    pub async fn open(
        client: &mut ControlClient<Channel>,
        id: String,
        shared_key: &str,
        services: Services,
    ) -> Result<Self, Status> {
        let stop = CancellationToken::new();
        let (holder, held) = mpsc::channel(1);
        let failure = Arc::new(FirstFailure::default());
        let pipe = transport::open(client, &id, shared_key, &METHODS, &stop).await?;
        let router = Server::builder()
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .http2_max_header_list_size(HEADERS_MAX_BYTES)
            .add_service(HealthServer::new(health::HealthService))
            .add_service(FileSyncServer::new(services.files).max_decoding_message_size(MESSAGE_MAX_BYTES))
            .add_service(AuthServer::new(auth::AuthService {
                credentials: services.credentials,
                failure: failure.clone(),
            }))
            .add_service(SecretsServer::new(secrets::SecretsService {
                secrets: services.secrets,
                failure: failure.clone(),
            }))
            .add_service(SshServer::new(ssh::SshService { sources: services.ssh }))
            .add_service(
                proto::content_server::ContentServer::new(content::ContentServer {
                    content: services.content,
                    caches: services.caches,
                    failure: failure.clone(),
                    held: holder,
                })
                .max_decoding_message_size(MESSAGE_MAX_BYTES),
            );
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let connection = futures_util::stream::once(std::future::ready(Ok::<_, std::io::Error>(pipe)));
            // How the connection ended says nothing that the solve's own answer does not say better.
            let _ = router.serve_with_incoming(connection).await;
        });
        Ok(Self {
            id,
            failure,
            tasks,
            stop: stop.drop_guard(),
            held,
        })
    }

    /// Ends the session, and waits until no call of it works any more.
    pub async fn close(self) {
        let Self {
            mut tasks,
            stop,
            mut held,
            ..
        } = self;
        drop(stop);
        let ended = async {
            while tasks.join_next().await.is_some() {}
            // The server's connection is a task of its own; it lets go of the services when it has ended.
            held.recv().await;
        };
        let _ = tokio::time::timeout(Duration::from_millis(CLOSE_TIMEOUT_MS), ended).await;
    }
}

/// What BuildKit may call; it refuses to call what is not in the list.
const METHODS: [&str; 15] = [
    "/grpc.health.v1.Health/Check",
    "/moby.filesync.v1.FileSync/DiffCopy",
    "/moby.filesync.v1.Auth/Credentials",
    "/moby.filesync.v1.Auth/FetchToken",
    "/moby.filesync.v1.Auth/GetTokenAuthority",
    "/moby.filesync.v1.Auth/VerifyTokenAuthority",
    "/moby.buildkit.secrets.v1.Secrets/GetSecret",
    "/moby.sshforward.v1.SSH/CheckAgent",
    "/moby.sshforward.v1.SSH/ForwardAgent",
    "/containerd.services.content.v1.Content/Info",
    "/containerd.services.content.v1.Content/Update",
    "/containerd.services.content.v1.Content/Read",
    "/containerd.services.content.v1.Content/Write",
    "/containerd.services.content.v1.Content/Status",
    "/containerd.services.content.v1.Content/Abort",
];

/// The first thing that went wrong on our side. BuildKit wraps what it is told in its own words; the user sees this.
#[derive(Default)]
pub struct FirstFailure(Mutex<Option<BuildError>>);

impl FirstFailure {
    fn set(&self, error: BuildError) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(error);
    }

    /// Takes it out.
    pub fn take(&self) -> Option<BuildError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The answer to calls that BuildKit does not need.
fn refused<T>(call: &str) -> Result<Response<T>, Status> {
    Err(Status::unimplemented(format!("{call} is not served here")))
}
