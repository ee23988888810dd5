//! The one function that asks a registry for something: mirrors, tokens, redirects and repeated tries are here.

use super::Registry;
use super::auth::Audience;
use super::body::Body;
use super::clients::Patience;
use super::error::RegistryError;
use super::mirrors::{DOCKER_HUB_HOST, is_loopback, own_host};
use super::response::{failure, media_type, retry_after, shown, text};
use super::retry::Failed;
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderValue, LOCATION, RANGE, WWW_AUTHENTICATE,
};
use reqwest::{Method, Response, StatusCode, Url};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};

/// Redirects that are followed: registries use one, to their storage.
const REDIRECTS: u32 = 5;
/// The header by which Docker's and most other registries make themselves known.
const API_VERSION: &str = "docker-distribution-api-version";

/// What a request wants to be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access<'a> {
    /// To be let in, without asking for any repository.
    Enter,
    /// To read; a mirror may answer.
    Pull,
    /// To write, and to read in order to write: only the registry itself knows what it has.
    Push,
    /// To write what another repository of the registry has.
    Mount(&'a str),
}

/// A request for something of a repository.
#[derive(Clone)]
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) registry: &'a str,
    pub(super) repository: &'a str,
    /// Below `/v2/<repository>/`.
    pub(super) path: String,
    /// An address that the registry gave, asked instead of the path.
    pub(super) at: Option<Url>,
    pub(super) access: Access<'a>,
    /// Media types that are taken; empty for blobs.
    pub(super) accept: &'static str,
    /// First byte that is wanted.
    pub(super) offset: u64,
    pub(super) body: Body<'a>,
    /// Media type of the body; empty for none.
    pub(super) content_type: &'a str,
    /// Where the body begins in its blob, where only a part is sent.
    pub(super) part_at: Option<u64>,
}

impl<'a> Ask<'a> {
    /// A request without a body, for reading.
    pub(super) fn new(method: Method, registry: &'a str, repository: &'a str, path: String) -> Self {
        Self {
            method,
            registry,
            repository,
            path,
            at: None,
            access: Access::Pull,
            accept: "",
            offset: 0,
            body: Body::Empty,
            content_type: "",
            part_at: None,
        }
    }

    fn scope(&self) -> String {
        let own = self.repository;
        match self.access {
            Access::Enter => String::new(),
            Access::Pull => format!("repository:{own}:pull"),
            Access::Push => format!("repository:{own}:pull,push"),
            Access::Mount(other) => format!("repository:{own}:pull,push repository:{other}:pull"),
        }
    }

    /// Whether it changes nothing.
    fn is_reading(&self) -> bool {
        matches!(self.method, Method::GET | Method::HEAD)
    }

    /// The request for one address, on its way from redirect to redirect.
    async fn request(&self, http: &reqwest::Client, at: &Url) -> Result<reqwest::RequestBuilder, RegistryError> {
        let mut request = http.request(self.method.clone(), at.clone());
        if !self.accept.is_empty() {
            request = request.header(ACCEPT, self.accept);
        }
        if self.offset > 0 {
            request = request.header(RANGE, format!("bytes={}-", self.offset));
        }
        if !self.is_reading() {
            let length_bytes = self.body.length_bytes();
            request = request.header(CONTENT_LENGTH, length_bytes);
            if !self.content_type.is_empty() {
                request = request.header(CONTENT_TYPE, self.content_type);
            }
            if let Some(first) = self.part_at {
                // Without a unit (OCI distribution specification, "Pushing a blob in chunks").
                request = request.header(
                    CONTENT_RANGE,
                    format!("{first}-{}", (first + length_bytes).saturating_sub(1)),
                );
            }
            request = request.body(self.body.open().await?);
        }
        Ok(request)
    }
}

impl Registry {
    /// Asks the mirror and then the registry itself, the latter several times when the failure may pass. None means
    /// that it is not there (404), where something was read.
    pub(super) async fn ask(&self, ask: &Ask<'_>) -> Result<Option<Response>, RegistryError> {
        if ask.access == Access::Pull
            && let Some(response) = self.ask_mirror(ask).await
        {
            return Ok(Some(response));
        }
        let mut attempts = self.inner.retries.begin();
        loop {
            if let Some(error) = self.known_as_lost(ask.registry) {
                return Err(error);
            }
            let failed = match self.ask_own(ask).await {
                Ok(found) => return Ok(found),
                Err(failed) => failed,
            };
            if self.is_hasty && is_unconnected(&failed.error) {
                return Err(self.lost(ask.registry, failed.error));
            }
            let given_up = attempts.failed(failed).await;
            given_up.map_err(|error| self.lost(ask.registry, error))?;
        }
    }

