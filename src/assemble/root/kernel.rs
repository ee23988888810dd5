//! The kernel's image: the kernel, its tar file of modules, its command line, microcode.

use super::image::Unpacked;
use super::stream::{Origin, Stream};
use super::{AssembleError, Inputs, TIME};
use crate::layers::{Content, FileSystem, Kind, LayersError, Listed, Member, Spool};
use crate::oci::Digest;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

/// The names of files in a kernel's image, unless the YAML has others.
const KERNEL: &str = "kernel";
const TAR: &str = "kernel.tar";

/// Writes `boot`, and gives the kernel's tar file, unpacked.
pub(super) fn write(
    inputs: &Inputs,
    unpacked: Unpacked,
    origin: &Origin,
    stream: &mut Stream<'_>,
) -> Result<Option<(Spool, Vec<Listed>)>, AssembleError> {
    let yaml = &inputs.yaml.kernel;
    let failed = |reason: String| AssembleError::Image {
        image: origin.source.clone(),
        location: origin.location.clone(),
        reason,
    };
    let files = FileSystem::new(unpacked.flattener, unpacked.spools);
    let name = |name: &str, usual: &'static str| match name {
        "" => usual.to_owned(),
        name => name.trim_start_matches('/').to_owned(),
    };
    let binary = name(&yaml.binary, KERNEL);
    let Some((kernel, mut content)) = regular(&files, &binary)? else {
        let message = format!("has no kernel: there is no file {binary}; `kernel.binary` names another");
        return Err(failed(message));
    };
    stream.directory("boot", origin)?;
    stream.file("boot/cmdline", yaml.cmdline.as_bytes(), origin)?;
    let mut member = Member::new(Kind::File, kernel.mode, TIME, kernel.size);
    match inputs.decompress_kernel {
        true => {
            let plain = decompress(content, kernel.size, &inputs.scratch);
            let mut plain = plain.map_err(|error| failed(format!("has a kernel that cannot be unpacked: {error}")))?;
            member.size = plain.seek(SeekFrom::End(0))?;
            plain.seek(SeekFrom::Start(0))?;
            stream.entry(b"boot/kernel", &member, origin, &mut plain)?;
        }
        false => stream.entry(b"boot/kernel", &member, origin, &mut content)?,
    }
    if let Some(ucode) = yaml.ucode.as_deref().filter(|ucode| !ucode.is_empty()) {
        let ucode = ucode.trim_start_matches('/');
        let Some((found, mut content)) = regular(&files, ucode)? else {
            return Err(failed(format!("has no microcode: there is no file {ucode}")));
        };
        let member = Member::new(Kind::File, found.mode, TIME, found.size);
        stream.entry(b"boot/ucode.cpio", &member, origin, &mut content)?;
    }
    let tar = match yaml.tar.as_deref() {
        Some("" | "none") => return Ok(None),
        Some(tar) => tar.trim_start_matches('/'),
        None => TAR,
    };
    let Some((_, content)) = regular(&files, tar)? else {
        let message = format!("has no file {tar} to unpack into the root; `kernel.tar` names another, or `none`");
        return Err(failed(message));
    };
    let digest = Digest::of(tar.as_bytes());
    match Spool::read(content, &digest, &inputs.scratch) {
        Ok(spooled) => Ok(Some(spooled)),
        Err(LayersError::Layer { source, .. }) => Err(failed(format!("has a {tar} that cannot be unpacked: {source}"))),
        Err(LayersError::Scratch { source, .. }) => Err(AssembleError::Scratch(source)),
    }
}

fn regular<'a>(files: &'a FileSystem, path: &str) -> Result<Option<(Member, Content<'a>)>, AssembleError> {
    let found = files.file(path.as_bytes())?;
    Ok(found.filter(|(member, _)| member.kind == Kind::File))
}

/// Where the header of an x86 kernel says that it is one (Linux, Documentation/arch/x86/boot.rst).
const HEADER: usize = 0x202;
const SETUP_SECTORS: usize = 0x1f1;
const PAYLOAD_OFFSET: usize = 0x248;
const PAYLOAD_LENGTH: usize = 0x24c;
/// How much of a kernel its header takes, in bytes.
const HEADER_BYTES: usize = 0x250;
const SECTOR_BYTES: u64 = 512;

/// The kernel without its compression, in a temporary file: of a bzImage its payload, else the whole file.
fn decompress(mut kernel: impl Read, size: u64, scratch: &std::path::Path) -> io::Result<File> {
    let mut head = vec![0; HEADER_BYTES.min(usize::try_from(size).unwrap_or(HEADER_BYTES))];
    kernel.read_exact(&mut head)?;
    let number = |at: usize| {
        head.get(at..at + 4)
            .and_then(|bytes| Some(u32::from_le_bytes(bytes.try_into().ok()?)))
    };
    let mut out = tempfile::tempfile_in(scratch)?;
    let whole = io::Cursor::new(head.clone()).chain(kernel);
    let is_image = head.get(HEADER..HEADER + 4) == Some(b"HdrS");
    let (Some(offset), Some(length), true) = (number(PAYLOAD_OFFSET), number(PAYLOAD_LENGTH), is_image) else {
        unpack(whole, &mut out)?;
        return Ok(out);
    };
    let skipped = (u64::from(head[SETUP_SECTORS]) + 1) * SECTOR_BYTES + u64::from(offset);
    if skipped + u64::from(length) > size {
        return Err(invalid("the payload of the bzImage goes beyond its end"));
    }
    let mut whole = whole;
    io::copy(&mut whole.by_ref().take(skipped), &mut io::sink())?;
    unpack(whole.take(u64::from(length)), &mut out)?;
    Ok(out)
}

/// Unpacks one compressed stream; what follows it (the size that the kernel's build appends) is passed over.
fn unpack(stream: impl Read, out: &mut File) -> io::Result<()> {
    let mut stream = io::BufReader::new(stream);
    let mut magic = [0; 6];
    {
        let start = io::BufRead::fill_buf(&mut stream)?;
        let count = start.len().min(magic.len());
        magic[..count].copy_from_slice(&start[..count]);
    }
    let mut reader: Box<dyn Read + '_> = match magic {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::GzDecoder::new(stream)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd::Decoder::with_buffer(stream)?.single_frame()),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => return Err(invalid("it is compressed with xz, which is not known yet")),
        [0x02, 0x21, 0x4c, 0x18, ..] => return Err(invalid("it is compressed with lz4, which is not known yet")),
        _ => {
            return Err(invalid(
                "it is not compressed, or in a way that is not known: gzip and zstd are",
            ));
        }
    };
    io::copy(&mut reader, out)?;
    Ok(())
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}
