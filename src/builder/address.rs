//! What a user may write where a builder is named: text → [`Address`]. Pure; nothing is dialled here.

use super::BuilderError;
use std::path::PathBuf;
use std::str::FromStr;

/// What can be written, for error texts.
const SUPPORTED: &str = "supported are unix:///path/to/buildkitd.sock, docker-container and local";

/// A builder, as the user names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `unix:///path`: a BuildKit behind this socket.
    Unix(PathBuf),
    /// `docker-container`: the named container in the Docker daemon.
    DockerContainer,
    /// `local`: a `buildkitd` that lkpkg starts itself.
    Local,
}

impl FromStr for Address {
    type Err = BuilderError;

    fn from_str(text: &str) -> Result<Self, BuilderError> {
        let bad = |reason: String| BuilderError::BadAddress {
            text: text.into(),
            reason,
        };
        match (text, text.split_once("://")) {
            ("local", _) => Ok(Self::Local),
            ("docker-container", _) => Ok(Self::DockerContainer),
            (_, Some(("unix", path))) if path.starts_with('/') => Ok(Self::Unix(path.into())),
            (_, Some(("unix", _))) => Err(bad(
                "the path after unix:// must be absolute, as in unix:///run/buildkit/buildkitd.sock".into(),
            )),
            (_, Some((scheme, _))) => Err(bad(format!(
                "addresses of the kind {scheme}:// are not supported; {SUPPORTED}"
            ))),
            ("", None) => Err(bad(format!("it is empty; {SUPPORTED}"))),
            (_, None) => Err(bad(format!("Docker contexts are not supported yet; {SUPPORTED}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_supported_is_read() {
        let check = |text: &str, expected: Address| assert_eq!(text.parse::<Address>().expect(text), expected);
        check("unix:///run/b.sock", Address::Unix("/run/b.sock".into()));
        check("docker-container", Address::DockerContainer);
        check("local", Address::Local);
    }

    #[test]
    fn what_is_not_supported_is_named_with_what_is() {
        let check = |text: &str, part: &str| {
            let message = text.parse::<Address>().expect_err(text).to_string();
            assert!(message.contains(part), "{message}");
        };
        check("", "it is empty");
        check("unix://b.sock", "must be absolute");
        check("tcp://host:1234", "tcp:// are not supported; supported are unix:///");
        check("ssh://host", "ssh://");
        check("my-context", "Docker contexts are not supported yet; supported are");
    }
}
