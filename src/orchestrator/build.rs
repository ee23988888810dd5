//! Carries a plan out: independent packages at once, each after those it needs.

use super::ended::{Ended, How};
use super::work::Work;
use super::{Builders, Caches, OrchestratorError, Prepared, Remote};
use crate::build::{SecretSource, SshSource};
use crate::builder::{Daemon, DockerImages};
use crate::event::{CancellationToken, Event, Events};
use crate::oci::credentials::CredentialSource;
use crate::plan::{Plan, PlannedPackage};
use crate::registry::Registry;
use crate::store::Store;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How a plan is carried out.
#[derive(Clone)]
pub struct BuildOptions {
    /// Packages that are built at the same time.
    pub jobs: usize,
    /// Whether a failure stops only what needs the package that failed.
    pub keep_going: bool,
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

/// Builds, pulls and pushes what the plan says. Gives how each package ended, in the plan's order.
///
/// After a failure nothing new is begun and what runs is cancelled; with [`BuildOptions::keep_going`] only the packages that
/// need the one that failed are left out. A package is pushed beside those that need it, which begin as soon as it is in the
/// store.
///
/// # Errors
/// When nothing could be begun.
pub async fn build(
    plan: &Plan,
    prepared: &[Prepared],
    store: &Arc<Store>,
    options: &BuildOptions,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<Vec<Ended>, OrchestratorError> {
    let docker = match &options.docker {
        // Before anything is built: a daemon that is not there shall not be found missing at the end.
        Some(daemon) => Some(DockerImages::connect(daemon).await?),
        None => None,
    };
    options.caches.check_groups(plan, prepared, &options.builders).await?;
    let work = Arc::new(Work::new(docker, store, options, events, cancel.child_token()));
    let (mut fates, known): (BTreeMap<_, _>, BTreeMap<_, _>) = plan
        .packages
        .iter()
        .map(|package| {
            let (fate, known) = watch::channel(Fate::Open);
            ((package.tag.clone(), fate), (package.tag.clone(), known))
        })
        .unzip();
    let mut tasks = JoinSet::new();
    let mut places = BTreeMap::new();
    for (at, (planned, one)) in plan.packages.iter().zip(prepared).enumerate() {
        let needs = planned.needs.iter().filter_map(|tag| known.get(tag).cloned()).collect();
        let package = Package {
            work: Arc::clone(&work),
            planned: planned.clone(),
            one: one.clone(),
            fate: fates.remove(&planned.tag),
        };
        places.insert(tasks.spawn(package.run(needs)).id(), at);
    }
    drop(known);
    let mut ended: Vec<Option<Ended>> = plan.packages.iter().map(|_| None).collect();
    while let Some(joined) = tasks.join_next_with_id().await {
        let (id, how) = match joined {
            Ok((id, one)) => (id, one),
            Err(error) => {
                let tag = places.get(&error.id()).and_then(|at| plan.packages.get(*at));
                let tag = tag.map(|planned| planned.tag.clone()).unwrap_or_default();
                let how = How::Failed(Box::new(OrchestratorError::Panic(error.to_string())));
                (error.id(), Ended::after(tag, how, Duration::ZERO))
            }
        };
        if !options.keep_going && matches!(how.how, How::Failed(_)) {
            work.cancel.cancel();
        }
        if let Some(place) = places.get(&id).and_then(|at| ended.get_mut(*at)) {
            *place = Some(how);
        }
    }
    // Said when it happened, and once more where it is not overlooked.
    for why in options.builders.taken_out().await {
        let text = format!("a builder was taken out of its pool for this run: {why}");
        events.send(Event::Warning(text)).await;
    }
    Ok(ended.into_iter().flatten().collect())
}

/// What those know of a package who need it.
enum Fate {
    Open,
    /// It is in the store.
    There,
    /// It will not come, because this package failed.
    Failed(String),
}

/// One package on its way.
struct Package {
    work: Arc<Work>,
    planned: PlannedPackage,
    one: Prepared,
    /// Dropped without a word, it tells those who wait that the work was cancelled.
    fate: Option<watch::Sender<Fate>>,
}

impl Package {
    async fn run(mut self, needs: Vec<watch::Receiver<Fate>>) -> Ended {
        let tag = self.planned.tag.clone();
        if let Err(how) = after(needs).await {
            if let How::Skipped(because) = &how {
                self.say(Fate::Failed(because.clone()));
            }
            return Ended::after(tag, how, Duration::ZERO);
        }
        let work = Arc::clone(&self.work);
        let Ok(place) = work.place().await else {
            return Ended::after(tag, How::Cancelled, Duration::ZERO);
        };
        let (begun, mut published) = (Instant::now(), None);
        let result = match work.provide(&self.planned, &self.one, place).await {
            Ok(how) => {
                self.say(Fate::There);
                self.publish(&mut published).await.map(|()| how)
            }
            Err(error) => Err(error),
        };
        let how = match result {
            Ok(how) => how,
            Err(error) if error.is_cancelled() => How::Cancelled,
            Err(error) => {
                self.say(Fate::Failed(tag.clone()));
                How::Failed(Box::new(error))
            }
        };
        let ended = Ended::after(tag, how, begun.elapsed());
        Ended { published, ..ended }
    }

    async fn publish(&self, published: &mut Option<super::Published>) -> Result<(), OrchestratorError> {
        if let Some(push) = &self.planned.push {
            *published = self.work.publish(push, &self.planned, &self.one).await?;
        }
        Ok(())
    }

    /// The first word counts: what is in the store stays there, whatever becomes of its push.
    fn say(&mut self, fate: Fate) {
        if let Some(sender) = self.fate.take() {
            sender.send_replace(fate);
        }
    }
}

/// Waits for what a package needs.
async fn after(needs: Vec<watch::Receiver<Fate>>) -> Result<(), How> {
    for mut need in needs {
        match need.wait_for(|fate| !matches!(fate, Fate::Open)).await.as_deref() {
            Ok(Fate::Failed(tag)) => return Err(How::Skipped(tag.clone())),
            Ok(_) => {}
            Err(_) => return Err(How::Cancelled),
        }
    }
    Ok(())
}
