//! [`Tree`]: a package directory with extra sources laid over it, seen as one directory tree. Nothing is copied.
//!
//! Sources are layers: where two have the same path, the later one counts; two directories become one with the
//! entries of both. Directories above a destination that exist nowhere are made up (mode 0755, time 0).
//! It must not filter: that is [`super::filter`].

use super::clean::join_paths;
use super::error::{FileSyncError, is_not_found};
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::path::{Component, Path, PathBuf};

/// A directory tree that BuildKit may read: one directory, and files or directories mounted into it.
#[derive(Clone, Debug)]
pub struct Tree {
    root: PathBuf,
    mounts: Vec<Mount>,
    pub(super) epoch_s: Option<i64>,
}

#[derive(Clone, Debug)]
struct Mount {
    source: PathBuf,
    /// The parts of the path at which the source appears; none for the root itself.
    destination: Vec<OsString>,
}

/// Where the entries of one directory come from, lowest layer first.
#[derive(Clone, Debug)]
enum Layer {
    /// A directory on this machine.
    Directory(PathBuf),
    /// The destination of a mount goes on below: its part at `depth` is an entry here.
    Destination { mount: usize, depth: usize },
}

/// The layers of one directory of the tree.
#[derive(Clone, Debug, Default)]
pub(super) struct Layers(Vec<Layer>);

/// What an entry of the tree is.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// Something on this machine, with what `lstat` says of it.
    Real { path: PathBuf, metadata: Metadata },
    /// A directory above a destination that exists nowhere.
    Implied,
}

/// One entry of the tree.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Relative to the root of the tree, `/` between the parts. Not what BuildKit can be told if `is_utf8` is false.
    pub path: String,
    pub is_utf8: bool,
    pub place: Place,
    /// Of a directory; empty for anything else.
    pub layers: Layers,
}

impl Node {
    pub fn is_directory(&self) -> bool {
        self.place.is_directory()
    }

    pub fn is_regular_file(&self) -> bool {
        matches!(&self.place, Place::Real { metadata, .. } if metadata.is_file())
    }

    pub fn is_symlink(&self) -> bool {
        matches!(&self.place, Place::Real { metadata, .. } if metadata.is_symlink())
    }

    /// Where it is on this machine; for a directory that is made up, its path in the tree.
    pub fn real_path(&self) -> PathBuf {
        match &self.place {
            Place::Real { path, .. } => path.clone(),
            Place::Implied => PathBuf::from(&self.path),
        }
    }
}

impl Tree {
    /// A tree of the directory `root` with each `(source, destination)` of `mounts` laid over it, in order.
    /// Destinations are paths inside the tree, with or without a leading `/`. A source that is a symlink appears as
    /// that symlink.
    ///
    /// # Errors
    /// When the root is no directory, a source does not exist, a destination leads out of the tree or is not UTF-8,
    /// or a file is to be mounted over the root.
    pub fn new(root: PathBuf, mounts: Vec<(PathBuf, PathBuf)>) -> Result<Self, FileSyncError> {
        let resolved = root
            .canonicalize()
            .map_err(FileSyncError::io("find the directory", &root))?;
        if !resolved.is_dir() {
            return Err(FileSyncError::NotADirectory(root));
        }
        let mut checked = Vec::with_capacity(mounts.len());
        for (source, destination) in mounts {
            let metadata = source
                .symlink_metadata()
                .map_err(FileSyncError::io("find the extra source", &source))?;
            let destination = inside(&destination)?;
            if destination.is_empty() && !metadata.is_dir() {
                return Err(FileSyncError::NotADirectory(source));
            }
            checked.push(Mount { source, destination });
        }
        Ok(Self {
            root: resolved,
            mounts: checked,
            epoch_s: None,
        })
    }

    /// The same tree as every work tree of the same commit has it, with no time before `epoch_s` (seconds since 1970):
    /// see `committed`. None: as it is.
    #[must_use]
    pub fn as_committed(self, epoch_s: Option<i64>) -> Self {
        Self { epoch_s, ..self }
    }

    /// The directory at the bottom, without symlinks.
    pub fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn root_layers(&self) -> Layers {
        let mounts = self
            .mounts
            .iter()
            .enumerate()
            .map(|(mount, Mount { source, destination })| {
                if destination.is_empty() {
                    Layer::Directory(source.clone())
                } else {
                    Layer::Destination { mount, depth: 0 }
                }
            });
        Layers(
            std::iter::once(Layer::Directory(self.root.clone()))
                .chain(mounts)
                .collect(),
        )
    }

