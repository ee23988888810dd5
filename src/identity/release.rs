//! Releases that git tags ask for.

use super::IdentityError;
use super::git::Repositories;
use semver::Version;
use std::path::Path;

/// What stands before the version in the git tag of a release of packages. A tag without it releases the project itself,
/// and none of its packages.
const PREFIX: &str = "pkg-";

/// The releases that the git tags at HEAD of the repository of `directory` (absolute, symbolic links resolved) ask for:
/// `v1.0.0` for the tag `pkg-v1.0.0`. In the order of the versions; none outside git.
pub fn releases(directory: &Path) -> Result<Vec<String>, IdentityError> {
    let mut repositories = Repositories::default();
    let Some(place) = repositories.locate(directory)? else {
        return Ok(Vec::new());
    };
    let repository = repositories.get(place.repository);
    let Some(head) = repository.head()? else {
        return Ok(Vec::new());
    };
    let tags = repository.tags()?;
    let at_head = tags.iter().filter(|tag| tag.commit == head);
    let mut versions: Vec<Version> = at_head.filter_map(|tag| version(&tag.name)).collect();
    versions.sort();
    Ok(versions.iter().map(|version| format!("v{version}")).collect())
}

/// The version in `pkg-vX.Y.Z`.
fn version(tag: &str) -> Option<Version> {
    Version::parse(tag.strip_prefix(PREFIX)?.strip_prefix('v')?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tags_of_packages_are_releases() {
        for (tag, expected) in [
            ("pkg-v1.0.0", Some("1.0.0")),
            ("pkg-v1.2.3-rc.1", Some("1.2.3-rc.1")),
            ("v1.0.0", None),
            ("pkg-1.0.0", None),
            ("pkg-v1.0", None),
            ("pkg-vnext", None),
            ("other-pkg-v1.0.0", None),
        ] {
            assert_eq!(version(tag).map(|v| v.to_string()).as_deref(), expected, "{tag}");
        }
    }
}
