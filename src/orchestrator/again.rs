//! Packages built again, in a state that nobody has used, and compared with what was built before: [`compare`].
//!
//! What is built goes into a store of its own, which is gone afterwards, as the builder is that was made for it. The first
//! store is only read.

use super::{BuildOptions, Builders, OrchestratorError, Prepared, Remote, SOURCE_DATE_EPOCH, pull_image, solve};
use crate::builder::{self, Where};
use crate::content::{Beside, Content, DOCUMENT_BYTES_MAX, Document, Source, read_document};
use crate::event::{CancellationToken, Event, Events, Outcome, Step};
use crate::oci::{Descriptor, Digest, Index, Platform, Reference, merge};
use crate::store::{Compared, Store};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt as _;

/// How long a buildkitd that was started for this waits for us: it is ended when the work is, and this only counts when we
/// are killed.
const IDLE: Duration = Duration::from_secs(10);

/// What directories begin with in which something is kept for a verification.
const PREFIX: &str = "verify-";

/// What a package was compared with.
#[derive(Clone, Debug)]
pub struct First {
    /// How it is called.
    pub name: String,
    /// What that stands for.
    pub root: Descriptor,
    /// Whether what is stated about the images is compared too: SBoMs name the tag under which they were made.
    pub statements: bool,
}

/// An image that was fetched to be compared, in a store that goes with this.
pub struct Fetched {
    /// Where it is.
    pub store: Arc<Store>,
    /// What it is.
    pub first: First,
    _directory: tempfile::TempDir,
}

