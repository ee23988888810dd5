//! Which entries of which layers make up an image's file system (OCI image specification, layer.md). Pure: it is told the
//! headers of every layer and keeps no content.
//!
//! Upper layers win. `.wh.x` removes `x` of the layers below, `.wh..wh..opq` everything below its directory. A file with
//! hard links is one file with several names: it lives as long as one of them does. An entry below a symbolic link is where
//! the link leads, inside of the image, as it would be for who unpacks the layers one after the other in a root of their own.

use super::member::Kind;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Files of aufs itself, which are no whiteouts.
const AUFS: &[u8] = b".wh..wh.";
/// How many symbolic links a path may lead through; as many as Linux allows.
const LINKS_MAX: usize = 40;

/// Path in the image, without leading or trailing slash.
pub type Path = Vec<u8>;

/// Where an entry stands: number of the layer, number of the entry in it.
pub type Place = (usize, usize);

/// What makes up the file system, after all layers.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Flattened {
    /// Directories, by path; None where no layer has one, but something in it.
    pub(super) directories: BTreeMap<Path, Option<Place>>,
    /// Everything else: where it stands, and its names, sorted. The first is that of the file itself; the others are
    /// hard links to it.
    pub(super) files: BTreeMap<Place, Vec<Path>>,
}

/// Takes layers, lowest first.
#[derive(Debug, Default)]
pub struct Flattener {
    tree: BTreeMap<Path, Node>,
    /// Where symbolic links lead.
    links: BTreeMap<Place, Vec<u8>>,
    /// Hard links to what was not there, and what they name.
    dangling: BTreeMap<Place, Path>,
    layer: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Node {
    place: Option<Place>,
    is_directory: bool,
}

/// A directory that no layer has, but something in it.
const IMPLIED: Node = Node {
    place: None,
    is_directory: true,
};

/// A path whose symbolic links lead round and round.
#[derive(Debug, thiserror::Error)]
#[error("{}: too many symbolic links on the way", String::from_utf8_lossy(.0))]
pub struct LinkLoop(Path);

impl Flattener {
    /// One whose first layer has this number, so that places of several images differ.
    pub fn starting_at(layer: usize) -> Self {
        Self {
            layer,
            ..Self::default()
        }
    }

    /// Applies the next layer. Its whiteouts are about the layers below, wherever in the layer they stand.
    pub fn apply(&mut self, entries: &[(Path, Kind)]) -> Result<(), LinkLoop> {
        for (path, _) in entries {
            self.white_out(path)?;
        }
        for (number, (path, kind)) in entries.iter().enumerate() {
            if !is_whiteout(path) {
                self.add(path, kind, (self.layer, number))?;
            }
        }
        self.layer += 1;
        Ok(())
    }

    /// Lays another image over what there is: what it has goes first, directories are merged. A symbolic link and a directory
    /// of the same name are one: what is below the directory is where the link leads.
    pub fn lay_over(&mut self, upper: Self) -> Result<(), LinkLoop> {
        self.layer = self.layer.max(upper.layer);
        self.links.extend(upper.links);
        self.dangling.extend(upper.dangling);
        for (path, node) in upper.tree {
            let path = self.resolve(&path)?;
            let own = self.tree.get(&path).copied();
            match own {
                Some(own) if node.is_directory && self.link(own).is_some() => {}
                Some(own) if own.is_directory && node == IMPLIED => {}
                Some(own) if own.is_directory && self.link(node).is_some() => {
                    let moved = self.take_below(&path);
                    self.tree.insert(path, node);
                    for (path, node) in moved {
                        let path = self.resolve(&path)?;
                        self.put(path, node);
                    }
                }
                _ => self.put(path, node),
            }
        }
        Ok(())
    }

    /// Whether there is something of this path, which is as [`Self::resolve`] gives it.
    pub fn has(&self, path: &[u8]) -> bool {
        self.tree.contains_key(path)
    }

    /// Whether there is a directory of this path.
    pub fn has_directory(&self, path: &[u8]) -> bool {
        self.tree.get(path).is_some_and(|node| node.is_directory)
    }

    /// A hard link to what is not there, and what it names.
    pub fn dangling(&self) -> Option<(&[u8], &[u8])> {
        if self.dangling.is_empty() {
            return None;
        }
        let named = |node: &Node| self.dangling.get(&node.place?);
        self.tree
            .iter()
            .find_map(|(path, node)| Some((path.as_slice(), named(node)?.as_slice())))
    }

    /// Where the file of this path stands.
    pub fn place(&self, path: &[u8]) -> Option<Place> {
        let node = self.tree.get(path).filter(|node| !node.is_directory)?;
        node.place
    }

