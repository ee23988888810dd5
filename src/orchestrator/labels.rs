//! The labels that every built image carries, named as linuxkit names them.

use super::Prepared;
use std::collections::BTreeMap;

/// Labels of a package's images. The revision is that of the package's last change and not HEAD: what is committed beside
/// a package must not give other bytes under the same tag.
pub(super) fn labels(one: &Prepared) -> BTreeMap<String, String> {
    let (package, identity) = (&one.package, &one.identity);
    let mut labels = BTreeMap::new();
    let mut set = |name: &str, value: &str| labels.insert(name.to_owned(), value.to_owned());
    if identity.commit.is_some() {
        set("org.opencontainers.image.source", &package.git_repository);
    }
    if let Some(change) = one.last_change.as_ref().filter(|_| !identity.is_dirty) {
        set("org.opencontainers.image.revision", &change.commit);
    }
    if let Some(config) = &package.config {
        set("org.mobyproject.config", config);
    }
    set("org.mobyproject.linuxkit.version", crate::VERSION);
    set("org.mobyproject.linuxkit.revision", crate::REVISION);
    labels
}