/// Brings an image from its registry beside `store`, for these platforms, or all where none is named.
pub async fn fetch(
    image: &Reference,
    platforms: &[Platform],
    store: &Store,
    remote: &Remote,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<Fetched, OrchestratorError> {
    let directory = temporary(store)?;
    let own = Store::open(directory.path())?;
    let (_, root) = pull_image(image, platforms, &own, remote, events, cancel).await?;
    Ok(Fetched {
        store: Arc::new(own),
        first: First {
            name: image.to_string(),
            root,
            statements: false,
        },
        _directory: directory,
    })
}

/// A directory beside the blobs of a store, where there is room for them, and a file system on which BuildKit can work.
fn temporary(store: &Store) -> Result<tempfile::TempDir, OrchestratorError> {
    let made = tempfile::Builder::new().prefix(PREFIX).tempdir_in(store.directory());
    made.map_err(|source| OrchestratorError::Temporary {
        directory: store.directory().to_owned(),
        source,
    })
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// How the first is called.
    pub name: String,
    /// What that stands for.
    pub first: Digest,
    /// The index of the second, where it has the same platforms as the first: then they are the same, or something differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub second: Option<Digest>,
    /// All platforms that were compared.
    pub platforms: Vec<Compared>,
}

impl Verdict {
    /// Whether all images are the same.
    pub fn is_same(&self) -> bool {
        self.platforms.iter().all(Compared::is_same)
    }
}

/// Builds each package again as the first was built, which `firsts` has, for those of `wanted` (all, where empty) that it
/// is there for, and compares. The images that Dockerfiles read from come from `store`, where that has them.
pub async fn compare(
    packages: &[(Prepared, First)],
    firsts: &Arc<Store>,
    wanted: &[Platform],
    store: &Arc<Store>,
    options: &BuildOptions,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<Vec<Verdict>, OrchestratorError> {
    let directory = temporary(store)?;
    let fresh = options.builders.fresh(directory.path());
    let second = Arc::new(Store::open(&directory.path().join("store"))?);
    let again = Again {
        store,
        firsts,
        second,
        options,
        fresh: &fresh,
        events,
        cancel,
    };
    let result = again.all(packages, wanted).await;
    // Whatever came of it, and also when it was cancelled.
    let mut platforms: Vec<Platform> = wanted.to_vec();
    for (one, _) in packages {
        platforms.extend(one.package.architectures.iter().map(|name| Platform::linux(name)));
    }
    drop(again);
    fresh.clear(&platforms, events).await;
    let path = directory.path().to_owned();
    if let Ok(Err(error)) = tokio::task::spawn_blocking(move || directory.close()).await {
        let text = format!("{} is no longer needed and cannot be removed: {error}", path.display());
        events.send(Event::Warning(text)).await;
    }
    result
}

struct Again<'a> {
    store: &'a Arc<Store>,
    firsts: &'a Arc<Store>,
    second: Arc<Store>,
    options: &'a BuildOptions,
    fresh: &'a Builders,
    events: &'a Events,
    cancel: &'a CancellationToken,
}

impl Again<'_> {
    async fn all(
        &self,
        packages: &[(Prepared, First)],
        wanted: &[Platform],
    ) -> Result<Vec<Verdict>, OrchestratorError> {
        let mut verdicts = Vec::new();
        for (one, first) in packages {
            verdicts.push(self.one(one, first, wanted).await?);
        }
        Ok(verdicts)
    }

    async fn one(&self, one: &Prepared, first: &First, wanted: &[Platform]) -> Result<Verdict, OrchestratorError> {
        let index = index(self.firsts, &first.root).await?;
        let is_wanted = |platform: &Platform| wanted.is_empty() || wanted.iter().any(|one| one.matches(platform));
        let mut platforms = merge::platforms(&index);
        let count = platforms.len();
        // What is not there is not the same: nothing that was asked for may pass because it was not looked at.
        let lacking = wanted
            .iter()
            .find(|wanted| !platforms.iter().any(|own| own.matches(wanted)));
        if let Some(reason) = match lacking {
            Some(platform) => Some(format!("there is none for {platform}")),
            None if platforms.is_empty() => Some("it has no image for any platform".to_owned()),
            None => None,
        } {
            let image = first.name.clone();
            return Err(OrchestratorError::Absent { image, reason });
        }
        platforms.retain(is_wanted);
        let mut one = one.clone();
        if let Some(image) = index
            .manifests
            .iter()
            .find(|entry| merge::image_platform(entry).is_some())
            && let Some(time_s) = created(self.firsts, image).await?
        {
            // Of another time, nothing would be the same.
            one.build_args
                .entry(SOURCE_DATE_EPOCH.to_owned())
                .or_insert(time_s.to_string());
        }
        let step = Step::from(one.identity.tag.as_str());
        let begun = Instant::now();
        let result = self.build(&one, &platforms, &step).await;
        let outcome = match &result {
            Ok(built) => Outcome::Built(built.digest.to_string()),
            Err(error) if error.is_cancelled() => Outcome::Cancelled,
            Err(OrchestratorError::Build { source, .. }) => Outcome::Failed(source.to_string()),
            Err(error) => Outcome::Failed(error.to_string()),
        };
        let took = begun.elapsed();
        self.events.send(Event::StepFinished { step, outcome, took }).await;
        let second = result?;
        let others = [Store::clone(&self.second), Store::clone(self.store)];
        let compared = self
            .firsts
            .compare(&first.root, &others, &second, &platforms, first.statements, self.cancel)
            .await?;
        Ok(Verdict {
            name: first.name.clone(),
            first: first.root.digest.clone(),
            second: (platforms.len() == count && first.statements).then_some(second.digest),
            platforms: compared,
        })
    }

    /// Builds the platforms where nobody has built, and gives their index.
    async fn build(
        &self,
        one: &Prepared,
        platforms: &[Platform],
        step: &Step,
    ) -> Result<Descriptor, OrchestratorError> {
        let content: Arc<dyn Content> = Arc::new(Beside::new(
            Arc::clone(&self.second) as _,
            Arc::clone(self.store) as Arc<dyn Source>,
        ));
        let mut parts = Index::of(Vec::new());
        for group in self.fresh.groups(platforms).await? {
            let lease = self.fresh.lease(&group, self.events, self.cancel).await?;
            if !lease.is_ours() {
                let name = &lease.endpoint.name;
                let text = format!("{name} keeps its state: {step} is built there once more without its cache");
                self.events.notice(text).await;
            }
            let started = Event::StepStarted {
                step: Step::clone(step),
                platforms: group.platforms.clone(),
                endpoint: lease.endpoint.heading(&group.platforms),
            };
            self.events.send(started).await;
            let mut request = solve::request(one, group.platforms.clone(), self.store, self.options)?;
            request.is_cache_disabled = true;
            let content = Arc::clone(&content);
            let root = solve::run(
                one,
                &request,
                &lease.endpoint,
                content.clone(),
                self.events,
                self.cancel,
            )
            .await?;
            if let (_, Document::Index(index)) = read_document(content.as_ref(), &root).await? {
                parts = merge::merge_indexes(&parts, &index);
            }
        }
        let (descriptor, bytes) = parts.written();
        content.put(&descriptor, Box::pin(std::io::Cursor::new(bytes))).await?;
        Ok(descriptor)
    }
}

