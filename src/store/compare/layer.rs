//! Two layers, entry by entry: [`compare`].

use super::super::StoreError;
use super::Difference;
use crate::event::CancellationToken;
use crate::layers::decompress;
use crate::oci::{Digest, Hasher};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{self, BufReader, Read};
use tar::{Archive, Entry};

/// What extended attributes are called in a layer (OCI image specification, layer.md).
const XATTR: &str = "SCHILY.xattr.";

/// A layer that is to be read.
pub(super) struct Layer<'a, R> {
    pub(super) digest: Digest,
    pub(super) reader: R,
    pub(super) cancel: &'a CancellationToken,
}

/// All that an entry says, each by its name, and where it stands.
struct Record {
    at: usize,
    fields: BTreeMap<String, String>,
}

/// Tells `found` how two layers differ.
pub(super) fn compare(
    one: Layer<'_, impl Read>,
    other: Layer<'_, impl Read>,
    found: &mut dyn FnMut(Difference),
) -> Result<(), StoreError> {
    let (mut records, mut count) = (BTreeMap::new(), 0_usize);
    let has_found = Cell::new(false);
    let mut tell = |difference: Difference| {
        has_found.set(true);
        found(difference);
    };
    let one_sha = one.each(|path, record| _ = records.insert(path, record))?;
    let (mut last, mut is_in_order) = (None, true);
    let other_sha = other.each(|path, record| {
        count += 1;
        let presence = |first: Option<&str>, second: Option<&str>| Difference {
            path: Some(shown(&path)),
            field: "presence".to_owned(),
            first: first.map(str::to_owned),
            second: second.map(str::to_owned),
            ..Difference::default()
        };
        let Some(own) = records.remove(&path) else {
            return tell(presence(None, Some("there")));
        };
        is_in_order &= last.is_none_or(|last| last < own.at);
        last = Some(own.at);
        let mut names: Vec<&String> = own.fields.keys().chain(record.fields.keys()).collect();
        names.sort();
        names.dedup();
        for name in names {
            let (first, second) = (own.fields.get(name), record.fields.get(name));
            if first != second {
                tell(Difference {
                    path: Some(shown(&path)),
                    field: name.clone(),
                    first: first.cloned(),
                    second: second.cloned(),
                    ..Difference::default()
                });
            }
        }
    })?;
    for path in records.keys() {
        tell(Difference {
            path: Some(shown(path)),
            field: "presence".to_owned(),
            first: Some("there".to_owned()),
            ..Difference::default()
        });
    }
    if has_found.get() {
        return Ok(());
    }
    let text = |text: &str| Some(text.to_owned());
    let (field, first, second) = match (is_in_order, one_sha == other_sha) {
        (false, _) => ("order", text("one order of entries"), text("another")),
        (true, true) => ("bytes", text("one compression of the same bytes"), text("another")),
        (true, false) => ("bytes", text("one form of the same entries"), text("another")),
    };
    tell(Difference {
        field: field.to_owned(),
        first,
        second,
        ..Difference::default()
    });
    Ok(())
}

impl<R: Read> Layer<'_, R> {
    /// Gives each entry, and at the end the digest of the archive.
    fn each(self, mut give: impl FnMut(Vec<u8>, Record)) -> Result<Digest, StoreError> {
        let Self { digest, reader, cancel } = self;
        let failed = |source: io::Error| match source.downcast::<StoreError>() {
            Ok(error) => error,
            Err(source) => StoreError::Layer {
                digest: digest.clone(),
                source,
            },
        };
        let mut hashed = Hashed {
            inner: decompress(BufReader::new(reader)).map_err(failed)?,
            hasher: Hasher::default(),
        };
        let mut archive = Archive::new(&mut hashed);
        for (at, entry) in archive.entries().map_err(failed)?.enumerate() {
            if cancel.is_cancelled() {
                return Err(StoreError::Cancelled);
            }
            let mut entry = entry.map_err(failed)?;
            let path = entry.path_bytes().into_owned();
            let fields = fields(&mut entry).map_err(failed)?;
            give(path, Record { at, fields });
        }
        io::copy(&mut hashed, &mut io::sink()).map_err(failed)?;
        Ok(hashed.hasher.finish())
    }
}

struct Hashed<R> {
    inner: R,
    hasher: Hasher,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

/// What an entry says.
fn fields<R: Read>(entry: &mut Entry<'_, R>) -> io::Result<BTreeMap<String, String>> {
    let mut fields = BTreeMap::new();
    let mut set = |name: &str, value: String| _ = fields.insert(name.to_owned(), value);
    if let Some(extensions) = entry.pax_extensions()? {
        for extension in extensions {
            let extension = extension?;
            let key = String::from_utf8_lossy(extension.key_bytes()).into_owned();
            let value = shown(extension.value_bytes());
            match key.strip_prefix(XATTR) {
                Some(name) => set(&format!("xattr {name}"), value),
                // What the header says as well.
                None if matches!(key.as_str(), "path" | "linkpath" | "size" | "uid" | "gid") => {}
                None => set(&format!("header {key}"), value),
            }
        }
    }
    let header = entry.header();
    let kind = header.entry_type();
    set("type", format!("{kind:?}"));
    set("mode", format!("{:04o}", header.mode()? & 0o7777));
    set("time", time(header.mtime()?));
    set("owner", format!("{}:{}", header.uid()?, header.gid()?));
    // Others may leave the fields empty, which is no number.
    if (kind.is_character_special() || kind.is_block_special())
        && let (Some(major), Some(minor)) = (header.device_major()?, header.device_minor()?)
    {
        set("device", format!("{major}:{minor}"));
    }
    if let Some(target) = entry.link_name_bytes() {
        set("link", shown(&target));
    }
    let size = entry.size();
    set("size", size.to_string());
    if size > 0 {
        let mut hashed = Hashed {
            inner: entry,
            hasher: Hasher::default(),
        };
        io::copy(&mut hashed, &mut io::sink())?;
        set("content", hashed.hasher.finish().to_string());
    }
    Ok(fields)
}

/// A time as people read it.
fn time(seconds: u64) -> String {
    let timestamp = prost_types::Timestamp {
        seconds: i64::try_from(seconds).unwrap_or(i64::MAX),
        nanos: 0,
    };
    timestamp.to_string()
}

/// Bytes as text, what is none escaped.
fn shown(bytes: &[u8]) -> String {
    match str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => bytes.escape_ascii().to_string(),
    }
}
