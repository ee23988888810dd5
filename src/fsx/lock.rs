//! Guards for locks between processes. They wait with a limit and say whom they wait for.
//!
//! Two kinds, which on Linux know nothing of each other: [`FileLock`] (flock, belongs to the guard) is ours;
//! [`RecordLock`] (fcntl, belongs to the process) is what linuxkit takes.

use super::FileError;
use rustix::fs::{FlockOperation, fcntl_lock, major, minor};
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// First pause between two tries for a lock; it doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(1);
/// Longest pause between two tries for a lock: short enough that nobody notices.
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// A holder of a lock who cannot be told.
const ANYBODY: &str = "another process";

/// A shared or exclusive lock on a file of its own. Ends when it is dropped or the process dies.
#[derive(Debug)]
pub struct FileLock {
    file: File,
    path: PathBuf,
}

impl FileLock {
    /// Many may hold it at once. `path` is created when it is not there.
    pub fn shared(path: &Path, wait: Duration) -> Result<Self, FileError> {
        let lock = Self::open(path)?;
        lock.make_shared(wait)?;
        Ok(lock)
    }

    /// Only one may hold it. `path` is created when it is not there.
    pub fn exclusive(path: &Path, wait: Duration) -> Result<Self, FileError> {
        let lock = Self::open(path)?;
        lock.make_exclusive(wait)?;
        Ok(lock)
    }

    /// [`Self::exclusive`] without waiting; None when somebody else has it.
    pub fn try_exclusive(path: &Path) -> Result<Option<Self>, FileError> {
        let lock = Self::open(path)?;
        let is_ours = flocked(lock.file.try_lock()).map_err(|e| FileError::io("lock", path, e))?;
        Ok(is_ours.then_some(lock))
    }

    /// Who holds a lock on the file, in words for the user.
    pub fn holder(path: &Path) -> String {
        File::open(path).map_or_else(|_| ANYBODY.to_owned(), |file| holder(&file))
    }

    /// Turns the lock into an exclusive one. **While it waits, the lock is not held at all**, and after a failure it is
    /// not held either: the kernel gives the old lock up before it asks for the new one.
    pub fn make_exclusive(&self, wait: Duration) -> Result<(), FileError> {
        acquire(&self.file, &self.path, wait, || flocked(self.file.try_lock()))
    }

    /// Turns the lock into a shared one.
    pub fn make_shared(&self, wait: Duration) -> Result<(), FileError> {
        acquire(&self.file, &self.path, wait, || flocked(self.file.try_lock_shared()))
    }

    /// Whether the locked file is still the one that its path names: for files that are removed while they are locked.
    pub fn has_its_name(&self) -> bool {
        let identity = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
        let named = std::fs::metadata(&self.path).map(identity);
        matches!((named, self.file.metadata().map(identity)), (Ok(named), Ok(own)) if named == own)
    }

    fn open(path: &Path) -> Result<Self, FileError> {
        Ok(Self {
            file: open(path)?,
            path: path.to_owned(),
        })
    }
}

/// An exclusive POSIX record lock over a whole file.
///
/// It belongs to the process, and the kernel drops it when **any** descriptor of the file is closed in the process. So
/// whoever takes it must make sure, by a [`FileLock`] on another file, that the process has the file open only once.
#[derive(Debug)]
pub struct RecordLock {
    _file: File,
}

impl RecordLock {
    /// Takes the lock. `path` is created when it is not there.
    pub fn exclusive(path: &Path, wait: Duration) -> Result<Self, FileError> {
        let file = open(path)?;
        acquire(&file, path, wait, || {
            match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => Ok(true),
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS | rustix::io::Errno::INTR) => Ok(false),
                Err(e) => Err(e.into()),
            }
        })?;
        Ok(Self { _file: file })
    }
}

fn open(path: &Path) -> Result<File, FileError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(|e| FileError::io("open", path, e))
}

fn flocked(result: Result<(), TryLockError>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(e)) if e.kind() == io::ErrorKind::Interrupted => Ok(false),
        Err(TryLockError::Error(e)) => Err(e),
    }
}

