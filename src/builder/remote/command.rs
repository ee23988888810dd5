//! The standard streams of a program as a stream of bytes: [`CommandStream`]; and the command lines: [`Ssh`], [`KubePod`].
//!
//! The programs are the user's own, with their configuration, agents and logins.

use super::stream::Why;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::OwnedSemaphorePermit;

/// How much of what a program says on standard error is kept; its last words are those that count.
const WORDS_MAX_BYTES: usize = 2 * 1024;

/// ssh, to a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ssh {
    /// Who logs in; None for what ssh's configuration says.
    pub user: Option<String>,
    /// The machine, or a name in ssh's configuration.
    pub host: String,
    /// Its port.
    pub port: Option<u16>,
}

impl Ssh {
    /// The command line that runs `command` there.
    ///
    /// It never asks: there is nobody to answer while a build is shown. And it notices a machine that vanishes.
    pub fn line(&self, command: &[&str]) -> Vec<String> {
        let options = "-T -o BatchMode=yes -o ServerAliveInterval=15 -o ServerAliveCountMax=3";
        let mut line: Vec<String> = vec!["ssh".into()];
        line.extend(options.split(' ').map(str::to_owned));
        if let Some(user) = &self.user {
            line.extend(["-l".into(), user.clone()]);
        }
        if let Some(port) = self.port {
            line.extend(["-p".into(), port.to_string()]);
        }
        line.extend(["--".into(), self.host.clone()]);
        line.extend(command.iter().map(|word| word.to_string()));
        line
    }
}

/// A pod in a Kubernetes cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KubePod {
    /// Its name.
    pub pod: String,
    /// Its namespace; None for kubectl's own.
    pub namespace: Option<String>,
    /// Which of its containers; None for the first.
    pub container: Option<String>,
    /// Context in kubectl's configuration; None for the current one.
    pub context: Option<String>,
}

impl KubePod {
    /// The command line that runs `command` in it.
    pub fn line(&self, command: &[&str]) -> Vec<String> {
        let mut line: Vec<String> = vec!["kubectl".into()];
        let mut flag = |name: &str, value: &Option<String>| {
            line.extend(value.iter().map(|value| format!("--{name}={value}")));
        };
        flag("context", &self.context);
        flag("namespace", &self.namespace);
        line.extend(["exec".into(), "-i".into()]);
        line.extend(self.container.iter().map(|name| format!("--container={name}")));
        line.extend([self.pod.clone(), "--".into()]);
        line.extend(command.iter().map(|word| word.to_string()));
        line
    }
}

/// The standard streams of a program. It is killed when this is dropped.
pub struct CommandStream {
    program: String,
    _child: Child,
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    /// None when it has ended.
    stderr: Option<ChildStderr>,
    words: VecDeque<u8>,
    has_answered: bool,
    /// Held until it answers, or ends.
    starting: Option<OwnedSemaphorePermit>,
    why: Why,
}

