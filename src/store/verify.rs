//! Reading everything again and naming what is wrong, without changing anything.

use super::blobs::CHUNK_BYTES;
use super::referrers::Referring;
use super::{Inner, Store, StoreError};
use crate::event::CancellationToken;
use crate::fsx;
use crate::oci::{Descriptor, Digest, Hasher, Index};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;

/// What [`Store::verify`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// How many entries `index.json` has.
    pub images: usize,
    /// How many blobs were read.
    pub blobs: usize,
    /// Their sizes, in bytes.
    pub bytes: u64,
    /// What is wrong, sorted. Empty when all is well.
    pub problems: Vec<Problem>,
    /// Temporary files of processes that died, sorted. They harm nobody; the next write removes them.
    pub leftovers: Vec<PathBuf>,
    /// How many blobs no name needs. They harm nobody.
    pub unreferenced: usize,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub kind: ProblemKind,
    /// The images that need it, sorted; empty when none does.
    pub needed_by: Vec<String>,
}

/// What can be wrong with a file of the store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProblemKind {
    /// It is not there.
    Missing,
    /// Its bytes are others than its name says; their digest.
    WrongDigest(Digest),
    /// It has another size than those who need it say.
    WrongSize {
        /// What they say, in bytes.
        expected: u64,
        /// What it is, in bytes.
        found: u64,
    },
    /// Its bytes are right, but are not the manifest or index that they should be.
    Unreadable(String),
    /// A file in the place of blobs that is none.
    NoBlob,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path.display())?;
        match &self.kind {
            ProblemKind::Missing => f.write_str("missing")?,
            ProblemKind::WrongDigest(found) => write!(f, "its bytes are {found}")?,
            ProblemKind::WrongSize { expected, found } => write!(f, "{found} bytes instead of {expected}")?,
            ProblemKind::Unreadable(reason) => f.write_str(reason)?,
            ProblemKind::NoBlob => f.write_str("not a blob")?,
        }
        if !self.needed_by.is_empty() {
            write!(f, "; needed by {}", self.needed_by.join(", "))?;
        }
        Ok(())
    }
}

impl Verification {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }
}

impl Store {
    /// Reads and hashes every blob, on all cores, and follows every name to its end.
    pub async fn verify(&self, cancel: &CancellationToken) -> Result<Verification, StoreError> {
        let cancel = cancel.clone();
        self.blocking(move |inner| inner.verify(&cancel)).await
    }
}

/// What a needed blob has to be, and for whom.
#[derive(Default)]
struct Need {
    sizes: BTreeSet<u64>,
    images: BTreeSet<String>,
    unreadable: Option<String>,
}

impl Inner {
    fn verify(&self, cancel: &CancellationToken) -> Result<Verification, StoreError> {
        let mut found = Verification::default();
        let index = match self.read_index() {
            Ok(index) => index,
            Err(StoreError::Damaged { path, reason }) => {
                let kind = ProblemKind::Unreadable(reason);
                found.problems.push(problem(path, kind, None));
                Index::of(Vec::new())
            }
            Err(error) => return Err(error),
        };
        let (own, referrers) = self.apart(&index)?;
        found.images = own.len();
        let needs = self.needs(&index, &referrers)?;
        let blobs = self.blobs()?;
        let mut wrong = self.wrong_digests(&blobs, cancel)?;
        for (digest, need) in &needs {
            let mut report = |kind| found.problems.push(problem(self.blob_path(digest), kind, Some(need)));
            let Some(size) = blobs.get(digest).copied() else {
                report(ProblemKind::Missing);
                continue;
            };
            let sizes: Vec<u64> = need
                .sizes
                .iter()
                .copied()
                .filter(|expected| *expected != size)
                .collect();
            // Of a file that was cut off this says more than what its bytes hash to; one problem is reported once.
            let is_wrong = wrong.contains_key(digest);
            if !sizes.is_empty() {
                wrong.remove(digest);
            }
            let sizes = sizes.into_iter();
            sizes.for_each(|expected| report(ProblemKind::WrongSize { expected, found: size }));
            // That a damaged manifest cannot be read is no second problem.
            let unreadable = need.unreadable.iter().filter(|_| !is_wrong);
            unreadable.for_each(|reason| report(ProblemKind::Unreadable(reason.clone())));
        }
        for (digest, other) in wrong {
            let kind = ProblemKind::WrongDigest(other);
            found
                .problems
                .push(problem(self.blob_path(&digest), kind, needs.get(&digest)));
        }
        found.unreferenced = blobs.keys().filter(|digest| !needs.contains_key(digest)).count();
        (found.blobs, found.bytes) = (blobs.len(), blobs.values().sum());
        self.strangers(&mut found)?;
        found.problems.sort();
        Ok(found)
    }

