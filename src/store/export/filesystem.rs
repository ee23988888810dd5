//! An image's file system as one tar file. The layers are read twice: once for what they hold, once for its content.
//!
//! First come all directories, then files layer by layer, each followed by its hard links; so that whoever unpacks it
//! never meets a file before its directory or a link before its file, whatever order the layers have.

use super::super::blobs::CHUNK_BYTES;
use super::super::{Inner, StoreError};
use super::flatten::{Flattener, Kind, Path, normalize};
use crate::oci::{Descriptor, Digest};
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Cursor, Read, Write};
use tar::{Archive, Builder, Entry, EntryType, Header};

/// The longest path or link that a plain header holds, in bytes; longer ones go into a PAX record.
const HEADER_NAME_BYTES: usize = 100;

/// A header and its PAX records, without path and link, which are known otherwise.
struct Meta {
    header: Header,
    records: BTreeMap<String, Vec<u8>>,
    link: Option<Vec<u8>>,
}

type Tar<'a> = Builder<&'a mut dyn Write>;

impl Inner {
    pub(super) fn write_filesystem(
        &self,
        layers: &[Descriptor],
        name: &str,
        output: &mut dyn Write,
    ) -> Result<(), StoreError> {
        let (mut flattener, mut directories) = (Flattener::default(), BTreeMap::new());
        for (number, layer) in layers.iter().enumerate() {
            let mut entries = Vec::new();
            self.each_entry(layer, name, &mut |entry| {
                let (path, kind) = path_and_kind(entry)?;
                if kind == Kind::Directory {
                    directories.insert((number, entries.len()), Meta::of(entry)?);
                }
                entries.push((path, kind));
                Ok(())
            })?;
            flattener.apply(&entries);
        }
        let flattened = flattener.finish();
        let mut tar = Builder::new(output);
        for (path, place) in &flattened.directories {
            if let Some(meta) = directories.get(place).filter(|_| !path.is_empty()) {
                meta.write(&mut tar, &[path.as_slice(), b"/"].concat(), io::empty())
                    .map_err(super::failed)?;
            }
        }
        drop(directories);
        for (number, layer) in layers.iter().enumerate() {
            let mut place = (number, 0);
            self.each_entry(layer, name, &mut |entry| {
                let names = flattened.files.get(&place).map(Vec::as_slice).unwrap_or_default();
                place.1 += 1;
                write_file(&mut tar, entry, names)
            })?;
        }
        tar.finish().map_err(super::failed)
    }

    /// Calls `visit` with every entry of a layer, whose bytes are checked.
    fn each_entry(
        &self,
        layer: &Descriptor,
        needed_by: &str,
        visit: &mut dyn FnMut(&mut Entry<'_, &mut dyn Read>) -> io::Result<()>,
    ) -> Result<(), StoreError> {
        let blob = self.open_checked(layer, needed_by)?;
        let failed = |e: io::Error| layer_failed(&layer.digest, e);
        let mut stream = decompress(BufReader::with_capacity(CHUNK_BYTES, blob)).map_err(failed)?;
        let mut archive = Archive::new(&mut stream as &mut dyn Read);
        for entry in archive.entries().map_err(failed)? {
            let mut entry = entry.map_err(failed)?;
            if !matches!(entry.header().entry_type(), EntryType::XGlobalHeader) {
                visit(&mut entry).map_err(failed)?;
            }
        }
        // What follows the last entry belongs to the blob too.
        io::copy(&mut stream, &mut io::sink()).map_err(failed)?;
        Ok(())
    }
}

/// Reads plain, gzip and zstd streams alike, told apart by their first bytes: media types are not always right.
pub(in crate::store) fn decompress<'a>(mut reader: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let start = reader.fill_buf()?;
    Ok(if start.starts_with(&[0x1f, 0x8b]) {
        Box::new(flate2::bufread::MultiGzDecoder::new(reader))
    } else if start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Box::new(zstd::Decoder::with_buffer(reader)?)
    } else {
        Box::new(reader)
    })
}

/// An error while copying from a layer to the output: whose it is can be told from what it carries.
fn layer_failed(digest: &Digest, error: io::Error) -> StoreError {
    match error.downcast::<OutputError>() {
        Ok(OutputError(error)) => StoreError::Output(error),
        Err(error) => match error.downcast::<StoreError>() {
            Ok(error) => error,
            Err(source) => StoreError::Layer {
                digest: digest.clone(),
                source,
            },
        },
    }
}

/// Marks an error of the output among those of layers.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct OutputError(io::Error);

fn path_and_kind<R: Read>(entry: &Entry<'_, R>) -> io::Result<(Path, Kind)> {
    let inside = |path: &[u8]| {
        normalize(path).ok_or_else(|| {
            let path = String::from_utf8_lossy(path);
            io::Error::new(io::ErrorKind::InvalidData, format!("path {path:?} leads outside"))
        })
    };
    let path = inside(&entry.path_bytes())?;
    let kind = match entry.header().entry_type() {
        EntryType::Directory => Kind::Directory,
        EntryType::Link => Kind::HardLink(inside(&entry.link_name_bytes().unwrap_or_default())?),
        _ => Kind::Other,
    };
    Ok((path, kind))
}

