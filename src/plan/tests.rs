//! Tables of wishes and facts.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use std::path::PathBuf;

fn package(name: &str, architectures: &[&str]) -> (Package, Identity) {
    let package = Package {
        directory: PathBuf::from(format!("/r/{name}")),
        build_yml: PathBuf::from(format!("/r/{name}/build.yml")),
        image: name.into(),
        org: "o".into(),
        tag: "{{.Hash}}".into(),
        dockerfile: "Dockerfile".into(),
        architectures: architectures.iter().map(ToString::to_string).collect(),
        extra_sources: Vec::new(),
        git_repository: String::new(),
        has_network: false,
        is_cache_disabled: false,
        config: None,
        build_args: Vec::new(),
        depends: None,
    };
    let tag = format!("o/{name}:1");
    let identity = Identity {
        image: format!("o/{name}"),
        reference: tag.parse().unwrap(),
        tag,
        hash: Some("1".into()),
        is_dirty: false,
        commit: None,
        is_hash_commit_head: true,
    };
    (package, identity)
}

fn name(package: &str) -> String {
    format!("docker.io/o/{package}:1")
}

/// Plans packages given as (name, images they read from); every one has amd64 and arm64.
fn plan_of(packages: &[(&str, &[&str])], wish: &Wish, facts: &Facts) -> Result<Plan, PlanError> {
    let made: Vec<_> = packages
        .iter()
        .map(|(name, _)| package(name, &["amd64", "arm64"]))
        .collect();
    let images: Vec<BTreeSet<String>> = packages
        .iter()
        .map(|(_, reads)| reads.iter().map(|n| name(n)).collect())
        .collect();
    let candidates: Vec<_> = made
        .iter()
        .zip(&images)
        .map(|((package, identity), images)| Candidate {
            package,
            identity,
            images,
        })
        .collect();
    plan(&candidates, wish, facts)
}

fn decisions(wish: &Wish, cached: &[&str]) -> Vec<String> {
    let cached = cached.iter().map(|platform| platform.parse().unwrap()).collect();
    let facts = Facts {
        in_cache: [(name("a"), cached)].into(),
    };
    let plan = plan_of(&[("a", &[])], wish, &facts).unwrap();
    plan.packages[0]
        .platforms
        .iter()
        .map(|p| format!("{} {} {}", p.platform, p.action.text(), p.reason.text()))
        .collect()
}

fn platforms(texts: &[&str]) -> Vec<Platform> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn each_platform_is_decided_by_itself() {
    assert_eq!(
        decisions(&Wish::default(), &["linux/arm64/v8"]),
        ["linux/amd64 build not in the cache", "linux/arm64 found in the cache"]
    );
    let force = Wish {
        force: true,
        ..Wish::default()
    };
    assert_eq!(
        decisions(&force, &["linux/arm64"]),
        ["linux/amd64 build --force", "linux/arm64 build --force"]
    );
    let skip = Wish {
        skip_platforms: platforms(&["linux/amd64"]),
        ..Wish::default()
    };
    assert_eq!(
        decisions(&skip, &[]),
        [
            "linux/amd64 skip --skip-platforms",
            "linux/arm64 build not in the cache"
        ]
    );
    let other = Wish {
        platforms: platforms(&["linux/s390x", "linux/s390x"]),
        ..Wish::default()
    };
    assert_eq!(decisions(&other, &[]), ["linux/s390x build not in the cache"]);
}

#[test]
fn bad_wishes_are_refused() {
    let both = Wish {
        platforms: platforms(&["linux/arm64"]),
        skip_platforms: platforms(&["linux/amd64"]),
        force: false,
    };
    assert_eq!(
        plan_of(&[("a", &[])], &both, &Facts::default()),
        Err(PlanError::PlatformsAndSkipPlatforms)
    );
    let unknown = Wish {
        platforms: platforms(&["linux/mips"]),
        ..Wish::default()
    };
    let error = plan_of(&[("a", &[])], &unknown, &Facts::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "unknown platform linux/mips: packages are built for linux/amd64, linux/arm64, linux/riscv64, linux/s390x"
    );
    let twice = plan_of(&[("a", &[]), ("a", &[])], &Wish::default(), &Facts::default());
    assert!(matches!(twice, Err(PlanError::SameTag { .. })));
}

#[test]
fn another_commit_can_be_shown_but_not_built() {
    let (package, mut identity) = package("a", &["amd64"]);
    identity.is_hash_commit_head = false;
    let candidates = [Candidate {
        package: &package,
        identity: &identity,
        images: &BTreeSet::new(),
    }];
    assert!(matches!(
        plan(&candidates, &Wish::default(), &Facts::default()),
        Err(PlanError::NotHead { .. })
    ));
    let cached = Facts {
        in_cache: [(name("a"), platforms(&["linux/amd64"]))].into(),
    };
    assert!(plan(&candidates, &Wish::default(), &cached).is_ok());
}

#[test]
fn what_is_read_from_comes_first() {
    let plan = plan_of(
        &[("a", &["b", "c"]), ("b", &["c"]), ("c", &["x"])],
        &Wish::default(),
        &Facts::default(),
    )
    .unwrap();
    let needs: Vec<_> = plan.packages.iter().map(|package| package.needs.join(" ")).collect();
    assert_eq!(needs, ["o/b:1 o/c:1", "o/c:1", ""]);
}

#[test]
fn a_circle_is_named() {
    let error = plan_of(
        &[("a", &["b"]), ("b", &["c"]), ("c", &["b"])],
        &Wish::default(),
        &Facts::default(),
    )
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "packages need each other in a circle: o/b:1 → o/c:1 → o/b:1"
    );
}
