//! What a release has begun: the images that it began with, and which of them are released. A file in the store's
//! directory, written before the first tag is moved and after each package, and removed at the end.

use super::super::blocking::blocking;
use super::{Checked, OrchestratorError};
use crate::event::Events;
use crate::fsx::{self, FileError, FileLock};
use crate::oci::Digest;
use crate::package::{Diagnostic, Position};
use crate::store::StoreError;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Directory of journals below the store's.
const DIRECTORY: &str = "releases";
/// The version of what is written here; raised when an older lkpkg would misread it.
const VERSION: u32 = 1;
/// Digits of the hash in a journal's name: no two sets of packages of one cache meet by chance.
const HASH_DIGITS: usize = 12;
/// How long is waited before anybody is told: what others do takes less, mostly.
const SILENT_WAIT: Duration = Duration::from_millis(500);

/// What stands in a journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    version: u32,
    /// The tag of the release.
    release: String,
    /// The packages, sorted by name.
    pub(super) packages: Vec<Entry>,
}

/// A package of a release that has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// Its full name, `docker.io/org/image:hash`.
    pub(super) name: String,
    /// What is released of it, whatever its tag stands for meanwhile.
    pub(super) digest: Digest,
    /// How far it is.
    state: EntryState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum EntryState {
    /// Its tags are still to be moved, or are being moved.
    Waiting,
    /// Its tags are moved.
    Released,
}

impl Record {
    /// How many packages are released.
    pub(super) fn released(&self) -> usize {
        let is_released = |one: &&Entry| one.state == EntryState::Released;
        self.packages.iter().filter(is_released).count()
    }

    fn names(&self) -> BTreeSet<String> {
        self.packages.iter().map(|one| one.name.clone()).collect()
    }
}

/// `<store>/releases/<TAG>-<12 hex digits>.json`: the same packages find the same journal, others do not.
fn path(store: &Path, tag: &str, names: &BTreeSet<String>) -> PathBuf {
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let hash = Digest::of(all.join("\n").as_bytes());
    let hash = &hash.hex()[..HASH_DIGITS];
    store.join(DIRECTORY).join(format!("{tag}-{hash}.json"))
}

/// Journals of the same tag and other packages, sorted.
pub(super) fn others(store: &Path, tag: &str, names: &BTreeSet<String>) -> Vec<PathBuf> {
    let own = path(store, tag, names);
    let is_hash = |text: &str| text.len() == HASH_DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_other = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let hash = name
            .strip_prefix(tag)
            .and_then(|rest| rest.strip_prefix('-')?.strip_suffix(".json"));
        *path != own && hash.is_some_and(is_hash)
    };
    let entries = std::fs::read_dir(store.join(DIRECTORY)).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_other).collect();
    paths.sort();
    paths
}

/// The journal of a release, if there is one.
pub(super) fn read(store: &Path, tag: &str, names: &BTreeSet<String>) -> Result<Option<Record>, OrchestratorError> {
    let path = path(store, tag, names);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StoreError::from(FileError::io("read", &path, error)).into()),
    };
    parse(&path, &text, tag, names)
        .map(Some)
        .map_err(|error| OrchestratorError::Journal(Box::new(error)))
}

fn parse(path: &Path, text: &str, tag: &str, names: &BTreeSet<String>) -> Result<Record, Diagnostic> {
    let record: Record = serde_json::from_str(text).map_err(|error| {
        let position = Position {
            line: u32::try_from(error.line()).unwrap_or(u32::MAX).max(1),
            column: u32::try_from(error.column()).unwrap_or(u32::MAX).max(1),
        };
        let text_of_error = error.to_string();
        let reason = text_of_error.split(" at line ").next().unwrap_or_default();
        Diagnostic::at(
            path,
            text,
            position,
            1,
            format!("the journal of the release cannot be read: {reason}"),
        )
    })?;
    let at_field = |field: &str, message: String| {
        let line = text
            .lines()
            .position(|line| line.contains(&format!("\"{field}\"")))
            .unwrap_or(0);
        let column = text.lines().nth(line).and_then(|line| line.find('"')).unwrap_or(0);
        let position = Position {
            line: line as u32 + 1,
            column: column as u32 + 1,
        };
        Diagnostic::at(path, text, position, field.len() + 2, message)
    };
    if record.version != VERSION {
        let message = format!("the journal has version {}, only {VERSION} is known", record.version);
        return Err(at_field("version", message));
    }
    if record.release != tag {
        return Err(at_field(
            "release",
            format!("the journal is about the release {}, not {tag}", record.release),
        ));
    }
    if record.names() != *names || record.packages.len() != names.len() {
        return Err(at_field("packages", "the journal is about other packages".to_owned()));
    }
    Ok(record)
}