fn acquire(
    file: &File,
    path: &Path,
    wait: Duration,
    mut attempt: impl FnMut() -> io::Result<bool>,
) -> Result<(), FileError> {
    let (start, mut pause) = (Instant::now(), PAUSE_MIN);
    while !attempt().map_err(|e| FileError::io("lock", path, e))? {
        if start.elapsed() >= wait {
            return Err(FileError::Busy {
                path: path.to_owned(),
                holder: holder(file),
                waited: start.elapsed(),
            });
        }
        std::thread::sleep(pause.min(wait.saturating_sub(start.elapsed())));
        pause = (pause * 2).min(PAUSE_MAX);
    }
    Ok(())
}

/// Who holds a lock on the file, in words for the user. Only the program's name is shown, never its arguments: they may
/// hold secrets.
fn holder(file: &File) -> String {
    let Ok(metadata) = file.metadata() else {
        return ANYBODY.to_owned();
    };
    let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
    let device = (major(metadata.dev()), minor(metadata.dev()));
    let mut names: Vec<String> = holders(&locks, device, metadata.ino())
        .into_iter()
        .map(|pid| match std::fs::read_to_string(format!("/proc/{pid}/comm")) {
            _ if pid == std::process::id() => format!("this process ({pid})"),
            Ok(program) => format!("process {pid} ({})", program.trim()),
            Err(_) => format!("process {pid}"),
        })
        .collect();
    names.dedup();
    if names.is_empty() {
        return ANYBODY.to_owned();
    }
    names.join(", ")
}

/// The processes that /proc/locks (proc_locks(5)) names as holders of a lock on the file. Some file systems show
/// another device there than stat does; then the inode alone has to do.
fn holders(locks: &str, (major, minor): (u32, u32), inode: u64) -> Vec<u32> {
    let rows = || {
        locks.lines().filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            // A line with an arrow is about somebody who waits.
            if fields.get(1) == Some(&"->") {
                return None;
            }
            let (pid, place) = (fields.get(4)?.parse().ok()?, *fields.get(5)?);
            let (device, number) = place.rsplit_once(':')?;
            (number.parse() == Ok(inode)).then_some((pid, device))
        })
    };
    let exact = format!("{major:02x}:{minor:02x}");
    let mut pids: Vec<u32> = rows()
        .filter(|(_, device)| *device == exact)
        .map(|(pid, _)| pid)
        .collect();
    if pids.is_empty() {
        pids = rows().map(|(pid, _)| pid).collect();
    }
    pids.sort_unstable();
    pids.dedup();
    pids
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const SHORT: Duration = Duration::from_millis(20);

    #[test]
    fn shared_locks_live_together_and_keep_the_exclusive_one_out() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let first = FileLock::shared(&path, SHORT).unwrap();
        let second = FileLock::shared(&path, SHORT).unwrap();
        let error = FileLock::exclusive(&path, SHORT).unwrap_err();
        assert!(matches!(error, FileError::Busy { .. }), "{error}");
        assert!(
            error
                .to_string()
                .contains(&format!("this process ({})", std::process::id())),
            "{error}"
        );
        drop(second);
        first.make_exclusive(SHORT).unwrap();
        assert!(FileLock::shared(&path, SHORT).is_err());
        first.make_shared(SHORT).unwrap();
        FileLock::shared(&path, SHORT).unwrap();
    }

    #[test]
    fn the_kernels_table_is_read() {
        let table = "1: FLOCK  ADVISORY  WRITE 812 08:01:4711 0 EOF\n\
                     1: -> FLOCK  ADVISORY  WRITE 900 08:01:4711 0 EOF\n\
                     2: POSIX  ADVISORY  WRITE 813 08:02:4711 0 EOF\n\
                     3: OFDLCK ADVISORY  READ -1 08:01:4711 0 EOF\n";
        assert_eq!(holders(table, (8, 1), 4711), [812]);
        assert_eq!(holders(table, (8, 2), 4711), [813]);
        assert_eq!(holders(table, (9, 9), 4711), [812, 813]);
        assert!(holders(table, (8, 1), 1).is_empty());
    }
}
