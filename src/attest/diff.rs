//! What differs between two lists of packages: [`diff`]. Pure.

use super::Package;
use serde::Serialize;
use std::collections::BTreeMap;

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "change", rename_all = "lowercase")]
pub enum Change {
    /// Only the second has it.
    Added {
        /// It.
        package: Package,
    },
    /// Only the first has it.
    Removed {
        /// It.
        package: Package,
    },
    /// Both have it, in another version; the licence may differ as well.
    Version {
        /// As the first has it.
        old: Package,
        /// As the second has it.
        new: Package,
    },
    /// Both have this version, under another licence.
    Licence {
        /// As the first has it.
        old: Package,
        /// As the second has it.
        new: Package,
    },
}

/// All differences, by the packages' names, and how many packages are the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What differs.
    pub changes: Vec<Change>,
    /// Packages that do not.
    pub same: usize,
}

/// What is a package, whatever its version: kind and name. The package URL has more than the name (a namespace, such as
/// the distribution), and what does not belong to it (the version, and where the package came from).
fn key(package: &Package) -> (String, String) {
    let end = package.purl.find(['@', '?', '#']).unwrap_or(package.purl.len());
    // An `@` that begins a part belongs to the name: pkg:npm/%40scope/name is written so by most, but not by all.
    let own = match package.purl[..end].ends_with('/') {
        true => "",
        false => &package.purl[..end],
    };
    (package.name.clone(), own.to_owned())
}

/// Compares two lists. Where there are several versions of a package, those that both have are the same, and the others
/// are compared in their order.
pub fn diff(old: &[Package], new: &[Package]) -> Difference {
    let mut groups: BTreeMap<_, [Vec<&Package>; 2]> = BTreeMap::new();
    for (side, packages) in [old, new].into_iter().enumerate() {
        for package in packages {
            groups.entry(key(package)).or_default()[side].push(package);
        }
    }
    let mut difference = Difference::default();
    for [mut old, mut new] in groups.into_values() {
        let licence = |package: &Package| (package.version.clone(), package.licence.clone());
        difference.same += pair(&mut old, &mut new, licence).len();
        for (old, new) in pair(&mut old, &mut new, |package| package.version.clone()) {
            let (old, new) = (old.clone(), new.clone());
            difference.changes.push(Change::Licence { old, new });
        }
        let both = old.len().min(new.len());
        for (old, new) in old.drain(..both).zip(new.drain(..both)) {
            let (old, new) = (old.clone(), new.clone());
            difference.changes.push(Change::Version { old, new });
        }
        let removed = old.into_iter().cloned().map(|package| Change::Removed { package });
        let added = new.into_iter().cloned().map(|package| Change::Added { package });
        difference.changes.extend(removed.chain(added));
    }
    difference
}

/// Takes those out of both lists that are alike.
fn pair<'a, K: PartialEq>(
    old: &mut Vec<&'a Package>,
    new: &mut Vec<&'a Package>,
    key: impl Fn(&Package) -> K,
) -> Vec<(&'a Package, &'a Package)> {
    let mut pairs = Vec::new();
    old.retain(|one| {
        let at = new.iter().position(|other| key(other) == key(one));
        let other = at.map(|at| new.remove(at));
        pairs.extend(other.map(|other| (*one, other)));
        other.is_none()
    });
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, version: &str, licence: &str) -> Package {
        Package {
            name: name.to_owned(),
            version: version.to_owned(),
            kind: "apk".to_owned(),
            licence: licence.to_owned(),
            purl: format!("pkg:apk/{name}@{version}?arch=x"),
        }
    }

    #[test]
    fn versions_and_licences_are_told_apart() {
        let (kept, gone) = (package("kept", "1", "MIT"), package("gone", "1", ""));
        let (old, new) = (package("moved", "1", "MIT"), package("moved", "2", "Apache-2.0"));
        let (before, after) = (package("freed", "1", "X"), package("freed", "1", "MIT"));
        let fresh = package("fresh", "3", "");
        let first = [kept.clone(), gone.clone(), old.clone(), before.clone()];
        let second = [kept, new.clone(), after.clone(), fresh.clone()];
        let found = diff(&first, &second);
        let expected = [
            Change::Licence {
                old: before,
                new: after,
            },
            Change::Added { package: fresh },
            Change::Removed { package: gone },
            Change::Version { old, new },
        ];
        assert_eq!((found.changes.as_slice(), found.same), (&expected[..], 1));
        assert_eq!(diff(&first, &first).changes, []);
    }

    #[test]
    fn several_versions_are_compared_one_by_one() {
        let of = |versions: &[&str]| -> Vec<Package> { versions.iter().map(|one| package("a", one, "")).collect() };
        let found = diff(&of(&["1", "2", "4"]), &of(&["2", "3", "4", "5"]));
        let (old, new) = (package("a", "1", ""), package("a", "3", ""));
        let package = package("a", "5", "");
        let expected = [Change::Version { old, new }, Change::Added { package }];
        assert_eq!((found.changes.as_slice(), found.same), (&expected[..], 2));
    }

    #[test]
    fn names_without_package_urls_and_with_odd_ones() {
        let bare = |version: &str, purl: &str| Package {
            name: "n".to_owned(),
            version: version.to_owned(),
            purl: purl.to_owned(),
            ..Package::default()
        };
        for (old, new) in [
            ("", ""),
            ("pkg:deb/debian/n@1?distro=debian-12", "pkg:deb/debian/n@2"),
            ("pkg:npm/@scope/n@1", "pkg:npm/@scope/n@2"),
        ] {
            let found = diff(&[bare("1", old)], &[bare("2", new)]);
            assert!(
                matches!(found.changes.as_slice(), [Change::Version { .. }]),
                "{old}: {found:?}"
            );
        }
    }
}
