//! [`Walk`]: every entry of a [`Tree`], a directory before its entries, entries of a directory by the bytes of their
//! names. That is the order in which BuildKit demands them (`a`, `a/b`, `a.txt`). It holds the names of the directories
//! on the way down, nothing else, and must not filter.

use super::error::FileSyncError;
use super::tree::{Layers, Node, Tree};
use std::ffi::OsString;

/// A walk over a tree that the caller can keep out of a directory.
pub(super) struct Walk<'tree> {
    tree: &'tree Tree,
    stack: Vec<Level>,
    /// The directory given last, entered at the next step.
    next: Option<Directory>,
}

struct Directory {
    path: String,
    is_utf8: bool,
    layers: Layers,
}

struct Level {
    directory: Directory,
    names: std::vec::IntoIter<OsString>,
}

impl<'tree> Walk<'tree> {
    pub fn new(tree: &'tree Tree) -> Self {
        let root = Directory {
            path: String::new(),
            is_utf8: true,
            layers: tree.root_layers(),
        };
        Self {
            tree,
            stack: Vec::new(),
            next: Some(root),
        }
    }

    /// Leaves out the entries of the directory that was given last.
    pub fn skip_directory(&mut self) {
        self.next = None;
    }

    /// The names of the directory to be entered. One that vanished meanwhile has none.
    fn enter(&mut self, directory: Directory) -> Result<(), FileSyncError> {
        match self.tree.names(&directory.layers) {
            Ok(names) => self.stack.push(Level {
                directory,
                names: names.into_iter(),
            }),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

impl Iterator for Walk<'_> {
    /// An error belongs to the directory given last, or to one entry; the walk can go on after it.
    type Item = Result<Node, FileSyncError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(directory) = self.next.take()
            && let Err(error) = self.enter(directory)
        {
            return Some(Err(error));
        }
        loop {
            let level = self.stack.last_mut()?;
            let Some(name) = level.names.next() else {
                self.stack.pop();
                continue;
            };
            let Directory { path, is_utf8, layers } = &level.directory;
            let mut node = match self.tree.child(path, layers, &name) {
                Ok(Some(node)) => node,
                // Vanished between two looks at the directory: as if it had never been there.
                Ok(None) => continue,
                Err(error) => return Some(Err(error)),
            };
            node.is_utf8 &= is_utf8;
            if node.is_directory() {
                self.next = Some(Directory {
                    path: node.path.clone(),
                    is_utf8: node.is_utf8,
                    layers: node.layers.clone(),
                });
            }
            return Some(Ok(node));
        }
    }
}
