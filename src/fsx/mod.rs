//! Files as the rest of the house wants them: atomic replace, verified ingest, lock guards, sorted walk.
//!
//! Knows nothing of images. Everything here blocks; hands call it from a blocking task.

mod atomic;
mod beside;
mod ingest;
mod lock;
mod staged;
mod walk;

pub use atomic::{replace, sync_directory};
pub use beside::beside;
pub use ingest::{Expected, Ingest, is_abandoned, is_temporary, sweep};
pub use lock::{FileLock, RecordLock};
pub use staged::StagedFile;
pub use walk::{Entry, walk};

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What can go wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The operating system refused.
    #[error("{doing} {path}: {source}")]
    Io {
        /// What was being done: `write`, `open`, …
        doing: &'static str,
        /// To which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A lock is held by somebody else for longer than we may wait.
    #[error("{path} is locked by {holder}; waited {} ms", waited.as_millis())]
    Busy {
        /// The lock file.
        path: PathBuf,
        /// Who holds it, as far as the kernel tells: `process 12 (linuxkit)`.
        holder: String,
        /// How long we waited.
        waited: Duration,
    },
    /// The bytes are not those that were announced.
    #[error("sha256:{expected} is damaged: {found}")]
    Mismatch {
        /// The hexadecimal SHA-256 that was announced.
        expected: String,
        /// What came instead.
        found: String,
    },
}

impl FileError {
    /// Says what was being done to which file when `source` happened.
    pub fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            doing,
            path: path.to_owned(),
            source,
        }
    }
}

/// Writes a program that can be run at once. Another process does it: a file that this one has open for writing, or a
/// child that it forks at the same time, cannot be run.
#[cfg(test)]
pub(crate) fn write_program(path: &Path, text: &str) {
    use std::io::Write as _;
    let mut shell = std::process::Command::new("sh")
        .args(["-c", "cat >\"$1\" && chmod 755 \"$1\"", "sh"])
        .arg(path)
        .stdin(std::process::Stdio::piped())
        .spawn()
        .expect("a shell");
    let mut stdin = shell.stdin.take().expect("its input");
    stdin.write_all(text.as_bytes()).expect("takes it");
    drop(stdin);
    assert!(shell.wait().expect("ends").success());
}
