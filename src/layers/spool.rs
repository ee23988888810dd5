//! A layer, unpacked on disk: [`Spool`]. It is written once, as a plain tar file whose entries are found by their offset.

use super::filesystem::Content;
use super::flatten::Path;
use super::member::{Kind, Member, inside, invalid};
use super::tar_writer::TarWriter;
use super::{LayersError, decompress};
use crate::oci::Digest;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read};
use std::os::unix::fs::FileExt as _;
use tar::{Archive, EntryType};

/// How much is read and written at a time, in bytes: much enough that system calls cost nothing.
const CHUNK_BYTES: usize = 256 << 10;

/// A layer on disk. The file has no name: it goes with the process.
#[derive(Debug)]
pub struct Spool {
    file: File,
    offsets: Vec<u64>,
}

/// An entry as far as [`super::Flattener`] has to know it.
pub type Listed = (Path, Kind);

impl Spool {
    /// Reads a layer to its end, into a file in `scratch`, and lists what it holds.
    pub fn read(
        layer: impl Read + Send,
        digest: &Digest,
        scratch: &std::path::Path,
    ) -> Result<(Self, Vec<Listed>), LayersError> {
        let in_layer = |source| LayersError::Layer {
            digest: digest.clone(),
            source,
        };
        let in_scratch = |source| LayersError::Scratch {
            directory: scratch.to_owned(),
            source,
        };
        let file = tempfile::tempfile_in(scratch).map_err(in_scratch)?;
        let mut out = TarWriter::new(BufWriter::with_capacity(CHUNK_BYTES, file));
        let mut stream = decompress(BufReader::with_capacity(CHUNK_BYTES, layer)).map_err(in_layer)?;
        let mut archive = Archive::new(&mut stream);
        let (mut offsets, mut listed, mut buffer) = (Vec::new(), Vec::new(), vec![0; CHUNK_BYTES]);
        for entry in archive.entries().map_err(in_layer)? {
            let mut entry = entry.map_err(in_layer)?;
            if entry.header().entry_type() == EntryType::XGlobalHeader {
                continue;
            }
            let path = inside(&entry.path_bytes()).map_err(in_layer)?;
            let member = Member::of(&mut entry).map_err(|error| in_layer(about(&path, error)))?;
            offsets.push(out.position());
            out.begin(&path, &member).map_err(in_scratch)?;
            let mut left = member.size;
            while left > 0 {
                let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let count = entry.read(&mut buffer[..most]).map_err(in_layer)?;
                if count == 0 {
                    return Err(in_layer(io::ErrorKind::UnexpectedEof.into()));
                }
                out.data(&buffer[..count]).map_err(in_scratch)?;
                left -= count as u64;
            }
            out.end().map_err(in_scratch)?;
            listed.push((path, member.kind));
        }
        // What follows the last entry belongs to the blob too.
        io::copy(&mut stream, &mut io::sink()).map_err(in_layer)?;
        drop(stream);
        let buffered = out.finish().map_err(in_scratch)?;
        let file = buffered.into_inner().map_err(|error| in_scratch(error.into_error()))?;
        Ok((Self { file, offsets }, listed))
    }

    /// The entry of this number: what it is, and its bytes.
    pub fn open(&self, number: usize) -> io::Result<(Member, Content<'_>)> {
        let (member, content) = self.entry(number)?;
        Ok((member, Content::of(content)))
    }

    pub(super) fn entry(&self, number: usize) -> io::Result<(Member, FileAt<'_>)> {
        let lost = || invalid("a temporary file is damaged".to_owned());
        let at = *self.offsets.get(number).ok_or_else(lost)?;
        let mut archive = Archive::new(FileAt {
            file: &self.file,
            at,
            left: u64::MAX,
        });
        let mut entries = archive.entries()?;
        let mut entry = entries.next().ok_or_else(lost)??;
        let member = Member::of(&mut entry)?;
        let content = FileAt {
            file: &self.file,
            at: at + entry.raw_file_position(),
            left: member.size,
        };
        Ok((member, content))
    }
}

fn about(path: &[u8], error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", String::from_utf8_lossy(path)))
}

/// A piece of a file, read without moving the file's own position, so that several can read at once.
#[derive(Clone)]
pub(super) struct FileAt<'a> {
    file: &'a File,
    at: u64,
    left: u64,
}

impl Read for FileAt<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let count = self.file.read_at(&mut buffer[..most], self.at)?;
        self.at += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}
