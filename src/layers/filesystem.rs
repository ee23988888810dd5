//! An image's files, read back from its spools: first all directories, then the files layer by layer, each followed by its
//! hard links; so that whoever unpacks them never meets a file before its directory or a link before its file, whatever
//! order the layers have.

use super::flatten::{Flattened, Flattener, Path, Place};
use super::member::{Kind, Member, invalid};
use super::spool::{FileAt, Spool};
use std::collections::BTreeMap;
use std::io::{self, Read};

/// What a directory that no layer has may be used for.
const IMPLIED_MODE: u32 = 0o755;

/// The files of one image, or of several laid over each other.
#[derive(Debug)]
pub struct FileSystem {
    flattened: Flattened,
    /// By number of the layer.
    spools: BTreeMap<usize, Spool>,
}

/// The bytes of a file.
pub struct Content<'a>(Option<FileAt<'a>>);

impl<'a> Content<'a> {
    pub(super) fn of(file: FileAt<'a>) -> Self {
        Self(Some(file))
    }
}

impl Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.as_mut().map_or(Ok(0), |file| file.read(buffer))
    }
}

impl FileSystem {
    /// What is left of these layers, whose spools are given by their numbers.
    pub fn new(flattener: Flattener, spools: BTreeMap<usize, Spool>) -> Self {
        Self {
            flattened: flattener.finish(),
            spools,
        }
    }

    /// Calls `visit` with every entry: its path, the layer that has it, what it is, and its bytes. The top itself is none.
    pub fn each<E>(
        &self,
        mut visit: impl FnMut(&[u8], Option<usize>, Member, Content<'_>) -> Result<(), E>,
    ) -> Result<(), E>
    where
        E: From<io::Error>,
    {
        for (path, place) in &self.flattened.directories {
            let member = match place {
                Some(place) => self.entry(*place)?.0,
                None => Member::new(Kind::Directory, IMPLIED_MODE, 0, 0),
            };
            if !path.is_empty() {
                visit(path, place.map(|(layer, _)| layer), member, Content(None))?;
            }
        }
        for (place, names) in &self.flattened.files {
            let Some((name, links)) = names.split_first() else {
                continue;
            };
            let (mut member, content) = self.entry(*place)?;
            member.links = u32::try_from(names.len()).unwrap_or(u32::MAX);
            let link = Member {
                kind: Kind::HardLink(name.clone()),
                size: 0,
                ..member.clone()
            };
            let layer = Some(place.0);
            visit(name, layer, member, Content(Some(content)))?;
            for other in links {
                visit(other, layer, link.clone(), Content(None))?;
            }
        }
        Ok(())
    }

    /// The file of this path, of whatever kind but a directory.
    pub fn file(&self, path: &[u8]) -> io::Result<Option<(Member, Content<'_>)>> {
        let is_it = |names: &Vec<Path>| names.iter().any(|name| name == path);
        let found = self.flattened.files.iter().find(|(_, names)| is_it(names));
        let Some((place, _)) = found else {
            return Ok(None);
        };
        let (member, content) = self.entry(*place)?;
        Ok(Some((member, Content(Some(content)))))
    }

    fn entry(&self, place: Place) -> io::Result<(Member, FileAt<'_>)> {
        let spool = self.spools.get(&place.0);
        spool
            .ok_or_else(|| invalid("a layer is lost".to_owned()))?
            .entry(place.1)
    }
}
