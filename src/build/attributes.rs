//! A request → the names and values that BuildKit's Dockerfile frontend and OCI exporter read. Pure.

use super::session::CACHE_STORE;
use super::{BuildRequest, CacheUse, CachedImage, cache};
use crate::oci::Platform;
use bollard_buildkit_proto::moby::buildkit::v1::CacheOptions;
use std::collections::HashMap;

/// The frontend that is built into BuildKit.
pub const FRONTEND: &str = "dockerfile.v0";
/// The exporter that writes blobs of OCI media types.
pub const EXPORTER: &str = "oci";
/// Says to a frontend that a `# syntax=` line may name: it must know named contexts.
const NAMED_CONTEXTS_CAPABILITY: &str = "moby.buildkit.frontend.contexts+forward";

/// What the frontend reads.
pub fn frontend(request: &BuildRequest) -> HashMap<String, String> {
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
    if !request.cached_images.is_empty() {
        attributes.insert("frontend.caps".into(), NAMED_CONTEXTS_CAPABILITY.into());
        attributes.extend(request.cached_images.iter().flat_map(named_contexts));
    }
    if !request.cache_from.is_empty() {
        attributes.insert("cache-imports".into(), cache::imports(&request.cache_from));
    }
    attributes
}

/// The caches, as BuildKit itself takes them. Of all that are written BuildKit only tells the digest of the last; it is wanted
/// for local ones, which therefore stand last.
pub fn caches(request: &BuildRequest) -> CacheOptions {
    let mut to: Vec<_> = request.cache_to.iter().collect();
    to.sort_by_key(|entry| entry.kind);
    CacheOptions {
        imports: request
            .cache_from
            .iter()
            .map(|one| one.option(CacheUse::From))
            .collect(),
        exports: to.into_iter().map(|one| one.option(CacheUse::To)).collect(),
        ..CacheOptions::default()
    }
}

/// What the exporter reads.
pub fn exporter(request: &BuildRequest) -> HashMap<String, String> {
    let mut attributes = vec![
        ("name", request.name.as_str()),
        ("tar", "false"),
        ("oci-mediatypes", "true"),
    ];
    if request.epoch_s().is_some() {
        attributes.push(("rewrite-timestamp", "true"));
    }
    let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    attributes.into_iter().map(owned).collect()
}

/// The named contexts by which the frontend finds a cached image: one for each platform that is there, so that another
/// platform's image still comes from the registry.
pub fn named_contexts(image: &CachedImage) -> impl Iterator<Item = (String, String)> {
    let name = image.name.familiar();
    let value = format!("oci-layout://{CACHE_STORE}@{}", image.digest);
    let platforms = image.platforms.iter();
    platforms.map(move |platform| (format!("context:{name}::{}", normalised(platform)), value.clone()))
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
    use crate::oci::Digest;
    use crate::oci::credentials::CredentialSource;
    use std::collections::BTreeMap;

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
            cached_images: Vec::new(),
            cache_from: Vec::new(),
            cache_to: Vec::new(),
            cache_directories: Default::default(),
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
        let plain = lines(frontend(&request()));
        let expected = [
            "build-arg:A=1",
            "filename=sub/Dockerfile",
            "force-network-mode=none",
            "label:org.x=l",
            "multi-platform=true",
            "platform=linux/amd64,linux/riscv64",
        ];
        assert_eq!(plain, expected);
        let cached = CachedImage {
            name: "a:1".parse().expect("a name"),
            digest: Digest::of(b""),
            platforms: vec![Platform::linux("amd64")],
        };
        let context = format!("context:a:1::linux/amd64=oci-layout://lkpkg-cache@{}", cached.digest);
        let full = BuildRequest {
            has_network: true,
            is_cache_disabled: true,
            sbom: Some("img".into()),
            cached_images: vec![cached],
            ..request()
        };
        let full = lines(frontend(&full));
        for line in [
            "force-network-mode=sandbox",
            "no-cache=",
            "attest:sbom=generator=img",
            context.as_str(),
            "frontend.caps=moby.buildkit.frontend.contexts+forward",
        ] {
            assert!(full.iter().any(|found| found == line), "{line} in {full:?}");
        }
        let default = BuildRequest {
            sbom: Some(String::new()),
            ..request()
        };
        assert!(lines(frontend(&default)).contains(&"attest:sbom=".to_owned()));
        assert_eq!(
            lines(exporter(&request())),
            ["name=docker.io/org/x:1", "oci-mediatypes=true", "tar=false"]
        );
        let dated = |epoch: &str| BuildRequest {
            build_args: [("SOURCE_DATE_EPOCH".to_owned(), epoch.to_owned())].into(),
            ..request()
        };
        let rewrites = "rewrite-timestamp=true".to_owned();
        assert!(lines(exporter(&dated("1700000000"))).contains(&rewrites));
        // BuildKit takes an empty one for none, and says itself what is wrong with another.
        for none in ["", "yesterday"] {
            assert!(!lines(exporter(&dated(none))).contains(&rewrites), "{none}");
        }
    }

    #[test]
    fn only_platforms_that_are_there_come_from_the_cache() {
        let digest = Digest::of(b"");
        let platforms = ["linux/amd64", "linux/arm64/v8", "linux/arm"].map(|text| text.parse().expect("a platform"));
        let image = CachedImage {
            name: "docker.io/a/b:1".parse().expect("a name"),
            digest: digest.clone(),
            platforms: platforms.into(),
        };
        let value = format!("oci-layout://lkpkg-cache@{digest}");
        let expected = ["linux/amd64", "linux/arm64", "linux/arm/v7"];
        let expected = expected.map(|platform| (format!("context:a/b:1::{platform}"), value.clone()));
        assert_eq!(named_contexts(&image).collect::<Vec<_>>(), expected);
    }
}
