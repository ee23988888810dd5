//! Looking after builders: which of them are meant, and what is there.

use super::{Builders, OrchestratorError};
use crate::build::{self, Worker};
use crate::builder::{self, BuilderConfig, BuilderError, Details, Kind, Standing, Where};
use crate::event::{CancellationToken, Events};
use crate::oci::Platform;
use crate::plan::{Plan, PlannedPackage};
use futures_util::future::join_all;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A builder, and what was seen there.
pub struct Seen {
    /// What people call it.
    pub name: String,
    /// Where it is; None when there is no builder for the platforms.
    pub place: Option<Where>,
    /// The platforms that would be built there.
    pub platforms: Vec<Platform>,
    /// What is there, or why nobody knows.
    pub standing: Result<Standing, BuilderError>,
}

/// A builder, and all that can be learned of it.
pub struct Inspected {
    /// What was seen.
    pub seen: Seen,
    /// What it is made of, and what a build would do about it; None where lkpkg only connects, or could not.
    pub details: Option<Details>,
    /// Those that do its work, when it runs.
    pub workers: Vec<Worker>,
}

/// How long a plan waits for builders: it is read by people, and what they build is planned without.
const PLAN_WAIT: Duration = Duration::from_secs(2);

impl Builders {
    /// Writes into a plan which of its builds would be emulated, as far as that can be known. Nothing is started or created.
    pub async fn mark_emulated(&self, plan: &mut Plan) {
        let mut platforms: Vec<Platform> = plan.packages.iter().flat_map(PlannedPackage::to_build).collect();
        platforms.sort();
        platforms.dedup();
        // Who does not answer in time says nothing.
        if let Ok(found) = tokio::time::timeout(PLAN_WAIT, self.emulated(&platforms)).await {
            plan.mark_emulated(&found);
        }
    }

    /// Whether builders would emulate these platforms; those of which it is not known are left out.
    async fn emulated(&self, platforms: &[Platform]) -> BTreeMap<Platform, bool> {
        let chosen = self.places(platforms).await;
        let places: BTreeSet<&Where> = chosen.iter().flatten().flatten().collect();
        let ask = async |place| {
            (
                place,
                builder::native(place, &self.settings.config).await.ok().flatten(),
            )
        };
        let machines: BTreeMap<&Where, Option<Platform>> =
            join_all(places.into_iter().map(ask)).await.into_iter().collect();
        let mut found = BTreeMap::new();
        for (platform, places) in platforms.iter().zip(&chosen) {
            let Ok(places) = places else { continue };
            let emulates = |place: &Where| {
                let machine = machines.get(place).and_then(Option::as_ref)?;
                Some(builder::emulates(std::slice::from_ref(machine), platform))
            };
            // A pool gives the work to who need not emulate it.
            let each: Vec<Option<bool>> = places.iter().map(emulates).collect();
            if each.contains(&Some(false)) {
                found.insert(platform.clone(), false);
            } else if !each.contains(&None) {
                found.insert(platform.clone(), true);
            }
        }
        found
    }

    /// The same as [`Builders::seen`], with all that can be learned of them.
    pub async fn inspected(
        &self,
        platforms: &[Platform],
        cancel: &CancellationToken,
    ) -> Result<Vec<Inspected>, OrchestratorError> {
        let as_it_is = BuilderConfig {
            as_it_is: true,
            ..self.settings.config.clone()
        };
        let mut inspected = Vec::new();
        for seen in self.seen(platforms).await {
            let (mut details, mut workers) = (None, Vec::new());
            if let Some(place) = &seen.place {
                details = match builder::inspect(place, &self.settings.config).await {
                    // That it cannot be reached was seen.
                    Err(error) if error.kind() == Kind::Missing => None,
                    details => details?,
                };
                if let Ok(Standing::Running { .. }) = &seen.standing {
                    let endpoint = builder::endpoint(place, &as_it_is, &Events::silent(), cancel).await?;
                    workers = build::workers(&endpoint)
                        .await
                        .map_err(|source| OrchestratorError::Look {
                            name: seen.name.clone(),
                            source: Box::new(source),
                        })?;
                }
            }
            inspected.push(Inspected { seen, details, workers });
        }
        Ok(inspected)
    }

    /// The places of the builders of these platforms, each once.
    pub async fn meant(&self, platforms: &[Platform]) -> Result<Vec<Where>, BuilderError> {
        let mut meant: Vec<Where> = Vec::new();
        for places in self.places(platforms).await {
            for place in places? {
                if !meant.contains(&place) {
                    meant.push(place);
                }
            }
        }
        Ok(meant)
    }

    /// How a builder that lkpkg runs itself should be.
    pub fn config(&self) -> &BuilderConfig {
        &self.settings.config
    }

    /// The builders of these platforms as they are, in the order of the platforms. Nothing is started or created.
    pub async fn seen(&self, platforms: &[Platform]) -> Vec<Seen> {
        let config = BuilderConfig {
            as_it_is: true,
            ..self.settings.config.clone()
        };
        let (mut places, mut nowhere) = (Vec::<(Where, Vec<Platform>)>::new(), BTreeMap::new());
        for (platform, chosen) in platforms.iter().zip(self.places(platforms).await) {
            for place in match chosen {
                Ok(chosen) => chosen,
                Err(error) => {
                    nowhere.insert(platform.clone(), error);
                    continue;
                }
            } {
                match places.iter_mut().find(|(known, _)| *known == place) {
                    Some((_, platforms)) => platforms.push(platform.clone()),
                    None => places.push((place, vec![platform.clone()])),
                }
            }
        }
        let look = async |(place, platforms): (Where, Vec<Platform>)| Seen {
            name: place.called(&config),
            standing: builder::look(&place, &config).await,
            place: Some(place),
            platforms,
        };
        let mut seen = join_all(places.into_iter().map(look)).await;
        seen.extend(nowhere.into_iter().map(|(platform, error)| Seen {
            name: format!("({platform})"),
            place: None,
            platforms: vec![platform],
            standing: Err(error),
        }));
        seen
    }
}
