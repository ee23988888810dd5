//! For which platforms a package has to be there: `--platforms`, or its own architectures without `--skip-platforms`.

use crate::oci::{KNOWN_ARCHITECTURES, Platform};
use crate::package::Package;
use crate::plan::{PlanError, Wish};

/// Whether the wish makes sense; the rules are those of a build.
pub(super) fn check(wish: &Wish) -> Result<(), PlanError> {
    if !wish.platforms.is_empty() && !wish.skip_platforms.is_empty() {
        return Err(PlanError::Conflict("--platforms", "--skip-platforms"));
    }
    let is_known =
        |platform: &&Platform| platform.os == "linux" && KNOWN_ARCHITECTURES.contains(&platform.architecture.as_str());
    let mut named = wish.platforms.iter().chain(&wish.skip_platforms);
    match named.find(|platform| !is_known(platform)) {
        Some(platform) => Err(PlanError::UnknownPlatform(platform.to_string())),
        None => Ok(()),
    }
}

/// The platforms, each once, in the order of `--platforms` or of build.yml.
pub(super) fn platforms(package: &Package, wish: &Wish) -> Vec<Platform> {
    let own = package
        .architectures
        .iter()
        .map(|architecture| Platform::linux(architecture));
    let all: Vec<Platform> = match wish.platforms.is_empty() {
        true => own.collect(),
        false => wish.platforms.clone(),
    };
    let mut wanted: Vec<Platform> = Vec::new();
    for platform in all {
        let is_skipped = wish.skip_platforms.iter().any(|skipped| skipped.matches(&platform));
        if !is_skipped && !wanted.contains(&platform) {
            wanted.push(platform);
        }
    }
    wanted
}
