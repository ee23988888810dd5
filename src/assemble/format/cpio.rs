//! cpio as the kernel reads it (`newc`, Linux, Documentation/driver-api/early-userspace/buffer-format.rst).
//!
//! Names of one file are hard links: the first has the bytes, the others its inode number. Extended attributes have no
//! place in it.

use crate::layers::{Kind, Member, Path};
use std::collections::BTreeMap;
use std::io::{self, Write};

const MAGIC: &str = "070701";
const TRAILER: &[u8] = b"TRAILER!!!";
/// Names and bytes begin at multiples of this, in bytes.
const ALIGNMENT: usize = 4;
/// The end is filled up to a multiple of this, in bytes, as other writers do.
const BLOCK_BYTES: u64 = 512;

/// Writes entries one after the other: [`Self::begin`], [`Self::data`], [`Self::end`]; and at last [`Self::finish`].
pub(super) struct Cpio<W> {
    out: W,
    written: u64,
    left: u64,
    inodes: u32,
    /// The numbers of files, by path: a hard link names its file so.
    files: BTreeMap<Path, u32>,
}

impl<W: Write> Cpio<W> {
    pub(super) fn new(out: W) -> Self {
        Self {
            out,
            written: 0,
            left: 0,
            inodes: 0,
            files: BTreeMap::new(),
        }
    }

    pub(super) fn begin(&mut self, path: &[u8], member: &Member) -> io::Result<()> {
        let (kind, size, device, text): (u32, u64, (u32, u32), &[u8]) = match &member.kind {
            Kind::File | Kind::HardLink(_) => (0o100_000, member.size, (0, 0), b""),
            Kind::Directory => (0o040_000, 0, (0, 0), b""),
            Kind::Symlink(target) => (0o120_000, target.len() as u64, (0, 0), target),
            Kind::Character(major, minor) => (0o020_000, 0, (*major, *minor), b""),
            Kind::Block(major, minor) => (0o060_000, 0, (*major, *minor), b""),
            Kind::Fifo => (0o010_000, 0, (0, 0), b""),
        };
        let inode = self.inode(path, member)?;
        self.header(path, kind | member.mode, member, inode, size, device)?;
        self.left = size - text.len() as u64;
        self.write(text)?;
        if self.left == 0 {
            self.align()?;
        }
        Ok(())
    }

    pub(super) fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.left = self.left.saturating_sub(bytes.len() as u64);
        self.write(bytes)
    }

    pub(super) fn end(&mut self) -> io::Result<()> {
        self.align()
    }

    pub(super) fn finish(mut self) -> io::Result<W> {
        let nothing = Member::new(Kind::File, 0, 0, 0);
        self.header(TRAILER, 0, &nothing, 0, 0, (0, 0))?;
        while !self.written.is_multiple_of(BLOCK_BYTES) {
            self.write(&[0; ALIGNMENT])?;
        }
        Ok(self.out)
    }

    /// The number of a file. Only of a file that is said to have several names the kernel remembers where it is, which takes
    /// it a page each.
    fn inode(&mut self, path: &[u8], member: &Member) -> io::Result<u32> {
        if let Kind::HardLink(target) = &member.kind {
            let name = String::from_utf8_lossy(target);
            let gone = || io::Error::other(format!("a hard link to {name}, which is not there"));
            return self.files.get(target).copied().ok_or_else(gone);
        }
        self.inodes += 1;
        if member.kind == Kind::File && member.links > 1 {
            self.files.insert(path.to_vec(), self.inodes);
        }
        Ok(self.inodes)
    }

    fn header(
        &mut self,
        path: &[u8],
        mode: u32,
        member: &Member,
        inode: u32,
        size: u64,
        (major, minor): (u32, u32),
    ) -> io::Result<()> {
        let number = |number: u64, what: &str| {
            u32::try_from(number).map_err(|_| {
                let path = String::from_utf8_lossy(path);
                io::Error::other(format!("{path}: its {what}, {number}, is more than cpio can hold"))
            })
        };
        let fields = [
            inode,
            mode,
            number(member.uid, "owner")?,
            number(member.gid, "group")?,
            member.links,
            number(member.mtime, "time")?,
            number(size, "size")?,
            0,
            0,
            major,
            minor,
            number(path.len() as u64 + 1, "name")?,
            0,
        ];
        let mut header = MAGIC.to_owned();
        for field in fields {
            header.push_str(&format!("{field:08X}"));
        }
        self.write(header.as_bytes())?;
        self.write(path)?;
        self.write(b"\0")?;
        self.align()
    }

    fn align(&mut self) -> io::Result<()> {
        let over = (self.written % ALIGNMENT as u64) as usize;
        self.write(&[0; ALIGNMENT][..(ALIGNMENT - over) % ALIGNMENT])
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.written += bytes.len() as u64;
        self.out.write_all(bytes)
    }
}
