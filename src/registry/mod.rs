//! The distribution protocol: what is read from registries (OCI distribution specification 1.1).
//!
//! A [`Registry`] is one client for all registries: it knows mirrors, certificates and credentials, keeps connections and
//! tokens. A [`Repository`] of it is a [`crate::content::Source`]. Nothing here knows packages, builds or the store.

mod auth;
mod download;
mod error;
mod mirrors;
mod repository;
mod request;

pub use error::RegistryError;
pub use mirrors::{MirrorError, Mirrors};
pub use repository::Repository;

use crate::oci::Reference;
use crate::oci::credentials::CredentialSource;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How long a connection may take to come up: beyond it a machine is gone rather than slow.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a registry may be silent in the middle of an answer before the request is repeated.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// How registries are reached.
#[derive(Clone, Debug)]
pub struct RegistrySettings {
    /// What they are shown.
    pub credentials: Arc<CredentialSource>,
    /// Where else their content can be had.
    pub mirrors: Mirrors,
    /// PEM files of authorities that are trusted besides the system's.
    pub certificates: Vec<PathBuf>,
}

/// A client of all registries. Cheap to clone; clones share connections and tokens.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    http: reqwest::Client,
    mirrors: Mirrors,
    tokens: auth::Tokens,
}

impl Registry {
    /// A client. Nothing is asked before something is read.
    pub fn new(settings: RegistrySettings) -> Result<Self, RegistryError> {
        // One provider of cryptography for the whole process; whoever was first has chosen the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("lkpkg/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            // Redirects are followed by hand: credentials must not go to another host.
            .redirect(reqwest::redirect::Policy::none());
        for path in &settings.certificates {
            let certificates = std::fs::read(path)
                .map_err(|error| error.to_string())
                .and_then(|pem| reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| error.to_string()))
                .map_err(|reason| RegistryError::Certificate {
                    path: path.clone(),
                    reason,
                })?;
            builder = certificates
                .into_iter()
                .fold(builder, reqwest::ClientBuilder::add_root_certificate);
        }
        let http = builder
            .build()
            .map_err(|error| RegistryError::Client(error::chain(&error)))?;
        let tokens = auth::Tokens::new(settings.credentials);
        Ok(Self(Arc::new(Inner {
            http,
            mirrors: settings.mirrors,
            tokens,
        })))
    }

    /// The repository that an image's name speaks of.
    pub fn repository(&self, reference: &Reference) -> Repository {
        Repository::new(self.clone(), reference.registry(), reference.repository())
    }
}
