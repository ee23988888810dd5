//! Entries on their way to the formats: [`Stream`].

use super::TIME;
use crate::assemble::AssembleError;
use crate::assemble::format::Format;
use crate::event::CancellationToken;
use crate::layers::{Kind, Member, Path};
use std::collections::BTreeSet;
use std::io::Read;

/// How much of a file goes on at a time, in bytes.
const CHUNK_BYTES: usize = 256 << 10;

/// Where an entry comes from: the image, and the place in the YAML that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The image, or what linuxkit calls its like.
    pub source: String,
    /// `kernel`, `init[0]`, `services[2]`.
    pub location: String,
}

/// Takes entries and hands each to every format.
pub(super) struct Stream<'a> {
    formats: &'a mut [Format],
    cancel: &'a CancellationToken,
    buffer: Vec<u8>,
    /// Directories that were made.
    made: BTreeSet<Path>,
}

impl<'a> Stream<'a> {
    pub(super) fn new(formats: &'a mut [Format], cancel: &'a CancellationToken) -> Self {
        Self {
            formats,
            cancel,
            buffer: vec![0; CHUNK_BYTES],
            made: BTreeSet::new(),
        }
    }

    /// An entry with its bytes.
    pub(super) fn entry(
        &mut self,
        path: &[u8],
        member: &Member,
        origin: &Origin,
        content: &mut dyn Read,
    ) -> Result<(), AssembleError> {
        if self.cancel.is_cancelled() {
            return Err(AssembleError::Cancelled);
        }
        if member.is_directory() {
            self.made.insert(path.to_vec());
        }
        for format in self.formats.iter_mut() {
            format.begin(path, member, origin)?;
        }
        let mut left = member.size;
        while left > 0 {
            let most = self.buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let count = content.read(&mut self.buffer[..most])?;
            if count == 0 {
                return Err(AssembleError::Scratch(std::io::ErrorKind::UnexpectedEof.into()));
            }
            for format in self.formats.iter_mut() {
                format.data(&self.buffer[..count])?;
            }
            left -= count as u64;
        }
        self.formats.iter_mut().try_for_each(Format::end)
    }

    /// A file of these bytes.
    pub(super) fn file(&mut self, path: &str, bytes: &[u8], origin: &Origin) -> Result<(), AssembleError> {
        let member = Member::new(Kind::File, 0o644, TIME, bytes.len() as u64);
        self.entry(path.as_bytes(), &member, origin, &mut &*bytes)
    }

    /// A directory, and those above it, unless they are there.
    pub(super) fn directory(&mut self, path: &str, origin: &Origin) -> Result<(), AssembleError> {
        self.directory_like(path, &Member::new(Kind::Directory, 0o755, TIME, 0), origin)
    }

    pub(super) fn directory_like(&mut self, path: &str, like: &Member, origin: &Origin) -> Result<(), AssembleError> {
        let ends = path.match_indices('/').map(|(end, _)| end).chain([path.len()]);
        for end in ends {
            let directory = &path.as_bytes()[..end];
            if !directory.is_empty() && !self.made.contains(directory) {
                self.entry(directory, like, origin, &mut std::io::empty())?;
            }
        }
        Ok(())
    }
}
