//! Where formats are written: files that appear when everything is whole, or a stream.

use crate::assemble::AssembleError;
use crate::fsx::{self, beside};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// How much is written at a time, in bytes.
const CHUNK_BYTES: usize = 256 << 10;

/// Where a format goes.
pub enum Destination {
    /// Files whose names begin so; each format has its own endings.
    Base(PathBuf),
    /// The one file of a format that has one.
    File(PathBuf),
    /// A stream: standard output, say.
    Stream(Box<dyn Write + Send>),
}

impl Destination {
    /// The output of a format that is one file.
    pub(super) fn with(self, ending: &str) -> Result<Output, AssembleError> {
        match self {
            Self::Base(base) => Output::file(ended(&base, ending)),
            Self::File(path) => Output::file(path),
            Self::Stream(stream) => Ok(Output {
                path: PathBuf::from("<stdout>"),
                to: To::Stream(BufWriter::with_capacity(CHUNK_BYTES, stream)),
            }),
        }
    }

    /// One of the outputs of a format that is several files.
    pub(super) fn one_of(&self, ending: &str) -> Result<Output, AssembleError> {
        match self {
            Self::Base(base) | Self::File(base) => Output::file(ended(base, ending)),
            Self::Stream(_) => Err(AssembleError::Format(
                "a format of several files is no stream".to_owned(),
            )),
        }
    }
}

fn ended(base: &Path, ending: &str) -> PathBuf {
    let mut path = base.as_os_str().to_owned();
    path.push(ending);
    path.into()
}

/// A file, or a stream, that is written.
pub(super) struct Output {
    pub(super) path: PathBuf,
    to: To,
}

enum To {
    File(BufWriter<NamedTempFile>),
    Stream(BufWriter<Box<dyn Write + Send>>),
    /// A pipe or a device has no place beside it to write to first.
    Special(BufWriter<File>),
}

/// What is whole, and waits for the others.
pub(in crate::assemble) enum Finished {
    File(NamedTempFile, PathBuf),
    Stream,
}

impl Output {
    fn file(path: PathBuf) -> Result<Self, AssembleError> {
        let failed = |source: io::Error| AssembleError::output(&path, without_name(&source));
        let to = match path.exists() && !path.is_file() {
            true if path.is_dir() => return Err(failed(io::ErrorKind::IsADirectory.into())),
            true => {
                let file = File::options().write(true).open(&path).map_err(failed)?;
                To::Special(BufWriter::with_capacity(CHUNK_BYTES, file))
            }
            false => To::File(BufWriter::with_capacity(CHUNK_BYTES, beside(&path).map_err(failed)?)),
        };
        Ok(Self { path, to })
    }

    /// Nothing more is written.
    pub(super) fn finish(self) -> Result<Finished, AssembleError> {
        let failed = super::failed(&self.path);
        match self.to {
            To::File(file) => {
                let file = file.into_inner().map_err(|error| failed(error.into_error()))?;
                Ok(Finished::File(file, self.path))
            }
            To::Stream(mut stream) => stream.flush().map(|()| Finished::Stream).map_err(failed),
            To::Special(mut file) => file.flush().map(|()| Finished::Stream).map_err(failed),
        }
    }
}

/// What the system says, without the temporary file's name, which helps nobody.
fn without_name(error: &io::Error) -> io::Error {
    let text = error.to_string();
    io::Error::new(
        error.kind(),
        text.split(" at path ").next().unwrap_or_default().to_owned(),
    )
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.to {
            To::File(file) => file.write(bytes),
            To::Stream(stream) => stream.write(bytes),
            To::Special(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.to {
            To::File(file) => file.flush(),
            To::Stream(stream) => stream.flush(),
            To::Special(file) => file.flush(),
        }
    }
}

impl Finished {
    /// Gives it its final name. A stream has none.
    pub(in crate::assemble) fn appear(self) -> Result<Option<PathBuf>, AssembleError> {
        let Self::File(file, path) = self else {
            return Ok(None);
        };
        let failed = |source| AssembleError::output(&path, source);
        file.as_file().sync_all().map_err(failed)?;
        file.persist(&path).map_err(|error| failed(error.error))?;
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        // What was renamed is there; that it also outlives a crash is wished for only.
        let _ = fsx::sync_directory(directory.unwrap_or(Path::new(".")));
        Ok(Some(path))
    }
}
