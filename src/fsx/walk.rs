//! Everything below a directory, in an order that depends on names only.

use super::FileError;
use std::fs::FileType;
use std::path::{Path, PathBuf};

/// One thing below the directory that is walked.
#[derive(Debug)]
pub struct Entry {
    /// Where it is.
    pub path: PathBuf,
    /// Where it is, relative to the directory that is walked.
    pub relative: PathBuf,
    /// What it is; symbolic links are not followed.
    pub file_type: FileType,
}

/// Everything below `root`: a directory before what it holds, siblings sorted by the bytes of their names. Nothing is
/// held in memory but the siblings of the way down.
pub fn walk(root: &Path) -> impl Iterator<Item = Result<Entry, FileError>> {
    let mut pending = vec![Ok((root.to_owned(), PathBuf::new()))];
    let mut is_root = true;
    std::iter::from_fn(move || {
        loop {
            let (path, relative) = match pending.pop()? {
                Ok(place) => place,
                Err(error) => return Some(Err(error)),
            };
            let file_type = match std::fs::symlink_metadata(&path) {
                Ok(metadata) => metadata.file_type(),
                Err(e) => return Some(Err(FileError::io("read", &path, e))),
            };
            if file_type.is_dir() {
                match children(&path, &relative) {
                    Ok(children) => pending.extend(children.into_iter().map(Ok)),
                    Err(error) => pending.push(Err(error)),
                }
            }
            if !std::mem::take(&mut is_root) {
                return Some(Ok(Entry {
                    path,
                    relative,
                    file_type,
                }));
            }
        }
    })
}

/// The children, last name first, so that popping gives the first.
fn children(path: &Path, relative: &Path) -> Result<Vec<(PathBuf, PathBuf)>, FileError> {
    let failed = |e| FileError::io("read directory", path, e);
    let mut names = std::fs::read_dir(path)
        .map_err(failed)?
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(failed)?;
    names.sort_unstable_by(|a, b| b.cmp(a));
    Ok(names
        .into_iter()
        .map(|name| (path.join(&name), relative.join(&name)))
        .collect())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn names_alone_decide_the_order() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["b", "a/z", "a/y/x", "a.txt", "c"] {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"").unwrap();
        }
        std::os::unix::fs::symlink("a", directory.path().join("d")).unwrap();
        let found: Vec<String> = walk(directory.path())
            .map(|entry| entry.unwrap().relative.display().to_string())
            .collect();
        assert_eq!(found, ["a", "a/y", "a/y/x", "a/z", "a.txt", "b", "c", "d"]);
    }

    #[test]
    fn a_root_that_is_not_there_is_said() {
        assert!(walk(Path::new("/nowhere")).next().unwrap().is_err());
    }
}
