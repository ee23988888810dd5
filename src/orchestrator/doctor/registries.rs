//! Registries: whether they answer, whether what is shown to them is accepted, and what may be done there.

use super::mirrors::Fact as Mirror;
use super::targets::{Target, Want};
use super::{Area, Clients, Finding, OrchestratorError, Verdict, blocking, timely};
use crate::content::{ContentError, Source as _};
use crate::oci::Reference;
use crate::oci::credentials::{CredentialError, Credentials};
use crate::registry::{Greeting, RegistryError};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A registry and its answers.
pub(super) struct Fact {
    registry: String,
    is_needed: bool,
    credentials: Result<Option<Shown>, String>,
    greeting: Result<Greeting, RegistryError>,
    images: Vec<Image>,
}

/// What is shown to a registry: never the secret.
struct Shown {
    /// `the password of me`.
    what: String,
    /// Where it comes from.
    origin: String,
}

/// An image and what may be done with it.
struct Image {
    reference: Reference,
    want: Want,
    /// Whether it is there; None when it need not be read.
    read: Option<Result<bool, RegistryError>>,
    /// Whether the registry took the cancellation back; None when nothing is to be pushed.
    write: Option<Result<bool, RegistryError>>,
}

/// Asks all registries.
pub(super) async fn gather(
    clients: &Clients,
    targets: Result<BTreeMap<String, Target>, CredentialError>,
) -> Result<Vec<Fact>, OrchestratorError> {
    // What is wrong with the configuration is said where helpers are.
    let targets = targets.unwrap_or_default();
    let facts = targets
        .into_iter()
        .map(|(registry, target)| of_registry(clients, registry, target));
    futures_util::future::try_join_all(facts).await
}

async fn of_registry(clients: &Clients, registry: String, target: Target) -> Result<Fact, OrchestratorError> {
    let (source, name) = (Arc::clone(&clients.settings.credentials), registry.clone());
    let looked_up = blocking(move || source.locate(&name)).await?;
    let credentials = looked_up.map_err(|error| error.to_string()).map(|found| {
        found.map(|(credentials, origin)| Shown {
            what: what(&credentials),
            origin: origin.to_string(),
        })
    });
    let greeting = timely(&registry, clients.direct.greet(&registry)).await;
    let images = target.images.into_iter().map(|(reference, want)| async move {
        let (read, write) = tokio::join!(read(clients, &reference, want), write(clients, &reference, want));
        Image {
            reference,
            want,
            read,
            write,
        }
    });
    Ok(Fact {
        is_needed: target.is_needed,
        credentials,
        greeting,
        images: futures_util::future::join_all(images).await,
        registry,
    })
}

fn what(credentials: &Credentials) -> String {
    match credentials {
        Credentials::Anonymous => "nothing".to_owned(),
        Credentials::Basic { username, .. } => format!("the password of {username}"),
        Credentials::IdentityToken(_) => "an identity token".to_owned(),
        Credentials::RegistryToken(_) => "a token".to_owned(),
    }
}

/// As a run would read it: from a mirror where there is one.
async fn read(clients: &Clients, reference: &Reference, want: Want) -> Option<Result<bool, RegistryError>> {
    if !want.is_read && !want.is_own {
        return None;
    }
    let (repository, name) = (clients.usual.repository(reference), reference.pinned_name());
    let asked = async {
        match repository.resolve(&name).await {
            Ok(found) => Ok(found.is_some()),
            Err(ContentError::Failed { doing, source }) => match source.downcast::<RegistryError>() {
                Ok(error) => Err(*error),
                Err(source) => Err(ContentError::Failed { doing, source }.into()),
            },
            Err(error) => Err(error.into()),
        }
    };
    Some(timely(&name, asked).await)
}

async fn write(clients: &Clients, reference: &Reference, want: Want) -> Option<Result<bool, RegistryError>> {
    if !want.is_pushed {
        return None;
    }
    let repository = clients.direct.repository(reference);
    Some(timely(&reference.locator(), repository.probe_write()).await)
}

/// What that means: a line for the registry, and one for each image. Images are not spoken of where the registry itself
/// is out of reach.
pub(super) fn judge(fact: &Fact, mirrors: &[Mirror]) -> Vec<Finding> {
    let is_mirrored = mirrors.iter().any(|mirror| mirror.serves(&fact.registry));
    let first = of_greeting(fact, is_mirrored);
    if first.is_failed() || (first.verdict == Verdict::Warning && fact.greeting.is_err() && !is_mirrored) {
        return vec![first];
    }
    let images = fact.images.iter().flat_map(|image| of_image(image, &fact.registry));
    std::iter::once(first).chain(images).collect()
}

