//! Waiting for a file lock with a limit, without blocking the runtime.

use super::super::BuilderError;
use super::super::error::io;
use std::fs::File;
use std::path::Path;
use std::time::Duration;
use tokio::sync::oneshot;

/// Holds `path` (created when absent) locked against every other process until the file is dropped or the process ends.
pub(super) async fn exclusive(path: &Path, limit: Duration) -> Result<File, BuilderError> {
    let file = File::options()
        .create(true)
        .append(true)
        .open(path)
        .map_err(io("opening the lock", path))?;
    let (sender, receiver) = oneshot::channel();
    // A thread of its own, not the runtime's: nobody waits for it when the caller gives up. It ends when the lock is free;
    // the file, and with it the lock, then falls with the message that nobody receives.
    std::thread::spawn(move || sender.send(file.lock().map(|()| file)));
    match tokio::time::timeout(limit, receiver).await {
        Ok(Ok(locked)) => locked.map_err(io("locking", path)),
        Ok(Err(_)) | Err(_) => Err(BuilderError::LockTimeout {
            path: path.into(),
            waited_s: limit.as_secs(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_held_lock_is_waited_for_up_to_the_limit() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("lock");
        let held = exclusive(&path, Duration::from_secs(5)).await.expect("a free lock");
        let refused = exclusive(&path, Duration::from_millis(20)).await;
        assert!(matches!(refused, Err(BuilderError::LockTimeout { .. })), "{refused:?}");
        drop(held);
        exclusive(&path, Duration::from_secs(5))
            .await
            .expect("a lock that is free again");
    }
}
