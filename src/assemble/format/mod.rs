//! Formats: what becomes of the root file system. One file a format; all take the same entries, each once.

mod cpio;
mod gzip;
mod initrd;
mod output;
mod tar;

pub use output::Destination;
pub(super) use output::Finished;

use super::AssembleError;
use super::root::Origin;
use crate::layers::Member;
use initrd::{KernelInitrd, TarKernelInitrd};

use std::path::Path;

/// The formats there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FormatKind {
    /// The root file system as tar, with records of where each file comes from.
    Tar,
    /// The same with a Dockerfile.
    Docker,
    /// Kernel, initial RAM disk and command line in one tar file.
    TarKernelInitrd,
    /// Kernel, initial RAM disk and command line as files.
    KernelInitrd,
}

/// Formats of linuxkit that are not built yet.
const LATER: [&str; 16] = [
    "kernel+squashfs",
    "kernel+erofs",
    "kernel+iso",
    "iso-bios",
    "iso-efi",
    "iso-efi-initrd",
    "raw-bios",
    "raw-efi",
    "qcow2-bios",
    "qcow2-efi",
    "vhd",
    "dynamic-vhd",
    "vmdk",
    "aws",
    "gcp",
    "rpi3",
];

impl FormatKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Tar, Self::Docker, Self::TarKernelInitrd, Self::KernelInitrd];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tar => "tar",
            Self::Docker => "docker",
            Self::TarKernelInitrd => "tar-kernel-initrd",
            Self::KernelInitrd => "kernel+initrd",
        }
    }

    /// The format of this name.
    ///
    /// # Errors
    /// There is none; the error lists those there are.
    pub fn find(name: &str) -> Result<Self, AssembleError> {
        if let Some(found) = Self::ALL.into_iter().find(|kind| kind.name() == name) {
            return Ok(found);
        }
        let all = Self::ALL.map(Self::name).join(", ");
        let what = match LATER.contains(&name) {
            true => format!("the format {name} is not built yet"),
            false => format!("there is no format {name}"),
        };
        Err(AssembleError::Format(format!("{what}; there are {all}")))
    }

    /// Whether it is one stream, which can go to standard output.
    pub fn is_stream(self) -> bool {
        matches!(self, Self::Tar | Self::Docker)
    }

    /// Whether there is nothing to boot without a kernel.
    pub fn needs_kernel(self) -> bool {
        !self.is_stream()
    }
}

/// How an initial RAM disk is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// gzip, on all cores; every kernel reads it.
    #[default]
    Gzip,
    /// zstd, which is faster to write and to read; kernels since 5.9 read it.
    Zstd,
    /// Not at all.
    None,
}

/// A format that is being written.
pub struct Format(Writer);

enum Writer {
    Tar(tar::Tar),
    KernelInitrd(Box<KernelInitrd>),
    TarKernelInitrd(Box<TarKernelInitrd>),
}

impl Format {
    /// Begins a format. Nothing has its final name before [`super::assemble`] has written everything.
    pub fn begin_at(
        kind: FormatKind,
        destination: Destination,
        compression: Compression,
    ) -> Result<Self, AssembleError> {
        Ok(Self(match kind {
            FormatKind::Tar => Writer::Tar(tar::Tar::begin(destination.with(".tar")?, false)),
            FormatKind::Docker => Writer::Tar(tar::Tar::begin(destination.with(".docker")?, true)),
            FormatKind::KernelInitrd => Writer::KernelInitrd(Box::new(KernelInitrd::begin(&destination, compression)?)),
            FormatKind::TarKernelInitrd => {
                Writer::TarKernelInitrd(Box::new(TarKernelInitrd::begin(&destination, compression)?))
            }
        }))
    }

    /// An entry; its bytes follow.
    pub(super) fn begin(&mut self, path: &[u8], member: &Member, origin: &Origin) -> Result<(), AssembleError> {
        match &mut self.0 {
            Writer::Tar(tar) => tar.entry(path, member, origin),
            Writer::KernelInitrd(format) => format.parts.begin(path, member),
            Writer::TarKernelInitrd(format) => format.parts.begin(path, member),
        }
    }

    /// Some of its bytes.
    pub(super) fn data(&mut self, bytes: &[u8]) -> Result<(), AssembleError> {
        match &mut self.0 {
            Writer::Tar(tar) => tar.data(bytes),
            Writer::KernelInitrd(format) => format.parts.data(bytes),
            Writer::TarKernelInitrd(format) => format.parts.data(bytes),
        }
    }

    /// The end of its bytes.
    pub(super) fn end(&mut self) -> Result<(), AssembleError> {
        match &mut self.0 {
            Writer::Tar(tar) => tar.end(),
            Writer::KernelInitrd(format) => format.parts.end(),
            Writer::TarKernelInitrd(format) => format.parts.end(),
        }
    }

    /// Everything has been written.
    pub(super) fn finish(self) -> Result<Vec<Finished>, AssembleError> {
        match self.0 {
            Writer::Tar(tar) => Ok(vec![tar.finish()?]),
            Writer::KernelInitrd(format) => format.finish(),
            Writer::TarKernelInitrd(format) => Ok(vec![format.finish()?]),
        }
    }
}

/// Maps an error of an output's.
fn failed(path: &Path) -> impl Fn(std::io::Error) -> AssembleError + use<> {
    let path = path.to_owned();
    move |source| AssembleError::output(&path, source)
}
