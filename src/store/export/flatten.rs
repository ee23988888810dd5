//! Which entries of which layers make up an image's file system (OCI image specification, layer.md). Pure: it is told the
//! headers of every layer and keeps no content.
//!
//! Upper layers win. `.wh.x` removes `x` of the layers below, `.wh..wh..opq` everything below its directory. A file with
//! hard links is one file with several names: it lives as long as one of them does.

use std::collections::BTreeMap;
use std::ops::Bound;

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Files of aufs itself, which are no whiteouts.
const AUFS: &[u8] = b".wh..wh.";

/// Path in the image, without leading or trailing slash.
pub(super) type Path = Vec<u8>;

/// Where an entry stands: number of the layer, number of the entry in it.
pub(super) type Place = (usize, usize);

/// What an entry of a layer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A directory.
    Directory,
    /// Another name of the file that has this path at this moment.
    HardLink(Path),
    /// A file, a symbolic link, a device.
    Other,
}

/// What makes up the file system, after all layers.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Flattened {
    /// Directories, by path.
    pub(super) directories: BTreeMap<Path, Place>,
    /// Everything else: where it stands, and its names, sorted. The first is that of the file itself; the others are
    /// hard links to it.
    pub(super) files: BTreeMap<Place, Vec<Path>>,
}

/// Takes layers, lowest first.
#[derive(Default)]
pub(super) struct Flattener {
    tree: BTreeMap<Path, Node>,
    layer: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Node {
    place: Place,
    is_directory: bool,
}

impl Flattener {
    /// Applies the next layer. Its whiteouts are about the layers below, wherever in the layer they stand.
    pub(super) fn apply(&mut self, entries: &[(Path, Kind)]) {
        for (path, _) in entries {
            self.white_out(path);
        }
        for (number, (path, kind)) in entries.iter().enumerate() {
            if !is_whiteout(path) {
                self.add(path, kind, (self.layer, number));
            }
        }
        self.layer += 1;
    }

    /// What is left.
    pub(super) fn finish(self) -> Flattened {
        let mut flattened = Flattened::default();
        for (path, node) in self.tree {
            if node.is_directory {
                flattened.directories.insert(path, node.place);
            } else {
                flattened.files.entry(node.place).or_default().push(path);
            }
        }
        flattened
    }

    fn white_out(&mut self, path: &[u8]) {
        let (directory, name) = split(path);
        if name == OPAQUE {
            self.remove_below(directory);
        } else if let Some(hidden) = name.strip_prefix(WHITEOUT).filter(|_| !name.starts_with(AUFS)) {
            let mut hidden_path = directory.to_vec();
            if !directory.is_empty() {
                hidden_path.push(b'/');
            }
            hidden_path.extend_from_slice(hidden);
            self.tree.remove(&hidden_path);
            self.remove_below(&hidden_path);
        }
    }

    fn add(&mut self, path: &[u8], kind: &Kind, place: Place) {
        let is_directory = *kind == Kind::Directory;
        let node = match kind {
            Kind::HardLink(target) if target == path => return,
            // A link to what is not there stays what it says; unpacking it fails, as it does with the layer itself.
            Kind::HardLink(target) => self.tree.get(target).copied().filter(|node| !node.is_directory),
            _ => None,
        };
        if !is_directory {
            self.remove_below(path);
        }
        let node = node.unwrap_or(Node { place, is_directory });
        self.tree.insert(path.to_vec(), node);
    }

    fn remove_below(&mut self, directory: &[u8]) {
        if directory.is_empty() {
            self.tree.clear();
            return;
        }
        let prefix = [directory, b"/"].concat();
        let below: Vec<Path> = self
            .tree
            .range::<[u8], _>((Bound::Included(prefix.as_slice()), Bound::Unbounded))
            .map(|(path, _)| path)
            .take_while(|path| path.starts_with(&prefix))
            .cloned()
            .collect();
        for path in below {
            self.tree.remove(&path);
        }
    }
}

impl Flattened {
    /// All paths.
    #[cfg(test)]
    fn paths(&self) -> std::collections::BTreeSet<String> {
        let files = self.files.values().flatten();
        let text = |path: &Path| String::from_utf8_lossy(path).into_owned();
        self.directories.keys().chain(files).map(text).collect()
    }
}

/// The path as it is used here: no leading `/` or `./`, no `/` at the end, no empty parts. None when it leads outside.
pub(super) fn normalize(path: &[u8]) -> Option<Path> {
    let parts = path
        .split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty() && *part != b".");
    let parts: Vec<&[u8]> = parts.collect();
    (!parts.contains(&b"..".as_slice())).then(|| parts.join(&b'/'))
}

