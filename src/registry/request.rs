//! The one function that asks a registry for something: mirrors, tokens, redirects and repeated tries are here.

use super::error::{RegistryError, chain};
use super::mirrors::own_base;
use super::{Inner, Registry};
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue, LOCATION, RANGE, RETRY_AFTER, WWW_AUTHENTICATE};
use reqwest::{Method, Response, StatusCode, Url};
use std::time::Duration;

/// Tries of one request before its failure is believed: enough for a registry that is being restarted.
const TRIES: u32 = 5;
/// The first pause between two tries; doubled each time, and stretched at random so that many clients spread out.
const FIRST_PAUSE: Duration = Duration::from_millis(400);
/// The longest pause that a registry may ask for with Retry-After: rate limits commonly reset within a minute.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Redirects that are followed: registries use one, to their storage.
const REDIRECTS: u32 = 5;
/// How much of an error's text is shown.
const ERROR_TEXT_LIMIT_BYTES: usize = 400;

/// A request for something of a repository.
#[derive(Clone, Debug)]
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) registry: &'a str,
    pub(super) repository: &'a str,
    /// Below `/v2/<repository>/`.
    pub(super) path: String,
    /// Media types that are taken; empty for blobs.
    pub(super) accept: &'static str,
    /// First byte that is wanted.
    pub(super) offset: u64,
}

impl Ask<'_> {
    /// What is to be allowed (token.md, "Authenticating with the token").
    fn scope(&self) -> String {
        format!("repository:{}:pull", self.repository)
    }
}

impl Registry {
    /// Asks the mirror and then the registry itself, each several times when the failure may pass. None means that it
    /// is not there (404).
    pub(super) async fn ask(&self, ask: &Ask<'_>) -> Result<Option<Response>, RegistryError> {
        if let Some(mirror) = self.0.mirrors.mirror(ask.registry) {
            // Whatever is wrong with a mirror, the registry itself may answer.
            if let Ok(Some(response)) = self.0.once(ask, mirror).await {
                return Ok(Some(response));
            }
        }
        let own = own_base(ask.registry);
        let mut tries = 1;
        loop {
            match self.0.once(ask, &own).await {
                Err(failed) if failed.error.is_temporary() && tries < TRIES => {
                    tokio::time::sleep(pause(tries, failed.retry_after)).await;
                    tries += 1;
                }
                result => return result.map_err(|failed| failed.error),
            }
        }
    }
}

/// A failure, and when the registry wants to be asked again.
struct Failed {
    error: RegistryError,
    retry_after: Option<Duration>,
}

impl From<RegistryError> for Failed {
    fn from(error: RegistryError) -> Self {
        Self {
            error,
            retry_after: None,
        }
    }
}

fn pause(tries: u32, retry_after: Option<Duration>) -> Duration {
    let doubled = FIRST_PAUSE * 2_u32.pow(tries - 1);
    let stretched = doubled.mul_f64(1.0 + fastrand::f64());
    retry_after
        .map_or(stretched, |wanted| wanted.min(LONGEST_PAUSE))
        .max(Duration::from_millis(1))
}

impl Inner {
    /// One try at one base address.
    async fn once(&self, ask: &Ask<'_>, base: &str) -> Result<Option<Response>, Failed> {
        let url = format!("{base}/v2/{}/{}", ask.repository, ask.path);
        // A mirror is another host: its tokens are its own.
        let host = base.split("://").nth(1).unwrap_or(base);
        let owner = if host == "registry-1.docker.io" {
            ask.registry
        } else {
            host
        };
        let scope = ask.scope();
        let shown = self.tokens.known(owner, &scope).await;
        let mut response = self.follow(ask, &url, shown.as_ref()).await?;
        if response.status() == StatusCode::UNAUTHORIZED {
            let challenges = response.headers().get_all(WWW_AUTHENTICATE).iter();
            let challenges: Vec<_> = challenges
                .filter_map(|value| value.to_str().ok().map(str::to_owned))
                .collect();
            if let Some(header) = self
                .tokens
                .answer(&self.http, owner, &scope, &challenges, shown.as_ref())
                .await?
            {
                response = self.follow(ask, &url, Some(&header)).await?;
            }
        }
        self.judge(ask, url, response).await
    }

