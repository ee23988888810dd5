//! SSH agents, connected to when a RUN step mounts them.

use super::Answers;
use super::agent::Agent;
use crate::build::SshSource;
use bollard_buildkit_proto::moby::sshforward::v1::ssh_server::Ssh;
use bollard_buildkit_proto::moby::sshforward::v1::{BytesMessage, CheckAgentRequest, CheckAgentResponse};
use futures_util::{StreamExt, TryStreamExt};
use std::io;
use tokio::net::UnixStream;
use tokio_util::io::{ReaderStream, StreamReader};
use tonic::{Request, Response, Status, Streaming};

/// Header in which BuildKit names the agent.
const ID_HEADER: &str = "buildkit.ssh.id";
/// How much goes into one message; the messages of agents are smaller.
const CHUNK_BYTES: usize = 32 * 1024;

/// The agents of one build.
pub struct SshService {
    pub sources: Vec<SshSource>,
}

impl SshService {
    fn find(&self, id: &str) -> Result<&SshSource, Status> {
        let id = if id.is_empty() { "default" } else { id };
        let found = self.sources.iter().find(|source| source.id == id);
        found.ok_or_else(|| Status::not_found(format!("unset ssh forward key {id}")))
    }
}

#[tonic::async_trait]
impl Ssh for SshService {
    type ForwardAgentStream = Answers<BytesMessage>;

    async fn check_agent(&self, request: Request<CheckAgentRequest>) -> Result<Response<CheckAgentResponse>, Status> {
        self.find(&request.get_ref().id)?;
        Ok(Response::new(CheckAgentResponse {}))
    }

    async fn forward_agent(
        &self,
        request: Request<Streaming<BytesMessage>>,
    ) -> Result<Response<Self::ForwardAgentStream>, Status> {
        let id = request
            .metadata()
            .get(ID_HEADER)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let source = self.find(id)?.clone();
        let socket = UnixStream::connect(&source.socket).await;
        let socket = socket.map_err(|error| Status::unavailable(format!("{}: {error}", source.socket.display())))?;
        let incoming = request
            .into_inner()
            .map_ok(|message| io::Cursor::new(message.data))
            .map_err(io::Error::other);
        let incoming = StreamReader::new(incoming);
        // The relay works inside the answers' stream and ends with it.
        let (ours, theirs) = tokio::io::duplex(CHUNK_BYTES);
        let relay = async move {
            let agent = Agent {
                socket,
                is_raw: source.is_raw,
            };
            agent.relay(incoming, ours).await
        };
        let bytes = ReaderStream::with_capacity(theirs, CHUNK_BYTES)
            .map_ok(|chunk| BytesMessage { data: chunk.into() })
            .map_err(Status::from);
        let ended = futures_util::stream::once(relay)
            .filter_map(|result| std::future::ready(result.err().map(|error| Err(Status::from(error)))));
        Ok(Response::new(Box::pin(futures_util::stream::select(bytes, ended))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bollard_buildkit_proto::moby::sshforward::v1::ssh_client::SshClient;
    use bollard_buildkit_proto::moby::sshforward::v1::ssh_server::SshServer;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixListener;
    use tokio_stream::wrappers::UnixListenerStream;

    #[tokio::test]
    async fn an_agent_answers_through_the_session() {
        let directory = tempfile::tempdir().expect("a directory");
        let socket = directory.path().join("agent");
        let agent = UnixListener::bind(&socket).expect("the agent's socket");
        let session = directory.path().join("session");
        let listener = UnixListenerStream::new(UnixListener::bind(&session).expect("the session's socket"));
        let source = SshSource {
            id: "default".into(),
            socket,
            is_raw: false,
        };
        let server = tonic::transport::Server::builder()
            .add_service(SshServer::new(SshService { sources: vec![source] }))
            .serve_with_incoming(listener);
        let answer = async {
            let (mut stream, _) = agent.accept().await.expect("a connection");
            let mut request = [0; 5];
            stream.read_exact(&mut request).await.expect("a request");
            stream.write_all(&[0, 0, 0, 3, 12, 1, 2]).await.expect("sent");
            std::future::pending::<()>().await;
        };
        let ask = async {
            let address = format!("unix://{}", session.display());
            let mut client = SshClient::connect(address).await.expect("connects");
            let unknown = client.check_agent(CheckAgentRequest { id: "other".into() }).await;
            assert_eq!(
                unknown.expect_err("is not there").message(),
                "unset ssh forward key other"
            );
            client
                .check_agent(CheckAgentRequest::default())
                .await
                .expect("is there");
            // A request that is refused, cut in two, and one that passes.
            let pieces = [vec![0, 0], vec![0, 1, 19, 0, 0, 0, 1, 11]].map(|data| BytesMessage { data });
            let answers = client
                .forward_agent(tokio_stream::iter(pieces))
                .await
                .expect("is connected")
                .into_inner();
            let answers: Vec<BytesMessage> = answers.try_collect().await.expect("ends well");
            let bytes: Vec<u8> = answers.into_iter().flat_map(|message| message.data).collect();
            assert_eq!(bytes, [0, 0, 0, 1, 5, 0, 0, 0, 3, 12, 1, 2]);
        };
        tokio::select! {
            () = ask => {}
            () = answer => unreachable!("it never ends"),
            result = server => panic!("the server ended: {result:?}"),
        }
    }
}
