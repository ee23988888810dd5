//! How a BuildKit that lkpkg runs is configured: a `buildkitd.toml`, what lkpkg was told about registries, and every file
//! that they name → [`Configuration`].
//!
//! All of it is read before anything is looked at or started, so that a new builder gets it as well, and nothing is begun
//! that cannot be finished. What it is made of is decided purely: `registries.rs` merges, `named.rs` finds the files.

mod named;
mod registries;

pub use registries::Registries;

use super::{BuilderConfig, BuilderError};
use named::{ENDINGS, KEY_ENDING, Named};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::path::{Path, PathBuf};
use toml::Table;

/// No configuration and no bundle of certificates is as large; what is larger is something else, given by mistake.
const FILE_MAX_BYTES: u64 = 4 * 1024 * 1024;

/// Name of BuildKit's configuration in its directory.
pub(super) const FILE_NAME: &str = "buildkitd.toml";

/// Directory of the authorities that are trusted for every registry, below the configuration's.
const AUTHORITIES: &str = "authorities";

/// By which Go's TLS finds authorities, in BuildKit as in every other program; the value is a list as PATH is one.
pub(super) const CERTIFICATES_VARIABLE: &str = "SSL_CERT_DIR";

/// Where Go looks when that variable is not set. Ours stand behind them: nobody who is trusted is trusted no more.
const SYSTEM_CERTIFICATES: &str = "/etc/ssl/certs:/etc/pki/tls/certs";

/// Version of what [`Configuration::label`] is made of; another one counts as another configuration.
const LABEL_VERSION: u32 = 2;

/// From where BuildKit looks at the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// From this machine.
    Machine,
    /// From a network of its own: the loopback is another one there.
    Container,
}

/// A file that goes with the configuration.
#[derive(Clone)]
pub(super) struct ConfigFile {
    /// What is in it.
    pub bytes: Vec<u8>,
    /// Whether nobody else may read it.
    pub is_secret: bool,
}

/// A processed configuration. Two that mean the same have the same label: comments, order and blanks of the file do not count,
/// and where the files that it names were does not either.
#[derive(Clone)]
pub(super) struct Configuration {
    /// The paths of files in it are relative to the configuration's directory.
    document: Table,
    /// By path, relative to the configuration's directory.
    files: BTreeMap<String, ConfigFile>,
}

/// What became of what was given.
pub(super) struct Loaded {
    /// None when there is nothing to tell a BuildKit.
    pub configuration: Option<Configuration>,
    /// Mirrors that a BuildKit there cannot reach, and that were left out.
    pub left_out: Vec<String>,
}

impl Configuration {
    /// Reads `base`, the `buildkitd.toml` if there shall be one, and everything else that it and `config` name.
    pub fn load(config: &BuilderConfig, base: Option<&Path>, reach: Reach) -> Result<Loaded, BuilderError> {
        let mut document = base.map(read_document).transpose()?.unwrap_or_default();
        let place = base.unwrap_or(Path::new(""));
        let wrong = |(key, reason)| BuilderError::ConfigValue {
            path: place.into(),
            key,
            reason,
        };
        let left_out = registries::merge(&mut document, &config.registries, reach).map_err(wrong)?;
        let mut files = BTreeMap::new();
        for Named {
            key,
            path,
            target,
            is_secret,
            is_directory,
        } in named::take(&mut document).map_err(wrong)?
        {
            let named_by = format!("{key} of the builder configuration {}", place.display());
            let path = find(&path, place, config.home.as_deref());
            if is_directory {
                for name in certificates(&named_by, &path)? {
                    let (bytes, is_secret) = (read_named(&named_by, &path.join(&name))?, name.ends_with(KEY_ENDING));
                    files.insert(format!("{target}/{name}"), ConfigFile { bytes, is_secret });
                }
                continue;
            }
            let bytes = read_named(&named_by, &path)?;
            files.insert(target, ConfigFile { bytes, is_secret });
        }
        for (number, path) in config.registries.authorities.iter().enumerate() {
            let bytes = read_named("--cert-file", path)?;
            files.insert(
                format!("{AUTHORITIES}/{number}.pem"),
                ConfigFile {
                    bytes,
                    is_secret: false,
                },
            );
        }
        let is_given = base.is_some() || !document.is_empty() || !files.is_empty();
        Ok(Loaded {
            configuration: is_given.then_some(Self { document, files }),
            left_out,
        })
    }