    /// [`Self::ask`] for what changes something: there is an answer, or it failed.
    pub(super) async fn tell(&self, ask: &Ask<'_>) -> Result<Response, RegistryError> {
        self.ask(ask).await?.ok_or_else(|| missing(ask))
    }

    /// [`Self::tell`] without another try: for parts of a blob, of which some may have arrived.
    pub(super) async fn tell_once(&self, ask: &Ask<'_>) -> Result<Response, Failed> {
        Ok(self.ask_own(ask).await?.ok_or_else(|| missing(ask))?)
    }

    /// Remembers a registry to which there was no connection.
    fn lost(&self, registry: &str, error: RegistryError) -> RegistryError {
        if let RegistryError::Unreachable { reason, .. } = &error
            && is_unconnected(&error)
        {
            let mut lost = self.lost_registries();
            lost.insert(registry.to_owned(), reason.clone());
        }
        error
    }

    /// The failure of whoever is in haste and asks a registry that cannot be reached.
    fn known_as_lost(&self, registry: &str) -> Option<RegistryError> {
        if !self.is_hasty {
            return None;
        }
        let reason = self.lost_registries().get(registry)?.clone();
        Some(RegistryError::Unreachable {
            url: registry.to_owned(),
            is_connected: false,
            reason,
        })
    }

    fn lost_registries(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        let lost = self.inner.lost_registries.lock();
        lost.unwrap_or_else(PoisonError::into_inner)
    }

    fn patience(&self) -> Patience {
        match self.is_hasty {
            true => Patience::Hasty,
            false => Patience::Usual,
        }
    }
}

fn is_unconnected(error: &RegistryError) -> bool {
    matches!(
        error,
        RegistryError::Unreachable {
            is_connected: false,
            ..
        }
    )
}

fn missing(ask: &Ask<'_>) -> RegistryError {
    RegistryError::Status {
        url: format!("{}/v2/{}/{}", ask.registry, ask.repository, ask.path),
        status: StatusCode::NOT_FOUND.as_u16(),
        text: String::new(),
    }
}

/// Where a base URL leads: the host with its scheme, and what stands between `/v2/` and a repository. A mirror's path is
/// the beginning of its repositories' names, for linuxkit and for BuildKit as well.
fn place(base: &str) -> (&str, String) {
    let scheme = base.find("://").map_or(0, |at| at + 3);
    match base[scheme..].split_once('/') {
        Some((host, path)) => (&base[..scheme + host.len()], format!("{}/", path.trim_matches('/'))),
        None => (base, String::new()),
    }
}

/// Asking once.
impl Registry {
    /// Whatever is wrong with a mirror, the registry itself may answer. One that cannot be reached is not asked again:
    /// waiting for it would be added to every request.
    async fn ask_mirror(&self, ask: &Ask<'_>) -> Option<Response> {
        let mirror = self.inner.mirrors.mirror(ask.registry)?;
        let lost = || self.inner.lost_mirrors.lock().unwrap_or_else(PoisonError::into_inner);
        if lost().contains(mirror) {
            return None;
        }
        match self.once(ask, mirror, Some(ask.registry)).await {
            Ok(found) => found,
            Err(failed) => {
                if matches!(
                    failed.error,
                    RegistryError::Unreachable { .. } | RegistryError::Untrusted { .. }
                ) {
                    lost().insert(mirror.to_owned());
                }
                None
            }
        }
    }

    /// The registry itself: with TLS, or on this machine without where it has none.
    async fn ask_own(&self, ask: &Ask<'_>) -> Result<Option<Response>, Failed> {
        let host = own_host(ask.registry);
        let (plain, secure) = (format!("http://{host}"), format!("https://{host}"));
        let known = || self.inner.secure_hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_loopback(host) || self.inner.clients.has_own(host) || known().contains(host) {
            return self.once(ask, &secure, None).await;
        }
        match self.once(ask, &plain, None).await {
            // So do servers answer that speak TLS there. Whoever writes has read before.
            Err(failed) if ask.is_reading() && matches!(failed.error, RegistryError::Status { status: 400, .. }) => {
                let found = self.once(ask, &secure, None).await;
                match found {
                    // It does not: what it said first counts.
                    Err(second) if matches!(second.error, RegistryError::Unreachable { .. }) => Err(failed),
                    found => {
                        known().insert(host.to_owned());
                        found
                    }
                }
            }
            found => found,
        }
    }

