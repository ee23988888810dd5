//! The right to build an image for this store, which one process has at a time: [`Building`].
//!
//! A file of the image's own below [`DIRECTORY`] is locked. The kernel gives the lock back when its holder dies, so that
//! nothing has to be tidied up; a file that is left behind is used again.

use super::{Store, StoreError};
use crate::fsx::FileLock;
use crate::oci::Digest;
use std::path::PathBuf;
use std::time::Duration;

/// Where the locks are, in the store's directory.
const DIRECTORY: &str = ".lkpkg.building";
/// Between two looks whether the other has ended: nothing wakes those who wait for a lock and want to stay cancellable.
const PAUSE: Duration = Duration::from_millis(50);

/// The right to build an image. Ends when it is dropped or the process dies.
#[derive(Debug)]
pub struct Building {
    _lock: FileLock,
    path: PathBuf,
}

impl Drop for Building {
    fn drop(&mut self) {
        // While the lock is held: who waits for it finds the name gone and begins again. What cannot be removed is only
        // an empty file.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Store {
    /// The right to build the image with this full name; None when somebody else has it.
    pub fn try_building(&self, name: &str) -> Result<Option<Building>, StoreError> {
        let directory = self.directory().join(DIRECTORY);
        std::fs::create_dir_all(&directory).map_err(|e| StoreError::io("create", &directory, e))?;
        let path = self.building_path(name);
        while let Some(lock) = FileLock::try_exclusive(&path)? {
            // Else whoever held it before has removed the file in between.
            if lock.has_its_name() {
                return Ok(Some(Building { _lock: lock, path }));
            }
        }
        Ok(None)
    }

    /// [`Self::try_building`] until nobody else has it. May be dropped at any time.
    pub async fn building(&self, name: &str) -> Result<Building, StoreError> {
        loop {
            if let Some(building) = self.try_building(name)? {
                return Ok(building);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Who builds the image, in words for the user.
    pub fn builder_of(&self, name: &str) -> String {
        FileLock::holder(&self.building_path(name))
    }

    fn building_path(&self, name: &str) -> PathBuf {
        self.directory().join(DIRECTORY).join(Digest::of(name.as_bytes()).hex())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn one_builds_an_image_and_others_are_told_who() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let first = store.try_building("a:1").unwrap().unwrap();
        assert!(store.try_building("a:1").unwrap().is_none());
        let holder = store.builder_of("a:1");
        assert!(holder.contains(&std::process::id().to_string()), "{holder}");
        store.try_building("b:1").unwrap().unwrap();
        drop(first);
        store.try_building("a:1").unwrap().unwrap();
        let left = std::fs::read_dir(directory.path().join(DIRECTORY)).unwrap().count();
        assert_eq!(left, 0);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn many_take_turns() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let (inside, all) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let turns = (0..20).map(|_| {
            let (store, inside, all) = (store.clone(), Arc::clone(&inside), Arc::clone(&all));
            tokio::spawn(async move {
                let building = store.building("a:1").await.unwrap();
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                tokio::task::yield_now().await;
                inside.fetch_sub(1, Ordering::SeqCst);
                all.fetch_add(1, Ordering::SeqCst);
                drop(building);
            })
        });
        for turn in turns.collect::<Vec<_>>() {
            turn.await.unwrap();
        }
        assert_eq!(all.load(Ordering::SeqCst), 20);
    }
}
