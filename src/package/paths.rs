//! Paths that a package names: made plain, and kept inside the package's directory.

use std::path::{Component, Path, PathBuf};

/// The path without `.`, `..` and doubled slashes, by its text alone. `None` when a relative path climbs above its start;
/// an absolute one stays at the root, as in the file system.
pub(crate) fn normalize(path: &Path) -> Option<PathBuf> {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if plain.file_name().is_some() => {
                plain.pop();
            }
            Component::ParentDir if plain.has_root() => {}
            Component::ParentDir => return None,
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => plain.push(component),
        }
    }
    Some(plain)
}

/// `path`, absolute or relative to `directory`, as a plain path relative to `directory`; an error text when its text leads
/// elsewhere. `directory` must be absolute with its links resolved. An empty result is the directory itself.
pub(crate) fn below(directory: &Path, path: &Path) -> Result<PathBuf, String> {
    let plain = normalize(path);
    let relative = if path.is_absolute() {
        plain.and_then(|plain| plain.strip_prefix(directory).map(Path::to_owned).ok())
    } else {
        plain
    };
    relative.ok_or_else(|| {
        format!(
            "`{}` is outside the package directory {}",
            path.display(),
            directory.display()
        )
    })
}

/// [`below`], judged by where symbolic links lead too. The path need not exist.
pub(crate) fn inside(directory: &Path, path: &Path) -> Result<PathBuf, String> {
    let relative = below(directory, path)?;
    let full = directory.join(&relative);
    // What does not exist yet is judged by the nearest directory above it that does.
    let real = full.ancestors().find_map(|ancestor| ancestor.canonicalize().ok());
    match real {
        Some(real) if !real.starts_with(directory) => Err(format!(
            "`{}` leads outside the package directory {}, to {}",
            path.display(),
            directory.display(),
            real.display()
        )),
        _ => Ok(relative),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_paths() {
        for (path, plain) in [
            ("a/./b//c", Some("a/b/c")),
            ("a/../b", Some("b")),
            ("..", None),
            ("a/../..", None),
            ("../a", None),
            (".", Some("")),
            ("/a/../..", Some("/")),
            ("/../a", Some("/a")),
        ] {
            assert_eq!(normalize(Path::new(path)), plain.map(PathBuf::from), "{path}");
        }
    }

    #[test]
    fn links_that_leave_are_found() {
        let top = tempfile::tempdir().expect("temporary directory");
        let top = top.path().canonicalize().expect("exists");
        let package = top.join("p");
        std::fs::create_dir_all(package.join("sub")).expect("made");
        std::fs::create_dir(top.join("q")).expect("made");
        std::os::unix::fs::symlink("../q", package.join("out")).expect("linked");
        std::os::unix::fs::symlink("sub", package.join("in")).expect("linked");
        assert_eq!(inside(&package, Path::new("in/x")), Ok(PathBuf::from("in/x")));
        assert_eq!(inside(&package, &package.join("sub/../y")), Ok(PathBuf::from("y")));
        assert!(inside(&package, Path::new("out")).is_err_and(|e| e.contains("leads outside")));
        assert!(inside(&package, Path::new("out/new/file")).is_err_and(|e| e.contains("leads outside")));
        assert!(inside(&package, Path::new("../p2")).is_err_and(|e| e.contains("is outside")));
        assert!(inside(&package, Path::new("/etc")).is_err_and(|e| e.contains("is outside")));
    }

    proptest! {
        #[test]
        fn a_plain_path_stays_as_it_is(path in "/?([a-c.]{1,3}/){0,5}") {
            if let Some(plain) = normalize(Path::new(&path)) {
                prop_assert_eq!(normalize(&plain), Some(plain.clone()));
                prop_assert!(!plain.components().any(|c| matches!(c, Component::ParentDir | Component::CurDir)));
            }
        }
    }
}
