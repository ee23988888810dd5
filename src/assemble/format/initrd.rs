//! `kernel+initrd` and `tar-kernel-initrd`: the kernel, its command line, and the root as an initial RAM disk.
//!
//! Microcode comes first in the disk, uncompressed: the kernel looks for it there before it can unpack anything.

use super::cpio::Cpio;
use super::gzip::Gzip;
use super::output::{Destination, Finished, Output};
use super::{AssembleError, Compression, failed};
use crate::layers::{Kind, Member, TarWriter};
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The time of members of `tar-kernel-initrd`, linuxkit's.
const TIME: u64 = 1_492_533_000;
/// How much is copied at a time, in bytes.
const CHUNK_BYTES: usize = 256 << 10;

/// The root, taken apart. Each part is a temporary file.
pub(super) struct Parts {
    kernel: File,
    ucode: File,
    cmdline: Vec<u8>,
    disk: Cpio<Compressor>,
    /// For errors.
    path: PathBuf,
    current: Part,
}

#[derive(Clone, Copy)]
enum Part {
    Kernel,
    Cmdline,
    Ucode,
    Disk,
    Nothing,
}

/// What is left of them.
struct Whole {
    kernel: File,
    ucode: File,
    cmdline: Vec<u8>,
    disk: File,
}

impl Parts {
    fn begin_in(path: PathBuf, compression: Compression) -> Result<Self, AssembleError> {
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = directory.unwrap_or(Path::new("."));
        let temporary = || tempfile::tempfile_in(directory).map_err(failed(&path));
        let disk = Compressor::new(temporary()?, compression).map_err(failed(&path))?;
        Ok(Self {
            kernel: temporary()?,
            ucode: temporary()?,
            cmdline: Vec::new(),
            disk: Cpio::new(disk),
            current: Part::Nothing,
            path,
        })
    }

    pub(super) fn begin(&mut self, path: &[u8], member: &Member) -> Result<(), AssembleError> {
        self.current = match path {
            b"boot/kernel" => Part::Kernel,
            b"boot/cmdline" => Part::Cmdline,
            b"boot/ucode.cpio" => Part::Ucode,
            // What else is there is for those who boot from a disk.
            path if path.starts_with(b"boot/") => Part::Nothing,
            path => {
                self.disk.begin(path, member).map_err(failed(&self.path))?;
                Part::Disk
            }
        };
        Ok(())
    }

    pub(super) fn data(&mut self, bytes: &[u8]) -> Result<(), AssembleError> {
        let written = match self.current {
            Part::Kernel => self.kernel.write_all(bytes),
            Part::Ucode => self.ucode.write_all(bytes),
            Part::Disk => self.disk.data(bytes),
            Part::Cmdline => {
                self.cmdline.extend_from_slice(bytes);
                Ok(())
            }
            Part::Nothing => Ok(()),
        };
        written.map_err(failed(&self.path))
    }

    pub(super) fn end(&mut self) -> Result<(), AssembleError> {
        match self.current {
            Part::Disk => self.disk.end().map_err(failed(&self.path)),
            _ => Ok(()),
        }
    }

    fn finish(self) -> Result<Whole, AssembleError> {
        let failed = failed(&self.path);
        let finish = || -> io::Result<Whole> {
            let mut whole = Whole {
                disk: self.disk.finish()?.finish()?,
                kernel: self.kernel,
                ucode: self.ucode,
                cmdline: self.cmdline,
            };
            for file in [&mut whole.kernel, &mut whole.ucode, &mut whole.disk] {
                file.seek(SeekFrom::Start(0))?;
            }
            Ok(whole)
        };
        finish().map_err(failed)
    }
}

/// Files: `NAME-kernel`, `NAME-initrd.img`, `NAME-cmdline`.
pub(super) struct KernelInitrd {
    pub(super) parts: Parts,
    kernel: Output,
    disk: Output,
    cmdline: Output,
}

impl KernelInitrd {
    pub(super) fn begin(destination: &Destination, compression: Compression) -> Result<Self, AssembleError> {
        let disk = destination.one_of("-initrd.img")?;
        Ok(Self {
            parts: Parts::begin_in(disk.path.clone(), compression)?,
            kernel: destination.one_of("-kernel")?,
            cmdline: destination.one_of("-cmdline")?,
            disk,
        })
    }

