//! The work on one package of a plan: bring it into the store, built, pulled or found, and from there to its registry.

use super::builders::{Group, Lease};
use super::ended::How;
use super::{
    BuildOptions, OrchestratorError, Prepared, Publication, Published, depends, docker, precache, publish, pull, solve,
};
use crate::build::BuildError;
use crate::builder::DockerImages;
use crate::event::{CancellationToken, Event, Events, Outcome, Step};
use crate::oci::{Descriptor, Platform};
use crate::plan::{Action, PlannedPackage, PlannedPush, Reason};
use crate::registry::Existing;
use crate::store::{Building, Store, StoreError};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{Mutex, Semaphore, SemaphorePermit};

/// What all packages of one run share.
pub(super) struct Work {
    docker: Option<DockerImages>,
    store: Arc<Store>,
    options: BuildOptions,
    events: Events,
    pub cancel: CancellationToken,
    permits: Semaphore,
    precache: Mutex<()>,
}

impl Work {
    pub fn new(
        docker: Option<DockerImages>,
        store: &Arc<Store>,
        options: &BuildOptions,
        events: &Events,
        cancel: CancellationToken,
    ) -> Self {
        Self {
            docker,
            store: Arc::clone(store),
            options: options.clone(),
            events: events.clone(),
            cancel,
            permits: Semaphore::new(options.jobs.max(1)),
            precache: Mutex::default(),
        }
    }

