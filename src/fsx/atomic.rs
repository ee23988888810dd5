//! Replacing a whole file so that a reader, and a crash at any moment, sees the old bytes or the new ones.

use super::FileError;
use std::fs::{File, Permissions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// What a new file may be used for before the user's umask takes its share.
const MODE: u32 = 0o666;

/// How often a temporary file is made again when a sweep took it in the instant between its creation and its lock.
/// A sweep lasts milliseconds, so that a second try nearly always does.
const CREATE_TRIES: usize = 100;

/// Puts `bytes` in the place of the file `path`: temporary file beside it, fsync, rename, fsync of the directory.
/// On an error the old file is untouched and no temporary file is left.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let directory = parent(path);
    let write = || {
        let mut file = temporary(directory)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    write().map_err(|e| FileError::io("write", path, e))?;
    sync_directory(directory)
}

/// Makes renames and removals in `directory` outlive a crash of the machine.
pub fn sync_directory(directory: &Path) -> Result<(), FileError> {
    File::open(directory)
        .and_then(|file| file.sync_all())
        .map_err(|e| FileError::io("sync directory", directory, e))
}

/// A temporary file in `directory` that removes itself unless it is given its name. It is locked, which is how
/// [`super::sweep`] knows that its writer lives.
pub(super) fn temporary(directory: &Path) -> io::Result<tempfile::NamedTempFile> {
    for _ in 0..CREATE_TRIES {
        let file = tempfile::Builder::new()
            .prefix(super::ingest::PREFIX)
            .suffix(super::ingest::SUFFIX)
            .permissions(Permissions::from_mode(MODE))
            .tempfile_in(directory)?;
        match file.as_file().try_lock() {
            // A sweep that was quicker has unlinked the file.
            Ok(()) if file.as_file().metadata()?.nlink() > 0 => return Ok(file),
            Ok(()) | Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(e)) => return Err(e),
        }
    }
    Err(io::Error::other("temporary files are removed as soon as they are made"))
}

pub(super) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_new_bytes_take_the_old_ones_place_and_nothing_else_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        for bytes in [b"old".as_slice(), b"new, and longer"] {
            replace(&path, bytes).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), bytes);
        }
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failure_names_the_file() {
        let error = replace(Path::new("/nowhere/file"), b"").unwrap_err().to_string();
        assert!(error.starts_with("write /nowhere/file: "), "{error}");
    }
}