/// The journal of a release that this process makes: nobody else makes the same meanwhile.
pub(super) struct Journal {
    path: PathBuf,
    record: Option<Record>,
    _lock: FileLock,
}

impl Journal {
    /// Waits until nobody else makes the same release, and reads what was begun. `store` is the store's directory.
    pub(super) async fn open(
        store: PathBuf,
        tag: String,
        names: BTreeSet<String>,
        wait: Duration,
        events: &Events,
    ) -> Result<Self, OrchestratorError> {
        let path = path(&store, &tag, &names);
        let lock_path = path.with_extension("lock");
        let lock = match lock(lock_path.clone(), wait.min(SILENT_WAIT)).await? {
            Err(FileError::Busy { path, holder, .. }) if wait > SILENT_WAIT => {
                let (path, limit) = (path.display(), wait.as_secs());
                let waiting =
                    format!("waiting at most {limit} s for {holder}, which makes this release and holds {path}");
                events.notice(waiting).await;
                lock(lock_path, wait).await?
            }
            locked => locked,
        };
        let lock = lock.map_err(StoreError::from)?;
        let record = blocking(move || {
            // What dead processes left; only that there is less of it is at stake.
            let _ = fsx::sweep(&store.join(DIRECTORY));
            read(&store, &tag, &names)
        })
        .await??;
        Ok(Self {
            path,
            record,
            _lock: lock,
        })
    }

    /// What was begun.
    pub(super) fn record(&self) -> Option<&Record> {
        self.record.as_ref()
    }

    /// Writes down with what the release begins, or goes on.
    pub(super) async fn begin(&mut self, checked: &Checked, names: &[String]) -> Result<(), OrchestratorError> {
        let mut entries = BTreeMap::new();
        for (one, name) in checked.packages.iter().zip(names) {
            let Some(digest) = one.verified.as_ref().map(|root| root.digest.clone()) else {
                continue;
            };
            let state = match one.state {
                super::State::Released => EntryState::Released,
                super::State::Ready | super::State::NotReady => EntryState::Waiting,
            };
            let name = name.clone();
            entries.insert(name.clone(), Entry { name, digest, state });
        }
        self.record = Some(Record {
            version: VERSION,
            release: checked.release.clone(),
            packages: entries.into_values().collect(),
        });
        self.write().await
    }

    /// Writes down that a package is released.
    pub(super) async fn note(&mut self, name: &str) -> Result<(), OrchestratorError> {
        let entries = self.record.iter_mut().flat_map(|record| &mut record.packages);
        entries
            .filter(|one| one.name == name)
            .for_each(|one| one.state = EntryState::Released);
        self.write().await
    }

    async fn write(&self) -> Result<(), OrchestratorError> {
        let Some(record) = &self.record else { return Ok(()) };
        let text = serde_json::to_string_pretty(record);
        let text = text.map_err(|error| OrchestratorError::Panic(error.to_string()))? + "\n";
        let path = self.path.clone();
        let written = blocking(move || fsx::replace(&path, text.as_bytes())).await?;
        Ok(written.map_err(StoreError::from)?)
    }

    /// Removes it: all is done. The lock's file stays, because somebody may be waiting for it.
    pub(super) async fn end(self) -> Result<(), OrchestratorError> {
        let path = self.path.clone();
        let removed = blocking(move || match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(FileError::io("remove", &path, error)),
            Err(_) => Ok(()),
            // Without this, a crash of the machine could bring it back.
            Ok(()) => fsx::sync_directory(path.parent().unwrap_or(&path)),
        })
        .await?;
        Ok(removed.map_err(StoreError::from)?)
    }
}

