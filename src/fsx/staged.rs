//! A file that is written as it comes and appears when it is whole: [`StagedFile`]. For files that can be made again.

use super::FileError;
use super::atomic::{parent, temporary};
use std::fs::{FileTimes, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use tempfile::NamedTempFile;

/// Whatever the user's umask is.
const MODE: u32 = 0o644;

/// A file beside the one whose place it takes when it is whole ([`Self::commit`]); dropped before, it goes away.
///
/// The same bytes are the same file: its mode is 0644 and its time 1970, so that BuildKit, which looks at both, finds it
/// unchanged. It is not synced: a crash of the machine may lose it.
pub struct StagedFile {
    file: NamedTempFile,
    path: PathBuf,
}

impl StagedFile {
    /// An empty one that will be `path`, whose directory must be there.
    pub fn new(path: &Path) -> Result<Self, FileError> {
        Ok(Self {
            file: temporary(parent(path)).map_err(|e| FileError::io("write", path, e))?,
            path: path.to_owned(),
        })
    }

    /// Puts it in its place, over what is there.
    pub fn commit(self) -> Result<(), FileError> {
        let Self { file, path } = self;
        let commit = || {
            file.as_file().set_permissions(Permissions::from_mode(MODE))?;
            file.as_file()
                .set_times(FileTimes::new().set_modified(SystemTime::UNIX_EPOCH))?;
            file.persist(&path)?;
            Ok(())
        };
        commit().map_err(|e| FileError::io("write", &path, e))
    }
}

impl Write for StagedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn it_appears_when_it_is_whole_and_always_looks_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, "old").unwrap();
        let write = |bytes: &[u8]| {
            let mut file = StagedFile::new(&path).unwrap();
            file.write_all(bytes).unwrap();
            file
        };
        drop(write(b"half"));
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        write(b"whole").commit().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"whole");
        let found = path.metadata().unwrap();
        assert_eq!(found.modified().unwrap(), SystemTime::UNIX_EPOCH);
        assert_eq!(found.permissions().mode() & 0o777, MODE);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