    /// Takes away what has this path, unless it is a directory.
    pub fn remove_file(&mut self, path: &[u8]) {
        if !self.has_directory(path) {
            self.tree.remove(path);
        }
    }

    /// Makes a directory where there is nothing.
    pub fn imply(&mut self, path: &[u8]) {
        if !self.has(path) {
            self.put(path.to_vec(), IMPLIED);
        }
    }

    /// The number that the next layer gets.
    pub fn next_layer(&self) -> usize {
        self.layer
    }

    /// What is left.
    pub(super) fn finish(self) -> Flattened {
        let mut flattened = Flattened::default();
        for (path, node) in self.tree {
            match node.place {
                Some(place) if !node.is_directory => flattened.files.entry(place).or_default().push(path),
                place => drop(flattened.directories.insert(path, place)),
            }
        }
        flattened
    }

    fn white_out(&mut self, path: &[u8]) -> Result<(), LinkLoop> {
        if !is_whiteout(path) {
            return Ok(());
        }
        let path = self.resolve(path)?;
        let (directory, name) = split(&path);
        if name == OPAQUE {
            self.take_below(directory);
        } else if let Some(hidden) = name.strip_prefix(WHITEOUT).filter(|_| !name.starts_with(AUFS)) {
            let hidden = join(directory, hidden);
            self.tree.remove(&hidden);
            self.take_below(&hidden);
        }
        Ok(())
    }

    fn add(&mut self, path: &[u8], kind: &Kind, place: Place) -> Result<(), LinkLoop> {
        let path = self.resolve(path)?;
        if path.is_empty() {
            // The top itself may be nothing but a directory.
            if *kind == Kind::Directory {
                self.tree.insert(
                    path,
                    Node {
                        place: Some(place),
                        is_directory: true,
                    },
                );
            }
            return Ok(());
        }
        let node = match kind {
            Kind::HardLink(target) => {
                let target = self.resolve(target)?;
                if target == path {
                    return Ok(());
                }
                // A link to what is not there stays what it says; unpacking it fails, as it does with the layer itself.
                let found = self.tree.get(&target).copied().filter(|node| !node.is_directory);
                if found.is_none() {
                    self.dangling.insert(place, target);
                }
                found
            }
            _ => None,
        };
        if let Kind::Symlink(target) = kind {
            self.links.insert(place, target.clone());
        }
        let node = node.unwrap_or(Node {
            place: Some(place),
            is_directory: *kind == Kind::Directory,
        });
        self.put(path, node);
        Ok(())
    }

    /// Puts a node into its place, which has no symbolic link on the way.
    fn put(&mut self, path: Path, node: Node) {
        if !node.is_directory {
            self.take_below(&path);
        }
        let mut parent = split(&path).0;
        while !parent.is_empty() && !self.tree.get(parent).is_some_and(|node| node.is_directory) {
            self.tree.insert(parent.to_vec(), IMPLIED);
            parent = split(parent).0;
        }
        self.tree.insert(path, node);
    }

    /// The path with its directories led through symbolic links, never out of the image.
    pub fn resolve(&self, path: &[u8]) -> Result<Path, LinkLoop> {
        let (parent, name) = split(path);
        if parent.is_empty() || self.tree.get(parent).is_some_and(|node| node.is_directory) {
            return Ok(path.to_vec());
        }
        let (mut links, mut resolved) = (0, Path::new());
        let mut parts: VecDeque<&[u8]> = parent.split(|byte| *byte == b'/').collect();
        while let Some(part) = parts.pop_front() {
            match part {
                b"" | b"." => continue,
                b".." => {
                    resolved.truncate(split(&resolved).0.len());
                    continue;
                }
                _ => {}
            }
            let next = join(&resolved, part);
            let Some(target) = self.tree.get(&next).and_then(|node| self.link(*node)) else {
                resolved = next;
                continue;
            };
            links += 1;
            if links > LINKS_MAX {
                return Err(LinkLoop(path.to_vec()));
            }
            if target.starts_with(b"/") {
                resolved.clear();
            }
            for part in target.split(|byte| *byte == b'/').rev() {
                parts.push_front(part);
            }
        }
        Ok(join(&resolved, name))
    }

    /// Where a node leads, if it is a symbolic link.
    fn link(&self, node: Node) -> Option<&[u8]> {
        self.links.get(&node.place?).map(Vec::as_slice)
    }