    /// What the entries need, those included that cannot be read; what is about an image, that image needs.
    fn needs(&self, index: &Index, referrers: &[Referring]) -> Result<BTreeMap<Digest, Need>, StoreError> {
        let mut needs = BTreeMap::<Digest, Need>::new();
        let is_referrer = |entry: &Descriptor| referrers.iter().any(|one| one.entry.digest == entry.digest);
        let is_own = |entry: &&Descriptor| entry.ref_name().is_some() || !is_referrer(entry);
        for entry in index.manifests.iter().filter(is_own) {
            let name = entry.ref_name().map_or_else(|| entry.digest.to_string(), str::to_owned);
            let reach = self.reach_with([entry], referrers)?;
            for (digest, size) in reach.blobs {
                let need = needs.entry(digest).or_default();
                need.sizes.insert(size);
                need.images.insert(name.clone());
            }
            for (digest, reason) in reach.unreadable {
                needs.entry(digest).or_default().unreadable = Some(reason);
            }
        }
        Ok(needs)
    }

    /// Hashes all blobs, the largest first so that no core is left alone with it at the end.
    fn wrong_digests(
        &self,
        blobs: &BTreeMap<Digest, u64>,
        cancel: &CancellationToken,
    ) -> Result<BTreeMap<Digest, Digest>, StoreError> {
        let mut pending: Vec<(&Digest, u64)> = blobs.iter().map(|(digest, size)| (digest, *size)).collect();
        pending.sort_by_key(|(_, size)| *size);
        let pending = Mutex::new(pending);
        let next = || pending.lock().unwrap_or_else(|e| e.into_inner()).pop();
        let work = || {
            let (mut buffer, mut wrong) = (vec![0; CHUNK_BYTES], Vec::new());
            while let Some((digest, _)) = next() {
                let path = self.blob_path(digest);
                match hash(&path, &mut buffer, cancel) {
                    Ok(found) if found == *digest => {}
                    Ok(found) => wrong.push((digest.clone(), found)),
                    Err(_) if cancel.is_cancelled() => return Err(StoreError::Cancelled),
                    Err(e) => return Err(StoreError::io("read", &path, e)),
                }
            }
            Ok(wrong)
        };
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let results: Vec<_> = thread::scope(|scope| {
            let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
            let join = |worker: thread::ScopedJoinHandle<'_, _>| {
                worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            workers.into_iter().map(join).collect()
        });
        let wrong: Result<Vec<Vec<_>>, StoreError> = results.into_iter().collect();
        Ok(wrong?.into_iter().flatten().collect())
    }

    /// Files among the blobs that are none. Others may write meanwhile, so that a name can be gone when it is looked at.
    fn strangers(&self, found: &mut Verification) -> Result<(), StoreError> {
        let directory = self.blobs_directory();
        let failed = |e| StoreError::io("read directory", &directory, e);
        for entry in std::fs::read_dir(&directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let (name, path) = (entry.file_name(), entry.path());
            let name = name.to_string_lossy();
            let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
            if fsx::is_temporary(&name) {
                found.leftovers.extend(fsx::is_abandoned(&path).then_some(path));
            } else if !is_file || format!("sha256:{name}").parse::<Digest>().is_err() {
                found.problems.push(problem(path, ProblemKind::NoBlob, None));
            }
        }
        found.leftovers.sort();
        Ok(())
    }
}

fn problem(path: PathBuf, kind: ProblemKind, need: Option<&Need>) -> Problem {
    let needed_by = need
        .map(|need| need.images.iter().cloned().collect())
        .unwrap_or_default();
    Problem { path, kind, needed_by }
}

fn hash(path: &Path, buffer: &mut [u8], cancel: &CancellationToken) -> io::Result<Digest> {
    let mut file = File::open(path)?;
    let mut hasher = Hasher::default();
    loop {
        if cancel.is_cancelled() {
            return Err(io::Error::other("cancelled"));
        }
        match file.read(buffer)? {
            0 => return Ok(hasher.finish()),
            count => hasher.update(&buffer[..count]),
        }
    }
}
