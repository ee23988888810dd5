//! An SSH agent as RUN may use it: keys can be listed and signed with, and nothing else.
//!
//! Messages are a length of four bytes and that many bytes, the first of them the type (draft-miller-ssh-agent). Each
//! request has one answer.

use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;

/// SSH_AGENT_FAILURE, as a whole message.
const FAILURE: [u8; 5] = [0, 0, 0, 1, 5];
/// SSH_AGENTC_REQUEST_IDENTITIES.
const LIST: u8 = 11;
/// SSH_AGENTC_SIGN_REQUEST.
const SIGN: u8 = 13;
/// What OpenSSH's agent takes at most (`AGENT_MAX_LEN`).
const MESSAGE_MAX_BYTES: usize = 256 * 1024;

/// A connection to an agent.
pub struct Agent {
    pub socket: UnixStream,
    /// Whether everything is passed on as it is.
    pub is_raw: bool,
}

impl Agent {
    /// Carries requests from `requests` and answers to `answers` until the requests end.
    pub async fn relay(
        mut self,
        mut requests: impl AsyncRead + Unpin,
        mut answers: impl AsyncWrite + Unpin,
    ) -> io::Result<()> {
        if self.is_raw {
            let (mut from_agent, mut to_agent) = self.socket.split();
            let there = async {
                tokio::io::copy(&mut requests, &mut to_agent).await?;
                to_agent.shutdown().await
            };
            let back = async {
                tokio::io::copy(&mut from_agent, &mut answers).await?;
                answers.shutdown().await
            };
            return tokio::try_join!(there, back).map(|_| ());
        }
        while let Some(request) = read_message(&mut requests).await? {
            if matches!(request.first(), Some(&LIST | &SIGN)) {
                write_message(&mut self.socket, &request).await?;
                let gone = || io::Error::new(io::ErrorKind::UnexpectedEof, "the SSH agent hung up");
                let answer = read_message(&mut self.socket).await?.ok_or_else(gone)?;
                write_message(&mut answers, &answer).await?;
            } else {
                answers.write_all(&FAILURE).await?;
            }
        }
        answers.shutdown().await
    }
}

async fn read_message(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let length = match from.read_u32().await {
        Ok(length) => length as usize,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    if length > MESSAGE_MAX_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "a message for the SSH agent is too long",
        ));
    }
    let mut message = vec![0; length];
    from.read_exact(&mut message).await?;
    Ok(Some(message))
}

async fn write_message(to: &mut (impl AsyncWrite + Unpin), message: &[u8]) -> io::Result<()> {
    to.write_u32(u32::try_from(message.len()).unwrap_or(u32::MAX)).await?;
    to.write_all(message).await?;
    to.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An agent that answers every message with its own bytes.
    async fn echo(socket: UnixStream) {
        let (mut reader, mut writer) = socket.into_split();
        let _ = tokio::io::copy(&mut reader, &mut writer).await;
    }

    async fn check(is_raw: bool, sent: &[u8], expected: &[u8]) {
        let (socket, agent) = UnixStream::pair().expect("a pair of sockets");
        let mut answers = Vec::new();
        let relay = Agent { socket, is_raw }.relay(sent, &mut answers);
        let (result, ()) = tokio::join!(relay, echo(agent));
        assert_eq!((result.is_ok(), answers.as_slice()), (true, expected), "{sent:?}");
    }

    #[tokio::test]
    async fn only_listing_and_signing_pass() {
        let list = [0, 0, 0, 1, LIST];
        let sign = [0, 0, 0, 3, SIGN, 1, 2];
        let remove_all = [0, 0, 0, 1, 19];
        let extension = [0, 0, 0, 2, 27, 0];
        check(false, &list, &list).await;
        check(false, &sign, &sign).await;
        check(false, &remove_all, &FAILURE).await;
        check(
            false,
            &[&extension[..], &list[..]].concat(),
            &[&FAILURE[..], &list[..]].concat(),
        )
        .await;
        check(true, &remove_all, &remove_all).await;
        check(false, &[0, 0, 0, 0], &FAILURE).await;
    }

    #[tokio::test]
    async fn a_message_without_end_is_refused() {
        let (socket, _agent) = UnixStream::pair().expect("a pair of sockets");
        let mut answers = Vec::new();
        let result = Agent { socket, is_raw: false }
            .relay(&[255u8, 255, 255, 255][..], &mut answers)
            .await;
        assert_eq!(result.expect_err("too long").kind(), io::ErrorKind::InvalidData);
    }
}
