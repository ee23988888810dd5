//! A Docker daemon: how it is called, and how it is reached.

use super::super::BuilderError;
use super::super::remote::{Ssh, Tcp, Tls, Way};
use std::fmt;
use std::str::FromStr;
use url::{Host, Url};

/// Where daemons listen when the address has no port.
const PLAIN_PORT: u16 = 2375;
/// The same with TLS.
const TLS_PORT: u16 = 2376;

/// What can be written, for error texts.
const SUPPORTED: &str =
    "as a Docker daemon's address, unix:///path, tcp://host:port and ssh://user@host:port are supported";

/// A Docker daemon.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Daemon {
    /// The context that names it.
    pub context: Option<String>,
    /// Its address, as it was written.
    pub address: String,
    /// How it is reached.
    pub way: Way,
}

impl Daemon {
    /// The daemon at an address, which TLS is spoken to where the address can have it. The error is a sentence's end.
    pub fn new(address: &str, tls: Option<Tls>) -> Result<Self, String> {
        Ok(Self {
            context: None,
            address: address.to_owned(),
            way: way(address, tls)?,
        })
    }

    /// Whether it is on another machine, as far as its address tells.
    pub fn is_remote(&self) -> bool {
        !matches!(self.way, Way::Unix(_))
    }
}

impl fmt::Display for Daemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.context {
            Some(context) => write!(f, "{} (context {context})", self.address),
            None => f.write_str(&self.address),
        }
    }
}

impl FromStr for Daemon {
    type Err = BuilderError;

    fn from_str(text: &str) -> Result<Self, BuilderError> {
        Self::new(text, None).map_err(|reason| BuilderError::BadAddress {
            text: text.into(),
            reason,
        })
    }
}

fn way(address: &str, tls: Option<Tls>) -> Result<Way, String> {
    let (scheme, rest) = address.split_once("://").ok_or_else(|| SUPPORTED.to_owned())?;
    match scheme {
        "unix" if rest.starts_with('/') => Ok(Way::Unix(rest.into())),
        "unix" => Err("the path after unix:// must be absolute".to_owned()),
        "tcp" | "http" | "https" => {
            let tls = tls.or_else(|| (scheme == "https").then(Tls::default));
            let default = if tls.is_some() { TLS_PORT } else { PLAIN_PORT };
            let url = parse("tcp", rest)?;
            let port = url.port().unwrap_or(default);
            Ok(Way::Tcp(Tcp {
                host: host(&url)?,
                port,
                tls,
            }))
        }
        "ssh" => {
            let url = parse("ssh", rest)?;
            // A path is the daemon's socket there.
            let socket = url.path().trim_end_matches('/');
            let host = format!("unix://{socket}");
            let mut command = vec!["docker"];
            if !socket.is_empty() {
                command.extend(["--host", &host]);
            }
            command.extend(["system", "dial-stdio"]);
            Ok(Way::Program(ssh(&url)?.line(&command)))
        }
        _ => Err(SUPPORTED.to_owned()),
    }
}

/// An address's parts.
pub(in crate::builder) fn parse(scheme: &str, rest: &str) -> Result<Url, String> {
    Url::parse(&format!("{scheme}://{rest}")).map_err(|error| error.to_string())
}

/// Its host, without brackets.
pub(in crate::builder) fn host(url: &Url) -> Result<String, String> {
    match url.host() {
        Some(Host::Domain(name)) if !name.is_empty() => Ok(name.to_owned()),
        Some(Host::Ipv4(address)) => Ok(address.to_string()),
        Some(Host::Ipv6(address)) => Ok(address.to_string()),
        _ => Err("it names no host".to_owned()),
    }
}

/// Who and where, for ssh.
pub(in crate::builder) fn ssh(url: &Url) -> Result<Ssh, String> {
    if url.password().is_some() {
        return Err("a password in it would be seen by everyone on this machine; let ssh log in with a key".to_owned());
    }
    Ok(Ssh {
        user: Some(url.username().to_owned()).filter(|user| !user.is_empty()),
        host: host(url)?,
        port: url.port(),
    })
}
