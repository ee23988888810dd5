//! What is shown to registries: credentials are exchanged for tokens where a registry wants that, once a scope.
//!
//! The exchange is Docker's token protocol (distribution's docs/spec/auth/token.md and oauth.md). Nothing in here is ever
//! logged: header values are marked sensitive and no `Debug` shows a token.

use super::clients::{Clients, Patience};
use super::error::RegistryError;
use super::response::{bounded, failure, retry_after, shown};
use super::retry::Failed;
use crate::oci::credentials::{CredentialSource, Credentials};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::header::HeaderValue;
use reqwest::{StatusCode, Url};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a token is believed when the service does not say (token.md, `expires_in`).
const DEFAULT_TOKEN_SECONDS: u64 = 60;
/// A token this close to its end is not used any more, so that it does not end on the way.
const TOKEN_MARGIN: Duration = Duration::from_secs(5);
/// An answer of a token service is small; more is not read.
const TOKEN_ANSWER_LIMIT_BYTES: usize = 1 << 20;
/// The name under which lkpkg asks for tokens (oauth.md, `client_id`).
const CLIENT_ID: &str = "lkpkg";

/// Registry and scope.
type Key = (String, String);

/// The headers that registries have accepted or will accept.
pub(super) struct Tokens {
    credentials: Arc<CredentialSource>,
    known: Mutex<BTreeMap<Key, Slot>>,
}

/// Held while its token is fetched, so that it is fetched once; other scopes do not wait.
type Slot = Arc<tokio::sync::Mutex<Option<Token>>>;

/// Whom a token is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Audience<'a> {
    /// The registry (or mirror) whose credentials are looked up.
    pub(super) registry: &'a str,
    pub(super) repository: &'a str,
    /// What is to be allowed (token.md, "Authenticating with the token").
    pub(super) scope: &'a str,
    /// Whether the registry is asked with TLS: then its token service must be as well.
    pub(super) is_secure: bool,
}

struct Token {
    header: HeaderValue,
    ends: Option<Instant>,
}

impl Tokens {
    pub(super) fn new(credentials: Arc<CredentialSource>) -> Self {
        Self {
            credentials,
            known: Mutex::default(),
        }
    }

    fn slot(&self, audience: Audience<'_>) -> Slot {
        let key = (audience.registry.to_owned(), audience.scope.to_owned());
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(key).or_default())
    }

    /// The header for a scope, when one is known that still holds.
    pub(super) async fn known(&self, audience: Audience<'_>) -> Option<HeaderValue> {
        let slot = self.slot(audience);
        let token = slot.lock().await;
        let holds = |token: &&Token| token.ends.is_none_or(|ends| ends > Instant::now() + TOKEN_MARGIN);
        token.as_ref().filter(holds).map(|token| token.header.clone())
    }

    /// Answers a 401 that came although `refused` was shown. None when there is nothing (else) to show.
    pub(super) async fn answer(
        &self,
        http: (&Clients, Patience),
        audience: Audience<'_>,
        challenges: &[String],
        refused: Option<&HeaderValue>,
    ) -> Result<Option<HeaderValue>, Failed> {
        let slot = self.slot(audience);
        let mut token = slot.lock().await;
        // Somebody else may have fetched a new one while we waited.
        if let Some(token) = token.as_ref().filter(|token| Some(&token.header) != refused) {
            return Ok(Some(token.header.clone()));
        }
        // Not kept: it was refused, or there was none.
        *token = None;
        let fetched = self.fetch(http, audience, challenges).await?;
        *token = fetched.filter(|token| Some(&token.header) != refused);
        Ok(token.as_ref().map(|token| token.header.clone()))
    }

    /// Whether the registry is shown nothing.
    pub(super) async fn is_anonymous(&self, registry: &str) -> bool {
        matches!(self.lookup(registry).await, Ok(Credentials::Anonymous))
    }

    async fn lookup(&self, registry: &str) -> Result<Credentials, RegistryError> {
        let (source, registry) = (Arc::clone(&self.credentials), registry.to_owned());
        // Helpers are programs that are waited for.
        match tokio::task::spawn_blocking(move || source.lookup(&registry)).await {
            Ok(found) => Ok(found?),
            Err(error) => Err(RegistryError::Client(error.to_string())),
        }
    }

    async fn fetch(
        &self,
        http: (&Clients, Patience),
        audience: Audience<'_>,
        challenges: &[String],
    ) -> Result<Option<Token>, Failed> {
        let Some(demand) = Demand::read(challenges) else {
            return Ok(None);
        };
        let credentials = self.lookup(audience.registry).await?;
        let lasting = |text: String| header(&text).map(|header| Token { header, ends: None });
        match (demand, &credentials) {
            (Demand::Basic, _) => Ok(basic(&credentials).and_then(lasting)),
            (Demand::Bearer { .. }, Credentials::RegistryToken(token)) => Ok(lasting(format!("Bearer {token}"))),
            (Demand::Bearer { realm, service, scope }, _) => {
                let realm = safe_realm(&realm, audience)?;
                let scope = match scope {
                    Some(wanted) => scope_of(audience.scope, wanted),
                    None => audience.scope.to_owned(),
                };
                let ask = Ask { realm, service, scope };
                ask.token(http, audience, &credentials).await.map(Some)
            }
        }
    }
}

