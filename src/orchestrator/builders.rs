//! Where platforms are built: the user's wishes and what is there → endpoints, each connected once and only when needed.
//!
//! Platforms that can be built at the same places share a [`Group`]; a group with several places is a pool. [`Builders::lease`]
//! gives out one builder of it; one that does not answer, or is lost in the middle, is taken out for the rest of the run.

use crate::builder::choose::{Builders as Named, Facts};
use crate::builder::pool::{self, Choice};
use crate::builder::{self, BuilderConfig, BuilderError, Contexts, DockerSettings, Endpoint, Kind, Local, Where};
use crate::event::{CancellationToken, Event, Events};
use crate::oci::Platform;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::Mutex;

/// What the user said about builders, and what can be found on this machine.
#[derive(Clone, Debug)]
pub struct BuildersSettings {
    /// `--builders` over `LINUXKIT_BUILDERS`.
    pub named: Named,
    /// `BUILDKIT_HOST`.
    pub buildkit_host: Option<String>,
    /// What the environment says about Docker. The daemon need not be there.
    pub docker: DockerSettings,
    /// A `buildkitd` of our own.
    pub local: Local,
    /// Whether builders that would emulate a platform are refused.
    pub strict_platform: bool,
    /// How a builder that lkpkg runs itself should be.
    pub config: BuilderConfig,
}

/// The builders of one run.
pub struct Builders {
    pub(super) settings: BuildersSettings,
    /// Held while an endpoint is looked for, so that each is made once.
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    contexts: Option<Contexts>,
    /// What came of asking the current Docker daemon; None when it was not asked.
    docker: Option<Result<(), String>>,
    nodes: BTreeMap<Where, Node>,
}

/// What is known about one place.
#[derive(Default)]
struct Node {
    state: State,
    /// Every lease holds a clone.
    leases: Arc<()>,
}

#[derive(Default)]
enum State {
    #[default]
    Unasked,
    Ready(Endpoint),
    /// Why, a whole sentence.
    Out(String),
}

/// Platforms that can be built at the same places.
#[derive(Clone, Debug)]
pub(super) struct Group {
    places: Vec<Where>,
    pub platforms: Vec<Platform>,
}

impl Group {
    /// Whether there is more than one builder for it.
    pub fn is_pool(&self) -> bool {
        self.places.len() > 1
    }
}

/// A builder that works for us as long as this is held.
pub(super) struct Lease {
    pub endpoint: Endpoint,
    place: Where,
    _counted: Arc<()>,
}

impl Lease {
    /// Whether lkpkg made the builder.
    pub fn is_ours(&self) -> bool {
        super::again::is_ours(&self.place)
    }
}

impl Builders {
    /// Asks nobody yet.
    pub fn new(settings: BuildersSettings) -> Self {
        Self {
            settings,
            known: Mutex::default(),
        }
    }

    /// The platforms, by the places that can build them.
    pub(super) async fn groups(&self, platforms: &[Platform]) -> Result<Vec<Group>, BuilderError> {
        let mut known = self.known.lock().await;
        let facts = self.facts(platforms, &mut known).await?;
        let mut groups: BTreeMap<Vec<Where>, Vec<Platform>> = BTreeMap::new();
        for platform in platforms {
            let places = builder::choose(&facts, platform)?;
            groups.entry(places).or_default().push(platform.clone());
        }
        let group = |(places, platforms)| Group { places, platforms };
        Ok(groups.into_iter().map(group).collect())
    }

    /// A builder for the group, started or created when it has to be.
    pub(super) async fn lease(
        &self,
        group: &Group,
        events: &Events,
        cancel: &CancellationToken,
    ) -> Result<Lease, BuilderError> {
        let mut known = self.known.lock().await;
        loop {
            match pool::choose(&known.judged(group, self.settings.strict_platform)) {
                Choice::Take(at) => {
                    if let Some(lease) = group.places.get(at).and_then(|place| known.lease(place)) {
                        return Ok(lease);
                    }
                }
                Choice::Ask => self.ask(&mut known, group, events, cancel).await?,
                Choice::NoneLeft => return Err(known.none_left(group)),
            }
        }
    }

    /// Asks all of the group that were not asked, at once, until one of them is fit to take the work. The others lose nothing
    /// but the attempt.
    async fn ask(
        &self,
        known: &mut Known,
        group: &Group,
        events: &Events,
        cancel: &CancellationToken,
    ) -> Result<(), BuilderError> {
        let unasked =
            |place: &&Where| !matches!(known.nodes.get(place), Some(node) if !matches!(node.state, State::Unasked));
        let asked = group.places.iter().filter(unasked).map(async |place| {
            let result = builder::endpoint(place, &self.settings.config, events, cancel).await;
            (place, result)
        });
        let mut asked: FuturesUnordered<_> = asked.collect();
        while let Some((place, result)) = asked.next().await {
            let state = match result {
                Ok(endpoint) => State::Ready(endpoint),
                // What the user gave is wrong, or nobody else can do it.
                Err(error) if !group.is_pool() || matches!(error.kind(), Kind::Input | Kind::Cancelled) => {
                    return Err(error);
                }
                Err(error) => {
                    events.notice(format!("its pool goes on without it: {error}")).await;
                    State::Out(error.to_string())
                }
            };
            known.nodes.entry(place.clone()).or_default().state = state;
            if let Choice::Take(_) = pool::choose(&known.judged(group, self.settings.strict_platform)) {
                break;
            }
        }
        Ok(())
    }

