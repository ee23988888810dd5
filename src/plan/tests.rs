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
            releases: &[],
        })
        .collect();
    plan(&candidates, wish, facts)
}

fn decisions(wish: &Wish, cached: &[&str]) -> Vec<String> {
    decisions_with(wish, cached, None)
}

fn decisions_with(wish: &Wish, cached: &[&str], in_registry: Option<InRegistry>) -> Vec<String> {
    let facts = Facts {
        in_cache: [(name("a"), platforms(cached))].into(),
        in_registry: in_registry.into_iter().map(|known| (name("a"), known)).collect(),
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
fn what_the_registry_has_is_not_built() {
    let check = |wish: &Wish, known: InRegistry, expected: [&str; 2]| {
        assert_eq!(decisions_with(wish, &["linux/amd64"], Some(known)), expected);
    };
    let has = |texts: &[&str]| InRegistry::Platforms(platforms(texts));
    let (plain, found) = (Wish::default(), "linux/amd64 found in the cache");
    let pull = Wish {
        pull: true,
        ..Wish::default()
    };
    let no_build = Wish {
        no_build: true,
        ..Wish::default()
    };
    check(
        &plain,
        has(&["linux/arm64"]),
        [found, "linux/arm64 found in its registry"],
    );
    check(
        &pull,
        has(&["linux/arm64"]),
        [found, "linux/arm64 pull in its registry"],
    );
    let nowhere = "linux/arm64 build neither in the cache nor in its registry";
    check(&plain, has(&["linux/s390x"]), [found, nowhere]);
    check(&pull, has(&[]), [found, nowhere]);
    let silent = "linux/arm64 build not in the cache, and its registry does not say whether it has it";
    check(&plain, InRegistry::Unknown, [found, silent]);
    check(
        &no_build,
        has(&["linux/arm64"]),
        [found, "linux/arm64 found in its registry"],
    );
    check(
        &no_build,
        has(&[]),
        [found, "linux/arm64 skip neither in the cache nor in its registry"],
    );
    assert_eq!(
        decisions(&no_build, &[]),
        ["linux/amd64 skip not in the cache", "linux/arm64 skip not in the cache"]
    );
}

/// Plans the push of one package.
fn push_of(wish: &Wish, is_dirty: bool, releases: &[&str]) -> Result<Option<PlannedPush>, PlanError> {
    let (package, mut identity) = package("a", &["amd64"]);
    identity.is_dirty = is_dirty;
    let releases: Vec<String> = releases.iter().map(ToString::to_string).collect();
    let candidates = [Candidate {
        package: &package,
        identity: &identity,
        images: &BTreeSet::new(),
        releases: &releases,
    }];
    let mut plan = plan(&candidates, wish, &Facts::default())?;
    Ok(plan.packages.remove(0).push)
}

#[test]
fn what_is_committed_is_pushed_and_released() {
    let push = |release: Option<&str>| Wish {
        push: true,
        release: release.map(str::to_owned),
        ..Wish::default()
    };
    let planned = |releases: &[&str]| {
        Ok(Some(PlannedPush {
            name: name("a"),
            releases: releases.iter().map(ToString::to_string).collect(),
        }))
    };
    assert_eq!(push_of(&Wish::default(), true, &["v1.0.0"]), Ok(None));
    assert_eq!(push_of(&push(None), false, &[]), planned(&[]));
    assert_eq!(push_of(&push(None), false, &["v1.0.0"]), planned(&["v1.0.0"]));
    assert_eq!(push_of(&push(Some("v2")), false, &["v1.0.0"]), planned(&["v2"]));
    assert_eq!(
        push_of(&push(None), true, &[]),
        Err(PlanError::Dirty(vec!["o/a:1".into()]))
    );
    for wrong in ["a/b", "v1:2", "-x", "", "v1.0.0+x"] {
        let refused = push_of(&push(Some(wrong)), false, &[]);
        assert!(matches!(refused, Err(PlanError::Release(..))), "{wrong}: {refused:?}");
    }
    let nothing = Wish {
        skip_platforms: platforms(&["linux/amd64"]),
        ..push(None)
    };
    assert_eq!(push_of(&nothing, true, &[]), Ok(None));
}

#[test]
fn bad_wishes_are_refused() {
    let both = Wish {
        platforms: platforms(&["linux/arm64"]),
        skip_platforms: platforms(&["linux/amd64"]),
        ..Wish::default()
    };
    assert_eq!(
        plan_of(&[("a", &[])], &both, &Facts::default()),
        Err(PlanError::Conflict("--platforms", "--skip-platforms"))
    );
    let forced = |pull, no_build| Wish {
        force: true,
        pull,
        no_build,
        ..Wish::default()
    };
    assert_eq!(
        plan_of(&[("a", &[])], &forced(true, false), &Facts::default()),
        Err(PlanError::Conflict("--force", "--pull"))
    );
    assert_eq!(
        plan_of(&[("a", &[])], &forced(false, true), &Facts::default()),
        Err(PlanError::Conflict("--force", "--nobuild"))
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
        releases: &[],
    }];
    assert!(matches!(
        plan(&candidates, &Wish::default(), &Facts::default()),
        Err(PlanError::NotHead { .. })
    ));
    let cached = Facts {
        in_cache: [(name("a"), platforms(&["linux/amd64"]))].into(),
        ..Facts::default()
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