fn write_file<R: Read>(tar: &mut Tar<'_>, entry: &mut Entry<'_, R>, names: &[Path]) -> io::Result<()> {
    let Some((name, links)) = names.split_first() else {
        return Ok(());
    };
    let mut meta = Meta::of(entry)?;
    let mark = |e: io::Error| io::Error::other(OutputError(e));
    // A failing layer must not look like a failing output.
    let mut layer_error = None;
    let reader = Remembering {
        inner: entry,
        error: &mut layer_error,
    };
    let written = meta.write(tar, name, reader);
    if let Some(error) = layer_error {
        return Err(error);
    }
    written.map_err(mark)?;
    for link in links {
        meta.header.set_entry_type(EntryType::Link);
        meta.header.set_size(0);
        meta.link = Some(name.clone());
        meta.write(tar, link, io::empty()).map_err(mark)?;
    }
    Ok(())
}

struct Remembering<'a, R> {
    inner: R,
    error: &'a mut Option<io::Error>,
}

impl<R: Read> Read for Remembering<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer).map_err(|e| {
            let kind = e.kind();
            *self.error = Some(e);
            kind.into()
        })
    }
}

impl Meta {
    fn of<R: Read>(entry: &mut Entry<'_, R>) -> io::Result<Self> {
        let mut records = BTreeMap::new();
        if let Some(extensions) = entry.pax_extensions()? {
            for extension in extensions {
                let extension = extension?;
                let key = String::from_utf8_lossy(extension.key_bytes()).into_owned();
                // Path and link may change, the size is in the header, and sparse files are read as whole ones.
                if !matches!(key.as_str(), "path" | "linkpath" | "size") && !key.starts_with("GNU.sparse.") {
                    records.insert(key, extension.value_bytes().to_vec());
                }
            }
        }
        let old = entry.header();
        let mut header = Header::new_ustar();
        header.set_entry_type(match old.entry_type() {
            EntryType::GNUSparse | EntryType::Continuous => EntryType::Regular,
            kind => kind,
        });
        // A field that was left empty is 0 to the tools that write layers.
        header.set_mode(old.mode().unwrap_or_default() & 0o7777);
        header.set_uid(old.uid().unwrap_or_default());
        header.set_gid(old.gid().unwrap_or_default());
        header.set_mtime(old.mtime().unwrap_or_default());
        header.set_size(match old.entry_type() {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => entry.size(),
            _ => 0,
        });
        if matches!(old.entry_type(), EntryType::Char | EntryType::Block) {
            header.set_device_major(old.device_major()?.unwrap_or_default())?;
            header.set_device_minor(old.device_minor()?.unwrap_or_default())?;
        }
        // Names of users longer than their field cannot have come from one.
        let _ = old
            .username_bytes()
            .map(|name| set_text(name, |text| header.set_username(text)));
        let _ = old
            .groupname_bytes()
            .map(|name| set_text(name, |text| header.set_groupname(text)));
        let link = entry.link_name_bytes().map(|link| link.into_owned());
        Ok(Self {
            header,
            records,
            link: link.map(|link| match entry.header().entry_type() {
                EntryType::Link => normalize(&link).unwrap_or(link),
                _ => link,
            }),
        })
    }

    fn write(&self, tar: &mut Tar<'_>, path: &[u8], content: impl Read) -> io::Result<()> {
        let mut header = self.header.clone();
        let mut records = self.records.clone();
        set_name(&mut header.as_old_mut().name, "path", path, &mut records);
        if let Some(link) = &self.link {
            set_name(&mut header.as_old_mut().linkname, "linkpath", link, &mut records);
        }
        header.set_cksum();
        if !records.is_empty() {
            write_records(tar, &records)?;
        }
        let size = header.entry_size()?;
        tar.append(&header, content.take(size))
    }
}

/// Puts a name into its field of the header, and into a PAX record when it is too long for that.
fn set_name(field: &mut [u8; HEADER_NAME_BYTES], key: &str, name: &[u8], records: &mut BTreeMap<String, Vec<u8>>) {
    let length = name.len().min(field.len());
    field[..length].copy_from_slice(&name[..length]);
    if name.len() > field.len() {
        records.insert(key.to_owned(), name.to_vec());
    }
}

/// Writes a PAX header. Unlike the tar crate's, it is the same in every process and has a plain ustar header.
fn write_records(tar: &mut Tar<'_>, records: &BTreeMap<String, Vec<u8>>) -> io::Result<()> {
    let mut data = Vec::new();
    for (key, value) in records {
        data.extend(record(key, value));
    }
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::XHeader);
    header.set_size(data.len() as u64);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_cksum();
    tar.append(&header, Cursor::new(data))
}

/// `length key=value\n`, where the length counts itself.
fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    let mut record = format!("{length} {key}=").into_bytes();
    record.extend_from_slice(value);
    record.push(b'\n');
    record
}

fn set_text(bytes: &[u8], set: impl FnOnce(&str) -> io::Result<()>) -> io::Result<()> {
    std::str::from_utf8(bytes).map_or(Ok(()), set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_counts_its_own_length() {
        assert_eq!(record("a", b"b"), b"6 a=b\n");
        // 99 and 100 bytes: the length grows a digit by being written.
        for size in 80..120 {
            let record = record("key", &vec![b'x'; size]);
            assert!(record.starts_with(format!("{} ", record.len()).as_bytes()), "{size}");
        }
    }
}
