//! For which platforms packages have to be there: by the rules of a build, of which nothing else is used here.

use crate::identity::Identity;
use crate::oci::Platform;
use crate::package::Package;
use crate::plan::{self, Candidate, Facts, PlanError, Reason, Wish};
use std::collections::BTreeSet;

/// The platforms of each package, in its order. An error is what a build of them would end with.
pub(super) fn platforms<'a>(
    packages: impl IntoIterator<Item = (&'a Package, &'a Identity)>,
    wish: &Wish,
) -> Result<Vec<Vec<Platform>>, PlanError> {
    let images = BTreeSet::new();
    let candidate = |(package, identity)| Candidate {
        package,
        identity,
        images: &images,
        releases: &[],
    };
    let candidates: Vec<Candidate<'_>> = packages.into_iter().map(candidate).collect();
    let wish = Wish {
        // What is not at HEAD cannot be built, but it can be looked at and released.
        no_build: true,
        ..wish.clone()
    };
    let planned = plan::plan(&candidates, &wish, &Facts::default())?;
    let wanted = planned.packages.into_iter().map(|package| {
        let platforms = package.platforms.into_iter();
        let wanted = platforms.filter(|planned| planned.reason != Reason::SkippedByFlag);
        wanted.map(|planned| planned.platform).collect()
    });
    Ok(wanted.collect())
}
