//! The section `files`, and the merged SBoM.

use super::stream::Stream;
use super::{AssembleError, Inputs, TIME, description, ids, origin};
use crate::assemble::config::FileEntry;
use crate::assemble::container::{self, rules};
use crate::attest;
use crate::layers::{Flattener, Kind, LinkLoop, Member, normalize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, ErrorKind, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

/// What the records of these files call their source, as linuxkit has it.
const SOURCE: &str = "linuxkit.files";
const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;

/// The section, ready to be written.
pub(super) struct Files(Vec<Entry>);

struct Entry {
    path: String,
    number: usize,
    member: Member,
    /// What directories above it are like that nobody has made.
    parents: Member,
    content: Content,
}

enum Content {
    Bytes(Vec<u8>),
    File(PathBuf),
}

/// Reads what the section says, before anything else is done. Of two entries of one path the last counts.
pub(super) fn read(inputs: &Inputs) -> Result<Files, AssembleError> {
    let ids = ids(inputs);
    let mut all: Vec<Entry> = Vec::new();
    for (number, entry) in inputs.yaml.files.iter().enumerate() {
        if let Some(entry) = one(inputs, number, entry, &ids)? {
            all.retain(|known| known.path != entry.path);
            all.push(entry);
        }
    }
    Ok(Files(all))
}

fn one(
    inputs: &Inputs,
    number: usize,
    entry: &FileEntry,
    ids: &BTreeMap<String, u32>,
) -> Result<Option<Entry>, AssembleError> {
    let mut content = Content::Bytes(Vec::new());
    let mut size = 0;
    if let Some(text) = &entry.contents {
        content = Content::Bytes(text.clone().into_bytes());
    } else if !entry.metadata.is_empty() {
        content = Content::Bytes(description(&inputs.yaml, &entry.metadata));
    } else if !entry.source.is_empty() {
        let path = at_home(&entry.source, inputs.home.as_deref());
        match source_size(&path) {
            Ok(found) => size = found,
            Err(error) if entry.optional && error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(source) => {
                let location = format!("files[{number}]");
                return Err(AssembleError::Source { path, location, source });
            }
        }
        content = Content::File(path);
    }
    if let Content::Bytes(bytes) = &content {
        size = bytes.len() as u64;
    }
    let kind = match (entry.directory, entry.symlink.as_str()) {
        (true, _) => Kind::Directory,
        (_, "") => Kind::File,
        (_, target) => Kind::Symlink(target.as_bytes().to_vec()),
    };
    let usual = if entry.directory { DIRECTORY_MODE } else { FILE_MODE };
    let mode = rules::mode(&entry.mode).unwrap_or(usual);
    // Who may read or write what is in a directory may pass through it.
    let passing = [0o700, 0o070, 0o007].into_iter().filter(|who| mode & who != 0);
    let parents_mode = passing.fold(mode, |mode, who| mode | (who & 0o111));
    let owned = |kind, mode, size| {
        let mut member = Member::new(kind, mode, TIME, size);
        member.uid = container::id(entry.uid.as_ref(), ids).into();
        member.gid = container::id(entry.gid.as_ref(), ids).into();
        member
    };
    // Checked with the YAML.
    let path = normalize(entry.path.as_bytes()).and_then(|path| String::from_utf8(path).ok());
    Ok(path.map(|path| Entry {
        path,
        number,
        member: owned(kind, mode, size),
        parents: owned(Kind::Directory, parents_mode, 0),
        content,
    }))
}

fn at_home(source: &str, home: Option<&Path>) -> PathBuf {
    match (source.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(source),
    }
}

fn source_size(path: &Path) -> io::Result<u64> {
    let found = File::open(path)?.metadata()?;
    match found.is_file() {
        true => Ok(found.len()),
        false => Err(io::Error::other("it is no file")),
    }
}

impl Files {
    /// Whether the section has a file of this path.
    pub(super) fn has(&self, path: &str) -> bool {
        self.0
            .iter()
            .any(|entry| entry.path == path && !entry.member.is_directory())
    }

    /// Takes away what files of the section replace. What is below a symbolic link of the root is where the link leads.
    pub(super) fn claim(&mut self, flattener: &mut Flattener) -> Result<(), LinkLoop> {
        for entry in &mut self.0 {
            let path = flattener.resolve(entry.path.as_bytes())?;
            if !entry.member.is_directory() {
                flattener.remove_file(&path);
            }
            entry.path = String::from_utf8(path).unwrap_or_else(|_| entry.path.clone());
        }
        Ok(())
    }

    /// Gives a directory of the root what the section says of it.
    pub(super) fn change(&self, path: &[u8], member: &mut Member) {
        let is_it = |entry: &&Entry| entry.path.as_bytes() == path && entry.member.is_directory();
        if let Some(entry) = self.0.iter().find(is_it).filter(|_| member.is_directory()) {
            member.clone_from(&entry.member);
        }
    }

    /// What is below this directory, relative to it.
    pub(super) fn below(&self, directory: &str) -> Vec<Vec<u8>> {
        let files = self.0.iter().filter(|entry| !entry.member.is_directory());
        let below = files.filter_map(|entry| entry.path.strip_prefix(directory)?.strip_prefix('/'));
        below.map(|path| path.as_bytes().to_vec()).collect()
    }
}

/// Writes the section.
pub(super) fn write(files: &Files, stream: &mut Stream<'_>) -> Result<(), AssembleError> {
    let mut made = BTreeSet::new();
    for entry in &files.0 {
        let origin = origin(SOURCE, &format!("files[{}]", entry.number));
        if let Some((parent, _)) = entry.path.rsplit_once('/') {
            stream.directory_like(parent, &entry.parents, &origin)?;
        }
        if entry.member.is_directory() {
            if made.insert(&entry.path) {
                stream.directory_like(&entry.path, &entry.member, &origin)?;
            }
            continue;
        }
        match &entry.content {
            Content::Bytes(bytes) => {
                stream.entry(entry.path.as_bytes(), &entry.member, &origin, &mut bytes.as_slice())?
            }
            Content::File(path) => {
                let mut file = File::open(path).map_err(|source| AssembleError::Source {
                    path: path.clone(),
                    location: origin.location.clone(),
                    source,
                })?;
                stream.entry(entry.path.as_bytes(), &entry.member, &origin, &mut file)?;
            }
        }
    }
    Ok(())
}

/// Writes the merged SBoM.
pub(super) fn write_sbom(name: &str, document: attest::Spool, stream: &mut Stream<'_>) -> Result<(), AssembleError> {
    let mut file = tempfile::tempfile()?;
    document.copy_to(&mut file)?;
    file.flush()?;
    let size = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(0))?;
    let origin = origin("linuxkit.sbom", "sbom");
    if let Some((parent, _)) = name.rsplit_once('/') {
        stream.directory(parent, &origin)?;
    }
    let member = Member::new(Kind::File, 0o644, TIME, size);
    stream.entry(name.as_bytes(), &member, &origin, &mut file)
}
