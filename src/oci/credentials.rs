//! What a registry wants to see before it answers, and where it is found.
//!
//! [`CredentialSource`] answers for one registry at a time: from a list that the user gave, or from Docker's
//! configuration and the helper programs it names. Secrets stay out of every error and every `Debug` here.

mod origin;

pub use origin::{Helper, Origin};

use docker_credential::{CredentialRetrievalError, DockerCredential};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Under which Docker keeps the credentials of Docker Hub.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";
/// The name that this module uses for Docker Hub.
const DOCKER_HUB: &str = "docker.io";
/// Other names of Docker Hub, as registries, BuildKit and people write it.
const DOCKER_HUB_NAMES: [&str; 4] = [
    DOCKER_HUB,
    "index.docker.io",
    "registry-1.docker.io",
    "registry.hub.docker.com",
];
/// How much of what a failing helper said is repeated; helpers are asked to say one line.
const HELPER_TEXT_MAX_CHARS: usize = 200;

/// What is shown to one registry.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Nothing.
    Anonymous,
    /// A user and a password (or an access token that is used like one).
    Basic {
        /// The user.
        username: String,
        /// The password.
        password: String,
    },
    /// A refresh token, for which the registry's token service gives access tokens (`identitytoken`).
    IdentityToken(String),
    /// A bearer token that the registry takes as it is (`registrytoken`).
    RegistryToken(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("Anonymous"),
            Self::Basic { username, .. } => write!(f, "Basic({username}:…)"),
            Self::IdentityToken(_) => f.write_str("IdentityToken(…)"),
            Self::RegistryToken(_) => f.write_str("RegistryToken(…)"),
        }
    }
}

/// Why there are no credentials where there should be some.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The text is not REGISTRY=USER:PASSWORD or REGISTRY=TOKEN. The text is not repeated: it may hold a secret.
    #[error("the registry credentials {0} are not REGISTRY=USER:PASSWORD or REGISTRY=TOKEN: {1}")]
    Syntax(String, &'static str),
    /// Docker's configuration cannot be read.
    #[error("cannot read Docker's configuration {place}: {reason}")]
    Configuration {
        /// The file, or the name of the variable that holds the text.
        place: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The configuration names a helper that cannot be run.
    #[error(
        "cannot run {program}, which {place} names for {registry}; install it, or remove it from the configuration"
    )]
    HelperMissing {
        /// Name of the program.
        program: String,
        /// The file that names it.
        place: String,
        /// The registry that was asked for.
        registry: String,
    },
    /// The helper ran and failed.
    #[error("{program} has no credentials for {registry}: {reason}")]
    HelperFailed {
        /// Name of the program.
        program: String,
        /// The registry that was asked for.
        registry: String,
        /// What it said.
        reason: String,
    },
    /// What is stored for the registry makes no sense.
    #[error("the credentials for {registry} in {place} are damaged: {reason}; log in to it again")]
    Damaged {
        /// The file, or the name of the variable that holds the text.
        place: String,
        /// The registry that was asked for.
        registry: String,
        /// What is wrong.
        reason: String,
    },
}

/// Where credentials come from. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct CredentialSource(Arc<Place>);

#[derive(Debug)]
enum Place {
    Given(BTreeMap<String, Credentials>),
    Docker {
        directory: Option<PathBuf>,
        text: Option<Text>,
    },
}