    /// The `buildkitd.toml` for a configuration that lies in `directory`.
    pub fn toml(&self, directory: &str) -> String {
        let mut document = self.document.clone();
        named::place(&mut document, directory);
        document.to_string()
    }

    /// The files that lie in `directory` besides, by their path relative to it.
    pub fn files(&self) -> impl Iterator<Item = (&str, &ConfigFile)> {
        self.files.iter().map(|(path, file)| (path.as_str(), file))
    }

    /// The value of [`CERTIFICATES_VARIABLE`] for a BuildKit whose configuration lies in `directory`; None when it needs
    /// none. `ambient` is the value that it would have otherwise.
    pub fn certificates(&self, directory: &Path, ambient: Option<&OsStr>) -> Option<OsString> {
        let has_own = self.files.keys().any(|path| Path::new(path).starts_with(AUTHORITIES));
        let mut value = ambient.unwrap_or(OsStr::new(SYSTEM_CERTIFICATES)).to_owned();
        value.push(":");
        value.push(directory.join(AUTHORITIES));
        has_own.then_some(value)
    }

    /// By which a change is noticed: a version, and a digest of the document and of every file. It is not secret.
    pub fn label(&self) -> String {
        let mut hasher = Sha256::new();
        let mut add = |bytes: &[u8]| {
            // With its length before it, no text can run over into the next.
            hasher.update((bytes.len() as u64).to_be_bytes());
            hasher.update(bytes);
        };
        add(self.toml("").as_bytes());
        for (path, file) in &self.files {
            add(path.as_bytes());
            add(&file.bytes);
        }
        format!("{LABEL_VERSION}-{}", hex::encode(hasher.finalize()))
    }
}

fn read_document(path: &Path) -> Result<Table, BuilderError> {
    let bytes = read(path).map_err(|source| BuilderError::BadConfig {
        path: path.into(),
        source,
    })?;
    let syntax = |reason: String| BuilderError::ConfigSyntax {
        path: path.into(),
        reason,
    };
    let text = String::from_utf8(bytes).map_err(|error| syntax(error.to_string()))?;
    text.parse()
        .map_err(|error: toml::de::Error| syntax(error.to_string().trim_end().to_owned()))
}

/// Where a file is that the configuration at `config` names: below the home directory, in the working directory (where
/// linuxkit looks), else beside the configuration.
fn find(path: &str, config: &Path, home: Option<&Path>) -> PathBuf {
    if let (Some(rest), Some(home)) = (path.strip_prefix("~/"), home) {
        return home.join(rest);
    }
    let beside = config.parent().unwrap_or(Path::new("")).join(path);
    if !Path::new(path).exists() && beside.exists() {
        return beside;
    }
    path.into()
}

/// The names of the certificates and keys in a directory. As for BuildKit, one that is not there has none.
fn certificates(named_by: &str, path: &Path) -> Result<Vec<String>, BuilderError> {
    let failed = |source| BuilderError::ConfigFile {
        named_by: named_by.into(),
        path: path.into(),
        source,
    };
    let entries = match std::fs::read_dir(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        // What is not UTF-8 is left out: the name could not be in an archive.
        if let Ok(name) = entry.map_err(failed)?.file_name().into_string()
            && ENDINGS.iter().any(|ending| name.ends_with(ending))
        {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn read_named(named_by: &str, path: &Path) -> Result<Vec<u8>, BuilderError> {
    read(path).map_err(|source| BuilderError::ConfigFile {
        named_by: named_by.into(),
        path: path.into(),
        source,
    })
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path)?
        .take(FILE_MAX_BYTES + 1)
        .read_to_end(&mut bytes)?;
    if read as u64 > FILE_MAX_BYTES {
        return Err(std::io::Error::other(format!(
            "it has more than {FILE_MAX_BYTES} bytes"
        )));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