    /// One try at one base address. A mirror is told for whom it stands in (`ns`, as containerd does).
    pub(super) async fn once(
        &self,
        ask: &Ask<'_>,
        base: &str,
        stands_for: Option<&str>,
    ) -> Result<Option<Response>, Failed> {
        let (host, below) = place(base);
        let mut url = address(&match ask.access {
            Access::Enter => format!("{host}/v2/{below}"),
            _ => format!("{host}/v2/{below}{}/{}", ask.repository, ask.path),
        })?;
        let own = url.origin();
        if let Some(at) = &ask.at {
            url = at.clone();
        }
        if let Some(registry) = stands_for {
            url.query_pairs_mut().append_pair("ns", registry);
        }
        // A mirror is another host: its tokens are its own.
        let host = host.split_once("://").map_or(host, |(_, host)| host);
        let registry = if host == DOCKER_HUB_HOST { ask.registry } else { host };
        let scope = ask.scope();
        let audience = Audience {
            registry,
            repository: ask.repository,
            scope: &scope,
            is_secure: url.scheme() == "https",
        };
        // Only the registry itself may be shown and may ask who we are, not the storage that it sent us to.
        let header = match url.origin() == own {
            true => self.inner.tokens.known(audience).await,
            false => None,
        };
        let mut response = self.follow(ask, &url, header.as_ref()).await?;
        if response.status() == StatusCode::UNAUTHORIZED && response.url().origin() == own {
            let challenges = response.headers().get_all(WWW_AUTHENTICATE).iter();
            let challenges: Vec<_> = challenges
                .filter_map(|value| value.to_str().ok().map(str::to_owned))
                .collect();
            let answer = self.inner.tokens.answer(
                (&self.inner.clients, self.patience()),
                audience,
                &challenges,
                header.as_ref(),
            );
            if let Some(header) = answer.await? {
                response = self.follow(ask, &url, Some(&header)).await?;
            }
        }
        let is_own = response.url().origin() == own;
        self.judge(ask, audience, base, is_own, response).await
    }

    /// Sends the request and follows redirects; credentials go to the first host only.
    async fn follow(&self, ask: &Ask<'_>, first: &Url, header: Option<&HeaderValue>) -> Result<Response, Failed> {
        let mut at = first.clone();
        for _ in 0..=REDIRECTS {
            let http = match ask.body.is_streamed() {
                true => self.inner.clients.of(&at, Patience::Endless)?,
                false => self.inner.clients.of(&at, self.patience())?,
            };
            let mut request = ask.request(&http, &at).await?;
            if let Some(header) = header.filter(|_| at.origin() == first.origin()) {
                request = request.header(AUTHORIZATION, header.clone());
            }
            self.inner.requests.fetch_add(1, Ordering::Relaxed);
            let response = ask.body.watch(&at, request.send()).await?;
            let location = text(&response, LOCATION.as_str()).filter(|_| response.status().is_redirection());
            let Some(location) = location else {
                return Ok(response);
            };
            at = next_hop(&at, location)?;
        }
        Err(RegistryError::Redirect {
            url: shown(first),
            target: shown(&at),
            reason: "there are too many",
        }
        .into())
    }

