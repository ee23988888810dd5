//! What is shown to registries: credentials are exchanged for tokens where a registry wants that, once a scope.
//!
//! The exchange is Docker's token protocol (distribution's docs/spec/auth/token.md and oauth.md). Nothing in here is ever
//! logged: header values are marked sensitive and no `Debug` shows a token.

use super::error::{RegistryError, chain};
use crate::oci::credentials::{CredentialSource, Credentials};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::header::HeaderValue;
use std::collections::BTreeMap;
use std::sync::Arc;
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
    /// Held while a token is fetched, so that it is fetched once.
    known: tokio::sync::Mutex<BTreeMap<Key, Token>>,
}

struct Token {
    header: HeaderValue,
    ends: Option<Instant>,
}

impl Tokens {
    pub(super) fn new(credentials: Arc<CredentialSource>) -> Self {
        Self {
            credentials,
            known: tokio::sync::Mutex::default(),
        }
    }

    /// The header for a scope, when one is known that still holds.
    pub(super) async fn known(&self, registry: &str, scope: &str) -> Option<HeaderValue> {
        let known = self.known.lock().await;
        let token = known.get(&(registry.to_owned(), scope.to_owned()))?;
        let holds = token.ends.is_none_or(|ends| ends > Instant::now() + TOKEN_MARGIN);
        holds.then(|| token.header.clone())
    }

    /// Answers a 401 that came although `refused` was shown. None when there is nothing (else) to show.
    pub(super) async fn answer(
        &self,
        http: &reqwest::Client,
        registry: &str,
        scope: &str,
        challenges: &[String],
        refused: Option<&HeaderValue>,
    ) -> Result<Option<HeaderValue>, RegistryError> {
        let mut known = self.known.lock().await;
        let key = (registry.to_owned(), scope.to_owned());
        // Somebody else may have fetched a new one while we waited.
        if let Some(token) = known.get(&key).filter(|token| Some(&token.header) != refused) {
            return Ok(Some(token.header.clone()));
        }
        let token = self.fetch(http, registry, scope, challenges).await?;
        let token = token.filter(|token| Some(&token.header) != refused);
        let header = token.as_ref().map(|token| token.header.clone());
        match token {
            Some(token) => drop(known.insert(key, token)),
            None => drop(known.remove(&key)),
        }
        Ok(header)
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
        http: &reqwest::Client,
        registry: &str,
        scope: &str,
        challenges: &[String],
    ) -> Result<Option<Token>, RegistryError> {
        let Some(demand) = Demand::read(challenges) else {
            return Ok(None);
        };
        let credentials = self.lookup(registry).await?;
        let lasting = |text: String| header(&text).map(|header| Token { header, ends: None });
        match (demand, &credentials) {
            (Demand::Basic, _) => Ok(basic(&credentials).and_then(lasting)),
            (Demand::Bearer { .. }, Credentials::RegistryToken(token)) => Ok(lasting(format!("Bearer {token}"))),
            (Demand::Bearer { realm, service }, _) => {
                let ask = Ask {
                    realm,
                    service,
                    scope: scope.to_owned(),
                };
                ask.token(http, registry, &credentials).await.map(Some)
            }
        }
    }
}

/// What a registry wants to be shown (RFC 9110, 11.6.1).
enum Demand {
    Basic,
    Bearer { realm: String, service: String },
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
                return parameter("realm").map(|realm| Self::Bearer { realm, service });
            }
            challenge.scheme.eq_ignore_ascii_case("basic").then_some(Self::Basic)
        })
    }
}

/// What a token service is asked.
struct Ask {
    realm: String,
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
        http: &reqwest::Client,
        registry: &str,
        credentials: &Credentials,
    ) -> Result<Token, RegistryError> {
        let unreachable = |reason: String| RegistryError::Unreachable {
            url: self.realm.clone(),
            reason,
        };
        let mut realm = reqwest::Url::parse(&self.realm).map_err(|error| unreachable(error.to_string()))?;
        let request = if let Credentials::IdentityToken(identity) = credentials {
            http.post(realm).form(&[
                ("grant_type", "refresh_token"),
                ("refresh_token", identity),
                ("service", &self.service),
                ("scope", &self.scope),
                ("client_id", CLIENT_ID),
            ])
        } else {
            realm
                .query_pairs_mut()
                .append_pair("service", &self.service)
                .append_pair("scope", &self.scope);
            let request = http.get(realm);
            match basic(credentials).and_then(|text| header(&text)) {
                Some(basic) => request.header(reqwest::header::AUTHORIZATION, basic),
                None => request,
            }
        };
        let response = request.send().await.map_err(|error| unreachable(chain(&error)))?;
        let status = response.status();
        if status == reqwest::StatusCode::UNAUTHORIZED || status == reqwest::StatusCode::FORBIDDEN {
            let is_anonymous = matches!(credentials, Credentials::Anonymous);
            return Err(RegistryError::Denied {
                registry: registry.to_owned(),
                repository: self.scope.clone(),
                is_anonymous,
            });
        }
        let body = super::request::bounded(response, &self.realm, TOKEN_ANSWER_LIMIT_BYTES).await?;
        if !status.is_success() {
            return Err(RegistryError::Status {
                url: self.realm.clone(),
                status: status.as_u16(),
                text: String::new(),
            });
        }
        let nonsense = || unreachable("its answer holds no token".to_owned());
        let answer: Answer = serde_json::from_slice(&body).map_err(|_| nonsense())?;
        let text = if answer.token.is_empty() {
            answer.access_token
        } else {
            answer.token
        };
        let header = Some(text)
            .filter(|text| !text.is_empty())
            .and_then(|text| header(&format!("Bearer {text}")));
        let seconds = answer.expires_in.unwrap_or(DEFAULT_TOKEN_SECONDS);
        Ok(Token {
            header: header.ok_or_else(nonsense)?,
            ends: Instant::now().checked_add(Duration::from_secs(seconds)),
        })
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
