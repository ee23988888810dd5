//! The hallway: joins brains and hands, and is the only room that sees both.
//!
//! [`prepare`] turns directories into [`Prepared`] packages (package, identity, build args, images read from);
//! [`plan`] asks the store what it holds and decides; [`build()`] carries a plan out on the builders.

mod build;
mod builders;
mod depends;
mod docker;
mod error;
mod labels;
mod prepare;
mod solve;

pub use build::{BuildOptions, PackageReport, build};
pub use builders::{Builders, BuildersSettings};
pub use depends::Remote;
pub use error::OrchestratorError;
pub use prepare::{Prepared, Request, load, prepare};

use crate::plan::{Candidate, Facts, Plan, Wish};
use crate::store::Store;
use std::collections::BTreeSet;

/// Decides what has to be done, with what `store` holds.
pub fn plan(prepared: &[Prepared], wish: &Wish, store: &Store) -> Result<Plan, OrchestratorError> {
    let view = store.view()?;
    let mut facts = Facts::default();
    for one in prepared {
        let name = one.identity.reference.store_name();
        facts.in_cache.insert(name.clone(), view.platforms_of(&name)?);
    }
    let images: Vec<BTreeSet<String>> = prepared.iter().map(Prepared::image_names).collect();
    let candidates: Vec<_> = prepared
        .iter()
        .zip(&images)
        .map(|(one, images)| Candidate {
            package: &one.package,
            identity: &one.identity,
            images,
        })
        .collect();
    Ok(crate::plan::plan(&candidates, wish, &facts)?)
}
