//! The files of an OCI layout (OCI image specification, image-layout.md): `oci-layout`, `index.json`, and our locks.
//!
//! `.lkpkg.lock` is held by everybody who has the store open, `.lkpkg.index.lock` by whoever changes `index.json`, and
//! with it `.lock`, which is linuxkit's. `.lock` is opened only under `.lkpkg.index.lock`, so that this process never has
//! it open twice: closing one would end the lock of the other.

use super::{Inner, StoreError};
use crate::fsx::{self, FileError, FileLock, RecordLock};
use crate::oci::{Digest, Index};
use serde::Deserialize;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

pub(super) const LAYOUT_FILE: &str = "oci-layout";
pub(super) const INDEX_FILE: &str = "index.json";
pub(super) const USAGE_LOCK: &str = ".lkpkg.lock";
pub(super) const INDEX_LOCK: &str = ".lkpkg.index.lock";
const LINUXKIT_LOCK: &str = ".lock";
/// The one version there is.
pub(super) const LAYOUT_VERSION: &str = "1.0.0";
pub(super) const LAYOUT_JSON: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;
/// The largest `index.json` that is read, in bytes: a hundred thousand images.
pub(super) const INDEX_BYTES_MAX: u64 = 64 << 20;
/// The largest `oci-layout` that is read, in bytes.
pub(super) const LAYOUT_BYTES_MAX: u64 = 4 << 10;

/// Exclusive right to change `index.json`, against us and against linuxkit. linuxkit's lock is declared first, because it
/// has to be given up first.
pub(super) struct IndexLock {
    _linuxkit: RecordLock,
    _ours: FileLock,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LayoutFile {
    image_layout_version: String,
}

/// The version that the text of an `oci-layout` states.
pub(super) fn layout_version(bytes: &[u8]) -> Result<String, serde_json::Error> {
    serde_json::from_slice(bytes).map(|file: LayoutFile| file.image_layout_version)
}

/// Reads the text of an `index.json`.
pub(super) fn parse_index(bytes: &[u8]) -> Result<Index, String> {
    let index: Index = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    if index.schema_version != 2 {
        return Err(format!("schemaVersion is {}, not 2", index.schema_version));
    }
    Ok(index)
}

impl Inner {
    pub(super) fn open(directory: &Path, wait: Duration) -> Result<Self, StoreError> {
        let blobs = directory.join("blobs").join("sha256");
        std::fs::create_dir_all(&blobs).map_err(|e| StoreError::io("create", &blobs, e))?;
        let directory = directory
            .canonicalize()
            .map_err(|e| StoreError::io("open", directory, e))?;
        let inner = Self {
            usage: FileLock::shared(&directory.join(USAGE_LOCK), wait)?,
            directory,
            wait,
            swept: OnceLock::new(),
        };
        if !inner.has_known_version()? {
            let lock = inner.lock_index()?;
            inner.create(&lock)?;
        }
        Ok(inner)
    }

    pub(super) fn blobs_directory(&self) -> PathBuf {
        self.directory.join("blobs").join("sha256")
    }

    pub(super) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.directory.join("blobs").join(digest.algorithm()).join(digest.hex())
    }

    pub(super) fn index_path(&self) -> PathBuf {
        self.directory.join(INDEX_FILE)
    }

