//! Bringing an image to a repository: what is missing, children before parents, tags last. [`push`] is the door.

use super::error::RegistryError;
use super::manifest::index_of;
use super::tags::{Extension, merged};
use super::upload::{Arrival, Presence, Upload};
use super::{Repository, body};
use crate::content::{ContentError, Document, Source, read_document};
use crate::oci::{Descriptor, Digest, Index, annotation, media_type};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The largest blob that is sent without asking whether it is there: to send it takes no longer than to ask.
const UNASKED_BYTES_MAX: u64 = 1 << 20;
/// How deep indexes may be nested; real ones are two levels deep.
const DEPTH_MAX: usize = 8;

/// What happens to a tag that stands for something else already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Existing {
    /// It gets both: what it had, but for the platforms that are pushed, and what is pushed.
    #[default]
    Merge,
    /// It gets what is pushed.
    Replace,
    /// It may gain what it does not have, and what it has stays as it is: for tags of releases. Where it has all of
    /// what is pushed, it is left alone; where it has something else, that is an error
    /// ([`RegistryError::TagTaken`]).
    Extend,
}

/// How far a blob is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlobState {
    /// It is on its way; so many bytes from its beginning have been handed over. Fewer than before, when an upload broke.
    Sending(u64),
    /// It was in the repository.
    Found,
    /// Another repository of the registry had it.
    Mounted,
    /// It has been sent.
    Sent,
}

/// What happens to a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushProgress {
    /// Which.
    pub digest: Digest,
    /// Its size, in bytes.
    pub size_bytes: u64,
    /// How far it is.
    pub state: BlobState,
}

/// How an image is pushed.
#[derive(Clone, Default)]
pub struct PushOptions {
    /// What happens to tags that stand for something else.
    pub existing: Existing,
    /// Who is told what happens to each blob; called often and must be quick.
    pub progress: Option<Arc<dyn Fn(PushProgress) + Send + Sync>>,
}

/// What [`push`] did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pushed {
    /// Each tag and what it stands for now, in the order in which they were given.
    pub tags: Vec<(String, Descriptor)>,
    /// Blobs that were sent.
    pub sent: usize,
    /// Their sizes, in bytes.
    pub sent_bytes: u64,
    /// Blobs that another repository of the registry had.
    pub mounted: usize,
    /// Blobs that were there. Those of manifests that were there are not counted: nobody looked.
    pub found: usize,
}

impl Pushed {
    fn add(mut self, descriptor: &Descriptor, arrival: Arrival) -> Self {
        match arrival {
            Arrival::Found => self.found += 1,
            Arrival::Mounted => self.mounted += 1,
            Arrival::Sent => {
                self.sent += 1;
                self.sent_bytes += descriptor.size;
            }
        }
        self
    }
}

/// Brings `root` (an index or a manifest) and what it points at from `source` to `repository` and lets `tags` stand for
/// it; without tags it is there by its digest.
///
/// What the registry has is not sent: a tag that is right already costs one request. A manifest that is there is believed
/// to be there with its blobs, and need not be in `source`. Dropping the call stops everything.
pub async fn push(
    source: &dyn Source,
    repository: &Repository,
    root: &Descriptor,
    tags: &[String],
    options: &PushOptions,
) -> Result<Pushed, RegistryError> {
    let (bytes, document) = read_document(source, root).await?;
    let root = Descriptor::new(document.media_type(), root.digest.clone(), root.size);
    let index = match options.existing {
        Existing::Merge => index_of(source, &root, &document).await?,
        // Platforms do not matter: only digests are compared.
        Existing::Replace | Existing::Extend => match &document {
            Document::Index(index) => Index::clone(index),
            Document::Manifest(_) => Index::of(vec![root.clone()]),
        },
    };
    let push = Push {
        source,
        repository: repository.for_writing(),
        index,
        root,
        bytes,
        document,
        options,
        is_tagged: !tags.is_empty(),
        referrers: Mutex::default(),
    };
    push.run(tags).await
}

struct Push<'a> {
    source: &'a dyn Source,
    repository: Repository,
    root: Descriptor,
    bytes: Bytes,
    document: Document,
    /// The root as an index.
    index: Index,
    options: &'a PushOptions,
    is_tagged: bool,
    /// Subjects, and what is to be listed with them because the registry does not do it.
    referrers: Mutex<Vec<(Digest, Descriptor)>>,
}

/// What is to be sent.
#[derive(Default)]
struct Missing {
    /// Parents before children, each once.
    documents: Vec<(Descriptor, Bytes, Document)>,
    blobs: BTreeMap<Digest, (Descriptor, Presence)>,
    /// Whether the root itself is.
    is_root_missing: bool,
}