/// A configuration that came as text; it can hold secrets.
struct Text(String);

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl CredentialSource {
    /// Only what is given here, by registry; every other registry is asked anonymously.
    pub fn given(credentials: BTreeMap<String, Credentials>) -> Self {
        let by_host = credentials
            .into_iter()
            .map(|(registry, value)| (host(&registry).to_owned(), value));
        Self(Arc::new(Place::Given(by_host.collect())))
    }

    /// Docker's `config.json` in `config_directory`, and the helpers that it names. No directory, or no such file:
    /// everything is anonymous.
    pub fn docker(config_directory: Option<PathBuf>) -> Self {
        Self::docker_with_text(config_directory, None)
    }

    /// As [`CredentialSource::docker`], but `text` (the value of `DOCKER_AUTH_CONFIG`: the JSON of a `config.json`) is
    /// asked first, for what is stored in it; helpers that it names are not run.
    pub fn docker_with_text(config_directory: Option<PathBuf>, text: Option<String>) -> Self {
        let text = text.filter(|text| !text.trim().is_empty()).map(Text);
        Self(Arc::new(Place::Docker {
            directory: config_directory,
            text,
        }))
    }

    /// The credentials for `registry` (a host, with a port where there is one, or a URL). Blocks: helpers are programs.
    pub fn lookup(&self, registry: &str) -> Result<Credentials, CredentialError> {
        let registry = host(registry);
        match &*self.0 {
            Place::Given(credentials) => Ok(credentials.get(registry).cloned().unwrap_or(Credentials::Anonymous)),
            Place::Docker { directory, text } => {
                if let Some(Text(text)) = text {
                    let mut configuration = Configuration::parse("DOCKER_AUTH_CONFIG".into(), text)?;
                    configuration.forget_helpers();
                    let found = configuration.lookup(registry)?;
                    if found != Credentials::Anonymous {
                        return Ok(found);
                    }
                }
                match directory.as_deref().map(Configuration::load).transpose()?.flatten() {
                    Some(configuration) => configuration.lookup(registry),
                    None => Ok(Credentials::Anonymous),
                }
            }
        }
    }
}

/// Takes `REGISTRY=USER:PASSWORD` or `REGISTRY=TOKEN` apart, as `--registry-creds` has it. REGISTRY may be a URL.
/// The registry comes back as a host, Docker Hub as `docker.io`.
pub fn parse_given(text: &str) -> Result<(String, Credentials), CredentialError> {
    let (registry, secret) = text.split_once('=').unwrap_or(("", ""));
    let (registry, secret) = (registry.trim(), secret.trim());
    let named = if registry.is_empty() {
        "(without a registry)"
    } else {
        host(registry)
    };
    let error = |reason| Err(CredentialError::Syntax(named.to_owned(), reason));
    if registry.is_empty() || named.is_empty() {
        return error("there is no registry before the equals sign");
    }
    let credentials = match secret.split_once(':') {
        None if secret.is_empty() => return error("there is nothing behind the equals sign"),
        None => Credentials::RegistryToken(secret.to_owned()),
        Some((username, password)) => {
            let (username, password) = (username.trim().to_owned(), password.trim().to_owned());
            if username.is_empty() || password.is_empty() {
                return error("the user or the password is empty");
            }
            Credentials::Basic { username, password }
        }
    };
    Ok((host(registry).to_owned(), credentials))
}

/// The host of a registry that may be written as a URL; every name of Docker Hub becomes `docker.io`.
fn host(registry: &str) -> &str {
    let rest = registry.split_once("://").map_or(registry, |(_, rest)| rest);
    let host = rest.split('/').next().unwrap_or_default();
    if DOCKER_HUB_NAMES.contains(&host) {
        DOCKER_HUB
    } else {
        host
    }
}

/// A `config.json` of Docker, as far as it concerns credentials.
struct Configuration {
    /// For errors: the file, or the variable.
    place: String,
    value: Value,
}

