//! A request → what the session serves. What can be seen to fail is said here, before BuildKit is bothered.

use super::filesync::{FileSyncService, Tree};
use super::session::Services;
use super::{BuildError, BuildRequest};
use crate::content::Content;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// The names under which the frontend asks for the two directories; here they are the same tree.
const TREES: [&str; 2] = ["context", "dockerfile"];

/// Checks the request, and looks at the context.
pub fn prepare(request: &BuildRequest, content: Arc<dyn Content>) -> Result<Services, BuildError> {
    check(request)?;
    let tree = Tree::new(request.context.clone(), request.extra_sources.clone());
    let tree = tree.map_err(|error| context_error(&request.context, error.to_string()))?;
    let tree = Arc::new(tree.as_committed(request.epoch_s()));
    let trees = TREES.map(|name| (name.to_owned(), tree.clone()));
    Ok(Services {
        files: FileSyncService::new(trees.into()),
        content,
        caches: request.cache_directories.clone(),
        credentials: request.credentials.clone(),
        secrets: request.secrets.clone(),
        ssh: request.ssh.clone(),
    })
}

fn context_error(path: &Path, reason: String) -> BuildError {
    BuildError::Context {
        path: path.to_owned(),
        reason,
    }
}

fn check(request: &BuildRequest) -> Result<(), BuildError> {
    let refuse = |reason: &str| BuildError::Request {
        name: request.name.clone(),
        reason: reason.to_owned(),
    };
    if request.platforms.is_empty() {
        return Err(refuse("it has no platform"));
    }
    for (what, ids) in [
        (
            "secrets",
            request.secrets.iter().map(|secret| &secret.id).collect::<Vec<_>>(),
        ),
        ("SSH agents", request.ssh.iter().map(|agent| &agent.id).collect()),
    ] {
        let mut seen = std::collections::BTreeSet::new();
        if let Some(id) = ids.iter().find(|id| !seen.insert(**id)) {
            return Err(refuse(&format!("two {what} are called {id}")));
        }
    }
    request.ssh.iter().try_for_each(super::SshSource::check)?;
    dockerfile(request)
}

/// The Dockerfile is in the context, or in what is laid over it.
fn dockerfile(request: &BuildRequest) -> Result<(), BuildError> {
    let path = request.context.join(&request.dockerfile);
    let is_inside = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    if !request.dockerfile.components().all(is_inside) {
        return Err(context_error(
            &path,
            "the Dockerfile lies outside of the package directory".into(),
        ));
    }
    if request.dockerfile.to_str().is_none() {
        return Err(context_error(&path, "the Dockerfile's name is not UTF-8".into()));
    }
    let laid_over = request.extra_sources.iter().filter_map(|(source, destination)| {
        let rest = request
            .dockerfile
            .strip_prefix(destination.strip_prefix("/").unwrap_or(destination))
            .ok()?;
        Some(if rest.as_os_str().is_empty() {
            source.clone()
        } else {
            source.join(rest)
        })
    });
    let places: Vec<PathBuf> = std::iter::once(path.clone()).chain(laid_over).collect();
    if places.iter().any(|place| place.is_file()) {
        return Ok(());
    }
    Err(context_error(&path, "there is no such Dockerfile".into()))
}