impl CommandStream {
    /// Starts a program, found on PATH. `starting` is held until it answers.
    pub fn start(line: &[String], why: &Why, starting: Option<OwnedSemaphorePermit>) -> io::Result<Self> {
        let program = line.first().cloned().unwrap_or_default();
        let started = Command::new(&program)
            .args(line.iter().skip(1))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C is for us: we end what we began, and then the program.
            .process_group(0)
            .kill_on_drop(true)
            .spawn();
        let mut child =
            started.map_err(|error| io::Error::new(error.kind(), format!("cannot start {program}: {error}")))?;
        let (Some(stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(io::Error::other(format!("{program} has no standard streams")));
        };
        Ok(Self {
            program,
            _child: child,
            stdin: Some(stdin),
            stdout,
            stderr: Some(stderr),
            words: VecDeque::new(),
            has_answered: false,
            starting,
            why: why.clone(),
        })
    }

    /// Listens to standard error, so that the program never waits for a reader. Ready when it has ended.
    fn poll_words(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut space = [0; 1024];
        while let Some(stderr) = &mut self.stderr {
            let mut buffer = ReadBuf::new(&mut space);
            match ready!(Pin::new(stderr).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {
                    self.words.extend(buffer.filled());
                    let surplus = self.words.len().saturating_sub(WORDS_MAX_BYTES);
                    self.words.drain(..surplus);
                }
                _ => self.stderr = None,
            }
        }
        Poll::Ready(())
    }

    /// How it ended.
    fn end(&mut self) -> io::Result<()> {
        let said = String::from_utf8_lossy(self.words.make_contiguous()).trim().to_owned();
        let text = match (said.is_empty(), self.has_answered) {
            (true, true) => return Ok(()),
            (true, false) => format!("{} ended without a word", self.program),
            (false, _) => format!("{} says: {said}", self.program),
        };
        Err(self.why.keep(io::Error::other(text)))
    }
}

impl AsyncRead for CommandStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let words = self.poll_words(cx);
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stdout).poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            self.has_answered = true;
            self.starting = None;
            return Poll::Ready(Ok(()));
        }
        ready!(words);
        Poll::Ready(self.end())
    }
}

impl AsyncWrite for CommandStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.stdin {
            Some(stdin) => match ready!(Pin::new(stdin).poll_write(cx, bytes)) {
                // Whoever ended before it read has said why, and whoever reads is told. Until then nothing is lost.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe && !self.has_answered => {
                    Poll::Ready(Ok(bytes.len()))
                }
                result => Poll::Ready(result),
            },
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stdin {
            Some(stdin) => Pin::new(stdin).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(stdin) = &mut self.stdin {
            ready!(Pin::new(stdin).poll_shutdown(cx))?;
        }
        self.stdin = None;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn sh(script: &str) -> CommandStream {
        CommandStream::start(&["sh", "-c", script].map(str::to_owned), &Why::default(), None).expect("a shell")
    }

    #[tokio::test]
    async fn bytes_go_both_ways_and_a_shut_down_reaches_the_program() {
        let mut stream = sh("cat");
        stream.write_all(b"hello").await.expect("written");
        stream.shutdown().await.expect("closed");
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("read");
        assert_eq!(text, "hello");
    }

    #[tokio::test]
    async fn a_program_that_fails_is_heard() {
        let mut space = Vec::new();
        let error = sh("echo no such host >&2; exit 255").read_to_end(&mut space).await;
        assert_eq!(error.expect_err("it failed").to_string(), "sh says: no such host");
        let error = sh("exit 1").read_to_end(&mut space).await;
        assert_eq!(error.expect_err("it failed").to_string(), "sh ended without a word");
        // Much is said while nobody reads: it must not be blocked, and the end counts.
        let error = sh("seq 100000 >&2; echo the end >&2").read_to_end(&mut space).await;
        assert!(error.expect_err("it failed").to_string().ends_with("the end"));
        let error = CommandStream::start(&["no-such-program".to_owned()], &Why::default(), None)
            .err()
            .expect("none");
        assert!(
            error.to_string().starts_with("cannot start no-such-program: "),
            "{error}"
        );
    }

    #[test]
    fn command_lines() {
        let ssh = Ssh {
            user: Some("me".into()),
            host: "-h".into(),
            port: Some(2222),
        };
        let line = ssh.line(&["docker", "system", "dial-stdio"]).join(" ");
        assert!(
            line.ends_with(" -l me -p 2222 -- -h docker system dial-stdio"),
            "{line}"
        );
        let pod = KubePod {
            pod: "p".into(),
            namespace: Some("n".into()),
            container: Some("c".into()),
            context: None,
        };
        assert_eq!(
            pod.line(&["buildctl", "dial-stdio"]).join(" "),
            "kubectl --namespace=n exec -i --container=c p -- buildctl dial-stdio"
        );
    }
}
