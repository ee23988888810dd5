//! A byte stream to BuildKit in a container: `buildctl dial-stdio` by exec, its standard streams attached.

use super::users::Mark;
use bollard::Docker;
use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::exec::{CreateExecOptions, StartExecResults};
use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt};
use std::io;
use std::pin::Pin;
use tokio::io::{AsyncWrite, Join};
use tokio_util::io::StreamReader;

/// Both directions of an exec.
pub(super) type ExecStream =
    Join<StreamReader<BoxStream<'static, io::Result<Bytes>>, Bytes>, Pin<Box<dyn AsyncWrite + Send>>>;

/// Opens a new stream to BuildKit in the running container with this ID. It ends with its last user.
pub(super) async fn dial_stdio(docker: Docker, id: String, mark: Mark) -> io::Result<ExecStream> {
    let options = CreateExecOptions {
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        cmd: Some(mark.command()),
        ..Default::default()
    };
    let exec = docker.create_exec(&id, options).await.map_err(io::Error::other)?;
    match docker.start_exec(&exec.id, None).await.map_err(io::Error::other)? {
        StartExecResults::Attached { output, input } => {
            let output = output.filter_map(|part| std::future::ready(bytes(part))).boxed();
            Ok(tokio::io::join(StreamReader::new(output), input))
        }
        StartExecResults::Detached => Err(io::Error::other("the Docker daemon did not attach to buildctl")),
    }
}

/// What buildctl says on standard output are BuildKit's bytes; what it says otherwise is why it cannot.
fn bytes(part: Result<LogOutput, Error>) -> Option<io::Result<Bytes>> {
    match part {
        Ok(LogOutput::StdOut { message }) => Some(Ok(message)),
        Ok(LogOutput::StdErr { message } | LogOutput::Console { message }) => {
            let text = String::from_utf8_lossy(&message).trim().to_owned();
            (!text.is_empty()).then(|| Err(io::Error::other(format!("buildctl in the container says: {text}"))))
        }
        Ok(LogOutput::StdIn { .. }) => None,
        Err(error) => Some(Err(io::Error::other(error))),
    }
}
