//! What registries have of the packages: asked before it is decided what is built.

use super::{OrchestratorError, Prepared};
use crate::oci::merge;
use crate::oci::{Descriptor, Reference};
use crate::plan::{Facts, InRegistry, Plan};
use crate::registry::{Registry, RegistryError};
use futures_util::stream::{self, StreamExt};
use std::collections::BTreeMap;

/// Packages that are asked about at once: one or two small requests each.
const QUESTIONS_AT_ONCE: usize = 16;

/// What registries answered.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// Full name → what it stands for there.
    pub found: BTreeMap<String, Descriptor>,
    /// Registries that could not be asked, and why; each once.
    pub silent: BTreeMap<String, String>,
}

/// Asks for all packages about which the plan would like to know, once for all their platforms, and adds what was learnt
/// to `facts`.
///
/// Where `has_to_know` is set, a registry that cannot be asked, or does not let us look, is an error. Otherwise what it
/// has stays unknown.
pub(super) async fn ask(
    plan: &Plan,
    prepared: &[Prepared],
    registry: &Registry,
    has_to_know: bool,
    facts: &mut Facts,
) -> Result<Answers, OrchestratorError> {
    let packages = plan.packages.iter().zip(prepared);
    // Nobody can have pushed what is not committed. Before hours of building, it is good to know that a push will be let in.
    let open = packages.filter(|(planned, one)| {
        let is_built_for_it = planned.push.is_some() && !planned.to_build().is_empty();
        (planned.asks_registry() || is_built_for_it) && !one.identity.is_dirty
    });
    let questions = stream::iter(open).map(async |(_, one)| {
        let reference = &one.identity.reference;
        (reference, question(registry, reference, has_to_know).await)
    });
    let mut answers = Answers::default();
    let mut all = questions.buffered(QUESTIONS_AT_ONCE);
    while let Some((reference, answer)) = all.next().await {
        let name = reference.store_name();
        let known = match answer {
            Ok(None) => InRegistry::Platforms(Vec::new()),
            Ok(Some((descriptor, platforms))) => {
                answers.found.insert(name.clone(), descriptor);
                InRegistry::Platforms(platforms)
            }
            Err(source) if has_to_know => {
                return Err(OrchestratorError::Ask {
                    name,
                    source: Box::new(source),
                });
            }
            // For somebody else's names, and for those that do not exist, many registries say nothing but this.
            Err(RegistryError::Denied { .. }) => InRegistry::Unknown,
            Err(error) => {
                answers
                    .silent
                    .insert(reference.registry().to_owned(), error.to_string());
                InRegistry::Unknown
            }
        };
        facts.in_registry.insert(name, known);
    }
    Ok(answers)
}

type Answer = Option<(Descriptor, Vec<crate::oci::Platform>)>;

async fn question(registry: &Registry, reference: &Reference, has_to_know: bool) -> Result<Answer, RegistryError> {
    // Who writes wants to know it from the registry itself, and whether it lets us.
    let repository = match has_to_know {
        true => registry.repository(reference).for_writing(),
        false => registry.hasty().repository(reference),
    };
    let tag = reference.tag().unwrap_or("latest");
    // Most of what is asked for is not there, and a HEAD counts against no limit.
    if repository.find(tag).await?.is_none() {
        return Ok(None);
    }
    let found = repository.index(tag).await?;
    Ok(found.map(|(descriptor, index)| (descriptor, merge::platforms(&index))))
}