    /// Whether `oci-layout` is there; one of another version is an error.
    fn has_known_version(&self) -> Result<bool, StoreError> {
        let path = self.directory.join(LAYOUT_FILE);
        let bytes = match read_limited(&path, LAYOUT_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(StoreError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        match layout_version(&bytes) {
            Ok(version) if version == LAYOUT_VERSION => Ok(true),
            Ok(version) => Err(StoreError::NewerVersion {
                path: self.directory.clone(),
                version,
            }),
            Err(e) => Err(StoreError::Damaged {
                path,
                reason: e.to_string(),
            }),
        }
    }

    /// Writes what makes the directory a layout. `oci-layout` comes last: where it is, `index.json` is too.
    fn create(&self, _lock: &IndexLock) -> Result<(), StoreError> {
        if self.has_known_version()? {
            return Ok(()); // somebody else was quicker
        }
        if !self.index_path().exists() {
            self.write_index(&Index::of(Vec::new()))?;
        }
        Ok(fsx::replace(&self.directory.join(LAYOUT_FILE), LAYOUT_JSON.as_bytes())?)
    }

    pub(super) fn lock_index(&self) -> Result<IndexLock, StoreError> {
        let ours = FileLock::exclusive(&self.directory.join(INDEX_LOCK), self.wait)?;
        let linuxkit = RecordLock::exclusive(&self.directory.join(LINUXKIT_LOCK), self.wait)?;
        Ok(IndexLock {
            _linuxkit: linuxkit,
            _ours: ours,
        })
    }

    /// `index.json` as it is now. linuxkit rewrites it in place, so that one that makes no sense is read once more when
    /// nobody writes; one that still makes none is an error.
    pub(super) fn read_index(&self) -> Result<Index, StoreError> {
        match self.read_index_once() {
            Err(StoreError::Damaged { .. }) => {
                let lock = self.lock_index()?;
                self.read_index_locked(&lock)
            }
            result => result,
        }
    }

    /// [`Self::read_index`] for those who hold its lock.
    pub(super) fn read_index_locked(&self, _lock: &IndexLock) -> Result<Index, StoreError> {
        self.read_index_once()
    }

    fn read_index_once(&self) -> Result<Index, StoreError> {
        let path = self.index_path();
        let damaged = |reason| StoreError::Damaged {
            path: path.clone(),
            reason,
        };
        let bytes = match read_limited(&path, INDEX_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(StoreError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Err(damaged("it is missing".to_owned()));
            }
            Err(error) => return Err(error),
        };
        parse_index(&bytes).map_err(damaged)
    }

    /// Reads `index.json`, changes it and replaces it, while nobody else does. When `change` fails, or changes nothing,
    /// it stays as it is. The blobs that it names get their names on disk first.
    pub(super) fn update_index<T>(
        &self,
        change: impl FnOnce(&mut Index) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let lock = self.lock_index()?;
        let before = self.read_index_locked(&lock)?;
        let mut after = before.clone();
        let result = change(&mut after)?;
        if after != before {
            fsx::sync_directory(&self.blobs_directory())?;
            self.write_index(&after)?;
        }
        Ok(result)
    }

    fn write_index(&self, index: &Index) -> Result<(), StoreError> {
        let path = self.index_path();
        let mut bytes = serde_json::to_vec_pretty(index).map_err(|e| StoreError::io("write", &path, e.into()))?;
        bytes.push(b'\n');
        Ok(fsx::replace(&path, &bytes)?)
    }

    /// Calls `work` while nobody else has the store open. **Other users of the same [`super::Store`] are not kept out.**
    pub(super) fn exclusively<T>(
        &self,
        wait: Duration,
        work: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let result = match self.usage.make_exclusive(wait) {
            Ok(()) => work(),
            Err(busy) => Err(busy.into()),
        };
        // Whoever was quicker may be collecting just now.
        self.usage.make_shared(self.wait)?;
        result
    }

    /// Removes what dead processes left, once in the life of this store.
    pub(super) fn sweep_once(&self) -> Result<(), StoreError> {
        if self.swept.get().is_none() {
            fsx::sweep(&self.blobs_directory())?;
            fsx::sweep(&self.directory)?;
            let _ = self.swept.set(());
        }
        Ok(())
    }
}

/// Reads a whole file of at most `limit` bytes.
pub(super) fn read_limited(path: &Path, limit: u64) -> Result<Vec<u8>, StoreError> {
    let failed = |e| StoreError::from(FileError::io("read", path, e));
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(StoreError::Damaged {
            path: path.to_owned(),
            reason: format!("it is larger than {limit} bytes"),
        });
    }
    Ok(bytes)
}
