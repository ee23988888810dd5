//! A document while it is made: in memory while it is small, in a temporary file when it grows. [`Spool`].

use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use tempfile::SpooledTempFile;

/// What is kept in memory of each, in bytes: enough for all but the largest documents, and small against a dozen of them.
const HELD_BYTES_MAX: usize = 8 << 20;

/// Bytes that are written once, and then read once. The temporary file has no name: it goes with the process.
#[derive(Debug)]
pub struct Spool(BufWriter<SpooledTempFile>);

impl Default for Spool {
    fn default() -> Self {
        Self(BufWriter::new(SpooledTempFile::new(HELD_BYTES_MAX)))
    }
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Spool {
    /// The bytes from their beginning.
    pub fn into_reader(self) -> io::Result<impl Read + Send + 'static> {
        let mut file = self.0.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.seek(SeekFrom::Start(0))?;
        Ok(file)
    }

    /// Writes all of it to `out`.
    pub fn copy_to(self, out: &mut (impl Write + ?Sized)) -> io::Result<()> {
        io::copy(&mut self.into_reader()?, out)?;
        Ok(())
    }
}