    /// The builder of this lease was lost: nobody gets it any more. `why` is a whole sentence.
    pub(super) async fn take_out(&self, lease: Lease, why: String) {
        let mut known = self.known.lock().await;
        known.nodes.entry(lease.place).or_default().state = State::Out(why);
    }

    /// Why builders were taken out of their pools in this run.
    pub(super) async fn taken_out(&self) -> Vec<String> {
        let known = self.known.lock().await;
        let reasons = known.nodes.values().filter_map(|node| match &node.state {
            State::Out(why) => Some(why.clone()),
            State::Unasked | State::Ready(_) => None,
        });
        reasons.collect()
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
        let (mut asked, mut connected) = (BTreeSet::new(), Vec::new());
        for group in self.groups(platforms).await? {
            for place in group.places.iter().filter(|place| asked.insert((*place).clone())) {
                match builder::endpoint(place, &config, events, cancel).await {
                    Err(error @ BuilderError::NoneYet { .. }) => events.notice(error.to_string()).await,
                    // The others of the pool are there all the same.
                    Err(error) if group.is_pool() && error.kind() == Kind::Missing => {
                        events.send(Event::Warning(error.to_string())).await;
                    }
                    endpoint => connected.push(endpoint?),
                }
            }
        }
        Ok(connected)
    }

    /// Where each of the platforms could be built. Nothing is started or created.
    pub(super) async fn places(&self, platforms: &[Platform]) -> Vec<Result<Vec<Where>, BuilderError>> {
        let mut known = self.known.lock().await;
        let mut places = Vec::with_capacity(platforms.len());
        // One by one: an error about one says nothing of the others.
        for platform in platforms {
            let facts = self.facts(std::slice::from_ref(platform), &mut known).await;
            places.push(facts.and_then(|facts| builder::choose(&facts, platform)));
        }
        places
    }

    /// The Docker daemon is asked at most once, and not at all where its answer would not matter.
    async fn facts(&self, platforms: &[Platform], known: &mut Known) -> Result<Facts, BuilderError> {
        let settings = &self.settings;
        let contexts = known.contexts.get_or_insert_with(|| Contexts::read(&settings.docker));
        let mut facts = Facts {
            builders: settings.named.clone(),
            contexts: contexts.clone(),
            buildkit_host: settings.buildkit_host.clone(),
            docker_silent_because: None,
            local: settings.local.clone(),
            missing: Vec::new(),
        };
        if facts.needs_docker(platforms)? {
            let answer = match known.docker.take() {
                Some(answer) => answer,
                None => match builder::docker_answers(&facts.contexts.current()?, settings.config.timeout).await {
                    Ok(()) => Ok(()),
                    Err(BuilderError::NoDocker { reason, .. }) => Err(reason),
                    Err(error) if error.kind() == Kind::Input => return Err(error),
                    Err(error) => Err(error.to_string()),
                },
            };
            facts.docker_silent_because = known.docker.insert(answer).clone().err();
            if facts.docker_silent_because.is_some() {
                facts.missing = builder::local::missing(&settings.local);
            }
        }
        Ok(facts)
    }
}

impl Known {
    /// The builders of a group, as [`pool::choose`] wants to see them.
    fn judged(&self, group: &Group, is_strict: bool) -> Vec<pool::Node> {
        let judge = |place| match self.nodes.get(place).map(|node| (&node.state, &node.leases)) {
            None | Some((State::Unasked, _)) => pool::Node::Unasked,
            Some((State::Out(_), _)) => pool::Node::Out,
            Some((State::Ready(endpoint), leases)) => {
                let emulated = group
                    .platforms
                    .iter()
                    .filter(|platform| endpoint.emulates(platform))
                    .count();
                match is_strict && emulated > 0 {
                    true => pool::Node::Out,
                    false => pool::Node::Ready {
                        load: Arc::strong_count(leases) - 1,
                        emulated,
                    },
                }
            }
        };
        group.places.iter().map(judge).collect()
    }

    fn lease(&self, place: &Where) -> Option<Lease> {
        match self.nodes.get(place)? {
            Node {
                state: State::Ready(endpoint),
                leases,
            } => Some(Lease {
                endpoint: endpoint.clone(),
                place: place.clone(),
                _counted: leases.clone(),
            }),
            _ => None,
        }
    }

    /// Why no builder of the group can be had.
    fn none_left(&self, group: &Group) -> BuilderError {
        let (mut why, mut emulated) = (Vec::new(), Vec::new());
        for node in group.places.iter().filter_map(|place| self.nodes.get(place)) {
            match &node.state {
                State::Unasked => {}
                State::Out(reason) => why.push(reason.clone()),
                State::Ready(endpoint) => {
                    let own = endpoint.platforms.first().map(Platform::to_string).unwrap_or_default();
                    why.push(format!("{} is {own}", endpoint.name));
                    let here = group.platforms.iter().filter(|platform| endpoint.emulates(platform));
                    emulated.extend(here.map(Platform::to_string));
                }
            }
        }
        emulated.sort();
        emulated.dedup();
        match emulated.is_empty() {
            true => BuilderError::NoneLeft { why },
            false => BuilderError::Emulates {
                platform: emulated.join(","),
                why,
            },
        }
    }
}