/// What a manifest that is not there points at. Configurations and what is said about an image are made anew with every
/// image, layers are not.
fn presence(child: &Descriptor) -> Presence {
    let is_of_one_image =
        child.media_type == media_type::CONFIG || child.annotations.contains_key(annotation::PREDICATE_TYPE);
    match is_of_one_image && child.size <= UNASKED_BYTES_MAX {
        true => Presence::Unlikely,
        false => Presence::Unknown,
    }
}

impl Push<'_> {
    async fn run(&self, tags: &[String]) -> Result<Pushed, RegistryError> {
        let mut standing = Vec::new();
        for tag in tags {
            standing.push(self.standing(tag).await?);
        }
        let mut pushed = Pushed::default();
        if !self.is_tagged || standing.iter().any(Option::is_none) {
            let missing = self.missing().await?;
            pushed = self.send(missing).await?;
        }
        for (tag, standing) in tags.iter().zip(standing) {
            let descriptor = match standing {
                Some(descriptor) => descriptor,
                None => self.name(tag).await?,
            };
            pushed.tags.push((tag.clone(), descriptor));
        }
        let referrers = std::mem::take(&mut *self.referrers.lock().unwrap_or_else(PoisonError::into_inner));
        for (subject, referrer) in referrers {
            self.repository.add_referrer(&subject, &referrer).await?;
        }
        Ok(pushed)
    }

    /// What a tag stands for, when that is right.
    async fn standing(&self, tag: &str) -> Result<Option<Descriptor>, RegistryError> {
        let Some(found) = self.repository.find(tag).await? else {
            return Ok(None);
        };
        if found.digest == self.root.digest && (self.options.existing != Existing::Merge || self.is_index()) {
            return Ok(Some(found));
        }
        match self.options.existing {
            Existing::Replace => Ok(None),
            Existing::Extend => match self.repository.index(tag).await? {
                None => Ok(None),
                Some((found, index)) => match Extension::of(&index, &self.root, &self.index) {
                    Extension::Right => Ok(Some(found)),
                    Extension::Possible => Ok(None),
                    Extension::Taken => Err(self.repository.taken(tag, &found.digest, &self.root.digest)),
                },
            },
            Existing::Merge => {
                let found = self.repository.index(tag).await?;
                let is_right = |(_, index): &(_, Index)| merged(index, &self.index).is_none();
                Ok(found.filter(is_right).map(|(descriptor, _)| descriptor))
            }
        }
    }

    fn is_index(&self) -> bool {
        self.root.media_type == media_type::INDEX
    }

    /// Lets a tag stand for the root, whose children are all there.
    async fn name(&self, tag: &str) -> Result<Descriptor, RegistryError> {
        let root = (self.root.clone(), self.bytes.clone());
        let rewritten = match self.options.existing {
            Existing::Merge => self.repository.merge_into(tag, &self.index, root).await?,
            Existing::Extend => self.repository.extend_to(tag, &self.index, root).await?,
            Existing::Replace => {
                self.put(tag, &self.root, &self.bytes, &self.document).await?;
                return Ok(self.root.clone());
            }
        };
        if rewritten.descriptor.digest == self.root.digest && !rewritten.is_listed {
            self.list_with_subject(&self.root, &self.document);
        }
        Ok(rewritten.descriptor)
    }

    /// What the registry does not have, but for the root.
    async fn missing(&self) -> Result<Missing, RegistryError> {
        let mut missing = Missing::default();
        // A referrer is written again, for only the answer says whether it is listed with its subject: whoever sent it before
        // may have ended between the two.
        let is_referrer = !self.is_tagged && self.document.as_referrer(&self.root).is_some();
        if !is_referrer && self.repository.has_manifest(&self.root.digest).await? {
            self.repository.met(&self.document);
            return Ok(missing);
        }
        missing.is_root_missing = true;
        let root = (self.root.clone(), self.bytes.clone(), self.document.clone());
        let mut level = vec![root];
        for _ in 0..DEPTH_MAX {
            let mut next = BTreeMap::new();
            for (descriptor, bytes, document) in level {
                for child in document.children() {
                    let (digest, child) = (child.digest.clone(), child.clone());
                    match Document::is_type(&child.media_type) {
                        true => drop(next.insert(digest, child)),
                        false => drop(missing.blobs.insert(digest, (child.clone(), presence(&child)))),
                    }
                }
                // The same document can be met again further down: its place is the lowest.
                missing
                    .documents
                    .retain(|(known, ..)| known.digest != descriptor.digest);
                missing.documents.push((descriptor, bytes, document));
            }
            if next.is_empty() {
                missing.documents.remove(0);
                return Ok(missing);
            }
            let found = stream::iter(next.into_values()).map(|child| self.look(child));
            let found: Vec<_> = found
                .buffered(self.repository.registry.inner.jobs)
                .try_collect()
                .await?;
            level = found.into_iter().flatten().collect();
        }
        Err(RegistryError::Content(ContentError::Mismatch {
            expected: self.root.digest.clone(),
            found: format!("indexes are nested more than {DEPTH_MAX} deep"),
        }))
    }

    /// A document, when the registry does not have it.
    async fn look(&self, child: Descriptor) -> Result<Option<(Descriptor, Bytes, Document)>, RegistryError> {
        let Repository {
            host, name, registry, ..
        } = &self.repository;
        let is_ours = registry.inner.places.has(host, name, &child.digest);
        if self.repository.has_manifest(&child.digest).await? {
            // Its blobs can be mounted from there. Whoever sent it in this run knows that already; and where the source
            // does not have it, it does not matter.
            if !is_ours && let Ok((_, document)) = read_document(self.source, &child).await {
                self.repository.met(&document);
            }
            return Ok(None);
        }
        let (bytes, document) = read_document(self.source, &child).await?;
        Ok(Some((child, bytes, document)))
    }

    /// Sends blobs, then manifests, then the indexes that list them.
    async fn send(&self, missing: Missing) -> Result<Pushed, RegistryError> {
        let jobs = self.repository.registry.inner.jobs;
        // The largest first, so that none of them is left alone at the end.
        let mut blobs: Vec<_> = missing.blobs.into_values().collect();
        blobs.sort_by(|(a, _), (b, _)| (b.size, &a.digest).cmp(&(a.size, &b.digest)));
        let blobs = stream::iter(blobs).map(async |(blob, presence)| {
            let arrival = self.blob(&blob, presence).await?;
            Ok::<_, RegistryError>((blob, arrival))
        });
        let pushed = blobs
            .buffer_unordered(jobs)
            .try_fold(Pushed::default(), async |pushed, (blob, arrival)| {
                Ok(pushed.add(&blob, arrival))
            })
            .await?;
        let is_manifest = |(_, _, document): &(_, _, Document)| matches!(document, Document::Manifest(_));
        let (manifests, indexes): (Vec<_>, Vec<_>) = missing.documents.into_iter().partition(is_manifest);
        let manifests = stream::iter(manifests).map(async |document| self.document(&document).await);
        manifests.buffer_unordered(jobs).try_collect::<()>().await?;
        for document in indexes.iter().rev() {
            self.document(document).await?;
        }
        // The root comes with its tag, unless it has none, or is to be the only one in an index.
        let is_child = self.options.existing == Existing::Merge && matches!(self.document, Document::Manifest(_));
        if missing.is_root_missing && (is_child || !self.is_tagged) {
            self.put(self.root.digest.as_str(), &self.root, &self.bytes, &self.document)
                .await?;
        }
        Ok(pushed)
    }

    async fn document(
        &self,
        (descriptor, bytes, document): &(Descriptor, Bytes, Document),
    ) -> Result<(), RegistryError> {
        let put = self.put(descriptor.digest.as_str(), descriptor, bytes, document).await;
        let Err(RegistryError::MissingChild { child: Some(child), .. }) = &put else {
            return put;
        };
        // The registry said that it had it, and has it not: it has been removed since, or the registry was mistaken.
        let Some(blob) = document.children().into_iter().find(|known| known.digest == *child) else {
            return put;
        };
        if Document::is_type(&blob.media_type) {
            return put;
        }
        let Repository {
            host, name, registry, ..
        } = &self.repository;
        registry.inner.places.forget(host, name, child);
        self.blob(blob, Presence::Missing).await?;
        self.put(descriptor.digest.as_str(), descriptor, bytes, document).await
    }

    async fn put(
        &self,
        object: &str,
        descriptor: &Descriptor,
        bytes: &Bytes,
        document: &Document,
    ) -> Result<(), RegistryError> {
        let is_listed = self.repository.put_manifest(object, descriptor, bytes).await?;
        if !is_listed {
            self.list_with_subject(descriptor, document);
        }
        Ok(())
    }

    /// Notes what is about something else, to be listed with it when all has been written.
    fn list_with_subject(&self, descriptor: &Descriptor, document: &Document) {
        let mut referrers = self.referrers.lock().unwrap_or_else(PoisonError::into_inner);
        referrers.extend(document.as_referrer(descriptor));
    }

    async fn blob(&self, blob: &Descriptor, presence: Presence) -> Result<Arrival, RegistryError> {
        let report = self.options.progress.clone().map(|report| {
            let (digest, size_bytes) = (blob.digest.clone(), blob.size);
            move |state| {
                report(PushProgress {
                    digest: digest.clone(),
                    size_bytes,
                    state,
                })
            }
        });
        let listener = report
            .clone()
            .map(|report| -> body::Listener { Box::new(move |at| report(BlobState::Sending(at))) });
        let arrival = Upload::new(&self.repository, self.source, blob, listener)
            .run(presence)
            .await?;
        if let Some(report) = report {
            report(match arrival {
                Arrival::Found => BlobState::Found,
                Arrival::Mounted => BlobState::Mounted,
                Arrival::Sent => BlobState::Sent,
            });
        }
        Ok(arrival)
    }
}
