//! Docker's files: `config.json`, `contexts/meta/DIGEST/meta.json`, `contexts/tls/DIGEST/docker/*.pem`.

use super::{Broken, Found};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Docker's configuration, in its directory.
pub const CONFIG: &str = "config.json";
/// Where each context has a directory, named by the digest of its name.
pub const CONTEXTS: &str = "contexts/meta";

#[derive(Deserialize)]
struct Config {
    #[serde(rename = "currentContext", default)]
    current_context: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Meta {
    name: String,
    #[serde(default)]
    endpoints: BTreeMap<String, Endpoint>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Endpoint {
    #[serde(default)]
    host: String,
    #[serde(rename = "SkipTLSVerify", default)]
    skip_verify: bool,
}

/// What of a context is about Docker: in `Endpoints`, and a directory of TLS files.
const DOCKER: &str = "docker";

/// `currentContext` of the configuration; None when it says nothing, or is not there.
pub fn current(directory: &Path) -> Result<Option<String>, Broken> {
    let config: Option<Config> = read(&directory.join(CONFIG))?;
    let name = config.map(|config| config.current_context);
    Ok(name.filter(|name| !name.is_empty()))
}

/// All contexts, by their digests.
pub fn contexts(directory: &Path) -> BTreeMap<String, Result<Found, Broken>> {
    let entries = directory.join(CONTEXTS).read_dir().into_iter().flatten().flatten();
    let digests = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let read = |digest: String| match context(directory, &digest) {
        Ok(found) => found.map(|found| (digest, Ok(found))),
        Err(broken) => Some((digest, Err(broken))),
    };
    digests.filter_map(read).collect()
}

/// Where a context is described.
pub fn meta(directory: &Path, digest: &str) -> PathBuf {
    directory.join(CONTEXTS).join(digest).join("meta.json")
}

fn context(directory: &Path, digest: &str) -> Result<Option<Found>, Broken> {
    let Some(mut meta) = read::<Meta>(&meta(directory, digest))? else {
        return Ok(None);
    };
    let endpoint = meta.endpoints.remove(DOCKER);
    let certificates = directory.join("contexts/tls").join(digest).join(DOCKER);
    let file = |name: &str| Some(certificates.join(name)).filter(|path| path.exists());
    Ok(Some(Found {
        name: meta.name,
        skip_verify: endpoint.as_ref().is_some_and(|endpoint| endpoint.skip_verify),
        host: endpoint.map(|endpoint| endpoint.host).filter(|host| !host.is_empty()),
        ca: file("ca.pem"),
        cert: file("cert.pem"),
        key: file("key.pem"),
    }))
}

/// A document; None when there is no such file.
fn read<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<Option<T>, Broken> {
    let broken = |reason: String| Broken {
        path: path.to_owned(),
        reason,
    };
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| broken(error.to_string())),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(broken(error.to_string())),
    }
}
