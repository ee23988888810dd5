//! A store as it is, for those who only look: [`look`]. Makes no file and holds no lock longer than a moment.

use super::StoreError;
use super::layout::{
    INDEX_BYTES_MAX, INDEX_FILE, INDEX_LOCK, LAYOUT_BYTES_MAX, LAYOUT_FILE, LAYOUT_VERSION, USAGE_LOCK, layout_version,
    parse_index, read_limited,
};
use crate::fsx::{FileError, FileLock};
use crate::oci::Descriptor;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

/// What a store is like.
#[derive(Debug)]
pub struct Look {
    /// The names in it.
    pub names: BTreeSet<String>,
    /// Who keeps others out just now, as [`StoreError::Busy`].
    pub busy: Option<StoreError>,
}

/// Looks at the store in `directory`; None where there is none yet. An error is what opening or reading it would end with.
pub fn look(directory: &Path) -> Result<Option<Look>, StoreError> {
    let path = directory.join(LAYOUT_FILE);
    let layout = match read_limited(&path, LAYOUT_BYTES_MAX) {
        Err(StoreError::File { source, .. }) if source.kind() == ErrorKind::NotFound => return Ok(None),
        layout => layout?,
    };
    let damaged = |path: &Path, reason: String| StoreError::Damaged {
        path: path.to_owned(),
        reason,
    };
    let version = layout_version(&layout).map_err(|error| damaged(&path, error.to_string()))?;
    if version != LAYOUT_VERSION {
        return Err(StoreError::NewerVersion {
            path: directory.to_owned(),
            version,
        });
    }
    let busy = [USAGE_LOCK, INDEX_LOCK]
        .into_iter()
        .find_map(|lock| held(&directory.join(lock)));
    let path = directory.join(INDEX_FILE);
    let index = parse_index(&read_limited(&path, INDEX_BYTES_MAX)?).map_err(|reason| damaged(&path, reason))?;
    let names = index.manifests.iter().filter_map(Descriptor::ref_name);
    Ok(Some(Look {
        names: names.map(str::to_owned).collect(),
        busy,
    }))
}

/// Who holds a lock exclusively. One that has never been taken is not made.
fn held(path: &Path) -> Option<StoreError> {
    if !path.exists() {
        return None;
    }
    match FileLock::shared(path, Duration::ZERO) {
        Err(busy @ FileError::Busy { .. }) => Some(busy.into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::super::Store;
    use super::*;

    #[test]
    fn looking_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let entries = || {
            let all = std::fs::read_dir(directory.path()).unwrap().flatten();
            all.map(|entry| entry.file_name()).collect::<BTreeSet<_>>()
        };
        assert!(look(directory.path()).unwrap().is_none());
        assert!(entries().is_empty());

        let _store = Store::open(directory.path()).unwrap();
        let before = entries();
        let found = look(directory.path()).unwrap().unwrap();
        assert!(found.names.is_empty() && found.busy.is_none(), "{found:?}");
        assert_eq!(entries(), before);
    }

    #[test]
    fn holders_and_damage_are_told() {
        let directory = tempfile::tempdir().unwrap();
        drop(Store::open(directory.path()).unwrap());
        let lock = FileLock::exclusive(&directory.path().join(USAGE_LOCK), Duration::ZERO).unwrap();
        let busy = look(directory.path()).unwrap().unwrap().busy.unwrap().to_string();
        assert!(busy.contains("this process"), "{busy}");
        drop(lock);
        std::fs::write(directory.path().join(INDEX_FILE), "{").unwrap();
        assert!(matches!(look(directory.path()), Err(StoreError::Damaged { .. })));
        std::fs::write(directory.path().join(LAYOUT_FILE), r#"{"imageLayoutVersion":"9"}"#).unwrap();
        assert!(matches!(look(directory.path()), Err(StoreError::NewerVersion { .. })));
    }
}
