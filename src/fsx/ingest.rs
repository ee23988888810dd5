//! Taking bytes in under a temporary name; [`Ingest`] gives them their real one only when size and SHA-256 are right.
//!
//! The temporary file is locked while it is written, so that [`sweep`] can tell what a dead process left behind from
//! what a living one is writing, in any process and any container that sees the directory.

use super::{FileError, atomic};
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

pub(super) const PREFIX: &str = ".lkpkg-";
pub(super) const SUFFIX: &str = ".tmp";

/// What the bytes have to be.
#[derive(Clone, Debug)]
pub struct Expected {
    /// Hexadecimal SHA-256, lower case; it is also the file's name.
    pub sha256: String,
    /// Length in bytes; None where it is only known by the digest.
    pub size: Option<u64>,
}

/// A file that is being written and has no name yet. Dropped, it leaves nothing behind.
pub struct Ingest {
    file: tempfile::NamedTempFile,
    directory: PathBuf,
    expected: Expected,
    hasher: Sha256,
    written: u64,
}

impl Ingest {
    /// Begins a file in `directory`.
    pub fn create(directory: &Path, expected: Expected) -> Result<Self, FileError> {
        Ok(Self {
            file: atomic::temporary(directory).map_err(|e| FileError::io("create a file in", directory, e))?,
            directory: directory.to_owned(),
            expected,
            hasher: Sha256::new(),
            written: 0,
        })
    }

    /// Adds the next bytes; more than were announced are an error at once.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        self.written += bytes.len() as u64;
        if let Some(size) = self.expected.size.filter(|size| self.written > *size) {
            return Err(self.mismatch(format!("more than {size} bytes")));
        }
        self.hasher.update(bytes);
        let path = self.directory.join(&self.expected.sha256);
        self.file.write_all(bytes).map_err(|e| FileError::io("write", &path, e))
    }

    /// Checks size and digest, makes the bytes safe on disk and gives them their name. The name itself is safe after
    /// [`super::sync_directory`], which one caller can do once for many files. Returns the size.
    pub fn commit(self) -> Result<u64, FileError> {
        if let Some(size) = self.expected.size.filter(|size| *size != self.written) {
            return Err(self.mismatch(format!("{} bytes instead of {size}", self.written)));
        }
        let found = hex::encode(self.hasher.clone().finalize());
        if found != self.expected.sha256 {
            return Err(self.mismatch(format!("the bytes are sha256:{found}")));
        }
        let path = self.directory.join(&self.expected.sha256);
        let persist = || {
            self.file.as_file().sync_all()?;
            self.file.persist(&path)?;
            Ok(())
        };
        persist().map_err(|e| FileError::io("write", &path, e))?;
        Ok(self.written)
    }

    fn mismatch(&self, found: String) -> FileError {
        FileError::Mismatch {
            expected: self.expected.sha256.clone(),
            found,
        }
    }
}

/// Whether a file of this name is a temporary one of this module.
pub fn is_temporary(name: &str) -> bool {
    name.starts_with(PREFIX) && name.ends_with(SUFFIX)
}

/// Removes the temporary files that dead processes left in `directory`, and says which.
pub fn sweep(directory: &Path) -> Result<Vec<PathBuf>, FileError> {
    let entries = std::fs::read_dir(directory).map_err(|e| FileError::io("read directory", directory, e))?;
    let mut removed = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| FileError::io("read directory", directory, e))?;
        if !entry.file_name().to_str().is_some_and(is_temporary) {
            continue;
        }
        // The lock is kept until the file is gone, so that its writer cannot take it in between.
        if let Some(_locked) = abandoned(&entry.path()) {
            // Somebody else's sweep may have been quicker.
            match std::fs::remove_file(entry.path()) {
                Ok(()) => removed.push(entry.path()),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(FileError::io("remove", &entry.path(), e)),
            }
        }
    }
    removed.sort();
    Ok(removed)
}

/// Whether the temporary file `path` is there and its writer is dead.
pub fn is_abandoned(path: &Path) -> bool {
    abandoned(path).is_some()
}

fn abandoned(path: &Path) -> Option<File> {
    // Opened without creating it: a file that has got its real name by now is not there any more.
    File::open(path).ok().filter(|file| file.try_lock().is_ok())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn expected(bytes: &[u8], size: Option<u64>) -> Expected {
        Expected {
            sha256: hex::encode(Sha256::digest(bytes)),
            size,
        }
    }

    fn check(announced: &Expected, bytes: &[u8], wanted: Result<u64, &str>) {
        let directory = tempfile::tempdir().unwrap();
        let mut ingest = Ingest::create(directory.path(), announced.clone()).unwrap();
        let result = bytes
            .chunks(2)
            .try_for_each(|chunk| ingest.write(chunk))
            .and_then(|()| ingest.commit());
        match wanted {
            Ok(size) => {
                assert_eq!(result.unwrap(), size);
                assert_eq!(std::fs::read(directory.path().join(&announced.sha256)).unwrap(), bytes);
            }
            Err(part) => {
                let text = result.unwrap_err().to_string();
                assert!(text.contains(part), "{text}");
                assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
            }
        }
    }

    #[test]
    fn only_the_announced_bytes_get_their_name() {
        check(&expected(b"hello", Some(5)), b"hello", Ok(5));
        check(&expected(b"hello", None), b"hello", Ok(5));
        check(&expected(b"hello", Some(5)), b"hell", Err("4 bytes instead of 5"));
        check(&expected(b"hello", Some(5)), b"hello!", Err("more than 5 bytes"));
        check(&expected(b"hello", Some(5)), b"hallo", Err("the bytes are sha256:"));
    }

    #[test]
    fn a_sweep_takes_what_the_dead_left_and_nothing_of_the_living() {
        let directory = tempfile::tempdir().unwrap();
        let mut living = Ingest::create(directory.path(), expected(b"hello", Some(5))).unwrap();
        living.write(b"hel").unwrap();
        let dead = directory.path().join(".lkpkg-dead.tmp");
        std::fs::write(&dead, b"half").unwrap();
        std::fs::write(directory.path().join("other"), b"").unwrap();
        assert_eq!(sweep(directory.path()).unwrap(), [dead]);
        living.write(b"lo").unwrap();
        living.commit().unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2);
    }

    #[test]
    fn sweeping_all_the_time_disturbs_no_writer() {
        let directory = tempfile::tempdir().unwrap();
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    sweep(directory.path()).unwrap();
                }
            });
            for number in 0..200_u32 {
                let bytes = number.to_le_bytes();
                let mut ingest = Ingest::create(directory.path(), expected(&bytes, Some(4))).unwrap();
                ingest.write(&bytes).unwrap();
                ingest.commit().unwrap();
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 200);
    }
}
