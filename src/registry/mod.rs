//! The distribution protocol: what is read from registries and written to them (OCI distribution specification 1.1).
//!
//! A [`Registry`] is one client for all registries: it knows mirrors, certificates and credentials, keeps connections and
//! tokens, and remembers where it met which blob. A [`Repository`] of it is a [`crate::content::Source`] and a
//! [`crate::content::Sink`]; [`push`] brings an image to it. Nothing here knows packages, builds or the store.

mod auth;
mod body;
mod clients;
mod download;
mod error;
mod manifest;
mod mirrors;
mod places;
mod probe;
mod push;
mod referrers;
mod repository;
mod request;
mod response;
mod retry;
mod sink;
mod tags;
#[cfg(test)]
mod tests;
mod upload;

pub use error::RegistryError;
pub(crate) use error::reason;
pub use mirrors::{ALL_REGISTRIES, MirrorError, Mirrors};
pub use probe::Greeting;
pub use push::{BlobState, Existing, PushOptions, PushProgress, Pushed, push};
pub use referrers::push_referrer;
pub use repository::Repository;
pub use tags::Extension;

use crate::oci::Reference;
use crate::oci::credentials::CredentialSource;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::Semaphore;

/// Blobs that are sent at once where nothing else is wanted: enough to hide the latency of a registry, few enough for its
/// limits.
pub const JOBS: usize = 8;

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
    /// How many blobs are sent at once, by all pushes together; usually [`JOBS`].
    pub jobs: usize,
}

/// A client of all registries. Cheap to clone; clones share connections and tokens.
#[derive(Clone)]
pub struct Registry {
    inner: Arc<Inner>,
    /// See [`Self::hasty`].
    is_hasty: bool,
}

struct Inner {
    clients: clients::Clients,
    mirrors: Mirrors,
    /// Mirrors that could not be reached.
    lost_mirrors: Mutex<BTreeSet<String>>,
    /// Registries to which there was no connection, and why.
    lost_registries: Mutex<BTreeMap<String, String>>,
    /// Addresses at which there is a registry for sure.
    sure_registries: Mutex<BTreeSet<String>>,
    /// Hosts on this machine that were found to speak TLS.
    secure_hosts: Mutex<BTreeSet<String>>,
    tokens: auth::Tokens,
    retries: retry::Retries,
    /// Where content is known to be.
    places: places::Places,
    jobs: usize,
    /// One permit for each blob that is sent just now. It is asked for by those whose turn it is ([`places`]), so that
    /// nobody who holds one waits for somebody who wants one.
    sending: Semaphore,
    /// Requests that were sent, of every kind.
    requests: AtomicU64,
}

impl Registry {
    /// A client. Nothing is asked before something is read.
    pub fn new(settings: RegistrySettings) -> Result<Self, RegistryError> {
        Self::with_retries(settings, retry::Retries::default())
    }

    fn with_retries(settings: RegistrySettings, retries: retry::Retries) -> Result<Self, RegistryError> {
        let jobs = settings.jobs.max(1);
        let inner = Inner {
            clients: clients::Clients::new(&settings.certificates, settings.certificate_directories)?,
            mirrors: settings.mirrors,
            lost_mirrors: Mutex::default(),
            lost_registries: Mutex::default(),
            sure_registries: Mutex::default(),
            secure_hosts: Mutex::default(),
            tokens: auth::Tokens::new(settings.credentials),
            retries,
            places: places::Places::default(),
            jobs,
            sending: Semaphore::new(jobs),
            requests: AtomicU64::new(0),
        };
        Ok(Self {
            inner: Arc::new(inner),
            is_hasty: false,
        })
    }

    /// The same client, for questions whose answer can be done without: it believes at once that a registry cannot be
    /// reached, and then asks it nothing more. What a registry does answer, such as that it is too busy, counts as ever.
    pub fn hasty(&self) -> Self {
        Self {
            is_hasty: true,
            ..self.clone()
        }
    }

    /// How many requests have been sent to registries and their storage, repeated ones included; those to token services
    /// are not counted.
    pub fn requests(&self) -> u64 {
        self.inner.requests.load(Ordering::Relaxed)
    }

    /// The repository that an image's name speaks of.
    pub fn repository(&self, reference: &Reference) -> Repository {
        Repository::new(self.clone(), reference.registry(), reference.repository())
    }
}