/// The images that a root stands for.
async fn index(store: &Store, root: &Descriptor) -> Result<Index, OrchestratorError> {
    match read_document(store, root).await?.1 {
        Document::Index(index) => Ok(*index),
        Document::Manifest(_) => Err(OrchestratorError::Absent {
            image: root.digest.to_string(),
            reason: "it is the image of one platform; give the name of the whole".to_owned(),
        }),
    }
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    created: String,
}

/// The time of the build of an image, in seconds since 1970, where it was given one: otherwise it has fractions of a second.
async fn created(store: &Store, image: &Descriptor) -> Result<Option<i64>, OrchestratorError> {
    let Document::Manifest(manifest) = read_document(store, image).await?.1 else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    let reader = store.read(&manifest.config.digest, 0).await?;
    let read = reader.take(DOCUMENT_BYTES_MAX).read_to_end(&mut bytes).await;
    read.map_err(|error| OrchestratorError::Temporary {
        directory: store.directory().to_owned(),
        source: error,
    })?;
    let config: Option<Config> = serde_json::from_slice(&bytes).ok();
    let created: Option<prost_types::Timestamp> = config.and_then(|config| config.created.parse().ok());
    Ok(created.filter(|time| time.nanos == 0).map(|time| time.seconds))
}

impl Builders {
    /// Builders at the same places, with a state that nobody has used as far as lkpkg makes them: a buildkitd of ours below
    /// `directory`, a container with another name.
    fn fresh(&self, directory: &Path) -> Self {
        let mut settings = self.settings.clone();
        settings.local.state = directory.join("buildkitd");
        settings.local.idle = IDLE;
        let random = directory.file_name().and_then(|name| name.to_str()).unwrap_or("verify");
        settings.config.name = format!("{}-{}", settings.config.name, random.to_lowercase());
        settings.config.restart = false;
        Self::new(settings)
    }

    /// Removes what was made for [`Self::fresh`], as far as it was. What cannot be removed is told.
    async fn clear(self, platforms: &[Platform], events: &Events) {
        let places = self.meant(platforms).await.unwrap_or_default();
        let config = self.settings.config.clone();
        drop(self); // and its connections with it
        for place in places.iter().filter(|place| is_ours(place)) {
            if let Err(error) = builder::remove(place, &config, false, true, &Events::silent()).await {
                let name = place.called(&config);
                let text = format!("the builder {name} was made to verify, and is still there: {error}");
                events.send(Event::Warning(text)).await;
            }
        }
    }
}

/// Whether lkpkg makes the builder there, so that it can make another.
pub(super) fn is_ours(place: &Where) -> bool {
    matches!(place, Where::DockerContainer { .. } | Where::Local(_))
}

/// The packages with what the store has of them, by their tags.
pub fn firsts(prepared: Vec<Prepared>, store: &Store) -> Result<Vec<(Prepared, First)>, OrchestratorError> {
    let view = store.view()?;
    let first = |one: Prepared| {
        let name = one.identity.tag.clone();
        let root = view.resolve(&one.identity.reference.store_name())?;
        let root = root.ok_or_else(|| OrchestratorError::Absent {
            image: name.clone(),
            reason: "it is not in the cache, so that there is nothing to compare with".to_owned(),
        })?;
        let statements = true;
        Ok((one, First { name, root, statements }))
    };
    prepared.into_iter().map(first).collect()
}
