//! Names of images, expanded as linuxkit expands them.

use super::Digest;
use std::fmt;
use std::str::FromStr;

/// The full name of an image: registry, repository, and a tag or a digest or both.
///
/// The grammar is distribution/reference's, applied after [`expand`]. Parsed by hand: the regular expression that
/// oci-spec compiles for it costs every process more than reading a repository of thousands of files does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a text is not the name of an image.
#[derive(Debug, thiserror::Error)]
#[error("{text:?} is not an image name: {reason}")]
pub struct ReferenceError {
    text: String,
    reason: String,
}

/// Expands a short name the way linuxkit does: `x` → `docker.io/library/x`, `a/b` → `docker.io/a/b` unless `a` looks
/// like a host (has a `.` or a `:`, or is `localhost`), everything else as it is.
pub fn expand(name: &str) -> String {
    let parts: Vec<&str> = name.split('/').collect();
    let is_host = |part: &str| part.contains('.') || part.contains(':') || part == "localhost";
    match parts.as_slice() {
        [_] => format!("docker.io/library/{name}"),
        [first, _] if !is_host(first) => format!("docker.io/{name}"),
        _ => name.to_owned(),
    }
}

impl Reference {
    /// Host, and port where there is one: `docker.io`, `127.0.0.1:5000`.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Repository within the registry: `library/busybox`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, when the name has one.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, when the name has one.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// `registry/repository`.
    pub fn locator(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// The name under which an OCI layout knows the image: `registry/repository:tag`, with `latest` where neither tag
    /// nor digest is given, and `registry/repository@digest` where there is only a digest.
    pub fn store_name(&self) -> String {
        match (&self.tag, &self.digest) {
            (Some(tag), _) => format!("{}:{tag}", self.locator()),
            (None, Some(digest)) => format!("{}@{digest}", self.locator()),
            (None, None) => format!("{}:latest", self.locator()),
        }
    }

    /// The name by its digest alone where there is one, since a tag may have moved meanwhile; else [`Self::store_name`].
    pub fn pinned_name(&self) -> String {
        match &self.digest {
            Some(digest) => format!("{}@{digest}", self.locator()),
            None => self.store_name(),
        }
    }

    /// The name as Docker shows it: without `docker.io/`, `library/` and `:latest` (distribution/reference's familiar
    /// string). BuildKit's frontend looks named contexts up by it.
    pub fn familiar(&self) -> String {
        let mut familiar = match self.registry.as_str() {
            "docker.io" | "index.docker.io" => {
                // `library/a/b` keeps its `library`: without it, it would be another image.
                let short = self
                    .repository
                    .strip_prefix("library/")
                    .filter(|rest| !rest.contains('/'));
                short.unwrap_or(&self.repository).to_owned()
            }
            _ => self.locator(),
        };
        if let Some(tag) = self.tag().filter(|tag| *tag != "latest" || self.digest.is_some()) {
            familiar.push_str(&format!(":{tag}"));
        }
        if let Some(digest) = &self.digest {
            familiar.push_str(&format!("@{digest}"));
        }
        familiar
    }

    /// The same image under another tag; a digest is dropped.
    pub fn with_tag(&self, tag: &str) -> Self {
        Self {
            tag: Some(tag.to_owned()),
            digest: None,
            ..self.clone()
        }
    }

    /// The name of one architecture's image, `name:tag-arch`, as linuxkit keeps and pushes it.
    pub fn with_architecture(&self, architecture: &str) -> Self {
        self.with_tag(&format!("{}-{architecture}", self.tag.as_deref().unwrap_or("latest")))
    }
}

/// Longest name that distribution/reference takes, registry and repository together.
const NAME_BYTES_MAX: usize = 255;
/// Longest tag that distribution/reference takes.
const TAG_BYTES_MAX: usize = 128;
/// Docker Hub's registry, and its old name.
const DOCKER_HUB: (&str, &str) = ("docker.io", "index.docker.io");

impl FromStr for Reference {
    type Err = ReferenceError;
    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let error = |reason: &str| ReferenceError {
            text: text.to_owned(),
            reason: reason.to_owned(),
        };
        let expanded = expand(text);
        let (name, digest) = match expanded.split_once('@') {
            Some((name, digest)) => {
                let digest = digest.parse().map_err(|e: super::DigestError| error(&e.to_string()))?;
                (name, Some(digest))
            }
            None => (expanded.as_str(), None),
        };
        let (name, tag) = match name.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (name, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(error(
                "a tag is at most 128 letters, digits, '_', '.' and '-', and begins with none of the last two",
            ));
        }
        let (registry, repository) = match name.split_once('/') {
            Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => (host, rest),
            _ => (DOCKER_HUB.0, name),
        };
        if !is_registry(registry) {
            return Err(error("its registry is not HOST or HOST:PORT"));
        }
        if name.len() > NAME_BYTES_MAX {
            return Err(error("it is longer than 255 signs"));
        }
        if !repository.split('/').all(is_component) {
            return Err(error(
                "a repository is lower-case letters and digits, with '.', '_', '__' or '-' between them and '/' between parts",
            ));
        }
        let registry = if registry == DOCKER_HUB.1 {
            DOCKER_HUB.0
        } else {
            registry
        };
        let repository = match registry == DOCKER_HUB.0 && !repository.contains('/') {
            true => format!("library/{repository}"),
            false => repository.to_owned(),
        };
        Ok(Self {
            registry: registry.to_owned(),
            repository,
            tag: tag.map(str::to_owned),
            digest,
        })
    }
}

fn is_tag(tag: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= TAG_BYTES_MAX
        && tag.bytes().next().is_some_and(is_word)
        && tag.bytes().all(|byte| is_word(byte) || byte == b'.' || byte == b'-')
}