    /// Names of the entries of a directory, sorted by their bytes.
    pub(super) fn names(&self, layers: &Layers) -> Result<Vec<OsString>, FileSyncError> {
        let mut names = Vec::new();
        for layer in &layers.0 {
            match layer {
                Layer::Destination { mount, depth } => names.push(self.mounts[*mount].destination[*depth].clone()),
                Layer::Directory(path) => {
                    for entry in path.read_dir().map_err(FileSyncError::io("read the directory", path))? {
                        names.push(
                            entry
                                .map_err(FileSyncError::io("read the directory", path))?
                                .file_name(),
                        );
                    }
                }
            }
        }
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    /// The entry `name` of the directory at `parent` (empty for the root) that has these layers, if there is one.
    pub(super) fn child(&self, parent: &str, layers: &Layers, name: &OsStr) -> Result<Option<Node>, FileSyncError> {
        let mut top: Option<Place> = None;
        let mut below = Vec::new();
        for layer in &layers.0 {
            let path = match layer {
                Layer::Directory(directory) => directory.join(name),
                Layer::Destination { mount, depth } => {
                    let Mount { source, destination } = &self.mounts[*mount];
                    if destination[*depth] != name {
                        continue;
                    }
                    if depth + 1 < destination.len() {
                        if !top.as_ref().is_some_and(Place::is_directory) {
                            top = Some(Place::Implied);
                            below.clear();
                        }
                        below.push(Layer::Destination {
                            mount: *mount,
                            depth: depth + 1,
                        });
                        continue;
                    }
                    source.clone()
                }
            };
            let metadata = match path.symlink_metadata() {
                Ok(metadata) => metadata,
                Err(error) if is_not_found(&error) => continue,
                Err(error) => return Err(FileSyncError::io("look at", path)(error)),
            };
            if !(metadata.is_dir() && top.as_ref().is_some_and(Place::is_directory)) {
                below.clear();
            }
            if metadata.is_dir() {
                below.push(Layer::Directory(path.clone()));
            }
            top = Some(Place::Real { path, metadata });
        }
        let name_text = name.to_string_lossy();
        Ok(top.map(|place| Node {
            path: if parent.is_empty() {
                name_text.clone().into_owned()
            } else {
                format!("{parent}/{name_text}")
            },
            is_utf8: name.to_str().is_some(),
            place,
            layers: Layers(below),
        }))
    }

    /// The entry at a cleaned relative path, if there is one. No symlink is followed, and `..` leads nowhere.
    pub(super) fn lookup(&self, path: &str) -> Result<Option<Node>, FileSyncError> {
        let mut layers = self.root_layers();
        let mut found: Option<Node> = None;
        for name in path.split('/') {
            if name.is_empty() || name == "." || name == ".." || found.as_ref().is_some_and(|node| !node.is_directory())
            {
                return Ok(None);
            }
            let parent = found.map_or_else(String::new, |node| node.path);
            let Some(node) = self.child(&parent, &layers, OsStr::new(name))? else {
                return Ok(None);
            };
            layers = node.layers.clone();
            found = Some(node);
        }
        Ok(found)
    }

    /// Opens the regular file at `path`, and says where it is on this machine.
    pub(super) fn open(&self, path: &str) -> Result<(File, PathBuf), FileSyncError> {
        use rustix::fs::{Mode, OFlags};
        let changed = |path: &Path, reason: &str| FileSyncError::Changed {
            path: path.into(),
            reason: reason.to_owned(),
        };
        let Some(node) = self.lookup(path)? else {
            return Err(changed(&self.root.join(join_paths("", path)), "it is gone"));
        };
        let real = node.real_path();
        if !node.is_regular_file() {
            return Err(changed(&real, "it is no longer a regular file"));
        }
        // Neither a symlink nor a fifo that took the file's place may lead elsewhere or block.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match rustix::fs::open(&real, flags, Mode::empty()) {
            Ok(file) => Ok((File::from(file), real)),
            Err(rustix::io::Errno::NOENT) => Err(changed(&real, "it is gone")),
            Err(rustix::io::Errno::LOOP) => Err(changed(&real, "it is no longer a regular file")),
            Err(error) => Err(FileSyncError::io("open", real)(error.into())),
        }
    }
}

impl Place {
    fn is_directory(&self) -> bool {
        match self {
            Self::Real { metadata, .. } => metadata.is_dir(),
            Self::Implied => true,
        }
    }
}

/// The parts of a destination, counted from the root of the tree.
fn inside(destination: &Path) -> Result<Vec<OsString>, FileSyncError> {
    let failed = |reason| FileSyncError::Destination {
        destination: destination.to_owned(),
        reason,
    };
    let mut parts = Vec::new();
    for component in destination.components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir => drop(parts.pop().ok_or_else(|| failed("it leads out of the build context"))?),
            Component::Normal(part) if part.to_str().is_none() => return Err(failed("it is not UTF-8")),
            Component::Normal(part) => parts.push(part.to_owned()),
            Component::Prefix(_) => return Err(failed("it is no path of a file system tree")),
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests;
