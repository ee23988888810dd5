//! SSH agents that RUN can mount: what the user wrote → [`SshSource`].

use super::BuildError;
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;

/// The id that is meant when RUN names none.
const DEFAULT_ID: &str = "default";

/// One SSH agent, by the `id` that RUN mounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshSource {
    /// Its name in `RUN --mount=type=ssh,id=…`.
    pub id: String,
    /// The agent's socket.
    pub socket: PathBuf,
    /// Whether everything is passed on. Otherwise RUN can list keys and sign, and nothing else.
    pub is_raw: bool,
}

impl SshSource {
    /// Reads `ID[=SOCKET][,raw=true]`, as `--ssh` has it; `environment` gives the value of a variable (`SSH_AUTH_SOCK`,
    /// when no socket is named). Key files are not taken: they belong into an agent.
    pub fn parse(text: &str, environment: &dyn Fn(&str) -> Option<String>) -> Result<Self, BuildError> {
        let (id, rest) = text.split_once('=').unwrap_or((text, ""));
        let id = if id.is_empty() { DEFAULT_ID } else { id };
        let error = |reason: &str| BuildError::Ssh {
            id: id.to_owned(),
            reason: reason.to_owned(),
        };
        let (mut sockets, mut is_raw) = (Vec::new(), false);
        for part in rest.split(',').filter(|part| !part.is_empty()) {
            match part.strip_prefix("raw=") {
                Some("true" | "1") => is_raw = true,
                Some("false" | "0") => is_raw = false,
                Some(_) => return Err(error("raw= takes true or false")),
                None => sockets.push(part),
            }
        }
        let socket = match sockets.as_slice() {
            [] if is_raw => return Err(error("raw=true needs a socket")),
            [] => environment("SSH_AUTH_SOCK")
                .filter(|socket| !socket.is_empty())
                .ok_or_else(|| error("no agent is running: SSH_AUTH_SOCK is not set; start one with ssh-agent"))?,
            [socket] => (*socket).to_owned(),
            [..] => {
                return Err(error(
                    "it names several files; load the keys into one agent (ssh-add) and name its socket",
                ));
            }
        };
        Ok(Self {
            id: id.to_owned(),
            socket: socket.into(),
            is_raw,
        })
    }

    /// Says early what would fail late.
    pub(super) fn check(&self) -> Result<(), BuildError> {
        let error = |reason: String| BuildError::Ssh {
            id: self.id.clone(),
            reason,
        };
        let path = self.socket.display();
        let metadata = std::fs::metadata(&self.socket).map_err(|e| error(format!("{path}: {e}")))?;
        if metadata.file_type().is_socket() {
            return Ok(());
        }
        Err(error(format!(
            "{path} is not the socket of an agent; if it is a key, load it with `ssh-add {path}` and name the agent's socket"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, agent: Option<&str>, expected: &str) {
        let found = match SshSource::parse(text, &|_| agent.map(str::to_owned)) {
            Ok(source) => format!("{} {} {}", source.id, source.socket.display(), source.is_raw),
            Err(error) => error.to_string(),
        };
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn texts_are_read_as_buildkits_clients_read_them() {
        check("default", Some("/agent"), "default /agent false");
        check("", Some("/agent"), "default /agent false");
        check("git=/other", Some("/agent"), "git /other false");
        check("git=/other,raw=true", None, "git /other true");
        check("git=raw=true,/other", None, "git /other true");
        check(
            "default",
            None,
            "the SSH agent default cannot be used: no agent is running: SSH_AUTH_SOCK is not set; start one with ssh-agent",
        );
        check(
            "git=raw=true",
            Some("/agent"),
            "the SSH agent git cannot be used: raw=true needs a socket",
        );
        check(
            "git=/a,/b",
            None,
            "the SSH agent git cannot be used: it names several files; load the keys into one agent (ssh-add) and name its socket",
        );
    }

    #[test]
    fn a_key_file_is_no_agent() {
        let directory = tempfile::tempdir().expect("a directory");
        let key = directory.path().join("id_ed25519");
        std::fs::write(&key, "PRIVATE").expect("written");
        let source = SshSource {
            id: "default".into(),
            socket: key,
            is_raw: false,
        };
        let text = source.check().expect_err("is no socket").to_string();
        assert!(text.contains("ssh-add") && !text.contains("PRIVATE"), "{text}");
        let missing = SshSource {
            socket: directory.path().join("none"),
            ..source
        };
        assert!(missing.check().is_err());
    }
}