fn is_whiteout(path: &[u8]) -> bool {
    split(path).1.starts_with(WHITEOUT)
}

fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// `d/` is a directory, `b>a` a hard link b to a, everything else a file.
    fn layer(text: &str) -> Vec<(Path, Kind)> {
        let entry = |word: &str| match (word.strip_suffix('/'), word.split_once('>')) {
            (Some(path), _) => (path.as_bytes().to_vec(), Kind::Directory),
            (_, Some((path, target))) => (path.into(), Kind::HardLink(target.into())),
            _ => (word.into(), Kind::Other),
        };
        text.split_whitespace().map(entry).collect()
    }

    fn flatten(layers: &[&str]) -> Flattened {
        let mut flattener = Flattener::default();
        layers.iter().for_each(|text| flattener.apply(&layer(text)));
        flattener.finish()
    }

    #[test]
    fn whiteouts_hide_what_is_below() {
        let check = |layers: &[&str], wanted: &str| {
            let wanted: BTreeSet<String> = wanted.split_whitespace().map(str::to_owned).collect();
            assert_eq!(flatten(layers).paths(), wanted, "{layers:?}");
        };
        check(&["a b d/ d/x"], "a b d d/x");
        check(&["a b", ".wh.a"], "b");
        check(&["d/ d/x d/y ab", ".wh.d"], "ab");
        check(&["d/ d/x", "d/ d/.wh.x d/y"], "d d/y");
        // A layer's whiteouts are not about itself, in whatever order.
        check(&["a", "a .wh.a"], "a");
        check(&["d/ d/x", "d/ d/new d/.wh..wh..opq"], "d d/new");
        check(&["d/ d/x", ".wh.d d/ d/new"], "d d/new");
        check(&["d/ d/x", ".wh..wh..opq a"], "a");
        check(&["d/ d/x", "d"], "d");
        check(&["d", "d/ d/x"], "d d/x");
        check(&["d/ d-x d/x", ".wh.d"], "d-x");
        check(&["a", ".wh..wh.plnk .wh..wh.aufs"], "a");
    }

    #[test]
    fn the_uppermost_entry_counts() {
        let flattened = flatten(&["a d/", "a", "d/"]);
        assert_eq!(flattened.files, BTreeMap::from([((1, 0), vec![b"a".to_vec()])]));
        assert_eq!(flattened.directories, BTreeMap::from([(b"d".to_vec(), (2, 0))]));
    }

    #[test]
    fn a_file_lives_as_long_as_one_of_its_names() {
        let check = |layers: &[&str], place: Place, names: &[&str]| {
            let names = names.iter().map(|name| name.as_bytes().to_vec()).collect();
            assert_eq!(flatten(layers).files.get(&place), Some(&names), "{layers:?}");
        };
        check(&["a b>a c>b"], (0, 0), &["a", "b", "c"]);
        check(&["z b>z", ".wh.z"], (0, 0), &["b"]);
        check(&["a b>a", "a"], (0, 0), &["b"]);
        check(&["a b>a", "a"], (1, 0), &["a"]);
        check(&["a", "b>a"], (0, 0), &["a", "b"]);
        check(&["b>a"], (0, 0), &["b"]);
        check(&["a a>a"], (0, 0), &["a"]);
    }

    #[test]
    fn paths_are_made_alike() {
        let check = |path: &str, wanted: Option<&str>| {
            assert_eq!(
                normalize(path.as_bytes()),
                wanted.map(|w| w.as_bytes().to_vec()),
                "{path}"
            );
        };
        check("./a//b/", Some("a/b"));
        check("/a", Some("a"));
        check("./", Some(""));
        check("a/../b", None);
        check("..", None);
        check("a/..b", Some("a/..b"));
    }
}
