//! Carries a plan out: independent packages at once, each after those it needs, and all stop when one fails.

use super::builders::{Group, Lease};
use super::{
    Builders, Caches, OrchestratorError, Prepared, Publication, Published, Remote, depends, docker, precache, publish,
    pull, solve,
};
use crate::build::{BuildError, SecretSource, SshSource};
use crate::builder::{Daemon, DockerImages};
use crate::event::{CancellationToken, Event, Events, Outcome, Step};
use crate::oci::credentials::CredentialSource;
use crate::oci::{Descriptor, Platform};
use crate::plan::{Plan, PlannedPackage, PlannedPush, Reason};
use crate::registry::{Existing, Registry};
use crate::store::Store;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{Mutex, Semaphore, SemaphorePermit, watch};
use tokio::task::JoinSet;

/// How a plan is carried out.
#[derive(Clone)]
pub struct BuildOptions {
    /// Packages that are built at the same time.
    pub jobs: usize,
    /// Whether an SBoM is made: None for no, an empty text for BuildKit's default generator, else its image.
    pub sbom: Option<String>,
    /// Secrets for RUN steps.
    pub secrets: Vec<SecretSource>,
    /// Agents for RUN steps.
    pub ssh: Vec<SshSource>,
    /// Caches that are shared with other builders.
    pub caches: Caches,
    /// Credentials that BuildKit may ask for.
    pub credentials: CredentialSource,
    /// Whether images in the store are passed over, so that BuildKit pulls them.
    pub ignore_cached: bool,
    /// Where platforms are built.
    pub builders: Arc<Builders>,
    /// Where images are pulled from that the store lacks; None when only the store is asked.
    pub remote: Option<Remote>,
    /// Whether images that Dockerfiles read from are pulled into the store first.
    pub precache_images: bool,
    /// The Docker daemon into which the images are loaded too.
    pub docker: Option<Daemon>,
    /// How the packages are pushed that the plan says are.
    pub publish: Option<PublishOptions>,
}

/// How packages are pushed.
#[derive(Clone)]
pub struct PublishOptions {
    /// Who pushes.
    pub registry: Registry,
    /// Whether each platform's image gets a tag of its own, `name:tag-arch`.
    pub has_architecture_tags: bool,
}

/// Builds, pulls and pushes what the plan says, and gives what was published by full name. The first failure cancels the
/// rest and is returned.
pub async fn build(
    plan: &Plan,
    prepared: &[Prepared],
    store: &Arc<Store>,
    options: &BuildOptions,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<BTreeMap<String, Published>, OrchestratorError> {
    let docker = match &options.docker {
        // Before anything is built: a daemon that is not there shall not be found missing at the end.
        Some(daemon) => Some(DockerImages::connect(daemon).await?),
        None => None,
    };
    options.caches.check_groups(plan, prepared, &options.builders).await?;
    let run = Arc::new(Run {
        docker,
        store: Arc::clone(store),
        options: options.clone(),
        events: events.clone(),
        cancel: cancel.child_token(),
        permits: Semaphore::new(options.jobs.max(1)),
        precache: Mutex::default(),
    });
    let (done, is_done): (BTreeMap<_, _>, BTreeMap<_, _>) = plan
        .packages
        .iter()
        .map(|package| {
            let (sender, receiver) = watch::channel(false);
            ((package.tag.clone(), sender), (package.tag.clone(), receiver))
        })
        .unzip();
    let mut done = done;
    let mut tasks = JoinSet::new();
    for (planned, one) in plan.packages.iter().zip(prepared) {
        let (run, planned, one) = (Arc::clone(&run), planned.clone(), one.clone());
        let needs: Vec<_> = planned
            .needs
            .iter()
            .filter_map(|tag| is_done.get(tag).cloned())
            .collect();
        let done = done.remove(&planned.tag);
        tasks.spawn(async move {
            let _permit = run.after(needs).await?;
            run.provide(&planned, &one).await?;
            // Dropped without having said `true`, the sender tells those who wait that this failed.
            if let Some(done) = done {
                done.send_replace(true);
            }
            match &planned.push {
                Some(push) => run.publish(push, &planned, &one).await,
                None => Ok(None),
            }
        });
    }
    drop(is_done);
    let result = collect(tasks, &run.cancel).await;
    // Said when it happened, and once more where it is not overlooked.
    for why in options.builders.taken_out().await {
        let text = format!("a builder was taken out of its pool for this run: {why}");
        events.send(Event::Warning(text)).await;
    }
    result
}

type Task = Result<Option<(String, Published)>, OrchestratorError>;

/// Waits for all tasks; the first failure that is not a mere echo of another cancels the rest.
async fn collect(
    mut tasks: JoinSet<Task>,
    cancel: &CancellationToken,
) -> Result<BTreeMap<String, Published>, OrchestratorError> {
    let (mut failure, mut published): (Option<OrchestratorError>, _) = (None, BTreeMap::new());
    while let Some(joined) = tasks.join_next().await {
        match joined.unwrap_or_else(|error| Err(OrchestratorError::Panic(error.to_string()))) {
            Ok(done) => published.extend(done),
            Err(error) => {
                cancel.cancel();
                if failure.as_ref().is_none_or(OrchestratorError::is_cancelled) {
                    failure = Some(error);
                }
            }
        }
    }
    failure.map_or(Ok(published), Err)
}

/// What all packages of one run share.
struct Run {
    docker: Option<DockerImages>,
    store: Arc<Store>,
    options: BuildOptions,
    events: Events,
    cancel: CancellationToken,
    permits: Semaphore,
    precache: Mutex<()>,
}

impl Run {
    /// Waits for what the package needs and for a free place.
    async fn after(&self, needs: Vec<watch::Receiver<bool>>) -> Result<SemaphorePermit<'_>, OrchestratorError> {
        for mut need in needs {
            if need.wait_for(|is_done| *is_done).await.is_err() {
                return Err(OrchestratorError::Cancelled);
            }
        }
        tokio::select! {
            permit = self.permits.acquire() => permit.map_err(|_| OrchestratorError::Cancelled),
            () = self.cancel.cancelled() => Err(OrchestratorError::Cancelled),
        }
    }

    /// Sees to it that the store has what the plan says that it has in the end.
    async fn provide(&self, planned: &PlannedPackage, one: &Prepared) -> Result<(), OrchestratorError> {
        let (pulled, built) = (planned.to_pull(), planned.to_build());
        if let Some(remote) = self.options.remote.as_ref().filter(|_| !pulled.is_empty()) {
            pull::pull(one, &pulled, &self.store, remote, &self.events, &self.cancel).await?;
        }
        if !built.is_empty() {
            self.build(one, &built).await?;
        }
        if let Some(daemon) = &self.docker {
            let (reference, platforms) = (&one.identity.reference, planned.in_cache());
            docker::load(daemon, &self.store, reference, &platforms, &self.events, &self.cancel).await?;
        }
        Ok(())
    }

    async fn publish(&self, push: &PlannedPush, planned: &PlannedPackage, one: &Prepared) -> Task {
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
        Ok(published.map(|published| (push.name.clone(), published)))
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