    /// Waits for one of the places that `--jobs` gives.
    pub async fn place(&self) -> Result<SemaphorePermit<'_>, OrchestratorError> {
        let place = self.cancel.run_until_cancelled(self.permits.acquire()).await;
        place.and_then(Result::ok).ok_or(OrchestratorError::Cancelled)
    }

    /// Sees to it that the store has what the plan says that it has in the end.
    pub async fn provide(
        &self,
        planned: &PlannedPackage,
        one: &Prepared,
        place: SemaphorePermit<'_>,
    ) -> Result<How, OrchestratorError> {
        let (pulled, mut how, mut place) = (planned.to_pull(), How::planned(planned), place);
        if let Some(remote) = self.options.remote.as_ref().filter(|_| !pulled.is_empty()) {
            pull::pull(one, &pulled, &self.store, remote, &self.events, &self.cancel).await?;
        }
        if !planned.to_build().is_empty() {
            let (building, holder) = self.building(one, &mut place).await?;
            let missing = self.missing(planned, one)?;
            match holder {
                Some(holder) if missing.is_empty() => how = How::BuiltBy(holder),
                _ if missing.is_empty() => how = How::Found,
                _ => self.build(one, &missing).await?,
            }
            drop(building);
        }
        if let Some(daemon) = &self.docker {
            let (reference, platforms) = (&one.identity.reference, planned.in_cache());
            docker::load(daemon, &self.store, reference, &platforms, &self.events, &self.cancel).await?;
        }
        Ok(how)
    }

    /// The right to build the image, and who had it before if that had to be waited for. Whoever waits gives its place to
    /// others: everybody who holds the right has a place, or gets one in the end, so that nobody waits in a circle.
    async fn building<'a>(
        &'a self,
        one: &Prepared,
        place: &mut SemaphorePermit<'a>,
    ) -> Result<(Building, Option<String>), OrchestratorError> {
        let name = one.identity.reference.store_name();
        if let Some(building) = self.store.try_building(&name)? {
            return Ok((building, None));
        }
        let holder = self.store.builder_of(&name);
        let text = format!("{} is being built by {holder}: waiting for it", one.identity.tag);
        self.events.notice(text).await;
        // What is split off is given back here.
        drop(place.split(1));
        let waiting = self.cancel.run_until_cancelled(self.store.building(&name)).await;
        let building = waiting.unwrap_or(Err(StoreError::Cancelled))?;
        *place = self.place().await?;
        Ok((building, Some(holder)))
    }

    /// The platforms to build that nobody has built since the plan was made.
    fn missing(&self, planned: &PlannedPackage, one: &Prepared) -> Result<Vec<Platform>, OrchestratorError> {
        let there = self.store.view()?.platforms_of(&one.identity.reference.store_name())?;
        let is_there = |platform: &Platform| there.iter().any(|found| found.matches(platform));
        let to_build = planned.platforms.iter().filter(|one| one.action == Action::Build);
        let missing = to_build.filter(|one| one.reason == Reason::Forced || !is_there(&one.platform));
        Ok(missing.map(|one| one.platform.clone()).collect())
    }

    /// Sends what the store has of the package to its registry.
    pub async fn publish(
        &self,
        push: &PlannedPush,
        planned: &PlannedPackage,
        one: &Prepared,
    ) -> Result<Option<Published>, OrchestratorError> {
        let Some(options) = &self.options.publish else {
            return Ok(None);
        };
        let publication = Publication {
            from: one.identity.reference.clone(),
            to: one.identity.reference.clone(),
            existing: Existing::Merge,
            has_architecture_tags: options.has_architecture_tags,
            releases: push.releases.clone(),
        };
        let published = publish(&publication, &self.store, &options.registry, &self.events, &self.cancel).await?;
        if published.is_none() && planned.platforms.iter().all(|one| one.reason != Reason::InRegistry) {
            let text = format!(
                "nothing of {} was pushed: it is neither in the cache nor in its registry",
                push.name
            );
            self.events.send(Event::Warning(text)).await;
        }
        Ok(published)
    }

    /// Builds the platforms, each group on its endpoint, and tells how it ended.
    async fn build(&self, one: &Prepared, platforms: &[Platform]) -> Result<(), OrchestratorError> {
        let begun = Instant::now();
        let step = Step::from(one.identity.tag.as_str());
        let result = self.build_groups(one, platforms, &step).await;
        let outcome = match &result {
            Ok(digest) => Outcome::Built(digest.clone()),
            Err(error) if error.is_cancelled() => Outcome::Cancelled,
            // The step's name stands before it already.
            Err(OrchestratorError::Build { source, .. }) => Outcome::Failed(source.to_string()),
            Err(error) => Outcome::Failed(error.to_string()),
        };
        self.events
            .send(Event::StepFinished {
                step,
                outcome,
                took: begun.elapsed(),
            })
            .await;
        result.map(drop)
    }

    async fn build_groups(
        &self,
        one: &Prepared,
        platforms: &[Platform],
        step: &Step,
    ) -> Result<String, OrchestratorError> {
        let remote = self.options.remote.as_ref();
        depends::provide(&one.package, &self.store, remote, &self.events, &self.cancel).await?;
        if let Some(remote) = remote.filter(|_| self.options.precache_images) {
            // One after the other: packages mostly share their images, and the second finds them in the store.
            let _alone = self.precache.lock().await;
            precache::pull(one, platforms, &self.store, remote, &self.events, &self.cancel).await?;
        }
        let builders = &self.options.builders;
        let mut leased = Vec::new();
        for group in builders.groups(platforms).await? {
            leased.push((builders.lease(&group, &self.events, &self.cancel).await?, group));
        }
        let solves = leased
            .into_iter()
            .map(|(lease, group)| self.solve_once_more(one, lease, group, step));
        let indexes = futures_util::future::try_join_all(solves).await?;
        Ok(indexes.last().map(|index| index.digest.to_string()).unwrap_or_default())
    }

    /// Builds on the builder of the lease. When that is lost in the middle and was one of several, another one repeats the work,
    /// once.
    async fn solve_once_more(
        &self,
        one: &Prepared,
        lease: Lease,
        group: Group,
        step: &Step,
    ) -> Result<Descriptor, OrchestratorError> {
        let lost = match self.solve(one, &lease, &group, step).await {
            Err(OrchestratorError::Build { source, .. })
                if group.is_pool() && matches!(*source, BuildError::Lost { .. }) && !self.cancel.is_cancelled() =>
            {
                source
            }
            result => return result,
        };
        let builders = &self.options.builders;
        builders.take_out(lease, lost.to_string()).await;
        self.events
            .notice(format!("{lost}; {step} is repeated on another builder of the pool"))
            .await;
        let lease = builders.lease(&group, &self.events, &self.cancel).await?;
        self.solve(one, &lease, &group, step).await
    }

    async fn solve(
        &self,
        one: &Prepared,
        lease: &Lease,
        group: &Group,
        step: &Step,
    ) -> Result<Descriptor, OrchestratorError> {
        let (endpoint, platforms) = (&lease.endpoint, group.platforms.clone());
        self.events
            .send(Event::StepStarted {
                step: Step::clone(step),
                platforms: platforms.clone(),
                endpoint: endpoint.heading(&platforms),
            })
            .await;
        let (store, options) = (&self.store, &self.options);
        solve::solve(one, platforms, endpoint, store, options, &self.events, &self.cancel).await
    }
}
