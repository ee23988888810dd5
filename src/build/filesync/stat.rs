//! [`Node`] → `Stat`, the record by which BuildKit knows a file: Go's mode bits, owner 0, time in nanoseconds, link
//! target, device numbers, extended attributes, hard links.

use super::error::FileSyncError;
use super::tree::{Node, Place};
use bollard_buildkit_proto::fsutil::types::Stat;
use rustix::io::Errno;
use std::collections::HashMap;
use std::fs::Metadata;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

/// Bits of Go's `fs.FileMode`, which is what travels.
pub(super) mod go_mode {
    pub const DIRECTORY: u32 = 1 << 31;
    pub const SYMLINK: u32 = 1 << 27;
    pub const DEVICE: u32 = 1 << 26;
    pub const NAMED_PIPE: u32 = 1 << 25;
    pub const SET_USER_ID: u32 = 1 << 23;
    pub const SET_GROUP_ID: u32 = 1 << 22;
    pub const CHARACTER_DEVICE: u32 = 1 << 21;
    pub const STICKY: u32 = 1 << 20;
    /// All that says "no regular file".
    pub const TYPE: u32 = DIRECTORY | SYMLINK | DEVICE | NAMED_PIPE | CHARACTER_DEVICE | 1 << 24 | 1 << 19;
}

/// Attributes of macOS are not sent.
const APPLE_ATTRIBUTES: &[u8] = b"com.apple.";

/// First paths of files with several names, by device and inode. Grows with hard-linked files only.
#[derive(Debug, Default)]
pub(super) struct HardLinks(HashMap<(u64, u64), String>);

/// Whether BuildKit may ask for the content: sender and receiver have to agree on it.
pub(super) fn has_content(stat: &Stat) -> bool {
    stat.mode & go_mode::TYPE == 0
}

/// The record of an entry.
///
/// # Errors
/// When a name, link target or attribute is not UTF-8, or the entry cannot be looked at.
pub(super) fn stat(node: &Node, links: &mut HardLinks) -> Result<Stat, FileSyncError> {
    let not_utf8 = |what| FileSyncError::NotUtf8 {
        path: node.real_path(),
        what,
    };
    if !node.is_utf8 {
        return Err(not_utf8("path"));
    }
    let Place::Real { path, metadata } = &node.place else {
        return Ok(Stat {
            path: node.path.clone(),
            mode: go_mode::DIRECTORY | 0o755,
            ..Stat::default()
        });
    };
    let mut stat = Stat {
        path: node.path.clone(),
        mode: mode(metadata),
        mod_time: metadata
            .mtime()
            .wrapping_mul(1_000_000_000)
            .wrapping_add(metadata.mtime_nsec()),
        xattrs: attributes(path)?,
        ..Stat::default()
    };
    if metadata.is_dir() {
        return Ok(stat);
    }
    stat.size = i64::try_from(metadata.size()).unwrap_or(i64::MAX);
    let kind = metadata.file_type();
    if kind.is_block_device() || kind.is_char_device() {
        (stat.devmajor, stat.devminor) = device_numbers(metadata.rdev());
    }
    if metadata.is_symlink() {
        let target = path.read_link().map_err(FileSyncError::io("read the symlink", path))?;
        stat.linkname = target.into_os_string().into_string().map_err(|_| not_utf8("target"))?;
    } else if metadata.nlink() > 1 {
        match links.0.entry((metadata.dev(), metadata.ino())) {
            std::collections::hash_map::Entry::Occupied(first) => stat.linkname.clone_from(first.get()),
            std::collections::hash_map::Entry::Vacant(first) => drop(first.insert(node.path.clone())),
        }
    }
    Ok(stat)
}