/// What a token is asked for: what the registry says, and for writing also what we know that will be needed: otherwise
/// the token for a HEAD would be good for nothing else.
fn scope_of(ours: &str, wanted: String) -> String {
    if !ours.contains("push") {
        return wanted;
    }
    let mut all: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for scope in ours.split_whitespace().chain(wanted.split_whitespace()) {
        // repository:host:5000/x:pull,push
        let (resource, actions) = scope.rsplit_once(':').unwrap_or((scope, ""));
        all.entry(resource).or_default().extend(actions.split(','));
    }
    let each = all.into_iter().map(|(resource, actions)| {
        let actions: Vec<_> = actions.into_iter().collect();
        format!("{resource}:{}", actions.join(","))
    });
    each.collect::<Vec<_>>().join(" ")
}

/// The address of the token service; credentials that came by TLS do not leave it.
fn safe_realm(realm: &str, audience: Audience<'_>) -> Result<Url, RegistryError> {
    let redirect = |target: &str, reason| RegistryError::Redirect {
        url: format!("{}/{}", audience.registry, audience.repository),
        target: target.to_owned(),
        reason,
    };
    let url = Url::parse(realm).map_err(|_| redirect("its token service", "it has no address"))?;
    match url.scheme() {
        "https" => Ok(url),
        "http" if !audience.is_secure => Ok(url),
        _ => Err(redirect(&shown(&url), "it leaves TLS")),
    }
}

/// What a registry wants to be shown (RFC 9110, 11.6.1).
enum Demand {
    Basic,
    Bearer {
        realm: String,
        service: String,
        /// What the registry says is needed; a mirror can have other names for it than we have.
        scope: Option<String>,
    },
}

impl Demand {
    /// The first challenge that can be answered.
    fn read(challenges: &[String]) -> Option<Self> {
        let parsed = challenges
            .iter()
            .filter_map(|text| http_auth::parse_challenges(text).ok())
            .flatten();
        parsed.into_iter().find_map(|challenge| {
            let parameter = |name: &str| {
                let found = challenge.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
                found.map(|(_, value)| value.to_unescaped())
            };
            if challenge.scheme.eq_ignore_ascii_case("bearer") {
                let service = parameter("service").unwrap_or_default();
                let scope = parameter("scope").filter(|scope| !scope.is_empty());
                return parameter("realm").map(|realm| Self::Bearer { realm, service, scope });
            }
            challenge.scheme.eq_ignore_ascii_case("basic").then_some(Self::Basic)
        })
    }
}

/// What a token service is asked.
struct Ask {
    realm: Url,
    service: String,
    scope: String,
}

#[derive(serde::Deserialize)]
struct Answer {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
    expires_in: Option<u64>,
}