    async fn judge(
        &self,
        ask: &Ask<'_>,
        audience: Audience<'_>,
        base: &str,
        is_own: bool,
        response: Response,
    ) -> Result<Option<Response>, Failed> {
        let status = response.status();
        match status {
            // Nothing in a registry is a web page: a login of the network, or a server that is something else.
            status if status == StatusCode::OK && media_type(&response) == "text/html" => {
                Err(RegistryError::NotARegistry {
                    url: shown(response.url()),
                    found: "it answers with a web page".to_owned(),
                }
                .into())
            }
            status if status.is_success() => Ok(Some(response)),
            StatusCode::NOT_FOUND if ask.is_reading() => {
                let is_known = text(&response, API_VERSION).is_some() || media_type(&response).ends_with("json");
                if is_own && !is_known {
                    self.ensure_registry(base).await?;
                }
                Ok(None)
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if is_own => Err(RegistryError::Denied {
                registry: audience.registry.to_owned(),
                repository: audience.repository.to_owned(),
                is_anonymous: self.inner.tokens.is_anonymous(audience.registry).await,
            }
            .into()),
            StatusCode::TOO_MANY_REQUESTS => {
                let retry_after = retry_after(&response);
                let error = RegistryError::RateLimited {
                    registry: audience.registry.to_owned(),
                    retry_after_seconds: retry_after.map(|pause| pause.as_secs()),
                    is_anonymous: self.inner.tokens.is_anonymous(audience.registry).await,
                };
                Err(Failed { error, retry_after })
            }
            _ => Err(failure(response, true).await),
        }
    }

    /// A 404 that does not look like a registry's is believed only where `/v2/` is there (OCI distribution
    /// specification, "Determining Support"): some networks answer 404 for every machine that is not there.
    async fn ensure_registry(&self, base: &str) -> Result<(), Failed> {
        let sure = || {
            let sure = self.inner.sure_registries.lock();
            sure.unwrap_or_else(PoisonError::into_inner)
        };
        if sure().contains(base) {
            return Ok(());
        }
        let url = address(&format!("{base}/v2/"))?;
        self.inner.requests.fetch_add(1, Ordering::Relaxed);
        let sent = self
            .inner
            .clients
            .of(&url, self.patience())?
            .get(url.clone())
            .send()
            .await;
        let response = sent.map_err(|error| RegistryError::unanswered(&url, error))?;
        match response.status() {
            StatusCode::NOT_FOUND => Err(RegistryError::NotARegistry {
                url: shown(&url),
                found: "it answers 404".to_owned(),
            }
            .into()),
            _ => {
                sure().insert(base.to_owned());
                Ok(())
            }
        }
    }
}

fn address(text: &str) -> Result<Url, RegistryError> {
    Url::parse(text).map_err(|error| RegistryError::Unreachable {
        url: text.to_owned(),
        is_connected: false,
        reason: error.to_string(),
    })
}

/// Where a redirect leads, when it may be followed.
pub(super) fn next_hop(at: &Url, location: &str) -> Result<Url, RegistryError> {
    let redirect = |target: String, reason| RegistryError::Redirect {
        url: shown(at),
        target,
        reason,
    };
    let next = at
        .join(location)
        .map_err(|_| redirect("a place".to_owned(), "it is no address"))?;
    match (at.scheme(), next.scheme()) {
        (_, "https") | ("http", "http") => Ok(next),
        ("https", "http") => Err(redirect(shown(&next), "it leaves TLS")),
        _ => Err(redirect(shown(&next), "it is neither http nor https")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirrors_path_begins_the_names_of_its_repositories() {
        assert_eq!(place("https://a:1"), ("https://a:1", String::new()));
        assert_eq!(place("https://a:1/hub"), ("https://a:1", "hub/".to_owned()));
        assert_eq!(place("http://a/x/y"), ("http://a", "x/y/".to_owned()));
    }

    #[test]
    fn redirects_stay_in_tls_and_may_be_relative() {
        let check = |at: &str, location: &str, wanted: Result<&str, &str>| {
            let at = Url::parse(at).expect("parses");
            match (next_hop(&at, location), wanted) {
                (Ok(next), Ok(wanted)) => assert_eq!(next.as_str(), wanted),
                (Err(error), Err(part)) => {
                    assert!(error.to_string().contains(part), "{error}");
                    assert!(!error.to_string().contains("s3cret"), "{error}");
                }
                (found, _) => panic!("{location}: {found:?}"),
            }
        };
        check("https://a/v2/x/blobs/1", "/store/1", Ok("https://a/store/1"));
        check("https://a/v2/x/blobs/1", "../2", Ok("https://a/v2/x/2"));
        check("https://a/", "//b/1", Ok("https://b/1"));
        check("http://a/", "https://b/1", Ok("https://b/1"));
        check("http://a/", "http://b/1", Ok("http://b/1"));
        check("https://a/", "http://u:s3cret@b/1?s3cret", Err("leaves TLS"));
        check("https://a/", "file:///etc/passwd", Err("neither http nor https"));
        check("https://a/", "https://:s3cret@", Err("no address"));
    }
}
