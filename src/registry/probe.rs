//! How a registry stands to us, for those who ask before a long run: whether it answers, lets us in, would be read and
//! written. Each question is asked once and leaves nothing behind.

use super::auth::Audience;
use super::error::RegistryError;
use super::mirrors::own_host;
use super::request::{Access, Ask, next_hop};
use super::response::text;
use super::retry::Retries;
use super::{Mirrors, Registry, RegistrySettings, Repository};
use reqwest::header::LOCATION;
use reqwest::{Method, Response};

/// How a registry answered at its door, `/v2/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// Whether it was asked with TLS.
    pub is_tls: bool,
    /// Whether it wanted to be shown something: credentials, or a token that was had for them.
    pub wants_credentials: bool,
}

impl Registry {
    /// A client that tries everything once and in haste. With `is_direct`, it asks no mirror.
    pub fn for_probing(settings: RegistrySettings, is_direct: bool) -> Result<Self, RegistryError> {
        let mirrors = match is_direct {
            true => Mirrors::default(),
            false => settings.mirrors.clone(),
        };
        let retries = Retries {
            tries: 1,
            ..Retries::default()
        };
        Ok(Self::with_retries(RegistrySettings { mirrors, ..settings }, retries)?.hasty())
    }

    /// Asks a registry whether it is one and lets us in (OCI distribution specification, "Determining Support").
    pub async fn greet(&self, registry: &str) -> Result<Greeting, RegistryError> {
        let ask = door(registry);
        let response = self.ask(&ask).await?.ok_or_else(|| nobody(registry))?;
        Ok(self.greeting(registry, &response).await)
    }

    /// The same of a mirror, by its URL.
    pub async fn greet_mirror(&self, url: &str) -> Result<Greeting, RegistryError> {
        let host = url.split_once("://").map_or(url, |(_, host)| host);
        let asked = self.once(&door(host), url, None).await;
        let response = asked.map_err(|failed| failed.error)?.ok_or_else(|| nobody(url))?;
        Ok(self.greeting(host, &response).await)
    }

    async fn greeting(&self, registry: &str, response: &Response) -> Greeting {
        let is_tls = response.url().scheme() == "https";
        // Docker Hub's credentials are kept under its name, all others under the host that was asked.
        let is_hub = own_host(registry) != registry;
        let audience = Audience {
            registry: if is_hub { registry } else { own_host(registry) },
            repository: "",
            scope: "",
            is_secure: is_tls,
        };
        Greeting {
            is_tls,
            wants_credentials: self.inner.tokens.known(audience).await.is_some(),
        }
    }
}

impl Repository {
    /// Opens an upload and cancels it: whether something may be written here. Gives whether the registry took the
    /// cancellation; where it did not, it forgets the empty upload by itself after a while.
    pub async fn probe_write(&self) -> Result<bool, RegistryError> {
        let own = self.for_writing();
        let begin = own.ask(Method::POST, "blobs/uploads/".to_owned(), "");
        let begun = own.registry.tell(&begin).await?;
        let Some(at) = text(&begun, LOCATION.as_str()).and_then(|at| next_hop(begun.url(), at).ok()) else {
            return Ok(false);
        };
        let cancel = Ask {
            at: Some(at),
            ..own.ask(Method::DELETE, String::new(), "")
        };
        Ok(own.registry.tell_once(&cancel).await.is_ok())
    }
}

fn door(registry: &str) -> Ask<'_> {
    Ask {
        access: Access::Enter,
        ..Ask::new(Method::GET, registry, "", String::new())
    }
}

fn nobody(url: &str) -> RegistryError {
    RegistryError::NotARegistry {
        url: format!("{url}/v2/"),
        found: "it answers 404".to_owned(),
    }
}