    fn take_below(&mut self, directory: &[u8]) -> Vec<(Path, Node)> {
        if directory.is_empty() {
            return std::mem::take(&mut self.tree).into_iter().collect();
        }
        let prefix = [directory, b"/"].concat();
        let below: Vec<(Path, Node)> = self
            .tree
            .range::<[u8], _>((Bound::Included(prefix.as_slice()), Bound::Unbounded))
            .take_while(|(path, _)| path.starts_with(&prefix))
            .map(|(path, node)| (path.clone(), *node))
            .collect();
        for (path, _) in &below {
            self.tree.remove(path);
        }
        below
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
pub fn normalize(path: &[u8]) -> Option<Path> {
    let parts = path
        .split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty() && *part != b".");
    let parts: Vec<&[u8]> = parts.collect();
    (!parts.contains(&b"..".as_slice())).then(|| parts.join(&b'/'))
}

fn is_whiteout(path: &[u8]) -> bool {
    split(path).1.starts_with(WHITEOUT)
}

fn join(directory: &[u8], name: &[u8]) -> Path {
    match directory {
        b"" => name.to_vec(),
        _ => [directory, b"/", name].concat(),
    }
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

    /// `d/` is a directory, `b>a` a hard link b to a, `b@a` a symbolic link b to a, everything else a file.
    fn layer(text: &str) -> Vec<(Path, Kind)> {
        let entry = |word: &str| match (word.strip_suffix('/'), word.split_once('>')) {
            (Some(path), _) => (path.as_bytes().to_vec(), Kind::Directory),
            (_, Some((path, target))) => (path.into(), Kind::HardLink(target.into())),
            _ => match word.split_once('@') {
                Some((path, target)) => (path.into(), Kind::Symlink(target.into())),
                None => (word.into(), Kind::File),
            },
        };
        text.split_whitespace().map(entry).collect()
    }

    fn flattener(first: usize, layers: &[&str]) -> Flattener {
        let mut flattener = Flattener::starting_at(first);
        for text in layers {
            flattener.apply(&layer(text)).expect("no loop");
        }
        flattener
    }

    fn flatten(layers: &[&str]) -> Flattened {
        flattener(0, layers).finish()
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
    fn nothing_is_without_its_directory() {
        let flattened = flatten(&["a/b/c", "x", "x/y"]);
        assert_eq!(flattened.paths(), flatten(&["a/ a/b/ a/b/c x/ x/y"]).paths());
        assert_eq!(flattened.directories[b"a".as_slice()], None);
    }

    #[test]
    fn what_is_below_a_symbolic_link_is_where_the_link_leads() {
        let check = |layers: &[&str], wanted: &str| {
            let wanted: BTreeSet<String> = wanted.split_whitespace().map(str::to_owned).collect();
            assert_eq!(flatten(layers).paths(), wanted, "{layers:?}");
        };
        check(&["usr/ usr/lib/ lib@usr/lib", "lib/x"], "usr usr/lib usr/lib/x lib");
        check(&["a@/b", "a/x"], "a b b/x");
        check(&["a@../../../etc", "a/passwd"], "a etc etc/passwd");
        check(&["d/ d/a@../b/./c", "d/a/x"], "d d/a b b/c b/c/x");
        check(&["a@b b@c c/", "a/x", "a/.wh.x"], "a b c");
        // A directory in the link's place takes it.
        check(&["b/ a@b", "a/ a/x"], "b a a/x");
        let mut looped = flattener(0, &["a@b b@a"]);
        let error = looped.apply(&layer("a/x")).expect_err("loops");
        assert!(error.to_string().starts_with("a/x: "), "{error}");
    }

    #[test]
    fn an_image_over_another_merges_directories() {
        let check = |lower: &[&str], upper: &[&str], wanted: &str| {
            let mut all = flattener(0, lower);
            let upper = flattener(all.next_layer(), upper);
            all.lay_over(upper).expect("no loop");
            let wanted: BTreeSet<String> = wanted.split_whitespace().map(str::to_owned).collect();
            assert_eq!(all.finish().paths(), wanted, "{lower:?}");
        };
        check(&["d/ d/a d/b"], &["d/ d/c"], "d d/a d/b d/c");
        // Whiteouts are about the image's own layers.
        check(&["d/ d/a"], &["d/ d/x", ".wh.d e"], "d d/a e");
        check(
            &["lib/ lib/m"],
            &["usr/lib/x lib@usr/lib"],
            "lib usr usr/lib usr/lib/m usr/lib/x",
        );
        check(
            &["usr/lib/x lib@usr/lib"],
            &["lib/ lib/m"],
            "lib usr usr/lib usr/lib/m usr/lib/x",
        );
        check(&["d/ d/a"], &["d"], "d");
    }

    #[test]
    fn the_uppermost_entry_counts() {
        let flattened = flatten(&["a d/", "a", "d/"]);
        assert_eq!(flattened.files, BTreeMap::from([((1, 0), vec![b"a".to_vec()])]));
        assert_eq!(flattened.directories, BTreeMap::from([(b"d".to_vec(), Some((2, 0)))]));
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