/// Takes the lock, which is made with its directory when it is not there.
async fn lock(path: PathBuf, wait: Duration) -> Result<Result<FileLock, FileError>, OrchestratorError> {
    blocking(move || {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory).map_err(|error| FileError::io("create", directory, error))?;
        }
        FileLock::exclusive(&path, wait)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(all: &[&str]) -> BTreeSet<String> {
        all.iter().map(|one| (*one).to_owned()).collect()
    }

    fn record(released: usize) -> Record {
        let entry = |(at, name): (usize, &str)| Entry {
            name: name.to_owned(),
            digest: Digest::of(name.as_bytes()),
            state: if at < released {
                EntryState::Released
            } else {
                EntryState::Waiting
            },
        };
        Record {
            version: VERSION,
            release: "v1".into(),
            packages: ["r/a:1", "r/b:1"].into_iter().enumerate().map(entry).collect(),
        }
    }

    async fn open(store: &Path, wait: Duration, events: &Events) -> Result<Journal, OrchestratorError> {
        let names = names(&["r/b:1", "r/a:1"]);
        Journal::open(store.to_owned(), "v1".into(), names, wait, events).await
    }

    #[test]
    fn the_same_packages_find_the_same_journal() {
        let of = |tag: &str, all: &[&str]| path(Path::new("/s"), tag, &names(all));
        let known = of("v1", &["r/a:1", "r/b:1"]);
        assert_eq!(known, of("v1", &["r/b:1", "r/a:1"]));
        assert_eq!(known, Path::new("/s/releases/v1-ff41edc30d32.json"));
        let store = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(store.path().join(DIRECTORY)).expect("a directory");
        let all = names(&["r/a:1"]);
        for (tag, name) in [("v1", "r/a:1"), ("v1", "r/b:1"), ("v1-rc", "r/b:1"), ("v2", "r/b:1")] {
            let path = path(store.path(), tag, &names(&[name]));
            std::fs::write(path.with_extension("lock"), "").expect("a file");
            std::fs::write(path, "").expect("a file");
        }
        let expected = [path(store.path(), "v1", &names(&["r/b:1"]))];
        assert_eq!(others(store.path(), "v1", &all), expected);
        for other in [
            of("v1", &["r/a:1"]),
            of("v1", &["r/a:1", "r/b:2"]),
            of("v2", &["r/a:1", "r/b:1"]),
        ] {
            assert_ne!(known, other);
        }
    }

    #[tokio::test]
    async fn it_outlives_the_process_and_ends_with_the_release() {
        let directory = tempfile::tempdir().expect("a directory");
        let (events, _receiver) = Events::channel();
        let wait = Duration::ZERO;
        let mut journal = open(directory.path(), wait, &events).await.expect("opens");
        assert_eq!(journal.record(), None);
        journal.record = Some(record(0));
        journal.note("r/a:1").await.expect("writes");
        let busy = open(directory.path(), wait, &events)
            .await
            .err()
            .expect("is held")
            .to_string();
        assert!(busy.contains("this process"), "{busy}");
        drop(journal);
        let journal = open(directory.path(), wait, &events).await.expect("opens");
        assert_eq!(journal.record(), Some(&record(1)));
        assert_eq!(journal.record().map(Record::released), Some(1));
        journal.end().await.expect("ends");
        let journal = open(directory.path(), wait, &events).await.expect("opens");
        assert_eq!(journal.record(), None);
    }

    #[test]
    fn what_makes_no_sense_is_shown_where_it_stands() {
        let good = serde_json::to_string_pretty(&record(1)).expect("writes");
        let check = |text: &str, expected: &str| {
            let names = names(&["r/a:1", "r/b:1"]);
            match parse(Path::new("/s/v1.json"), text, "v1", &names) {
                Ok(_) => assert_eq!(expected, ""),
                Err(error) => {
                    let first = error.to_string().lines().next().unwrap_or_default().to_owned();
                    assert!(!expected.is_empty() && first.contains(expected), "{expected}: {first}");
                }
            }
        };
        check(&good, "");
        check(&good[..good.len() - 20], "/s/v1.json:13:16: ");
        check("", "/s/v1.json:1:1: the journal of the release cannot be read: EOF");
        check(
            &good.replace("\"version\": 1", "\"version\": 2"),
            "v1.json:2:3: the journal has version 2",
        );
        check(
            &good.replace("\"v1\"", "\"v2\""),
            "v1.json:3:3: the journal is about the release v2",
        );
        check(
            &good.replace("r/b:1", "r/c:1"),
            "v1.json:4:3: the journal is about other packages",
        );
        check(&good.replace("\"waiting\"", "\"lost\""), "v1.json:13:");
        check(&good.replace("\"state\"", "\"stat\""), "unknown field `stat`");
    }
}
