//! Where platforms are built: the user's wishes and what is there → endpoints, each connected once and only when needed.

use crate::builder::choose::{Builders as Named, DockerFact, Facts};
use crate::builder::{self, BuilderConfig, BuilderError, Endpoint, Local, Where};
use crate::event::{CancellationToken, Events};
use crate::oci::Platform;
use std::collections::BTreeMap;
use tokio::sync::Mutex;

/// What the user said about builders, and what can be found on this machine.
#[derive(Clone, Debug)]
pub struct BuildersSettings {
    /// `--builders` over `LINUXKIT_BUILDERS`.
    pub named: Named,
    /// `BUILDKIT_HOST`.
    pub buildkit_host: Option<String>,
    /// Address of the Docker daemon, which need not be there.
    pub docker: String,
    /// A `buildkitd` of our own.
    pub local: Local,
    /// Effective user ID.
    pub uid: u32,
    /// How a builder that lkpkg runs itself should be.
    pub config: BuilderConfig,
}

/// The builders of one run.
pub struct Builders {
    settings: BuildersSettings,
    /// Held while an endpoint is looked for, so that each is made once.
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    docker: Option<DockerFact>,
    endpoints: BTreeMap<Where, Endpoint>,
}

impl Builders {
    /// Asks nobody yet.
    pub fn new(settings: BuildersSettings) -> Self {
        Self {
            settings,
            known: Mutex::default(),
        }
    }

    /// The platforms, by the endpoint that builds them; endpoints are started or created when they have to be.
    pub(super) async fn group(
        &self,
        platforms: &[Platform],
        events: &Events,
        cancel: &CancellationToken,
    ) -> Result<Vec<(Endpoint, Vec<Platform>)>, BuilderError> {
        let mut known = self.known.lock().await;
        let places = self.places(platforms, &mut known).await?;
        let mut connected = Vec::with_capacity(places.len());
        for (place, platforms) in places {
            let endpoint = match known.endpoints.get(&place) {
                Some(endpoint) => endpoint.clone(),
                None => builder::endpoint(&place, &self.settings.config, events, cancel).await?,
            };
            known.endpoints.insert(place, endpoint.clone());
            connected.push((endpoint, platforms));
        }
        Ok(connected)
    }

    /// The endpoints that build `platforms`, as they are: none is created or replaced. Where there is none yet, that is said.
    pub async fn present(
        &self,
        platforms: &[Platform],
        events: &Events,
        cancel: &CancellationToken,
    ) -> Result<Vec<Endpoint>, BuilderError> {
        let config = BuilderConfig {
            as_it_is: true,
            ..self.settings.config.clone()
        };
        let places = self.places(platforms, &mut Known::default()).await?;
        let mut connected = Vec::with_capacity(places.len());
        for place in places.into_keys() {
            match builder::endpoint(&place, &config, events, cancel).await {
                Err(error @ BuilderError::NoneYet { .. }) => events.notice(error.to_string()).await,
                endpoint => connected.push(endpoint?),
            }
        }
        Ok(connected)
    }

    /// The platforms, by the place that builds them.
    async fn places(
        &self,
        platforms: &[Platform],
        known: &mut Known,
    ) -> Result<BTreeMap<Where, Vec<Platform>>, BuilderError> {
        let facts = self.facts(platforms, known).await;
        let mut places: BTreeMap<Where, Vec<Platform>> = BTreeMap::new();
        for platform in platforms {
            let place = builder::choose(&facts, platform)?;
            places.entry(place).or_default().push(platform.clone());
        }
        Ok(places)
    }

    /// The Docker daemon is asked at most once, and not at all where its answer would not matter.
    async fn facts(&self, platforms: &[Platform], known: &mut Known) -> Facts {
        let settings = &self.settings;
        let address = settings.docker.clone();
        if known.docker.is_none()
            && settings
                .named
                .needs_docker(settings.buildkit_host.as_deref(), platforms)
        {
            let silent_because = match builder::docker_answers(&address).await {
                Ok(()) => None,
                Err(BuilderError::NoDocker { reason, .. }) => Some(reason),
                Err(error) => Some(error.to_string()),
            };
            known.docker = Some(DockerFact {
                address: address.clone(),
                silent_because,
            });
        }
        let unasked = || DockerFact {
            address,
            silent_because: Some("it was not asked".to_owned()),
        };
        Facts {
            builders: settings.named.clone(),
            buildkit_host: settings.buildkit_host.clone(),
            docker: known.docker.clone().unwrap_or_else(unasked),
            local: settings.local.clone(),
            uid: settings.uid,
        }
    }
}
