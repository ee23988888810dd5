//! A request → the names and values that BuildKit's Dockerfile frontend and OCI exporter read. Pure.

use super::BuildRequest;
use super::session::CACHE_STORE;
use crate::oci::{Digest, Index, Platform, Reference};
use std::collections::{BTreeMap, HashMap};

/// The frontend that is built into BuildKit.
pub const FRONTEND: &str = "dockerfile.v0";
/// The exporter that writes blobs of OCI media types.
pub const EXPORTER: &str = "oci";
/// Says to a frontend that a `# syntax=` line may name: it must know named contexts.
const NAMED_CONTEXTS_CAPABILITY: &str = "moby.buildkit.frontend.contexts+forward";

/// What the frontend reads; `contexts` are the named contexts of [`named_contexts`].
pub fn frontend(request: &BuildRequest, contexts: BTreeMap<String, String>) -> HashMap<String, String> {
    let platforms: Vec<String> = request.platforms.iter().map(Platform::to_string).collect();
    let network = if request.has_network { "sandbox" } else { "none" };
    let mut attributes: HashMap<String, String> = [
        ("platform", platforms.join(",")),
        // The result is an index for one platform too, with and without attestations.
        ("multi-platform", "true".into()),
        ("filename", request.dockerfile.display().to_string()),
        ("force-network-mode", network.into()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into();
    attributes.extend(
        request
            .build_args
            .iter()
            .map(|(key, value)| (format!("build-arg:{key}"), value.clone())),
    );
    attributes.extend(
        request
            .labels
            .iter()
            .map(|(key, value)| (format!("label:{key}"), value.clone())),
    );
    if request.is_cache_disabled {
        // No value: no stage is taken from the cache.
        attributes.insert("no-cache".into(), String::new());
    }
    if let Some(scanner) = &request.sbom {
        let value = if scanner.is_empty() {
            String::new()
        } else {
            format!("generator={scanner}")
        };
        attributes.insert("attest:sbom".into(), value);
    }
    if !contexts.is_empty() {
        attributes.insert("frontend.caps".into(), NAMED_CONTEXTS_CAPABILITY.into());
        attributes.extend(contexts);
    }
    attributes
}

/// What the exporter reads.
pub fn exporter(request: &BuildRequest) -> HashMap<String, String> {
    [
        ("name", request.name.as_str()),
        ("tar", "false"),
        ("oci-mediatypes", "true"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

/// The named contexts by which the frontend finds a cached image: one for each platform that the image has, so that
/// another platform's image still comes from the registry. `index` is `None` when the digest is that of a manifest.
pub fn named_contexts(name: &str, digest: &Digest, index: Option<&Index>) -> BTreeMap<String, String> {
    let Some(name) = familiar(name) else {
        return BTreeMap::new();
    };
    let value = format!("oci-layout://{CACHE_STORE}@{digest}");
    let Some(index) = index else {
        return [(format!("context:{name}"), value)].into();
    };
    let platforms = index
        .manifests
        .iter()
        .filter_map(|entry| entry.platform.as_ref())
        .filter(|p| !p.is_unknown());
    platforms
        .map(|platform| (format!("context:{name}::{}", normalised(platform)), value.clone()))
        .collect()
}

/// The name as the frontend looks it up: Docker Hub's parts left out, and the tag `latest`.
fn familiar(name: &str) -> Option<String> {
    let reference: Reference = name.parse().ok()?;
    let mut familiar = match reference.registry() {
        "docker.io" | "index.docker.io" => {
            let repository = reference.repository();
            // `library/a/b` keeps its `library`: without it, it would be another image.
            let short = repository.strip_prefix("library/").filter(|rest| !rest.contains('/'));
            short.unwrap_or(repository).to_owned()
        }
        _ => reference.locator(),
    };
    match (reference.tag(), reference.digest()) {
        (None | Some("latest"), None) => {}
        (None, Some(digest)) => familiar.push_str(&format!("@{digest}")),
        (Some(tag), None) => familiar.push_str(&format!(":{tag}")),
        (Some(tag), Some(digest)) => familiar.push_str(&format!(":{tag}@{digest}")),
    }
    Some(familiar)
}

/// The platform as the frontend writes it (containerd's `platforms.Normalize`, as far as it concerns Linux).
fn normalised(platform: &Platform) -> String {
    let variant = match (platform.architecture.as_str(), platform.variant.as_str()) {
        ("arm64", "v8" | "8") | ("amd64", "v1") => "",
        ("arm", "" | "7") => "v7",
        (_, variant) => variant,
    };
    Platform {
        variant: variant.to_owned(),
        ..Platform::linux(&platform.architecture)
    }
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::credentials::CredentialSource;
    use crate::oci::{Descriptor, media_type};

    fn request() -> BuildRequest {
        BuildRequest {
            step: "org/x:1".into(),
            context: "/package".into(),
            extra_sources: Vec::new(),
            dockerfile: "sub/Dockerfile".into(),
            platforms: vec![Platform::linux("amd64"), Platform::linux("riscv64")],
            build_args: [("A".to_owned(), "1".to_owned())].into(),
            labels: [("org.x".to_owned(), "l".to_owned())].into(),
            has_network: false,
            is_cache_disabled: false,
            sbom: None,
            secrets: Vec::new(),
            ssh: Vec::new(),
            cached_images: BTreeMap::new(),
            credentials: CredentialSource::given(BTreeMap::new()),
            name: "docker.io/org/x:1".into(),
        }
    }

    fn lines(attributes: HashMap<String, String>) -> Vec<String> {
        let sorted: BTreeMap<_, _> = attributes.into_iter().collect();
        sorted
            .into_iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect()
    }

    #[test]
    fn attributes_are_linuxkits() {
        let plain = lines(frontend(&request(), BTreeMap::new()));
        let expected = [
            "build-arg:A=1",
            "filename=sub/Dockerfile",
            "force-network-mode=none",
            "label:org.x=l",
            "multi-platform=true",
            "platform=linux/amd64,linux/riscv64",
        ];
        assert_eq!(plain, expected);
        let full = BuildRequest {
            has_network: true,
            is_cache_disabled: true,
            sbom: Some("img".into()),
            ..request()
        };
        let full = lines(frontend(
            &full,
            [("context:a".to_owned(), "oci-layout://x".to_owned())].into(),
        ));
        for line in [
            "force-network-mode=sandbox",
            "no-cache=",
            "attest:sbom=generator=img",
            "context:a=oci-layout://x",
            "frontend.caps=moby.buildkit.frontend.contexts+forward",
        ] {
            assert!(full.iter().any(|found| found == line), "{line} in {full:?}");
        }
        let default = BuildRequest {
            sbom: Some(String::new()),
            ..request()
        };
        assert!(lines(frontend(&default, BTreeMap::new())).contains(&"attest:sbom=".to_owned()));
        assert_eq!(
            lines(exporter(&request())),
            ["name=docker.io/org/x:1", "oci-mediatypes=true", "tar=false"]
        );
    }

    #[test]
    fn names_are_looked_up_as_the_frontend_does() {
        let digest = Digest::of(b"");
        for (written, expected) in [
            ("busybox", "busybox"),
            ("busybox:latest", "busybox"),
            ("docker.io/library/busybox:1.37", "busybox:1.37"),
            ("linuxkit/alpine:abc", "linuxkit/alpine:abc"),
            ("docker.io/linuxkit/alpine", "linuxkit/alpine"),
            ("docker.io/library/a/b:1", "library/a/b:1"),
            ("127.0.0.1:5000/x:1", "127.0.0.1:5000/x:1"),
            ("ghcr.io/a/b", "ghcr.io/a/b"),
        ] {
            assert_eq!(familiar(written).as_deref(), Some(expected), "{written}");
        }
        let pinned = format!("busybox:1.37@{digest}");
        assert_eq!(familiar(&pinned), Some(pinned));
        assert_eq!(familiar("No Name"), None);
    }

    #[test]
    fn only_platforms_that_are_there_come_from_the_cache() {
        let digest = Digest::of(b"");
        let entry = |architecture: &str, variant: &str| {
            let platform = Platform {
                variant: variant.into(),
                ..Platform::linux(architecture)
            };
            let descriptor = Descriptor::new(media_type::MANIFEST, digest.clone(), 0);
            Descriptor {
                platform: Some(platform),
                ..descriptor
            }
        };
        let unknown = Platform {
            os: "unknown".into(),
            ..Platform::linux("unknown")
        };
        let attestation = Descriptor {
            platform: Some(unknown),
            ..entry("", "")
        };
        let index = Index::of(vec![
            entry("amd64", ""),
            entry("arm64", "v8"),
            entry("arm", ""),
            attestation,
        ]);
        let found: Vec<String> = named_contexts("a/b:1", &digest, Some(&index)).into_keys().collect();
        let expected = [
            "context:a/b:1::linux/amd64",
            "context:a/b:1::linux/arm/v7",
            "context:a/b:1::linux/arm64",
        ];
        assert_eq!(found, expected);
        let manifest = named_contexts("a/b:1", &digest, None);
        let expected = ("context:a/b:1".to_owned(), format!("oci-layout://lkpkg-cache@{digest}"));
        assert_eq!(manifest.into_iter().next(), Some(expected));
    }
}
