//! Where the content of a registry can be had: `--mirror [REGISTRY=]URL`, and the registry itself.

use std::collections::BTreeMap;

/// The name of Docker Hub in images' names.
pub(super) const DOCKER_HUB: &str = "docker.io";
/// The host that answers for it.
pub(super) const DOCKER_HUB_HOST: &str = "registry-1.docker.io";
/// What stands for all registries that are not named.
pub const ALL_REGISTRIES: &str = "*";

/// Registry → mirrors; the key `*` is for all that are not named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mirrors(BTreeMap<String, String>);

/// A mirror that is no mirror.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MirrorError {
    /// Not a URL, or not for a registry.
    #[error("the mirror {0:?} is not [REGISTRY=]URL with a URL that begins with http:// or https://")]
    Syntax(String),
    /// A user or a password in the URL, which is not repeated.
    #[error("the mirror {0} has a user in its URL; give it with --registry-creds, or log in to it with docker login")]
    HasUser(String),
}

impl Mirrors {
    /// Reads mirrors as linuxkit does: `REGISTRY=URL`, or a URL for all registries not named; later ones win.
    pub fn parse<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Result<Self, MirrorError> {
        let mut mirrors = BTreeMap::new();
        for text in texts {
            let text = text.as_ref().trim();
            let (registry, address) = match text.split_once('=') {
                Some((registry, address)) if !registry.contains("://") => (registry, address),
                _ => (ALL_REGISTRIES, text),
            };
            let syntax = || MirrorError::Syntax(text.split_once('@').map_or(text, |_| "(with a user)").to_owned());
            let url = reqwest::Url::parse(address).map_err(|_| syntax())?;
            if !url.username().is_empty() || url.password().is_some() {
                return Err(MirrorError::HasUser(url.host_str().unwrap_or_default().to_owned()));
            }
            let is_base = matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.fragment().is_none();
            if !is_base || registry.is_empty() {
                return Err(syntax());
            }
            mirrors.insert(canonical(registry).to_owned(), address.trim_end_matches('/').to_owned());
        }
        Ok(Self(mirrors))
    }

    /// Every registry, `*` for all that are not named, with the base URL of its mirror.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(registry, url)| (registry.as_str(), url.as_str()))
    }

    /// The base URL of the registry's mirror.
    pub(super) fn mirror(&self, registry: &str) -> Option<&str> {
        self.0
            .get(canonical(registry))
            .or_else(|| self.0.get(ALL_REGISTRIES))
            .map(String::as_str)
    }
}

/// Docker Hub has three names.
pub(super) fn canonical(registry: &str) -> &str {
    match registry.trim_end_matches('/') {
        "index.docker.io" | DOCKER_HUB_HOST => DOCKER_HUB,
        other => other,
    }
}

/// `host[:port]` where the registry itself is.
pub(super) fn own_host(registry: &str) -> &str {
    match canonical(registry) {
        DOCKER_HUB => DOCKER_HUB_HOST,
        other => other,
    }
}

/// Whether the registry is on this machine, so that it may speak plain HTTP.
pub(super) fn is_loopback(registry: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(&format!("http://{registry}")) else {
        return false;
    };
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_goes_before_the_registry() {
        let mirrors = Mirrors::parse(["docker.io=http://a/", "https://b", "index.docker.io=http://c"]).expect("parses");
        assert_eq!(mirrors.mirror("docker.io"), Some("http://c"));
        assert_eq!(mirrors.mirror("ghcr.io"), Some("https://b"));
        assert_eq!(Mirrors::default().mirror("ghcr.io"), None);
    }

    #[test]
    fn plain_http_is_for_this_machine_only() {
        for (registry, expected) in [
            ("127.0.0.1:5000", true),
            ("127.1.2.3", true),
            ("localhost:5000", true),
            ("localhost", true),
            ("[::1]:5000", true),
            ("[::1]", true),
            ("10.0.0.1:5000", false),
            ("localhost.example.org", false),
            ("127.0.0.1.example.org", false),
            ("[fe80::1]", false),
            ("docker.io", false),
        ] {
            assert_eq!(is_loopback(registry), expected, "{registry}");
        }
        assert_eq!(own_host("docker.io"), "registry-1.docker.io");
        assert_eq!(own_host("ghcr.io"), "ghcr.io");
    }

    #[test]
    fn what_is_no_url_is_refused() {
        for bad in [
            "",
            "docker.io",
            "docker.io=mirror",
            "=http://x",
            "http://",
            "ftp://x",
            "http://x?a=b",
        ] {
            assert!(Mirrors::parse([bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_password_is_refused_and_not_repeated() {
        for text in [
            "http://me:s3cret@x",
            "docker.io=https://me:s3cret@x/",
            "docker.io=me:s3cret@x",
        ] {
            let error = Mirrors::parse([text]).expect_err("refused");
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
        }
    }
}
