//! Tar as lkpkg writes it: plain ustar headers, PAX records where they do not suffice, the same bytes every time.

use super::member::{Kind, Member};
use std::collections::BTreeMap;
use std::io::{self, Write};
use tar::{EntryType, Header};

/// Size of a block, in bytes.
const BLOCK_BYTES: usize = 512;
/// The longest path or link that a plain header holds, in bytes; longer ones go into a PAX record.
const HEADER_NAME_BYTES: usize = 100;
/// The largest owner that a plain header holds: seven octal digits.
const HEADER_ID_MAX: u64 = 0o7_777_777;
/// The largest size that a plain header holds, in bytes: eleven octal digits.
const HEADER_SIZE_MAX: u64 = 0o77_777_777_777;

/// Writes entries one after the other: [`Self::begin`], its bytes in [`Self::data`], [`Self::end`]; and at last
/// [`Self::finish`].
pub struct TarWriter<W> {
    out: W,
    written: u64,
    left: u64,
    padding: usize,
}

impl<W: Write> TarWriter<W> {
    /// Nothing is written yet.
    pub fn new(out: W) -> Self {
        Self {
            out,
            written: 0,
            left: 0,
            padding: 0,
        }
    }

    /// How many bytes have been written.
    pub(super) fn position(&self) -> u64 {
        self.written
    }

    /// Begins an entry. `path` has no slash at its end; directories get one.
    pub fn begin(&mut self, path: &[u8], member: &Member) -> io::Result<()> {
        let mut records = member.records.clone();
        let mut header = Header::new_ustar();
        let mut link = None;
        let kind = match &member.kind {
            Kind::File => EntryType::Regular,
            Kind::Directory => EntryType::Directory,
            Kind::Symlink(target) => {
                link = Some(target);
                EntryType::Symlink
            }
            Kind::HardLink(target) => {
                link = Some(target);
                EntryType::Link
            }
            Kind::Character(major, minor) => {
                header.set_device_major(*major)?;
                header.set_device_minor(*minor)?;
                EntryType::Char
            }
            Kind::Block(major, minor) => {
                header.set_device_major(*major)?;
                header.set_device_minor(*minor)?;
                EntryType::Block
            }
            Kind::Fifo => EntryType::Fifo,
        };
        header.set_entry_type(kind);
        header.set_mode(member.mode & 0o7777);
        header.set_mtime(member.mtime);
        header.set_uid(fitting("uid", member.uid, HEADER_ID_MAX, &mut records));
        header.set_gid(fitting("gid", member.gid, HEADER_ID_MAX, &mut records));
        header.set_size(fitting("size", member.size, HEADER_SIZE_MAX, &mut records));
        // Names of users longer than their field cannot have come from one.
        let _ = std::str::from_utf8(&member.user).map(|name| header.set_username(name));
        let _ = std::str::from_utf8(&member.group).map(|name| header.set_groupname(name));
        let path = match member.kind {
            Kind::Directory => [path, b"/"].concat(),
            _ => path.to_vec(),
        };
        set_name(&mut header.as_old_mut().name, "path", &path, &mut records);
        if let Some(link) = link {
            set_name(&mut header.as_old_mut().linkname, "linkpath", link, &mut records);
        }
        header.set_cksum();
        if !records.is_empty() {
            self.write_records(&records)?;
        }
        self.write(header.as_bytes())?;
        self.left = member.size;
        self.padding = padding(member.size);
        Ok(())
    }

    /// Some of the bytes of the entry that was begun.
    pub fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(left) = self.left.checked_sub(bytes.len() as u64) else {
            return Err(io::Error::other("a file has more bytes than it was said to have"));
        };
        self.left = left;
        self.write(bytes)
    }

    /// Ends the entry.
    pub fn end(&mut self) -> io::Result<()> {
        if self.left != 0 {
            let message = format!("a file ends {} bytes too early", self.left);
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
        }
        let padding = std::mem::take(&mut self.padding);
        self.write(&[0; BLOCK_BYTES][..padding])
    }

    /// Writes the end of the archive and gives the output back, flushed.
    pub fn finish(mut self) -> io::Result<W> {
        self.write(&[0; 2 * BLOCK_BYTES])?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.written += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    /// Writes a PAX header. Unlike the tar crate's, it is the same in every process and has a plain ustar header.
    fn write_records(&mut self, records: &BTreeMap<String, Vec<u8>>) -> io::Result<()> {
        let data: Vec<u8> = records.iter().flat_map(|(key, value)| record(key, value)).collect();
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::XHeader);
        header.set_size(data.len() as u64);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_cksum();
        self.write(header.as_bytes())?;
        self.write(&data)?;
        self.write(&[0; BLOCK_BYTES][..padding(data.len() as u64)])
    }
}

fn padding(size: u64) -> usize {
    let over = (size % BLOCK_BYTES as u64) as usize;
    (BLOCK_BYTES - over) % BLOCK_BYTES
}

/// A number for its field; one that is too large for it goes into a PAX record.
fn fitting(key: &str, number: u64, most: u64, records: &mut BTreeMap<String, Vec<u8>>) -> u64 {
    if number <= most {
        return number;
    }
    records.insert(key.to_owned(), number.to_string().into_bytes());
    0
}

/// Puts a name into its field of the header, and into a PAX record when it is too long for that.
fn set_name(field: &mut [u8; HEADER_NAME_BYTES], key: &str, name: &[u8], records: &mut BTreeMap<String, Vec<u8>>) {
    let length = name.len().min(field.len());
    field[..length].copy_from_slice(&name[..length]);
    if name.len() > field.len() {
        records.insert(key.to_owned(), name.to_vec());
    }
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

    #[test]
    fn a_file_has_the_bytes_that_it_was_said_to_have() {
        let mut tar = TarWriter::new(Vec::new());
        let member = Member::new(Kind::File, 0o644, 0, 3);
        assert!(tar.begin(b"a", &member).and_then(|()| tar.data(b"ab")).is_ok());
        assert!(tar.end().is_err());
        assert!(tar.data(b"cd").is_err());
    }
}
