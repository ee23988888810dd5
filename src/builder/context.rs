//! Docker's contexts: Docker's own files and variables, as the caller read them → [`Daemon`]. The precedence is the Docker
//! program's: `DOCKER_HOST`, then `DOCKER_CONTEXT`, then `currentContext` of config.json, then the usual socket.
//!
//! [`Contexts::read`] reads the files that say what there is; certificates are read when a daemon is dialled. After that
//! nothing here reads or asks anything.

mod daemon;
mod files;

pub use daemon::Daemon;

pub(super) use daemon::{host, parse, ssh};
#[cfg(test)]
pub(super) use tests::write_context;

use super::{BuilderError, Tls};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where a Docker daemon is when nobody says so.
pub const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";

/// What the Docker program calls the daemon that no context names.
const DEFAULT_NAME: &str = "default";

/// What the environment says about Docker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DockerSettings {
    /// Directory of Docker's files (`DOCKER_CONFIG`, else `~/.docker`).
    pub directory: Option<PathBuf>,
    /// `DOCKER_HOST`.
    pub host: Option<String>,
    /// `DOCKER_CONTEXT`.
    pub context: Option<String>,
    /// `DOCKER_TLS_VERIFY`: TLS to `DOCKER_HOST`, its certificate checked.
    pub tls_verify: bool,
    /// `DOCKER_TLS`: TLS to `DOCKER_HOST`, its certificate not checked unless the above is set too.
    pub tls: bool,
    /// `DOCKER_CERT_PATH`: where ca.pem, cert.pem and key.pem for `DOCKER_HOST` are, else in `directory`.
    pub certificates: Option<PathBuf>,
}

/// A file of Docker's that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Broken {
    path: PathBuf,
    reason: String,
}

impl From<Broken> for BuilderError {
    fn from(Broken { path, reason }: Broken) -> Self {
        Self::BadContext { path, reason }
    }
}

/// A context, as its files have it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    name: String,
    /// None where it is a context for something else than Docker.
    host: Option<String>,
    skip_verify: bool,
    ca: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
}

/// All that Docker's files and variables say about daemons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contexts {
    settings: DockerSettings,
    /// `currentContext` of config.json.
    current: Result<Option<String>, Broken>,
    /// By the digest of their names, as Docker names their directories.
    found: BTreeMap<String, Result<Found, Broken>>,
}

impl Contexts {
    /// Reads Docker's files. A file that cannot be used is told of when its context is wanted.
    pub fn read(settings: &DockerSettings) -> Self {
        let directory = settings.directory.as_deref();
        Self {
            settings: settings.clone(),
            current: directory.map_or(Ok(None), files::current),
            found: directory.map(files::contexts).unwrap_or_default(),
        }
    }

    /// The daemon that the Docker program would use.
    pub fn current(&self) -> Result<Daemon, BuilderError> {
        if self.settings.host.is_some() {
            return self.default_daemon();
        }
        let in_file = || {
            let file = self
                .settings
                .directory
                .as_deref()
                .unwrap_or(Path::new(""))
                .join(files::CONFIG);
            let name = self.current.clone()?;
            Ok::<_, Broken>(name.map(|name| (name, format!(", which currentContext in {} names", file.display()))))
        };
        let named = match &self.settings.context {
            Some(name) => Some((name.clone(), ", which DOCKER_CONTEXT names".to_owned())),
            None => in_file()?,
        };
        match named {
            Some((name, by)) => self.named_by(&name, &by),
            None => self.default_daemon(),
        }
    }

    /// The daemon of the context called `name`. One that does not exist is an error that lists those that do.
    pub fn named(&self, name: &str) -> Result<Daemon, BuilderError> {
        self.named_by(name, "")
    }

    /// The same where a context need not exist.
    pub fn find(&self, name: &str) -> Result<Option<Daemon>, BuilderError> {
        if name == DEFAULT_NAME {
            return self.default_daemon().map(Some);
        }
        let digest = hex::encode(Sha256::digest(name));
        let Some(found) = self.found.get(&digest) else {
            return Ok(None);
        };
        let found = found.clone()?;
        let meta = || files::meta(self.settings.directory.as_deref().unwrap_or(Path::new("")), &digest);
        let Some(host) = &found.host else {
            return Err(BuilderError::BadContext {
                path: meta(),
                reason: "it names no Docker daemon".to_owned(),
            });
        };
        let has_tls = found.skip_verify || [&found.ca, &found.cert, &found.key].iter().any(|file| file.is_some());
        let tls = has_tls.then(|| Tls {
            ca: found.ca.clone(),
            cert: found.cert.clone(),
            key: found.key.clone(),
            skip_verify: found.skip_verify,
            server_name: None,
        });
        let daemon = Daemon::new(host, tls).map_err(|reason| BuilderError::BadContext {
            path: meta(),
            reason: format!("{host:?} is no Docker daemon's address: {reason}"),
        })?;
        Ok(Some(Daemon {
            context: Some(found.name),
            ..daemon
        }))
    }

    /// The same; `named_by` is a clause that says who names it.
    pub(super) fn named_by(&self, name: &str, named_by: &str) -> Result<Daemon, BuilderError> {
        self.find(name)?.ok_or_else(|| BuilderError::UnknownContext {
            name: name.to_owned(),
            named_by: named_by.to_owned(),
            known: self.names(),
            read_from: match &self.settings.directory {
                Some(directory) => directory.join(files::CONTEXTS).display().to_string(),
                None => "nowhere: neither HOME nor DOCKER_CONFIG is set".to_owned(),
            },
        })
    }

    /// The names of all contexts, sorted.
    fn names(&self) -> Vec<String> {
        let found = self.found.values().flatten().map(|found| found.name.clone());
        let mut names: Vec<String> = found.chain([DEFAULT_NAME.to_owned()]).collect();
        names.sort();
        names
    }

    /// `DOCKER_HOST` with its own variables for TLS, else the usual socket.
    fn default_daemon(&self) -> Result<Daemon, BuilderError> {
        let settings = &self.settings;
        let directory = settings.certificates.as_ref().or(settings.directory.as_ref());
        let tls = (settings.tls || settings.tls_verify).then(|| {
            let file = |name: &str| directory.map(|directory| directory.join(name));
            let if_there = |name: &str| file(name).filter(|path| path.exists());
            Tls {
                ca: file("ca.pem").filter(|path| settings.tls_verify || path.exists()),
                cert: if_there("cert.pem"),
                key: if_there("key.pem"),
                skip_verify: !settings.tls_verify,
                server_name: None,
            }
        });
        let host = settings.host.as_deref().unwrap_or(DEFAULT_HOST);
        Daemon::new(host, tls).map_err(|reason| BuilderError::BadAddress {
            text: host.to_owned(),
            reason,
        })
    }
}

#[cfg(test)]
mod tests;
