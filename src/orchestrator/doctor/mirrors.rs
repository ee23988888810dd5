//! Mirrors: whether they answer as a registry does. One that does not is passed over by a run, so it is only a warning.

use super::{Area, Clients, Finding, timely};
use crate::registry::{ALL_REGISTRIES, Greeting, RegistryError};

/// A mirror and its answer.
pub(super) struct Fact {
    /// The registry that it stands in for; None when for all.
    pub(super) registry: Option<String>,
    url: String,
    greeting: Result<Greeting, RegistryError>,
}

impl Fact {
    /// Whether it stands in for a registry, and answers.
    pub(super) fn serves(&self, registry: &str) -> bool {
        self.greeting.is_ok() && self.registry.as_deref().is_none_or(|own| own == registry)
    }
}

/// Asks all mirrors.
pub(super) async fn gather(clients: &Clients) -> Vec<Fact> {
    let mirrors = clients.settings.mirrors.iter();
    let asked = mirrors.map(async |(registry, url)| Fact {
        registry: Some(registry.to_owned()).filter(|registry| registry != ALL_REGISTRIES),
        url: url.to_owned(),
        greeting: timely(url, clients.direct.greet_mirror(url)).await,
    });
    futures_util::future::join_all(asked).await
}

/// What that means.
pub(super) fn judge(fact: &Fact) -> Finding {
    let stands_for = match &fact.registry {
        Some(registry) => format!("for {registry}"),
        None => "for all registries that have no other".to_owned(),
    };
    match &fact.greeting {
        Ok(_) => Finding::ok(Area::Mirror, &fact.url, format!("answers, {stands_for}")),
        Err(error) => {
            let reason = match error {
                RegistryError::Denied { is_anonymous: true, .. } => {
                    "it wants credentials, and there are none".to_owned()
                }
                RegistryError::Denied { .. } => "it refuses the credentials".to_owned(),
                error => error.to_string(),
            };
            Finding::warning(
                Area::Mirror,
                &fact.url,
                format!("does not serve {stands_for}: {reason}"),
            )
            .with_hint("the registry itself is asked instead; correct --mirror or LINUXKIT_MIRROR")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_mirror_serves_when_it_answers() {
        let check = |registry: Option<&str>, is_there: bool, serves: bool, verdict: Verdict| {
            let greeting = match is_there {
                true => Ok(Greeting {
                    is_tls: false,
                    wants_credentials: false,
                }),
                false => Err(RegistryError::Unreachable {
                    url: "http://m/v2/".into(),
                    is_connected: false,
                    reason: "connection refused".into(),
                }),
            };
            let fact = Fact {
                registry: registry.map(str::to_owned),
                url: "http://m".into(),
                greeting,
            };
            assert_eq!((fact.serves("docker.io"), judge(&fact).verdict), (serves, verdict));
        };
        check(Some("docker.io"), true, true, Verdict::Ok);
        check(Some("ghcr.io"), true, false, Verdict::Ok);
        check(None, true, true, Verdict::Ok);
        check(None, false, false, Verdict::Warning);
    }
}
