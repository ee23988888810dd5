//! HTTP clients: one for all hosts, and one of its own for each host that has certificates in a directory of Docker's;
//! each for every kind of patience.

use super::error::{RegistryError, reason};
use super::mirrors::{DOCKER_HUB, DOCKER_HUB_HOST};
use reqwest::{Certificate, Identity, Url};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long a connection may take to come up: beyond it a machine is gone rather than slow.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// The same where nothing depends on the answer: beyond it, a user thinks that nothing happens.
const HASTY_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a registry may be silent in the middle of an answer before the request is repeated.
pub(super) const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// Who connects to a host, with the certificates that are meant for it.
pub(super) struct Clients {
    roots: Vec<Certificate>,
    /// Directories like `/etc/docker/certs.d`.
    directories: Vec<PathBuf>,
    /// By host, the empty one for all that have no certificates of their own; made when they are first needed.
    made: Mutex<BTreeMap<(String, Patience), reqwest::Client>>,
}

/// How long is waited for a host. reqwest has these limits for a whole client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Patience {
    /// For most requests.
    Usual,
    /// As usual, but a connection comes up soon or never.
    Hasty,
    /// No limit of time but for connecting: the caller watches. For reqwest an upload is silence: its limit runs from
    /// the first byte that is sent to the first that is answered.
    Endless,
}

impl Clients {
    pub(super) fn new(certificates: &[PathBuf], directories: Vec<PathBuf>) -> Result<Self, RegistryError> {
        // One provider of cryptography for the whole process; whoever was first has chosen the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut roots = Vec::new();
        for path in certificates {
            roots.extend(read_roots(path)?);
        }
        let clients = Self {
            roots,
            directories,
            made: Mutex::default(),
        };
        // An authority that is no use is said before anything is done.
        if !clients.roots.is_empty() {
            build(&clients.roots, None, Patience::Usual)?;
        }
        Ok(clients)
    }

    /// The client for an address.
    pub(super) fn of(&self, url: &Url, patience: Patience) -> Result<reqwest::Client, RegistryError> {
        let host = host(url);
        let directories = self.directories_of(&host);
        let key = (if directories.is_empty() { String::new() } else { host }, patience);
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = made.get(&key) {
            return Ok(client.clone());
        }
        let (mut roots, mut identity) = (self.roots.clone(), None);
        for directory in directories {
            let found = read_directory(&directory)?;
            roots.extend(found.0);
            identity = identity.or(found.1);
        }
        let client = build(&roots, identity, patience)?;
        made.insert(key, client.clone());
        Ok(client)
    }

    /// Whether there are certificates for this host (`host[:port]`) alone, so that it speaks TLS.
    pub(super) fn has_own(&self, host: &str) -> bool {
        !self.directories_of(host).is_empty()
    }

    fn directories_of(&self, host: &str) -> Vec<PathBuf> {
        let all = self.directories.iter().map(|directory| directory.join(host));
        all.filter(|directory| directory.is_dir()).collect()
    }
}

/// `host[:port]`, as Docker names its directories.
fn host(url: &Url) -> String {
    match (url.host_str().unwrap_or_default(), url.port()) {
        (DOCKER_HUB_HOST, None) => DOCKER_HUB.to_owned(),
        (host, None) => host.to_owned(),
        (host, Some(port)) => format!("{host}:{port}"),
    }
}

fn build(
    roots: &[Certificate],
    identity: Option<Identity>,
    patience: Patience,
) -> Result<reqwest::Client, RegistryError> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("lkpkg/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(match patience {
            Patience::Hasty => HASTY_CONNECT_TIMEOUT,
            Patience::Usual | Patience::Endless => CONNECT_TIMEOUT,
        })
        // Redirects are followed by hand: credentials must not go to another host.
        .redirect(reqwest::redirect::Policy::none());
    for root in roots {
        builder = builder.add_root_certificate(root.clone());
    }
    if patience != Patience::Endless {
        builder = builder.read_timeout(READ_TIMEOUT);
    }
    if let Some(identity) = identity {
        builder = builder.identity(identity);
    }
    builder.build().map_err(|error| RegistryError::Client(reason(error)))
}

fn unusable(path: &Path, reason: impl ToString) -> RegistryError {
    RegistryError::Certificate {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}

fn read_roots(path: &Path) -> Result<Vec<Certificate>, RegistryError> {
    let pem = std::fs::read(path).map_err(|error| unusable(path, error))?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(found) if found.is_empty() => Err(unusable(path, "it holds no PEM certificate")),
        Ok(found) => Ok(found),
        Err(error) => Err(unusable(path, reason(error))),
    }
}

/// Docker's rules: `*.crt` are authorities, `x.cert` with `x.key` is what we show. The first pair by name is used.
fn read_directory(directory: &Path) -> Result<(Vec<Certificate>, Option<Identity>), RegistryError> {
    let entries = std::fs::read_dir(directory).map_err(|error| unusable(directory, error))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let (mut roots, mut identity) = (Vec::new(), None);
    for path in paths {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("crt") => roots.extend(read_roots(&path)?),
            Some("cert") if identity.is_none() => identity = Some(read_identity(&path)?),
            _ => {}
        }
    }
    Ok((roots, identity))
}

fn read_identity(certificate: &Path) -> Result<Identity, RegistryError> {
    let key = certificate.with_extension("key");
    let mut pem = std::fs::read(certificate).map_err(|error| unusable(certificate, error))?;
    pem.push(b'\n');
    pem.extend(std::fs::read(&key).map_err(|error| unusable(&key, error))?);
    // What is wrong with a key is not repeated: the text could quote it.
    Identity::from_pem(&pem).map_err(|_| unusable(certificate, "it and its .key are no PEM pair"))
}