/// A host name or address, an IPv6 one in brackets, and a port or none.
fn is_registry(registry: &str) -> bool {
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    if let Some((address, rest)) = registry.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let is_address = !address.is_empty() && address.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':');
        return is_address && (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port));
    }
    let (host, port) = match registry.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (registry, None),
    };
    let is_label = |label: &str| {
        let is_end = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
        is_end(label.bytes().next())
            && is_end(label.bytes().next_back())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    host.split('.').all(is_label) && port.is_none_or(is_port)
}

/// Runs of lower-case letters and digits, with `.`, `_`, `__` or any number of `-` between two of them.
fn is_component(component: &str) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = component.as_bytes();
    let separators = bytes.split(is_plain).filter(|separator| !separator.is_empty());
    bytes.first().is_some_and(is_plain)
        && bytes.last().is_some_and(is_plain)
        && separators
            .into_iter()
            .all(|separator| matches!(separator, b"." | b"_" | b"__") || separator.iter().all(|byte| *byte == b'-'))
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.locator())?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expansion_is_linuxkits() {
        for (short, full) in [
            ("x", "docker.io/library/x"),
            ("x:1", "docker.io/library/x:1"),
            ("a/b", "docker.io/a/b"),
            ("localhost/b", "localhost/b"),
            ("127.0.0.1:5000/x", "127.0.0.1:5000/x"),
            ("ghcr.io/x", "ghcr.io/x"),
            ("a/b/c", "a/b/c"),
        ] {
            assert_eq!(expand(short), full);
        }
    }

    #[test]
    fn parts_are_found() {
        let reference: Reference = "127.0.0.1:5000/org/x:1.0".parse().expect("parses");
        assert_eq!(
            (reference.registry(), reference.repository(), reference.tag()),
            ("127.0.0.1:5000", "org/x", Some("1.0"))
        );
        assert_eq!(
            reference.with_architecture("arm64").to_string(),
            "127.0.0.1:5000/org/x:1.0-arm64"
        );
        let bare: Reference = "busybox".parse().expect("parses");
        assert_eq!(
            (bare.tag(), bare.store_name().as_str()),
            (None, "docker.io/library/busybox:latest")
        );
        let digest = Digest::of(b"");
        let pinned: Reference = format!("a/b:1@{digest}").parse().expect("parses");
        assert_eq!(
            (pinned.tag(), pinned.digest(), pinned.to_string()),
            (Some("1"), Some(&digest), format!("docker.io/a/b:1@{digest}"))
        );
    }

    /// oci-spec's grammar is distribution/reference's regular expression; ours must say the same. (But for four
    /// slips of oci-spec's: it takes letters outside of ASCII in tags, `_` in a registry's name and capitals in a repository's
    /// first part, and no IPv6 address.)
    #[test]
    fn the_grammar_is_oci_specs() {
        const PIECES: [&str; 16] = [
            "a",
            "B",
            "0",
            ".",
            "_",
            "__",
            "-",
            "--",
            "/",
            ":",
            "@",
            "localhost",
            "docker.io",
            "index.docker.io",
            ":5000",
            "x.y",
        ];
        let strategy = proptest::collection::vec(proptest::sample::select(&PIECES[..]), 0..7);
        let config = proptest::test_runner::Config::with_cases(4096);
        proptest::test_runner::TestRunner::new(config)
            .run(&strategy, |pieces| {
                let text = pieces.concat();
                let ours = text.parse::<Reference>().ok();
                let theirs = expand(&text).parse::<oci_spec::distribution::Reference>().ok();
                let ours = ours.map(|ours| (ours.registry, ours.repository));
                let theirs = theirs.map(|theirs| (theirs.registry().to_owned(), theirs.repository().to_owned()));
                let is_slip = |registry: &str, repository: &str| registry.contains('_') || repository.contains('B');
                let theirs = theirs.filter(|(registry, repository)| !is_slip(registry, repository));
                proptest::prop_assert_eq!(ours, theirs, "{}", text);
                Ok(())
            })
            .expect("the same");
    }

    #[test]
    fn addresses_letters_and_lengths() {
        for (text, expected) in [
            ("[::1]:5000/a:1".to_owned(), true),
            ("[::1]/a".to_owned(), true),
            ("[::1/a".to_owned(), false),
            ("a:é".to_owned(), false),
            (format!("a/b:{}", "x".repeat(128)), true),
            (format!("a/b:{}", "x".repeat(129)), false),
            (format!("docker.io/a/{}", "x".repeat(243)), true),
            (format!("docker.io/a/{}", "x".repeat(244)), false),
        ] {
            assert_eq!(text.parse::<Reference>().is_ok(), expected, "{text}");
        }
    }

    #[test]
    fn familiar_names_are_dockers() {
        let pinned = format!("busybox:1.37@{}", Digest::of(b""));
        for (written, expected) in [
            ("busybox", "busybox"),
            ("busybox:latest", "busybox"),
            ("docker.io/library/busybox:1.37", "busybox:1.37"),
            ("linuxkit/alpine:abc", "linuxkit/alpine:abc"),
            ("docker.io/linuxkit/alpine", "linuxkit/alpine"),
            ("docker.io/library/a/b:1", "library/a/b:1"),
            ("127.0.0.1:5000/x:1", "127.0.0.1:5000/x:1"),
            ("ghcr.io/a/b", "ghcr.io/a/b"),
            (&pinned, &pinned),
        ] {
            assert_eq!(written.parse::<Reference>().expect("a name").familiar(), expected);
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in ["", "UPPER", "a/b:", "a//b", "a/b@sha256:12"] {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
    }
}
