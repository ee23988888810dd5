//! Caches that builders share: what the user wrote for all packages → where a package's own are, and their directories open.

use super::blocking::blocking;
use super::{Builders, OrchestratorError, Prepared};
use crate::build::{CacheDirectories, CacheEntry, CacheKind};
use crate::event::{Event, Events};
use crate::identity;
use crate::oci::Platform;
use crate::plan::Plan;
use crate::store::Store;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Stands for the architectures of a build where packages are told apart: those may be the same for all.
const SOME_ARCHITECTURE: &str = "arch";

/// `--cache-from` and `--cache-to`: templates, as they were written.
#[derive(Clone, Debug, Default)]
pub struct Caches {
    /// Those that are read from.
    pub from: Vec<CacheEntry>,
    /// Those that are written to.
    pub to: Vec<CacheEntry>,
}

impl Caches {
    /// Looks whether each package would have places of its own to write to, and all names are names.
    pub fn check(&self, prepared: &[Prepared]) -> Result<(), OrchestratorError> {
        let mut places = Places::default();
        for one in prepared {
            for entry in &self.filled(one, SOME_ARCHITECTURE)?.to {
                places.add(entry, one.identity.image.clone(), "{{.Name}}")?;
            }
        }
        Ok(())
    }

    /// The same for the parts of one package that different builders build.
    pub(super) async fn check_groups(
        &self,
        plan: &Plan,
        prepared: &[Prepared],
        builders: &Builders,
    ) -> Result<(), OrchestratorError> {
        if self.to.is_empty() {
            return Ok(());
        }
        for (planned, one) in plan.packages.iter().zip(prepared) {
            let mut places = Places::default();
            for group in builders.groups(&planned.to_build()).await? {
                let part = format!("{} [{}]", one.identity.image, architectures(&group.platforms));
                for entry in &self.of(one, &group.platforms)?.to {
                    places.add(entry, part.clone(), "{{.Arch}}")?;
                }
            }
        }
        Ok(())
    }

    /// Those of one build of a package.
    pub(super) fn of(&self, one: &Prepared, platforms: &[Platform]) -> Result<Self, OrchestratorError> {
        self.filled(one, &architectures(platforms))
    }

    fn filled(&self, one: &Prepared, architectures: &str) -> Result<Self, OrchestratorError> {
        let identity = &one.identity;
        let fields = [
            (".Arch", architectures),
            (".Hash", identity.hash.as_deref().unwrap_or_default()),
            (".Image", identity.image.as_str()),
            (".Name", one.package.image.as_str()),
            (".Tag", identity.reference.tag().unwrap_or_default()),
        ];
        let fill = |text: &str| identity::expand(text, &fields).map_err(OrchestratorError::from);
        let all = |entries: &[CacheEntry]| {
            entries
                .iter()
                .map(|entry| entry.filled(fill))
                .collect::<Result<Vec<_>, _>>()
        };
        Ok(Self {
            from: all(&self.from)?,
            to: all(&self.to)?,
        })
    }

    /// Opens the directories: what is read from, what is written to, and the directories of both. A directory that cannot be
    /// read from is said, and left out: the first build of all finds none.
    pub(super) async fn open(
        mut self,
        events: &Events,
    ) -> Result<(Vec<CacheEntry>, Vec<CacheEntry>, CacheDirectories), OrchestratorError> {
        let mut directories = CacheDirectories::default();
        let mut from = Vec::new();
        for entry in self.from.drain(..) {
            if entry.kind != CacheKind::Local {
                from.push(entry);
                continue;
            }
            let place = entry.place.clone();
            match blocking(move || readable(entry)).await? {
                Ok((entry, store)) => {
                    directories.insert(&entry, Arc::new(store));
                    from.push(entry);
                }
                Err(reason) => {
                    let text = format!("the cache in {place} is not read: {reason}");
                    events.send(Event::Warning(text)).await;
                }
            }
        }
        for entry in self.to.iter().filter(|entry| entry.kind == CacheKind::Local) {
            let place = entry.place.clone();
            let store = blocking(move || Store::open(Path::new(&place))).await??;
            directories.insert(entry, Arc::new(store));
        }
        Ok((from, self.to, directories))
    }
}

/// The store that a cache is in, and the entry with its digest. The error is a sentence's end.
fn readable(mut entry: CacheEntry) -> Result<(CacheEntry, Store), String> {
    let directory = Path::new(&entry.place);
    // Opening one would make it.
    if !directory.join("index.json").exists() {
        return Err("there is none yet".to_owned());
    }
    let store = Store::open(directory).map_err(|error| error.to_string())?;
    if !entry.has_digest() {
        let found = store.resolve_name(&entry.tag).map_err(|error| error.to_string())?;
        let found = found.ok_or_else(|| format!("nothing in it is called {}", entry.tag))?;
        entry.set_digest(&found.digest);
    }
    Ok((entry, store))
}

/// `amd64-arm64`, in the order in which they are built.
fn architectures(platforms: &[Platform]) -> String {
    let names = platforms
        .iter()
        .map(|one| format!("{}{}", one.architecture, one.variant));
    names.collect::<Vec<_>>().join("-")
}

/// Who writes where.
#[derive(Default)]
struct Places(BTreeMap<(CacheKind, String, String), String>);

impl Places {
    fn add(&mut self, entry: &CacheEntry, who: String, field: &'static str) -> Result<(), OrchestratorError> {
        // Each image has its own.
        if entry.kind == CacheKind::Inline {
            return Ok(());
        }
        let (kind, place, tag) = entry.identity();
        match self.0.insert((kind, place, tag.to_owned()), who.clone()) {
            None => Ok(()),
            Some(one) => Err(OrchestratorError::CacheTwice {
                one,
                other: who,
                place: entry.place.clone(),
                field,
            }),
        }
    }
}
