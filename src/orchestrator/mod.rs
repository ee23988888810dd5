//! The hallway: joins brains and hands, and is the only room that sees both.
//!
//! [`prepare`] turns directories into [`Prepared`] packages (package, identity, build args, images read from);
//! [`plan`] asks the store what it holds and decides; [`complete`] adds what only a build has to know; [`build()`] carries
//! a plan out on the builders; [`report`] says what the store then holds.

mod blocking;
mod build;
mod builders;
mod depends;
mod docker;
pub mod doctor;
mod error;
mod labels;
mod precache;
mod prepare;
pub mod release;
mod solve;
mod wanted;

pub use build::{BuildOptions, build};
pub use builders::{Builders, BuildersSettings};
pub use depends::Remote;
pub use error::OrchestratorError;
pub use prepare::{Prepared, Request, complete, load, prepare};

use crate::oci::Descriptor;
use crate::plan::{Candidate, Facts, Plan, Wish};
use crate::store::Store;
use std::collections::BTreeSet;

/// What became of one package of a plan.
#[derive(Clone, Debug)]
pub struct PackageReport {
    /// `org/image:tag`.
    pub tag: String,
    /// The package's index in the store; None when no platform of it is there.
    pub index: Option<Descriptor>,
}

/// One report a package, in their order, with what `store` holds now.
pub fn report(prepared: &[Prepared], store: &Store) -> Result<Vec<PackageReport>, OrchestratorError> {
    let view = store.view()?;
    let report = |one: &Prepared| {
        Ok(PackageReport {
            tag: one.identity.tag.clone(),
            index: view.resolve(&one.identity.reference.store_name())?,
        })
    };
    prepared.iter().map(report).collect()
}

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
