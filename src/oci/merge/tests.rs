//! Merging as tables, and what must hold for any index.

use super::*;
use crate::oci::{Digest, annotation, media_type};
use proptest::prelude::*;

/// `arm64=3` is the image 3 for linux/arm64, `?3=4` the attestation 4 of the image 3, `x=5` something else.
fn entry(text: &str) -> Descriptor {
    let (what, number) = text.split_once('=').expect("has =");
    let mut entry = Descriptor::new(media_type::MANIFEST, Digest::of(number.as_bytes()), 1);
    if let Some(subject) = what.strip_prefix('?') {
        entry.platform = Some("unknown/unknown".parse().expect("parses"));
        let digest = Digest::of(subject.as_bytes()).to_string();
        entry.annotations.insert(annotation::REFERENCE_DIGEST.into(), digest);
        let kind = "attestation-manifest".to_owned();
        entry.annotations.insert(annotation::REFERENCE_TYPE.into(), kind);
    } else if what != "x" {
        entry.platform = Some(format!("linux/{what}").parse().expect("parses"));
    }
    entry
}

fn index(text: &str) -> Index {
    Index::of(text.split_whitespace().map(entry).collect())
}

#[test]
fn images_are_replaced_and_attestations_follow_them() {
    let check = |existing: &str, new: &str, wanted: &str| {
        assert_eq!(
            merge_indexes(&index(existing), &index(new)),
            index(wanted),
            "{existing} + {new}"
        );
    };
    check("", "amd64=1", "amd64=1");
    check("", "arm64=2 amd64=1", "amd64=1 arm64=2");
    check("amd64=1", "arm64=2", "amd64=1 arm64=2");
    check("amd64=1", "amd64=2", "amd64=2");
    check("amd64=1", "amd64=1", "amd64=1");
    // The attestation of a replaced image goes, the others stay.
    check(
        "amd64=1 ?1=11 arm64=2 ?2=12",
        "amd64=3 ?3=13",
        "amd64=3 ?3=13 arm64=2 ?2=12",
    );
    // The same image without its attestation loses nothing.
    check("amd64=1 ?1=11", "amd64=1", "amd64=1 ?1=11");
    // linuxkit leaves attestations at the end.
    check("amd64=1 arm64=2 ?1=11 ?2=12", "", "amd64=1 ?1=11 arm64=2 ?2=12");
    check("arm64/v8=2", "arm64=3", "arm64=3");
    check("arm/v6=1", "arm/v6=2 arm/v7=3", "arm/v6=2 arm/v7=3");
    check("arm/v6=1 arm/v7=2", "arm/v6=3", "arm/v6=3 arm/v7=2");
    check("arm=1", "arm/v7=2", "arm/v7=2");
    check("amd64=1 ?1=11", "amd64/v3=2", "amd64=1 ?1=11 amd64/v3=2");
    // What is neither is kept, at the end.
    check("x=9 s390x=1", "amd64=2", "amd64=2 s390x=1 x=9");
    // An attestation of nothing is dropped.
    check("?7=8", "amd64=1", "amd64=1");
    check("amd64=1 amd64=1", "", "amd64=1");
}

#[test]
fn one_platforms_part_has_its_attestations_only() {
    let whole = index("amd64=1 ?1=11 arm64/v8=2 ?2=12 x=9");
    let part = for_platforms(&whole, &[Platform::linux("arm64")]);
    assert_eq!(part, index("arm64/v8=2 ?2=12"));
    assert!(for_platforms(&whole, &[Platform::linux("s390x")]).manifests.is_empty());
}

#[test]
fn a_docker_manifest_list_becomes_an_index() {
    let list = Index {
        media_type: media_type::DOCKER_MANIFEST_LIST.to_owned(),
        ..index("amd64=1")
    };
    assert_eq!(merge_indexes(&list, &index("arm64=2")).media_type, media_type::INDEX);
}

const ARCHITECTURES: [&str; 4] = ["amd64", "arm64", "riscv64", "s390x"];

/// Some architectures, each with an image and perhaps an attestation.
fn some_index() -> impl Strategy<Value = Index> {
    proptest::collection::btree_map(0..4_usize, (0..50_u32, any::<bool>()), 0..4).prop_map(|images| {
        let entries = images.into_iter().flat_map(|(architecture, (number, is_attested))| {
            let number = format!("{architecture}{number}");
            let image = entry(&format!("{}={number}", ARCHITECTURES[architecture]));
            let attestation = is_attested.then(|| entry(&format!("?{number}=about-{number}")));
            std::iter::once(image).chain(attestation)
        });
        Index::of(entries.collect())
    })
}

fn architectures(index: &Index) -> BTreeSet<String> {
    platforms(index).into_iter().map(|p| p.architecture).collect()
}

proptest! {
    #[test]
    fn merging_again_changes_nothing(existing in some_index(), new in some_index()) {
        let once = merge_indexes(&existing, &new);
        prop_assert_eq!(&merge_indexes(&once, &new), &once);
        prop_assert_eq!(&merge_indexes(&once, &once), &once);
    }

    #[test]
    fn the_order_of_platforms_does_not_matter(existing in some_index(), new in some_index()) {
        let one_by_one = |reverse: bool| {
            let mut platforms = platforms(&new);
            if reverse { platforms.reverse(); }
            platforms.iter().fold(existing.clone(), |so_far, p| merge_indexes(&so_far, &for_platforms(&new, std::slice::from_ref(p))))
        };
        let at_once = merge_indexes(&existing, &new);
        prop_assert_eq!(merge_indexes(&one_by_one(false), &Index::of(vec![])), at_once.clone());
        prop_assert_eq!(merge_indexes(&one_by_one(true), &Index::of(vec![])), at_once);
    }

    #[test]
    fn no_platform_is_lost_and_nothing_dangles(existing in some_index(), new in some_index()) {
        let merged = merge_indexes(&existing, &new);
        prop_assert_eq!(architectures(&merged), &architectures(&existing) | &architectures(&new));
        let digests: BTreeSet<_> = merged.manifests.iter().map(|m| m.digest.as_str()).collect();
        prop_assert_eq!(digests.len(), merged.manifests.len());
        for entry in &merged.manifests {
            prop_assert!(entry.attests().is_none_or(|subject| digests.contains(subject)));
        }
        for entry in &new.manifests {
            prop_assert!(digests.contains(entry.digest.as_str()));
        }
    }
}