    pub(super) fn finish(self) -> Result<Vec<Finished>, AssembleError> {
        let Self {
            parts,
            mut kernel,
            mut disk,
            mut cmdline,
        } = self;
        let mut whole = parts.finish()?;
        let cmdline_bytes = whole.cmdline.len() as u64;
        let kernel_bytes = copy(&mut whole.kernel, &mut kernel)?;
        copy(&mut whole.ucode, &mut disk)?;
        copy(&mut whole.disk, &mut disk)?;
        copy(&mut whole.cmdline.as_slice(), &mut cmdline)?;
        // Where there is no kernel, there are no files of it.
        let whole = [(kernel, kernel_bytes > 0), (disk, true), (cmdline, cmdline_bytes > 0)];
        let there = whole.into_iter().filter(|(_, is_there)| *is_there);
        there.map(|(output, _)| output.finish()).collect()
    }
}

/// One file, `NAME-initrd.tar`, with `kernel`, `initrd.img`, `cmdline` and `ucode.cpio`.
pub(super) struct TarKernelInitrd {
    pub(super) parts: Parts,
    output: Output,
}

impl TarKernelInitrd {
    pub(super) fn begin(destination: &Destination, compression: Compression) -> Result<Self, AssembleError> {
        let output = destination.one_of("-initrd.tar")?;
        Ok(Self {
            parts: Parts::begin_in(output.path.clone(), compression)?,
            output,
        })
    }

    pub(super) fn finish(self) -> Result<Finished, AssembleError> {
        let path = self.output.path.clone();
        let mut whole = self.parts.finish()?;
        let write = || -> io::Result<Output> {
            let mut tar = TarWriter::new(self.output);
            let mut cmdline = io::Cursor::new(whole.cmdline);
            let members: [(&str, &mut dyn ReadSeek); 4] = [
                ("kernel", &mut whole.kernel),
                ("initrd.img", &mut whole.disk),
                ("cmdline", &mut cmdline),
                ("ucode.cpio", &mut whole.ucode),
            ];
            let mut buffer = vec![0; CHUNK_BYTES];
            for (name, content) in members {
                let size = content.seek(SeekFrom::End(0))?;
                content.seek(SeekFrom::Start(0))?;
                if size == 0 {
                    continue;
                }
                tar.begin(name.as_bytes(), &Member::new(Kind::File, 0o644, TIME, size))?;
                while let count @ 1.. = content.read(&mut buffer)? {
                    tar.data(&buffer[..count])?;
                }
                tar.end()?;
            }
            tar.finish()
        };
        write().map_err(failed(&path))?.finish()
    }
}

trait ReadSeek: io::Read + Seek {}
impl<T: io::Read + Seek> ReadSeek for T {}

fn copy(from: &mut dyn io::Read, to: &mut Output) -> Result<u64, AssembleError> {
    let path = to.path.clone();
    io::copy(from, to).map_err(failed(&path))
}

/// Compresses into a file.
enum Compressor {
    Gzip(Box<Gzip<Sink>>),
    Zstd(zstd::Encoder<'static, File>),
    None(io::BufWriter<File>),
}

/// A file, or, when it has been taken, none.
#[derive(Default)]
struct Sink(Option<File>);

/// How well zstd compresses: at this level it is as fast as layers are unpacked.
const ZSTD_LEVEL: i32 = 3;

impl Compressor {
    fn new(file: File, compression: Compression) -> io::Result<Self> {
        Ok(match compression {
            Compression::Gzip => Self::Gzip(Box::new(Gzip::new(Sink(Some(file)))?)),
            Compression::Zstd => {
                let mut encoder = zstd::Encoder::new(file, ZSTD_LEVEL)?;
                encoder.include_checksum(true)?;
                Self::Zstd(encoder)
            }
            Compression::None => Self::None(io::BufWriter::with_capacity(CHUNK_BYTES, file)),
        })
    }

    fn finish(self) -> io::Result<File> {
        match self {
            Self::Gzip(gzip) => gzip.finish()?.0.ok_or_else(|| io::Error::other("the file is gone")),
            Self::Zstd(encoder) => encoder.finish(),
            Self::None(file) => file.into_inner().map_err(io::IntoInnerError::into_error),
        }
    }
}

impl Write for Compressor {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Gzip(gzip) => gzip.write(bytes),
            Self::Zstd(encoder) => encoder.write(bytes),
            Self::None(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Gzip(gzip) => gzip.flush(),
            Self::Zstd(encoder) => encoder.flush(),
            Self::None(file) => file.flush(),
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.as_mut().map_or(Ok(bytes.len()), |file| file.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
