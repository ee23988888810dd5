//! What a registry has × what that means.

use super::*;
use crate::oci::media_type;

/// An index with an image for each of these architectures; `salt` makes them other images.
fn index(architectures: &[&str], salt: &str) -> Index {
    let entry = |architecture: &&str| {
        let mut entry = Descriptor::of(media_type::MANIFEST, format!("{architecture}{salt}").as_bytes());
        entry.platform = Some(Platform::linux(architecture));
        entry
    };
    Index::of(architectures.iter().map(entry).collect())
}

fn described(index: &Index) -> Descriptor {
    Descriptor::of(media_type::INDEX, &serde_json::to_vec(index).expect("writes"))
}

fn release(has_arch_tags: bool) -> Release {
    Release {
        tag: "v1".into(),
        has_arch_tags,
        packages: Vec::new(),
    }
}

/// A registry in which the package is there for these architectures, and each tag of the release as `standing` says.
fn facts(has_arch_tags: bool, architectures: &[&str], standing: &[(&str, Index)]) -> Facts {
    let index = index(architectures, "");
    let roots = roots(&release(has_arch_tags), described(&index), index);
    let of_tag = |root: &Root| {
        let found = standing.iter().find(|(tag, _)| *tag == root.tag);
        found.map(|(_, index)| (described(index), index.clone()))
    };
    Facts {
        standing: roots.iter().map(of_tag).collect(),
        roots,
        ..Facts::default()
    }
}

#[track_caller]
fn check(facts: &Facts, wanted: &[&str], state: State, problems: &[&str]) {
    let wanted: Vec<Platform> = wanted
        .iter()
        .map(|architecture| Platform::linux(architecture))
        .collect();
    let (found, digest, said) = judge(facts, &wanted);
    let said: Vec<String> = said.iter().map(ToString::to_string).collect();
    assert_eq!(found, state, "{said:?}");
    assert_eq!(digest.is_some(), !facts.roots.is_empty());
    assert_eq!(said.len(), problems.len(), "{said:?}");
    for (said, part) in said.iter().zip(problems) {
        assert!(said.contains(part), "{part}: {said}");
    }
}

const BOTH: [&str; 2] = ["amd64", "arm64"];

#[test]
fn every_row_without_arch_tags() {
    let with = |standing: &[(&str, Index)]| facts(false, &BOTH, standing);
    check(&Facts::default(), &BOTH, State::NotReady, &["not in the registry"]);
    check(&with(&[]), &BOTH, State::Ready, &[]);
    // More platforms than are wanted do no harm.
    check(&with(&[]), &["arm64"], State::Ready, &[]);
    check(
        &with(&[]),
        &["s390x", "arm64", "riscv64"],
        State::NotReady,
        &["missing platforms linux/s390x,linux/riscv64"],
    );
    check(&with(&[("v1", index(&BOTH, ""))]), &BOTH, State::Released, &[]);
    check(&with(&[("v1", index(&["amd64"], ""))]), &BOTH, State::Ready, &[]);
    check(
        &with(&[("v1", index(&["amd64", "arm64", "s390x"], ""))]),
        &BOTH,
        State::Released,
        &[],
    );
    check(
        &with(&[("v1", index(&BOTH, "other"))]),
        &BOTH,
        State::NotReady,
        &["v1 is another image already: sha256:"],
    );
    // All that is wrong is said.
    let mut worst = with(&[("v1", index(&["amd64"], "other"))]);
    worst.absent = vec![Digest::of(b"gone")];
    let gone = Digest::of(b"gone").to_string();
    check(
        &worst,
        &["s390x"],
        State::NotReady,
        &["missing platforms linux/s390x", &gone, "v1 is another image"],
    );
}

#[test]
fn every_row_with_arch_tags() {
    let (whole, amd64, arm64) = (index(&BOTH, ""), index(&["amd64"], ""), index(&["arm64"], ""));
    let with = |standing: &[(&str, Index)]| facts(true, &BOTH, standing);
    check(&with(&[]), &BOTH, State::Ready, &[]);
    // Interrupted between the tags of one package.
    let half = [("v1", whole.clone()), ("v1-amd64", amd64.clone())];
    check(&with(&half), &BOTH, State::Ready, &[]);
    let all = [half.as_slice(), &[("v1-arm64", arm64)]].concat();
    check(&with(&all), &BOTH, State::Released, &[]);
    let taken = [("v1", whole), ("v1-arm64", index(&["arm64"], "other"))];
    check(
        &with(&taken),
        &BOTH,
        State::NotReady,
        &["v1-arm64 is another image already"],
    );
}

#[test]
fn what_a_release_began_with_counts() {
    let pinned = Facts {
        pin: Some(Digest::of(b"pin")),
        ..Facts::default()
    };
    check(&pinned, &BOTH, State::NotReady, &["with which the release began"]);
}

#[test]
fn each_architecture_has_a_tag_for_its_image() {
    let mut whole = index(&["arm64", "amd64"], "");
    let mut attestation = Descriptor::of(media_type::MANIFEST, b"about it");
    attestation.platform = "unknown/unknown".parse().ok();
    whole.manifests.push(attestation);
    let found = roots(&release(true), described(&whole), whole.clone());
    let tags: Vec<(&str, &Digest)> = found
        .iter()
        .map(|root| (root.tag.as_str(), &root.descriptor.digest))
        .collect();
    let [arm64, amd64] = [&whole.manifests[0].digest, &whole.manifests[1].digest];
    assert_eq!(
        tags,
        [
            ("v1", &described(&whole).digest),
            ("v1-amd64", amd64),
            ("v1-arm64", arm64)
        ]
    );
    assert_eq!(roots(&release(false), described(&whole), whole).len(), 1);
}