/// Sockets lose their type, as they do for Docker: they arrive as empty files.
fn mode(metadata: &Metadata) -> u32 {
    let kind = metadata.file_type();
    let kind_bits = if kind.is_dir() {
        go_mode::DIRECTORY
    } else if kind.is_symlink() {
        go_mode::SYMLINK
    } else if kind.is_fifo() {
        go_mode::NAMED_PIPE
    } else if kind.is_block_device() {
        go_mode::DEVICE
    } else if kind.is_char_device() {
        go_mode::DEVICE | go_mode::CHARACTER_DEVICE
    } else {
        0
    };
    let unix = metadata.mode();
    [
        (0o4000, go_mode::SET_USER_ID),
        (0o2000, go_mode::SET_GROUP_ID),
        (0o1000, go_mode::STICKY),
    ]
    .into_iter()
    .filter(|(unix_bit, _)| unix & unix_bit != 0)
    .fold(kind_bits | unix & 0o777, |mode, (_, bit)| mode | bit)
}

/// Major and minor as fsutil cuts them out of Linux' `dev_t`.
fn device_numbers(device: u64) -> (i64, i64) {
    let numbers = ((device >> 8) & 0xfff, (device & 0xff) | ((device >> 12) & 0xf_ff00));
    (numbers.0.cast_signed(), numbers.1.cast_signed())
}

/// Extended attributes of the entry itself, not of what a symlink points to. One that cannot be read is left out.
fn attributes(path: &Path) -> Result<HashMap<String, Vec<u8>>, FileSyncError> {
    let names = match grow(|buffer| rustix::fs::llistxattr(path, buffer)) {
        Ok(names) => names,
        Err(Errno::NOTSUP) => return Ok(HashMap::new()),
        Err(error) => return Err(FileSyncError::io("list the extended attributes of", path)(error.into())),
    };
    let mut attributes = HashMap::new();
    for name in names.split(|byte| *byte == 0) {
        if name.is_empty() || name.starts_with(APPLE_ATTRIBUTES) {
            continue;
        }
        if let Ok(value) = grow(|buffer| rustix::fs::lgetxattr(path, name, buffer)) {
            let name = str::from_utf8(name).map_err(|_| FileSyncError::NotUtf8 {
                path: path.to_owned(),
                what: "extended attribute",
            })?;
            attributes.insert(name.to_owned(), value);
        }
    }
    Ok(attributes)
}

/// Calls with larger buffers until the answer fits.
fn grow(call: impl Fn(&mut [u8]) -> rustix::io::Result<usize>) -> rustix::io::Result<Vec<u8>> {
    // Most files have no attribute, most attributes are short; the kernel's own limit is 64 KiB.
    let mut buffer = vec![0; 256];
    loop {
        match call(&mut buffer) {
            Ok(length) => {
                buffer.truncate(length);
                return Ok(buffer);
            }
            Err(Errno::RANGE) => buffer.resize(buffer.len() * 4, 0),
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::super::{Tree, WalkOptions};
    use super::*;
    use rustix::fs::{XattrFlags, setxattr};

    #[test]
    fn extended_attributes_travel() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x");
        std::fs::write(&path, "").unwrap();
        let long = vec![7; 3000];
        for (name, value) in [
            ("user.short", &b"v"[..]),
            ("user.long", &long),
            ("user.com.apple.kept", b""),
        ] {
            setxattr(&path, name, value, XattrFlags::empty()).unwrap();
        }
        let tree = Tree::new(directory.path().to_owned(), vec![]).unwrap();
        let entry = tree.walk(&WalkOptions::default()).unwrap().next().unwrap().unwrap();
        let mut sent: Vec<_> = entry
            .stat
            .xattrs
            .into_iter()
            .filter(|(name, _)| name.starts_with("user."))
            .collect();
        sent.sort();
        let expected = [
            ("user.com.apple.kept", vec![]),
            ("user.long", long),
            ("user.short", b"v".to_vec()),
        ];
        assert_eq!(sent, expected.map(|(name, value)| (name.to_owned(), value)));
    }

    #[test]
    fn device_numbers_are_cut_as_fsutil_does() {
        for (device, expected) in [(0x0103, (1, 3)), (0x0801, (8, 1)), (0x0010_0805, (8, 0x105))] {
            assert_eq!(device_numbers(device), expected, "{device:#x}");
        }
    }
}
