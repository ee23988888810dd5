//! `--precache-images`: images that a Dockerfile reads from are pulled by lkpkg, and read by BuildKit from the store.

use super::{OrchestratorError, Prepared, Remote};
use crate::content;
use crate::event::{CancellationToken, Events};
use crate::oci::{Platform, Reference};
use crate::package::dockerfile::{ImageReference, Kind};
use crate::store::Store;

/// Pulls into the store what the package's Dockerfile reads from and the store lacks, for the platforms that are built.
pub(super) async fn pull(
    one: &Prepared,
    platforms: &[Platform],
    store: &Store,
    remote: &Remote,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<(), OrchestratorError> {
    for image in one.images.iter().filter(|image| image.kind != Kind::Syntax) {
        let unavailable = |reason: String| OrchestratorError::Image {
            image: image.name.clone(),
            named_by: format!("{}:{}", one.package.dockerfile.display(), image.line),
            reason,
        };
        let name: Reference = image.name.parse().map_err(|error| unavailable(format!("{error}")))?;
        let wanted = wanted(image, platforms);
        if is_here(&name, &wanted, store)? {
            continue;
        }
        events.notice(format!("pulling {name} into the cache")).await;
        let (source, full) = (remote(&name), name.pinned_name());
        let pulled = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(OrchestratorError::Cancelled),
            pulled = content::pull(source.as_ref(), store, &full, Some(&wanted)) => pulled,
        };
        let pulled = pulled.map_err(|error| unavailable(error.to_string()))?;
        let pulled = pulled.ok_or_else(|| unavailable("its registry has no such image".to_owned()))?;
        if !pulled.missing.is_empty() {
            let missing: Vec<String> = pulled.missing.iter().map(Platform::to_string).collect();
            return Err(unavailable(format!("there is none for {}", missing.join(", "))));
        }
    }
    Ok(())
}

/// The platforms for which an image is read: those that are built, unless FROM says otherwise. `$BUILDPLATFORM` is taken
/// for this machine's.
fn wanted(image: &ImageReference, built: &[Platform]) -> Vec<Platform> {
    match image.platform.as_deref() {
        None => built.to_vec(),
        Some(text) if text.contains("TARGET") => built.to_vec(),
        Some(text) => vec![text.parse().unwrap_or_else(|_| Platform::host())],
    }
}

fn is_here(name: &Reference, wanted: &[Platform], store: &Store) -> Result<bool, OrchestratorError> {
    let view = store.view()?;
    let Some(found) = view.find(name)? else {
        return Ok(false);
    };
    let here = view.complete_platforms(&found)?;
    Ok(wanted
        .iter()
        .all(|platform| here.iter().any(|one| one.matches(platform))))
}