fn of_greeting(fact: &Fact, is_mirrored: bool) -> Finding {
    let registry = &fact.registry;
    let wrong = |text: String| match fact.is_needed {
        true => Finding::failed(Area::Registry, registry, text),
        false => Finding::warning(Area::Registry, registry, text),
    };
    let shown = match &fact.credentials {
        Ok(shown) => shown.as_ref(),
        Err(reason) => {
            let finding = wrong(reason.clone());
            return finding.with_hint(format!(
                "log in with `docker login {registry}`, or give --registry-creds"
            ));
        }
    };
    let known = match shown {
        Some(Shown { what, origin }) => format!("{what} from {origin}"),
        None => "no credentials are known for it".to_owned(),
    };
    let error = match &fact.greeting {
        Ok(greeting) => {
            let how = if greeting.is_tls { "with TLS" } else { "without TLS" };
            let text = match (shown, greeting.wants_credentials) {
                (Some(_), true) => format!("answers {how}, and accepts {known}"),
                (Some(_), false) => format!("answers {how}, and asks for no credentials; there is {known}"),
                (None, _) => format!("answers {how}; {known}"),
            };
            return Finding::ok(Area::Registry, registry, text);
        }
        Err(error) => error,
    };
    if let RegistryError::Denied { is_anonymous, .. } = error {
        return match is_anonymous {
            // Some let nobody in at their door and give everybody what is public: the images below tell.
            true if !fact.images.is_empty() => Finding::ok(Area::Registry, registry, format!("answers; {known}")),
            true => denied(wrong("wants credentials, and there are none".to_owned()), fact),
            false => denied(wrong(format!("refuses {known}")), fact),
        };
    }
    let is_read_only = fact.images.iter().all(|image| !image.want.is_pushed);
    let verdict = match fact.is_needed && !(is_mirrored && is_read_only && !fact.images.is_empty()) {
        true => Verdict::Failed,
        false => Verdict::Warning,
    };
    Finding::new(Area::Registry, registry, verdict, error.to_string()).with_hint(hint(error, registry))
}

fn denied(finding: Finding, fact: &Fact) -> Finding {
    let registry = &fact.registry;
    finding.with_hint(match &fact.credentials {
        Ok(Some(Shown { origin, .. })) => {
            format!("log in again with `docker login {registry}`, or correct {origin}")
        }
        _ => format!("log in with `docker login {registry}`, or give --registry-creds {registry}=USER:PASSWORD"),
    })
}

fn hint(error: &RegistryError, registry: &str) -> String {
    match error {
        RegistryError::Untrusted { .. } => format!(
            "name the authority's PEM file with --cert-file, or put it into /etc/docker/certs.d/{registry}/ca.crt"
        ),
        RegistryError::Unreachable { .. } => {
            "check the name, the network and its proxy; --mirror names another place for what is read".to_owned()
        }
        RegistryError::RateLimited { .. } => format!("wait, log in with `docker login {registry}`, or use a mirror"),
        RegistryError::NotARegistry { .. } => "check the name, and whether a proxy is on the way".to_owned(),
        RegistryError::Certificate { .. } => "mend the file, or take it away".to_owned(),
        _ => String::new(),
    }
}

fn of_image(image: &Image, registry: &str) -> Vec<Finding> {
    let subject = image.reference.to_string();
    let read = image
        .read
        .as_ref()
        .map(|read| of_reading(read, &image.want, &subject, registry));
    let write = image
        .write
        .as_ref()
        .map(|write| of_writing(write, &image.reference, registry));
    read.into_iter().chain(write).collect()
}

fn of_reading(read: &Result<bool, RegistryError>, want: &Want, subject: &str, registry: &str) -> Finding {
    let error = match (read, want.is_own) {
        (Ok(true), _) => return Finding::ok(Area::Image, subject, "is there and can be read"),
        (Ok(false), true) => return Finding::ok(Area::Image, subject, "is not there yet; its repository can be read"),
        (Ok(false), false) => {
            return Finding::failed(Area::Image, subject, "its registry has no such image")
                .with_hint("correct the Dockerfile, or bring the image into the cache with `lkpkg cache import`");
        }
        (Err(error), _) => error,
    };
    // One's own repository need not be there before the first push, and many registries do not tell the difference.
    let verdict = if want.is_own { Verdict::Warning } else { Verdict::Failed };
    let (text, hint) = match error {
        RegistryError::Denied { is_anonymous, .. } => {
            let why = if *is_anonymous {
                "no credentials are known for it"
            } else {
                "its credentials do not allow it"
            };
            let text = format!("may not be read, or there is no such repository yet: {why}");
            (text, format!("log in to {registry} as a user who may read it"))
        }
        error => (error.to_string(), hint(error, registry)),
    };
    Finding::new(Area::Image, subject, verdict, text).with_hint(hint)
}

fn of_writing(write: &Result<bool, RegistryError>, reference: &Reference, registry: &str) -> Finding {
    let subject = reference.locator();
    match write {
        Ok(true) => Finding::ok(Area::Image, subject, "may be pushed to"),
        Ok(false) => Finding::ok(
            Area::Image,
            subject,
            "may be pushed to; the registry does not cancel uploads and forgets the empty one that was begun",
        ),
        Err(RegistryError::Denied { is_anonymous, .. }) => {
            let why = if *is_anonymous {
                "no credentials are known for it"
            } else {
                "its credentials do not allow it"
            };
            Finding::failed(Area::Image, subject, format!("may not be pushed to: {why}"))
                .with_hint(format!("log in to {registry} as a user who may push there"))
        }
        Err(error) => Finding::failed(Area::Image, subject, error.to_string()).with_hint(hint(error, registry)),
    }
}

#[cfg(test)]
mod tests;
