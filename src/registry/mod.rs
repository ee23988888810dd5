//! The distribution protocol: what is read from registries (OCI distribution specification 1.1).
//!
//! A [`Registry`] is one client for all registries: it knows mirrors, certificates and credentials, keeps connections and
//! tokens. A [`Repository`] of it is a [`crate::content::Source`]. Nothing here knows packages, builds or the store.

mod auth;
mod clients;
mod download;
mod error;
mod mirrors;
mod repository;
mod request;
mod response;
mod retry;
#[cfg(test)]
mod tests;

pub use error::RegistryError;
pub use mirrors::{MirrorError, Mirrors};
pub use repository::Repository;

use crate::oci::Reference;
use crate::oci::credentials::CredentialSource;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// How registries are reached.
#[derive(Clone, Debug)]
pub struct RegistrySettings {
    /// What they are shown.
    pub credentials: Arc<CredentialSource>,
    /// Where else their content can be had.
    pub mirrors: Mirrors,
    /// PEM files of authorities that are trusted besides the system's.
    pub certificates: Vec<PathBuf>,
    /// Directories like Docker's `/etc/docker/certs.d`: in `<host[:port]>/`, `*.crt` are authorities that are trusted
    /// for this host alone, and `x.cert` with `x.key` is what it is shown. Those that are not there are passed over.
    pub certificate_directories: Vec<PathBuf>,
}

/// A client of all registries. Cheap to clone; clones share connections and tokens.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    clients: clients::Clients,
    mirrors: Mirrors,
    /// Mirrors that could not be reached.
    lost_mirrors: Mutex<BTreeSet<String>>,
    /// Hosts on this machine that were found to speak TLS.
    secure_hosts: Mutex<BTreeSet<String>>,
    tokens: auth::Tokens,
    retries: retry::Retries,
}

impl Registry {
    /// A client. Nothing is asked before something is read.
    pub fn new(settings: RegistrySettings) -> Result<Self, RegistryError> {
        Self::with_retries(settings, retry::Retries::default())
    }

    fn with_retries(settings: RegistrySettings, retries: retry::Retries) -> Result<Self, RegistryError> {
        Ok(Self(Arc::new(Inner {
            clients: clients::Clients::new(&settings.certificates, settings.certificate_directories)?,
            mirrors: settings.mirrors,
            lost_mirrors: Mutex::default(),
            secure_hosts: Mutex::default(),
            tokens: auth::Tokens::new(settings.credentials),
            retries,
        })))
    }

    /// The repository that an image's name speaks of.
    pub fn repository(&self, reference: &Reference) -> Repository {
        Repository::new(self.clone(), reference.registry(), reference.repository())
    }
}
