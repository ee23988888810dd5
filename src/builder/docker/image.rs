//! Pulling the builder's image.

use super::super::BuilderError;
use crate::event::Events;
use bollard::Docker;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::StreamExt;
use std::collections::BTreeSet;

/// What the daemon says of a layer that is here now.
const LAYER_DONE: [&str; 2] = ["Pull complete", "Already exists"];

/// Pulls `image` into the daemon; says when it begins, how many layers are here, and when it ends.
///
/// No credentials are sent: BuildKit's image is public. A private one must be pulled, or mirrored, beforehand.
pub(super) async fn pull(docker: &Docker, image: &str, events: &Events) -> Result<(), BuilderError> {
    let failed = |reason: String| BuilderError::NoImage {
        image: image.into(),
        reason,
    };
    events.notice(format!("pulling {image}")).await;
    // Without a tag, the daemon would pull all that there are.
    let has_tag = image.contains('@') || image.rsplit('/').next().is_some_and(|last| last.contains(':'));
    let reference = if has_tag {
        image.to_owned()
    } else {
        format!("{image}:latest")
    };
    let options = CreateImageOptionsBuilder::default().from_image(&reference).build();
    let mut progress = docker.create_image(Some(options), None, None);
    let (mut layers, mut done) = (BTreeSet::new(), BTreeSet::new());
    while let Some(step) = progress.next().await {
        let step = step.map_err(|error| failed(error.to_string()))?;
        if let Some(error) = step.error_detail.and_then(|detail| detail.message) {
            return Err(failed(error));
        }
        let (Some(layer), Some(status)) = (step.id, step.status) else {
            continue;
        };
        if status.starts_with("Pulling from") {
            continue; // the line of the image itself, not of a layer
        }
        layers.insert(layer.clone());
        if LAYER_DONE.contains(&status.as_str()) && done.insert(layer) {
            events
                .notice(format!("pulling {image}: {} of {} layers", done.len(), layers.len()))
                .await;
        }
    }
    Ok(())
}
