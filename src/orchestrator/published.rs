//! Which images of the store their registries have as well: what can be removed here and be had again.

use super::OrchestratorError;
use crate::oci::Reference;
use crate::oci::merge;
use crate::registry::Registry;
use crate::store::Store;
use futures_util::stream::{self, StreamExt, TryStreamExt};

/// Images that are asked about at once: one small request each.
const QUESTIONS_AT_ONCE: usize = 16;

/// For each name of the store, in their order, why it is not published: None when its registry has every image that the
/// store has completely under this name. A registry may have more.
pub async fn unpublished(
    names: &[String],
    store: &Store,
    registry: &Registry,
) -> Result<Vec<(String, Option<String>)>, OrchestratorError> {
    let questions: Vec<_> = names.iter().map(|name| question(name, store, registry)).collect();
    stream::iter(questions).buffered(QUESTIONS_AT_ONCE).try_collect().await
}

async fn question(
    name: &str,
    store: &Store,
    registry: &Registry,
) -> Result<(String, Option<String>), OrchestratorError> {
    Ok((name.to_owned(), reason(name, store, registry).await?))
}

async fn reason(name: &str, store: &Store, registry: &Registry) -> Result<Option<String>, OrchestratorError> {
    let Ok(reference) = name.parse::<Reference>() else {
        return Ok(Some("it is no name of an image in a registry".to_owned()));
    };
    let own = {
        let view = store.view()?;
        let root = view.resolve(name)?;
        root.map(|root| view.complete(&root)).transpose()?.flatten()
    };
    let object = match reference.digest() {
        Some(digest) => digest.to_string(),
        None => super::tags::tag(&reference),
    };
    // The registry itself: a mirror can have what was removed there.
    let theirs = match registry.repository(&reference).for_writing().index(&object).await {
        Ok(Some((_, theirs))) => theirs,
        Ok(None) => return Ok(Some("its registry does not have it".to_owned())),
        Err(error) => return Ok(Some(error.to_string())),
    };
    let mut images = own
        .iter()
        .flat_map(|own| &own.index.manifests)
        .filter(|entry| merge::image_platform(entry).is_some());
    let lacking = images.find(|image| !theirs.manifests.iter().any(|known| known.digest == image.digest));
    Ok(lacking.map(|image| format!("its registry has another image than {}", image.digest)))
}