    /// Sends the request and follows redirects; credentials go to the first host only.
    async fn follow(&self, ask: &Ask<'_>, url: &str, shown: Option<&HeaderValue>) -> Result<Response, Failed> {
        let unreachable = |url: &str, reason: String| RegistryError::Unreachable {
            url: url.to_owned(),
            reason,
        };
        let first = Url::parse(url).map_err(|error| unreachable(url, error.to_string()))?;
        let mut at = first.clone();
        for _ in 0..=REDIRECTS {
            let mut request = self.http.request(ask.method.clone(), at.clone());
            if !ask.accept.is_empty() {
                request = request.header(ACCEPT, ask.accept);
            }
            if ask.offset > 0 {
                request = request.header(RANGE, format!("bytes={}-", ask.offset));
            }
            if let Some(header) = shown.filter(|_| at.origin() == first.origin()) {
                request = request.header(AUTHORIZATION, header.clone());
            }
            let response = request
                .send()
                .await
                .map_err(|error| unreachable(without_query(&at).as_str(), chain(&error)))?;
            let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            let Some(target) = location.filter(|_| response.status().is_redirection()) else {
                return Ok(response);
            };
            let redirect = |reason| RegistryError::Redirect {
                url: url.to_owned(),
                target: shorten(target),
                reason,
            };
            let next = at.join(target).map_err(|_| redirect("it is no address"))?;
            if at.scheme() == "https" && next.scheme() != "https" {
                return Err(redirect("it leaves TLS").into());
            }
            at = next;
        }
        Err(RegistryError::Redirect {
            url: url.to_owned(),
            target: shorten(at.as_str()),
            reason: "there are too many",
        }
        .into())
    }

    async fn judge(&self, ask: &Ask<'_>, url: String, response: Response) -> Result<Option<Response>, Failed> {
        let status = response.status();
        match status {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => Ok(Some(response)),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let is_anonymous = self.tokens.is_anonymous(ask.registry).await;
                let (registry, repository) = (ask.registry.to_owned(), ask.repository.to_owned());
                Err(RegistryError::Denied {
                    registry,
                    repository,
                    is_anonymous,
                }
                .into())
            }
            StatusCode::TOO_MANY_REQUESTS => Err(Failed {
                retry_after: seconds(&response),
                error: RegistryError::RateLimited {
                    registry: ask.registry.to_owned(),
                },
            }),
            _ => {
                let retry_after = seconds(&response);
                let text = bounded(response, &url, ERROR_TEXT_LIMIT_BYTES)
                    .await
                    .unwrap_or_default();
                let text = shorten(String::from_utf8_lossy(&text).trim());
                Err(Failed {
                    error: RegistryError::Status {
                        url,
                        status: status.as_u16(),
                        text,
                    },
                    retry_after,
                })
            }
        }
    }
}

/// Retry-After in seconds (RFC 9110, 10.2.3); a date is not worth its parser, the ordinary pause will do.
fn seconds(response: &Response) -> Option<Duration> {
    let value = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}

/// The whole body of a small answer; one that is larger than the limit is an error.
pub(super) async fn bounded(mut response: Response, url: &str, limit_bytes: usize) -> Result<Vec<u8>, RegistryError> {
    let mut body = Vec::new();
    let broken = |error: reqwest::Error| RegistryError::Unreachable {
        url: url.to_owned(),
        reason: chain(&error),
    };
    while let Some(piece) = response.chunk().await.map_err(broken)? {
        if body.len() + piece.len() > limit_bytes {
            return Err(RegistryError::TooLarge {
                url: url.to_owned(),
                limit_bytes: limit_bytes as u64,
            });
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// Storage addresses carry signatures behind the question mark, which belong in no log.
fn without_query(url: &Url) -> String {
    url.as_str().split('?').next().unwrap_or_default().to_owned()
}

fn shorten(text: &str) -> String {
    let end = text.find('?').filter(|_| text.contains("://")).unwrap_or(text.len());
    text[..end].chars().take(ERROR_TEXT_LIMIT_BYTES).collect()
}
