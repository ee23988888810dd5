//! Images that lkpkg pulls itself, from a real registry.

use super::*;
use crate::servers::server;

/// A registry that only lkpkg can reach: its name leads nowhere but through the mirror.
const ONLY_BY_MIRROR: &str = "registry.invalid/library/busybox:1.37";

#[test]
fn images_are_pulled_first_and_read_from_the_cache() {
    let (Some(workshop), Some(registry)) = (Workshop::with_buildkit(), server("LKPKG_TEST_REGISTRY")) else {
        return;
    };
    let mirror = format!("registry.invalid=http://{registry}");
    let dockerfile = format!("FROM {ONLY_BY_MIRROR}\nRUN echo {} >/mark\n", unique());
    workshop.package("p", BUILD_YML, &dockerfile);
    let build = ["build", "--sbom-scanner=false", "p"];
    let run = workshop.run(&build);
    assert_ne!(run.code, 0, "BuildKit alone cannot reach it");
    let pull = [&build[..], &["--precache-images", "--mirror", &mirror]].concat();
    workshop.run(&pull).done();
    let list = workshop.run(&["cache", "ls"]).done();
    assert!(list.contains(ONLY_BY_MIRROR), "{list}");
    // Only one platform of four was fetched, which is no damage.
    workshop.run(&["cache", "verify"]).done();
    // The second time nothing is asked for: the mirror may be gone.
    workshop
        .run(&[&build[..], &["--precache-images", "--force"]].concat())
        .done();
}

#[test]
fn an_image_that_is_not_there_is_named_with_its_line() {
    let (Some(workshop), Some(registry)) = (Workshop::with_buildkit(), server("LKPKG_TEST_REGISTRY")) else {
        return;
    };
    let mirror = format!("registry.invalid=http://{registry}");
    workshop.package(
        "p",
        BUILD_YML,
        "FROM scratch\nCOPY --from=registry.invalid/no/such:1 / /\n",
    );
    let build = [
        "build",
        "--sbom-scanner=false",
        "--precache-images",
        "--mirror",
        &mirror,
        "p",
    ];
    workshop
        .run(&build)
        .failed(3, &["registry.invalid/no/such:1", "Dockerfile:2"]);
    workshop
        .run(&["build", "--precache-images", "--mirror", "nonsense", "p"])
        .failed(2, &["nonsense"]);
}

#[test]
fn docker_images_of_depends_are_pulled() {
    let (Some(workshop), Some(registry)) = (Workshop::with_buildkit(), server("LKPKG_TEST_REGISTRY")) else {
        return;
    };
    let Some(bases) = server("LKPKG_TEST_BASES") else {
        return;
    };
    // The digest that the registry has, too.
    let imported = workshop.run(&["cache", "import", &bases]).done();
    let digest = imported.trim_end().rsplit('@').next().unwrap().to_owned();
    let depends = format!(
        "depends:\n  docker-images:\n    target: image.tar\n    list:\n      - registry.invalid/library/busybox@{digest}\n"
    );
    workshop.write(".gitignore", "image.tar\n");
    workshop.package(
        "p",
        &format!("{BUILD_YML}{depends}"),
        "FROM scratch\nCOPY image.tar /\n",
    );
    let cache = workshop.path().join("empty cache");
    let mirror = format!("registry.invalid=http://{registry}");
    let build = [
        "build",
        "--sbom-scanner=false",
        "--cache",
        cache.to_str().unwrap(),
        "--mirror",
        &mirror,
        "p",
    ];
    workshop.run(&build).done();
    assert!(workshop.repository().join("p/image.tar").exists());
}

#[test]
fn cache_pull_brings_all_platforms_or_those_that_are_named() {
    let Some(registry) = server("LKPKG_TEST_REGISTRY") else {
        return;
    };
    let workshop = Workshop::new();
    let mirror = format!("registry.invalid=http://{registry}");
    let pull = ["cache", "pull", "--mirror", &mirror];
    let one = workshop.run(&[&pull[..], &[ONLY_BY_MIRROR, "--platforms", "linux/arm64"]].concat());
    let one = one.done();
    assert!(one.starts_with(&format!("{ONLY_BY_MIRROR}@sha256:")), "{one}");
    let names = ["", "-arm64"].map(|end| format!("{ONLY_BY_MIRROR}{end}"));
    assert_eq!(workshop.names(), names);
    assert_eq!(workshop.run(&[&pull[..], &[ONLY_BY_MIRROR]].concat()).done(), one);
    let names = ["", "-amd64", "-arm64", "-riscv64", "-s390x"].map(|end| format!("{ONLY_BY_MIRROR}{end}"));
    assert_eq!(workshop.names(), names);
    workshop.verify();
    let none = workshop.run(&[&pull[..], &[ONLY_BY_MIRROR, "--platforms", "linux/ppc64le"]].concat());
    none.failed(3, &["cannot pull", "there is none for linux/ppc64le"]);
    let gone = format!("{registry}/no/such:1");
    workshop
        .run(&["cache", "pull", &gone])
        .failed(3, &[&gone, "no such image"]);
    let nowhere = workshop.run(&["cache", "pull", "127.0.0.1:1/x:1"]);
    nowhere.failed(3, &["127.0.0.1:1"]);
}
