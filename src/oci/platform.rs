//! `os/architecture[/variant]`.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A platform an image runs on (OCI image specification, image-index.md, `platform`).
///
/// The architecture is a GOARCH name. The fields that only Windows images use are carried along untouched.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// Operating system, a GOOS name.
    pub os: String,
    /// Architecture, a GOARCH name.
    pub architecture: String,
    /// Variant of the architecture, `v8` of arm64 for example; empty when none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// Version of the operating system; empty when none.
    #[serde(default, rename = "os.version", skip_serializing_if = "String::is_empty")]
    pub os_version: String,
    /// Features of the operating system.
    #[serde(default, rename = "os.features", skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
}

/// Why a text is not a platform.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{text:?} is not a platform: expected os/architecture, for example linux/arm64")]
pub struct PlatformError {
    text: String,
}

/// Architectures for which packages can be built, as GOARCH names, in the order in which linuxkit lists them.
pub const KNOWN_ARCHITECTURES: [&str; 4] = ["amd64", "arm64", "riscv64", "s390x"];

impl Platform {
    /// `linux/<architecture>`, without a variant.
    pub fn linux(architecture: &str) -> Self {
        Self {
            os: "linux".into(),
            architecture: architecture.into(),
            variant: String::new(),
            os_version: String::new(),
            os_features: Vec::new(),
        }
    }

    /// The platform of this machine.
    pub fn host() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            other => other, // riscv64 and s390x have the same name in Go and Rust
        };
        Self::linux(architecture)
    }

    /// Whether both name the same operating system and architecture. The variant does not count, as in linuxkit,
    /// so that `linux/arm64` finds an image marked `linux/arm64/v8`.
    pub fn matches(&self, other: &Platform) -> bool {
        self.os == other.os && self.architecture == other.architecture
    }

    /// Whether this is the `unknown/unknown` under which BuildKit files attestations.
    pub fn is_unknown(&self) -> bool {
        self.os == "unknown" && self.architecture == "unknown"
    }
}

impl FromStr for Platform {
    type Err = PlatformError;
    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let error = || PlatformError { text: text.to_owned() };
        let mut parts = text.trim().split('/');
        let mut next = || parts.next().filter(|part| !part.is_empty());
        let (os, architecture) = (next().ok_or_else(error)?, next().ok_or_else(error)?);
        let variant = next().unwrap_or_default();
        if text.trim().split('/').count() > 3 || text.trim().ends_with('/') {
            return Err(error());
        }
        Ok(Self {
            os: os.into(),
            variant: variant.into(),
            ..Self::linux(architecture)
        })
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if !self.variant.is_empty() {
            write!(f, "/{}", self.variant)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_value_are_inverse() {
        for text in ["linux/amd64", "linux/arm64/v8", "windows/amd64"] {
            assert_eq!(text.parse::<Platform>().map(|p| p.to_string()).as_deref(), Ok(text));
        }
    }

    #[test]
    fn what_is_no_platform_is_refused() {
        for text in ["", "linux", "linux/", "/amd64", "linux/arm/v7/x", "linux/arm64/"] {
            assert!(text.parse::<Platform>().is_err(), "{text}");
        }
    }
}
