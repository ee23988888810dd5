//! One entry of a layer: everything about it but its path and its bytes.

use super::flatten::{Path, normalize};
use std::collections::BTreeMap;
use std::io::{self, Read};
use tar::{Entry, EntryType};

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file with bytes.
    File,
    /// A directory.
    Directory,
    /// A symbolic link to this text.
    Symlink(Vec<u8>),
    /// Another name of the file that has this path.
    HardLink(Path),
    /// A character device, by major and minor number.
    Character(u32, u32),
    /// A block device, by major and minor number.
    Block(u32, u32),
    /// A named pipe.
    Fifo,
}

/// An entry, without its path.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// What it is.
    pub kind: Kind,
    /// Permissions, with set-user-ID and its like.
    pub mode: u32,
    /// Owner.
    pub uid: u64,
    /// Group.
    pub gid: u64,
    /// Seconds since 1970.
    pub mtime: u64,
    /// How many bytes follow.
    pub size: u64,
    /// How many names the file has, as far as that is known.
    pub links: u32,
    /// The owner's name, where the layer has one.
    pub user: Vec<u8>,
    /// The group's name.
    pub group: Vec<u8>,
    /// PAX records that say more: extended attributes (`SCHILY.xattr.…`), fractions of seconds.
    pub records: BTreeMap<String, Vec<u8>>,
}

/// Before the name of an extended attribute in a PAX record.
pub const XATTR: &str = "SCHILY.xattr.";

/// Records that say what [`Member`] has fields for.
const FIELDS: [&str; 5] = ["path", "linkpath", "size", "uid", "gid"];

impl Member {
    /// An entry that no layer has: of root, with nothing special about it.
    pub fn new(kind: Kind, mode: u32, mtime: u64, size: u64) -> Self {
        Self {
            kind,
            mode,
            uid: 0,
            gid: 0,
            mtime,
            size,
            links: 1,
            user: Vec::new(),
            group: Vec::new(),
            records: BTreeMap::new(),
        }
    }

    /// Reads what a tar entry says. A kind that no file system has is an error.
    pub(super) fn of<R: Read>(entry: &mut Entry<'_, R>) -> io::Result<Self> {
        let mut records = BTreeMap::new();
        let (mut uid, mut gid) = (None, None);
        if let Some(extensions) = entry.pax_extensions()? {
            for extension in extensions {
                let extension = extension?;
                let key = String::from_utf8_lossy(extension.key_bytes()).into_owned();
                let number = || extension.value().ok().and_then(|text| text.parse().ok());
                match key.as_str() {
                    "uid" => uid = number(),
                    "gid" => gid = number(),
                    // Sparse files are read as whole ones.
                    key if FIELDS.contains(&key) || key.starts_with("GNU.sparse.") => {}
                    _ => drop(records.insert(key, extension.value_bytes().to_vec())),
                }
            }
        }
        let size = entry.size();
        let header = entry.header();
        let device = || -> io::Result<(u32, u32)> {
            let (major, minor) = (header.device_major()?, header.device_minor()?);
            Ok((major.unwrap_or_default(), minor.unwrap_or_default()))
        };
        let link = || entry.link_name_bytes().unwrap_or_default().into_owned();
        let kind = match header.entry_type() {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => Kind::File,
            EntryType::Directory => Kind::Directory,
            EntryType::Symlink => Kind::Symlink(link()),
            EntryType::Link => Kind::HardLink(inside(&link())?),
            EntryType::Char => device().map(|(major, minor)| Kind::Character(major, minor))?,
            EntryType::Block => device().map(|(major, minor)| Kind::Block(major, minor))?,
            EntryType::Fifo => Kind::Fifo,
            other => return Err(invalid(format!("an entry of an unknown kind ({other:?})"))),
        };
        let text = |bytes: Option<&[u8]>| bytes.unwrap_or_default().to_vec();
        Ok(Self {
            size: if kind == Kind::File { size } else { 0 },
            links: 1,
            kind,
            // A field that was left empty is 0 to the tools that write layers.
            mode: header.mode().unwrap_or_default() & 0o7777,
            uid: uid.unwrap_or_else(|| header.uid().unwrap_or_default()),
            gid: gid.unwrap_or_else(|| header.gid().unwrap_or_default()),
            mtime: header.mtime().unwrap_or_default(),
            user: text(header.username_bytes()),
            group: text(header.groupname_bytes()),
            records,
        })
    }

    /// Whether this is a directory.
    pub fn is_directory(&self) -> bool {
        self.kind == Kind::Directory
    }

    /// Its extended attributes, by name.
    pub fn xattrs(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.records
            .iter()
            .filter_map(|(key, value)| Some((key.strip_prefix(XATTR)?, value.as_slice())))
    }

    /// Gives it a time in whole seconds.
    pub fn set_time(&mut self, seconds: u64) {
        self.mtime = seconds;
        for record in ["mtime", "atime", "ctime"] {
            self.records.remove(record);
        }
    }
}

/// The path inside of the image.
pub(super) fn inside(path: &[u8]) -> io::Result<Path> {
    normalize(path).ok_or_else(|| invalid(format!("path {:?} leads outside", String::from_utf8_lossy(path))))
}

pub(super) fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}
