//! The labels that every built image carries, named as linuxkit names them.

use crate::identity::Identity;
use crate::package::Package;
use std::collections::BTreeMap;

/// Labels of a package's images.
pub(super) fn labels(package: &Package, identity: &Identity) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    let mut set = |name: &str, value: &str| labels.insert(name.to_owned(), value.to_owned());
    if let Some(commit) = &identity.commit {
        set("org.opencontainers.image.source", &package.git_repository);
        if !identity.is_dirty {
            set("org.opencontainers.image.revision", commit);
        }
    }
    if let Some(config) = &package.config {
        set("org.mobyproject.config", config);
    }
    set("org.mobyproject.linuxkit.version", crate::VERSION);
    set("org.mobyproject.linuxkit.revision", crate::REVISION);
    labels
}
