//! Releases of pushed packages.

use super::*;

#[test]
fn git_tags_of_packages_and_flags_release() {
    let Some(machine) = Machine::new() else { return };
    machine.package("p", "one");
    machine.workshop.git(&["tag", "v9.9.9"]);
    machine.push(&["p"]).done();
    assert_eq!(machine.tags("p").len(), 3);
    machine.workshop.git(&["tag", "-a", "-m", "a release", "pkg-v1.0.0"]);
    let lines = machine.push(&["p"]).done();
    let tag = machine.tag("p");
    let (text, _) = standing(&tag);
    let digest = digest_of(&text);
    assert_eq!(lines, format!("{tag}@{digest}\n{}/p:v1.0.0@{digest}\n", machine.org));
    let lines = machine.push(&["--release", "stable", "p"]).done();
    assert_eq!(lines, format!("{tag}@{digest}\n{}/p:stable@{digest}\n", machine.org));
    for release in ["v1.0.0", "stable"] {
        for end in ["", "-amd64", "-arm64"] {
            let of = |name: &str| standing(&format!("{name}{end}")).0;
            assert_eq!(of(&format!("{}/p:{release}", machine.org)), of(&tag), "{release}{end}");
        }
    }
    assert!(!machine.tags("p").contains(&"v9.9.9".to_owned()));
    // The cache knows them as well.
    assert!(machine.workshop.names().contains(&format!("{}/p:v1.0.0", machine.org)));
    machine
        .push(&["--release", "a/b", "p"])
        .failed(2, &["cannot be the tag of a release"]);
}

#[test]
fn a_release_keeps_its_image_and_may_gain_platforms() {
    let Some(machine) = Machine::new() else { return };
    machine.package("p", "one");
    let push = ["--release", "v1", "--platforms"];
    machine.push(&[&push[..], &["linux/amd64", "p"]].concat()).done();
    let other = machine.other();
    other.push(&[&push[..], &["linux/arm64", "p"]].concat()).done();
    let name = format!("{}/p:v1", machine.org);
    let (released, index) = standing(&name);
    assert_eq!(architectures(&index), ["amd64", "arm64"]);
    // The first machine does not know of the second's.
    machine.push(&[&push[..], &["linux/amd64", "p"]].concat()).done();
    assert_eq!(standing(&name).0, released);

    machine.package("p", "two");
    let taken = machine.push(&["--release", "v1", "p"]);
    taken.failed(1, &["/p:v1 is sha256:", "is not overwritten", "hint"]);
    assert_eq!(standing(&name).0, released);
}

#[test]
fn what_only_the_registry_has_is_released() {
    let Some(machine) = Machine::new() else { return };
    machine.package("p", "one");
    let release = ["push", "--nobuild", "--offline=false", "--release", "v1", "p"];
    machine
        .workshop
        .run(&release)
        .failed(1, &["neither in the cache nor in its registry"]);
    let line = machine.push(&["p"]).done();
    let other = machine.other();
    let lines = other.workshop.run(&release).done();
    assert_eq!(lines.lines().count(), 2, "{lines}");
    assert!(lines.starts_with(&line), "{lines}");
    assert_eq!(
        standing(&format!("{}/p:v1", machine.org)).0,
        standing(&machine.tag("p")).0
    );
    assert_eq!(machine.tags("p").len(), 6);
}
