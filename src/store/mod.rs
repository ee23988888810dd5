//! The local store: an OCI layout that linuxkit and skopeo can share. [`Store`] is the door.
//!
//! Names are annotations in `index.json`; blobs are files named by their digest. A blob has its name only when its bytes
//! are right, `index.json` is replaced whole and only under its lock, and nothing is removed while anybody else has the
//! store open. Nothing here knows packages, builds or registries.

mod blobs;
mod building;
mod compare;
mod error;
mod export;
mod graph;
mod import;
mod layout;
mod listing;
mod look;
mod lookup;
mod names;
mod platforms;
mod referrers;
mod remove;
mod verify;

#[cfg(test)]
mod fixture;

pub use building::Building;
pub use compare::{Compared, Difference};
pub use error::StoreError;
pub use export::{ExportFormat, ExportOptions};
pub use import::{ImportOptions, Imported};
pub use listing::{DiskUsage, ImageUsage, StoredImage};
pub use look::{Look, look};
pub use lookup::{Complete, View};
pub use remove::Removal;
pub use verify::{Problem, ProblemKind, Verification};

use crate::fsx::FileLock;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// How long others are waited for: longer than any write or collection takes, and short enough that nobody believes the
/// program hangs.
pub const LOCK_WAIT: Duration = Duration::from_secs(30);

/// How long is waited before anybody is told: what others do takes less, mostly.
const SILENT_WAIT: Duration = Duration::from_millis(500);

/// An open store. Cheap to clone; as long as one clone lives, nobody removes blobs from it.
///
/// Blocking work is done on tokio's blocking threads: the `async` functions want a tokio runtime, the others do not.
#[derive(Clone, Debug)]
pub struct Store(Arc<Inner>);

/// What the clones share. Its functions block.
#[derive(Debug)]
struct Inner {
    directory: PathBuf,
    /// Held shared by everybody who has the store open, exclusively by whoever collects.
    usage: FileLock,
    /// How long others are waited for.
    wait: Duration,
    /// Set when what dead processes left has been removed, which is done before the first write.
    swept: OnceLock<()>,
}

impl Store {
    /// Opens the store in `directory`, and makes it when it is not there. Waits at most [`LOCK_WAIT`] for others.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        Self::open_within(directory, LOCK_WAIT)
    }

    /// [`Self::open`] with another limit, which also holds for everything done with this store.
    pub fn open_within(directory: &Path, wait: Duration) -> Result<Self, StoreError> {
        Ok(Self(Arc::new(Inner::open(directory, wait)?)))
    }

    /// [`Self::open_within`] for those who want to tell the user whom they wait for: `tell` gets the [`StoreError::Busy`] of
    /// a first, short try.
    pub fn open_telling(directory: &Path, wait: Duration, tell: impl FnOnce(&StoreError)) -> Result<Self, StoreError> {
        match Inner::open(directory, wait.min(SILENT_WAIT)) {
            Ok(inner) => Ok(Self(Arc::new(Inner { wait, ..inner }))),
            Err(busy @ StoreError::Busy { .. }) if wait > SILENT_WAIT => {
                tell(&busy);
                Self::open_within(directory, wait)
            }
            Err(error) => Err(error),
        }
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.0.directory
    }

    /// Does blocking `work` where it blocks nobody.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let inner = Arc::clone(&self.0);
        match tokio::task::spawn_blocking(move || work(&inner)).await {
            Ok(result) => result,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Err(StoreError::Cancelled), // the runtime is being shut down
        }
    }
}

#[cfg(test)]
mod tests;
