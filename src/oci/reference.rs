//! Names of images, expanded as linuxkit expands them.

use super::Digest;
use std::fmt;
use std::str::FromStr;

/// The full name of an image: registry, repository, and a tag or a digest or both.
///
/// Parsed by oci-spec (the grammar is distribution/reference's) after [`expand`].
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

impl FromStr for Reference {
    type Err = ReferenceError;
    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let error = |reason: String| ReferenceError {
            text: text.to_owned(),
            reason,
        };
        let expanded = expand(text);
        let parsed: oci_spec::distribution::Reference = expanded
            .parse()
            .map_err(|e: oci_spec::distribution::ParseError| error(e.to_string()))?;
        let digest = parsed
            .digest()
            .map(str::parse)
            .transpose()
            .map_err(|e: super::DigestError| error(e.to_string()))?;
        // oci-spec fills in `latest`; whether a tag was written matters to us.
        let name = expanded.split('@').next().unwrap_or_default();
        let is_tagged = name.rsplit('/').next().is_some_and(|last| last.contains(':'));
        Ok(Self {
            registry: parsed.registry().to_owned(),
            repository: parsed.repository().to_owned(),
            tag: parsed.tag().filter(|_| is_tagged).map(str::to_owned),
            digest,
        })
    }
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

    #[test]
    fn what_is_no_name_is_refused() {
        for text in ["", "UPPER", "a/b:", "a//b", "a/b@sha256:12"] {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
    }
}
