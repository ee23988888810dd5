//! The hallway: joins brains and hands, and is the only room that sees both.
//!
//! [`prepare`] turns directories into [`Prepared`] packages (package, identity, build args, images read from);
//! [`plan`] asks the store what it holds and decides, [`plan_asking`] asks registries as well; [`complete`] adds what only a
//! build has to know; [`build()`] carries a plan out on the builders and tells how each package [`Ended`]; [`report`] says what is there then. [`publish()`]
//! brings an image of the store to a registry.

pub mod again;
mod ask;
mod assemble;
mod blocking;
mod build;
mod builders;
mod cache;
mod depends;
mod docker;
pub mod doctor;
mod ended;
mod error;
mod fetch;
mod inspect;
mod labels;
mod look_after;
mod precache;
mod prepare;
mod publish;
mod published;
mod pull;
pub mod release;
mod solve;
mod tags;
mod transfer;
mod wanted;
mod work;

pub use ask::Answers;
pub use assemble::{AssembleOptions, assemble, describe};
pub use build::{BuildOptions, PublishOptions, build};
pub use builders::{Builders, BuildersSettings};
pub use cache::Caches;
pub use depends::Remote;
pub use ended::{Ended, How};
pub use error::OrchestratorError;
pub use fetch::fetch_text;
pub use inspect::{InspectedImage, Inspection, Listed, Located, Platforms, in_cache, in_registry, inspect, sboms};
pub use look_after::{Inspected, Seen};
pub use prepare::{Prepared, Request, SOURCE_DATE_EPOCH, SourceDate, complete, find_releases, load, prepare};
pub use publish::{Publication, Published, publish};
pub use published::unpublished;
pub use pull::pull_image;
pub use tags::{copy_image, rebuild_index};

use crate::oci::{Descriptor, Reference};
use crate::plan::{Candidate, Facts, Plan, Wish};
use crate::registry::Registry;
use crate::store::Store;
use std::collections::BTreeSet;

/// What became of one package of a plan.
#[derive(Clone, Debug)]
pub struct PackageReport {
    /// `org/image:tag`, and what it stands for: in the registry where it was pushed, else in the store, else in the
    /// registry where it was found there. None when it is nowhere.
    pub tag: (String, Option<Descriptor>),
    /// Releases, and what they stand for.
    pub releases: Vec<(String, Descriptor)>,
}

/// One report a package that is as it was wished, in their order: of what was published, of what `store` holds now, and of
/// what registries had.
pub fn report(
    prepared: &[Prepared],
    ended: &[Ended],
    store: &Store,
    answers: &Answers,
) -> Result<Vec<PackageReport>, OrchestratorError> {
    let view = store.view()?;
    let report = |(one, ended): (&Prepared, &Ended)| {
        let name = one.identity.reference.store_name();
        let mut names = ended.published.clone().unwrap_or_default().names;
        let own = names.iter().position(|(reference, _)| reference.store_name() == name);
        let mut found = own.map(|own| names.remove(own).1);
        if found.is_none() {
            found = view.resolve(&name)?;
        }
        let short = |reference: &Reference| format!("{}:{}", one.identity.image, reference.tag().unwrap_or_default());
        Ok(PackageReport {
            tag: (
                one.identity.tag.clone(),
                found.or_else(|| answers.found.get(&name).cloned()),
            ),
            releases: names
                .into_iter()
                .map(|(name, standing)| (short(&name), standing))
                .collect(),
        })
    };
    let good = prepared.iter().zip(ended).filter(|(_, ended)| ended.how.is_good());
    good.map(report).collect()
}

/// Decides what has to be done with what `store` holds; no registry is asked.
pub fn plan(prepared: &[Prepared], wish: &Wish, store: &Store) -> Result<Plan, OrchestratorError> {
    decide(prepared, wish, &facts(prepared, store)?)
}

/// Decides what has to be done, with what registries have of what `store` does not. When something is to be pushed, a
/// registry that cannot be asked is an error; otherwise what it may have is built.
pub async fn plan_asking(
    prepared: &[Prepared],
    wish: &Wish,
    store: &Store,
    registry: &Registry,
) -> Result<(Plan, Answers), OrchestratorError> {
    let mut facts = facts(prepared, store)?;
    let plan = decide(prepared, wish, &facts)?;
    let answers = ask::ask(&plan, prepared, registry, wish.push, &mut facts).await?;
    Ok((decide(prepared, wish, &facts)?, answers))
}

fn facts(prepared: &[Prepared], store: &Store) -> Result<Facts, OrchestratorError> {
    let view = store.view()?;
    let mut facts = Facts::default();
    for one in prepared {
        let name = one.identity.reference.store_name();
        facts.in_cache.insert(name.clone(), view.platforms_of(&name)?);
    }
    Ok(facts)
}

fn decide(prepared: &[Prepared], wish: &Wish, facts: &Facts) -> Result<Plan, OrchestratorError> {
    let images: Vec<BTreeSet<String>> = prepared.iter().map(Prepared::image_names).collect();
    let candidates: Vec<_> = prepared
        .iter()
        .zip(&images)
        .map(|(one, images)| Candidate {
            package: &one.package,
            identity: &one.identity,
            images,
            releases: &one.releases,
        })
        .collect();
    Ok(crate::plan::plan(&candidates, wish, facts)?)
}