impl Configuration {
    fn load(directory: &Path) -> Result<Option<Self>, CredentialError> {
        let path = directory.join("config.json");
        let place = path.display().to_string();
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(place, &text).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(CredentialError::Configuration {
                place,
                reason: error.to_string(),
            }),
        }
    }

    fn parse(place: String, text: &str) -> Result<Self, CredentialError> {
        // serde_json's message can quote a string of the text, which can be a secret; its place in the text cannot.
        let at = |e: serde_json::Error| format!("it is not JSON (line {}, column {})", e.line(), e.column());
        let mut value: Value = match serde_json::from_str(text) {
            Ok(value) => value,
            Err(error) => {
                return Err(CredentialError::Configuration {
                    place,
                    reason: at(error),
                });
            }
        };
        if let Some(entries) = value.get_mut("auths").and_then(Value::as_object_mut) {
            for entry in entries.values_mut().filter_map(Value::as_object_mut) {
                // Docker takes an empty text for none.
                entry.retain(|_, field| field.as_str() != Some(""));
            }
        }
        Ok(Self { place, value })
    }

    fn forget_helpers(&mut self) {
        if let Some(fields) = self.value.as_object_mut() {
            fields.remove("credsStore");
            fields.remove("credHelpers");
        }
    }

    /// The key under which the registry is asked for: helpers get the very text, and `credHelpers` is looked up by it.
    fn key<'a>(&self, registry: &'a str) -> &'a str {
        let helpers = self.value.get("credHelpers");
        let has_helper = |key: &str| helpers.and_then(|helpers| helpers.get(key)).is_some();
        match registry {
            DOCKER_HUB if has_helper(DOCKER_HUB_KEY) => DOCKER_HUB_KEY,
            DOCKER_HUB => DOCKER_HUB_NAMES
                .into_iter()
                .find(|name| has_helper(name))
                .unwrap_or(DOCKER_HUB_KEY),
            other => other,
        }
    }

    /// The program that would be asked for `key`.
    fn helper(&self, key: &str) -> Option<String> {
        let named = self.value.get("credHelpers").and_then(|helpers| helpers.get(key));
        let name = named.or_else(|| self.value.get("credsStore")).and_then(Value::as_str)?;
        Some(format!("docker-credential-{name}"))
    }

    fn registry_token(&self, registry: &str) -> Option<&str> {
        let entries = self.value.get("auths")?.as_object()?;
        let (_, entry) = entries.iter().find(|(key, _)| host(key) == registry)?;
        entry.get("registrytoken")?.as_str()
    }

    fn lookup(&self, registry: &str) -> Result<Credentials, CredentialError> {
        if let Some(token) = self.registry_token(registry) {
            return Ok(Credentials::RegistryToken(token.to_owned()));
        }
        let key = self.key(registry);
        let program = || self.helper(key).unwrap_or_else(|| "a credential helper".into());
        let (place, registry) = (self.place.clone(), registry.to_owned());
        let damaged = |reason: &str| CredentialError::Damaged {
            place: self.place.clone(),
            registry: registry.clone(),
            reason: reason.to_owned(),
        };
        let text = self.value.to_string();
        match docker_credential::get_credential_from_reader(text.as_bytes(), key) {
            Ok(DockerCredential::IdentityToken(token)) => Ok(Credentials::IdentityToken(token)),
            Ok(DockerCredential::UsernamePassword(username, password)) => {
                // Some old writers of `auth` padded it with zero bytes.
                let password = password.trim_end_matches('\0').to_owned();
                let is_nothing = username.is_empty() && password.is_empty();
                Ok(if is_nothing {
                    Credentials::Anonymous
                } else {
                    Credentials::Basic { username, password }
                })
            }
            Err(CredentialRetrievalError::NoCredentialConfigured | CredentialRetrievalError::ConfigNotFound) => {
                Ok(Credentials::Anonymous)
            }
            Err(CredentialRetrievalError::HelperFailure { stdout, stderr, .. }) => {
                helper_failure(program(), registry, &stdout, &stderr)
            }
            Err(CredentialRetrievalError::HelperCommunicationError) => Err(CredentialError::HelperMissing {
                program: program(),
                place,
                registry,
            }),
            Err(CredentialRetrievalError::MalformedHelperResponse) => Err(CredentialError::HelperFailed {
                program: program(),
                registry,
                reason: "its answer is not what a credential helper answers".into(),
            }),
            Err(CredentialRetrievalError::CredentialDecodingError) => {
                Err(damaged("`auth` is not the base64 of user:password"))
            }
            Err(CredentialRetrievalError::CredentialMismatchError) => {
                Err(damaged("`auth` says something else than `username` and `password`"))
            }
            Err(CredentialRetrievalError::ConfigReadError) => Err(CredentialError::Configuration {
                place,
                reason: "its fields are not Docker's".into(),
            }),
        }
    }
}

/// Helpers say that they know nothing by failing with a well-known text.
fn helper_failure(
    program: String,
    registry: String,
    stdout: &str,
    stderr: &str,
) -> Result<Credentials, CredentialError> {
    let said = if stdout.trim().is_empty() { stderr } else { stdout };
    if said.to_lowercase().contains("credentials not found") {
        return Ok(Credentials::Anonymous);
    }
    let line = said.trim().lines().next().unwrap_or("it failed without a word");
    let reason = line.chars().take(HELPER_TEXT_MAX_CHARS).collect();
    Err(CredentialError::HelperFailed {
        program,
        registry,
        reason,
    })
}

#[cfg(test)]
mod tests;
