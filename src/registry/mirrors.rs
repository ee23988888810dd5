//! Where the content of a registry can be had: `--mirror [REGISTRY=]URL`, and the registry itself.

use std::collections::BTreeMap;

/// Registry → mirrors; the key `*` is for all that are not named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mirrors(BTreeMap<String, String>);

/// A mirror that is no mirror.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the mirror {0:?} is not [REGISTRY=]URL with a URL that begins with http:// or https://")]
pub struct MirrorError(String);

/// The key for all registries that are not named.
const ALL: &str = "*";

impl Mirrors {
    /// Reads mirrors as linuxkit does: `REGISTRY=URL`, or a URL for all registries not named; later ones win.
    pub fn parse<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Result<Self, MirrorError> {
        let mut mirrors = BTreeMap::new();
        for text in texts {
            let text = text.as_ref().trim();
            let (registry, url) = text.split_once('=').unwrap_or((ALL, text));
            let is_url = ["http://", "https://"]
                .iter()
                .any(|scheme| url.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()));
            if !is_url || registry.is_empty() {
                return Err(MirrorError(text.to_owned()));
            }
            mirrors.insert(canonical(registry).to_owned(), url.trim_end_matches('/').to_owned());
        }
        Ok(Self(mirrors))
    }

    /// The base URL of the registry's mirror.
    pub(super) fn mirror(&self, registry: &str) -> Option<&str> {
        self.0
            .get(canonical(registry))
            .or_else(|| self.0.get(ALL))
            .map(String::as_str)
    }
}

/// Docker Hub has three names.
fn canonical(registry: &str) -> &str {
    match registry.trim_end_matches('/') {
        "index.docker.io" | "registry-1.docker.io" => "docker.io",
        other => other,
    }
}

/// The base URL of the registry itself; plain HTTP only for this machine.
pub(super) fn own_base(registry: &str) -> String {
    if canonical(registry) == "docker.io" {
        return "https://registry-1.docker.io".to_owned();
    }
    let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
    let is_loopback =
        host == "localhost" || host == "[::1]" || host.parse().is_ok_and(|ip: std::net::Ipv4Addr| ip.is_loopback());
    format!("{}://{registry}", if is_loopback { "http" } else { "https" })
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
        assert_eq!(own_base("127.0.0.1:5000"), "http://127.0.0.1:5000");
        assert_eq!(own_base("localhost:5000"), "http://localhost:5000");
        assert_eq!(own_base("10.0.0.1:5000"), "https://10.0.0.1:5000");
        assert_eq!(own_base("docker.io"), "https://registry-1.docker.io");
    }

    #[test]
    fn what_is_no_url_is_refused() {
        for bad in ["", "docker.io", "docker.io=mirror", "=http://x", "http://"] {
            assert!(Mirrors::parse([bad]).is_err(), "{bad}");
        }
    }
}
