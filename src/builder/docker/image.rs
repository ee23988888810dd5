//! Pulling the builder's image.

use super::super::BuilderError;
use crate::event::{Event, Events};
use crate::oci::Reference;
use crate::oci::credentials::{CredentialSource, Credentials};
use base64::Engine as _;
use bollard::Docker;
use bollard::auth::DockerCredentials;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::StreamExt;
use std::collections::BTreeSet;

/// What the daemon says of a layer that is here now.
const LAYER_DONE: [&str; 2] = ["Pull complete", "Already exists"];

/// Pulls `image` into the daemon with the credentials that there are for its registry; says when it begins and how many
/// layers are here.
pub(super) async fn pull(
    docker: &Docker,
    image: &str,
    credentials: &CredentialSource,
    events: &Events,
) -> Result<(), BuilderError> {
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
    let credentials = lookup(credentials.clone(), image).await.map_err(failed)?;
    if credentials.as_ref().is_some_and(is_lost) {
        let text = format!(
            "the credentials for {image} have letters that do not reach the Docker daemon, which pulls it without; \
             if it cannot, pull the image yourself (docker pull {image})"
        );
        events.send(Event::Warning(text)).await;
    }
    let mut progress = docker.create_image(Some(options), None, credentials);
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

/// What the daemon shows to the image's registry; None for nothing. The error is a sentence's end.
async fn lookup(source: CredentialSource, image: &str) -> Result<Option<DockerCredentials>, String> {
    // A name that is none is the daemon's to refuse.
    let Ok(reference) = image.parse::<Reference>() else {
        return Ok(None);
    };
    // Helpers are programs that are waited for.
    let found = tokio::task::spawn_blocking(move || source.lookup(reference.registry())).await;
    let found = found
        .map_err(|error| error.to_string())?
        .map_err(|error| error.to_string())?;
    let none = DockerCredentials::default();
    Ok(match found {
        Credentials::Anonymous => None,
        Credentials::Basic { username, password } => Some(DockerCredentials {
            username: Some(username),
            password: Some(password),
            ..none
        }),
        Credentials::IdentityToken(token) => Some(DockerCredentials {
            identitytoken: Some(token),
            ..none
        }),
        Credentials::RegistryToken(token) => Some(DockerCredentials {
            registrytoken: Some(token),
            ..none
        }),
    })
}

/// Whether the daemon cannot read what it is sent: it wants base64 for URLs and, told otherwise, pulls without a word and
/// without credentials. bollard 0.21 sends the common kind, which is the same but for two letters.
fn is_lost(credentials: &DockerCredentials) -> bool {
    let json = serde_json::to_vec(credentials).unwrap_or_default();
    let sent = base64::engine::general_purpose::STANDARD.encode(json);
    sent.contains(['+', '/'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_that_are_lost_are_known() {
        let check = |password: &str, expected: bool| {
            let credentials = DockerCredentials {
                username: Some("me".into()),
                password: Some(password.into()),
                ..DockerCredentials::default()
            };
            assert_eq!(is_lost(&credentials), expected, "{password}");
        };
        check("s3cret-pass", false);
        check("???", true);
        check("~~~", true);
    }
}