impl Ask {
    async fn token(
        &self,
        http: (&Clients, Patience),
        audience: Audience<'_>,
        credentials: &Credentials,
    ) -> Result<Token, Failed> {
        let url = shown(&self.realm);
        let http = http.0.of(&self.realm, http.1)?;
        let request = self.request(&http, credentials);
        let response = request
            .send()
            .await
            .map_err(|error| RegistryError::unanswered(&self.realm, error))?;
        let status = response.status();
        let is_anonymous = matches!(credentials, Credentials::Anonymous);
        if status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN {
            return Err(RegistryError::Denied {
                registry: audience.registry.to_owned(),
                repository: audience.repository.to_owned(),
                is_anonymous,
            }
            .into());
        }
        if status == StatusCode::TOO_MANY_REQUESTS {
            let retry_after = retry_after(&response);
            let error = RegistryError::RateLimited {
                registry: audience.registry.to_owned(),
                retry_after_seconds: retry_after.map(|pause| pause.as_secs()),
                is_anonymous,
            };
            return Err(Failed { error, retry_after });
        }
        if !status.is_success() {
            // Its text is not shown: it can repeat what it was sent.
            return Err(failure(response, false).await);
        }
        let body = bounded(response, TOKEN_ANSWER_LIMIT_BYTES).await?;
        let nonsense = || RegistryError::NotARegistry {
            url: url.clone(),
            found: "its answer holds no token".to_owned(),
        };
        let answer: Answer = serde_json::from_slice(&body).map_err(|_| nonsense())?;
        let text = [answer.token, answer.access_token]
            .into_iter()
            .find(|text| !text.is_empty());
        let header = text.and_then(|text| header(&format!("Bearer {text}")));
        let seconds = answer.expires_in.unwrap_or(DEFAULT_TOKEN_SECONDS);
        Ok(Token {
            header: header.ok_or_else(nonsense)?,
            ends: Instant::now().checked_add(Duration::from_secs(seconds)),
        })
    }

    /// A form for a refresh token (oauth.md), a query for everything else (token.md).
    fn request(&self, http: &reqwest::Client, credentials: &Credentials) -> reqwest::RequestBuilder {
        if let Credentials::IdentityToken(identity) = credentials {
            return http.post(self.realm.clone()).form(&[
                ("grant_type", "refresh_token"),
                ("refresh_token", identity),
                ("service", &self.service),
                ("scope", &self.scope),
                ("client_id", CLIENT_ID),
            ]);
        }
        let mut realm = self.realm.clone();
        realm.query_pairs_mut().append_pair("service", &self.service);
        // Several scopes are several parameters here, and one text in a form.
        for scope in self.scope.split_whitespace() {
            realm.query_pairs_mut().append_pair("scope", scope);
        }
        let request = http.get(realm);
        match basic(credentials).and_then(|text| header(&text)) {
            Some(basic) => request.header(reqwest::header::AUTHORIZATION, basic),
            None => request,
        }
    }
}

/// The text of a Basic header (RFC 7617); None where there is neither user nor password.
fn basic(credentials: &Credentials) -> Option<String> {
    match credentials {
        Credentials::Basic { username, password } => {
            Some(format!("Basic {}", BASE64.encode(format!("{username}:{password}"))))
        }
        _ => None,
    }
}

fn header(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_writes_asks_for_all_that_is_needed() {
        let check = |ours: &str, wanted: &str, found: &str| assert_eq!(scope_of(ours, wanted.to_owned()), found);
        let push = "repository:x/y:pull,push";
        // A mirror may have its own names.
        check(
            "repository:x/y:pull",
            "repository:proxy/x/y:pull",
            "repository:proxy/x/y:pull",
        );
        check(push, "repository:x/y:pull", push);
        check(push, push, push);
        check(push, "repository:x/y:delete", "repository:x/y:delete,pull,push");
        check(
            "repository:x/y:pull,push repository:a:pull",
            "repository:x/y:push,pull",
            "repository:a:pull repository:x/y:pull,push",
        );
    }
}
