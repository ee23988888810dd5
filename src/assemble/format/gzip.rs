//! gzip on all cores: pieces are compressed apart and put together to one stream, the same bytes with any number of cores.

use flate2::Compression;
use flate2::write::DeflateEncoder;
use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, available_parallelism};

/// Size of a piece, in bytes: large enough that cutting costs next to nothing.
const PIECE_BYTES: usize = 1 << 20;
/// How well is compressed: as linuxkit and gzip do by themselves.
const LEVEL: u32 = 6;
/// Pieces on their way, for each thread: one in work and one that waits.
const PIECES_A_THREAD: usize = 2;
/// Magic, deflate, no flags, no time, no hints, and "unknown" for the system (RFC 1952).
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

struct Piece {
    bytes: Vec<u8>,
    is_last: bool,
    done: Sender<io::Result<Vec<u8>>>,
}

/// Compresses what is written to it.
pub(super) struct Gzip<W> {
    out: W,
    piece: Vec<u8>,
    /// Compressed pieces in their order.
    waiting: VecDeque<Receiver<io::Result<Vec<u8>>>>,
    work: Option<Sender<Piece>>,
    threads: Vec<JoinHandle<()>>,
    crc: flate2::Crc,
}

impl<W: Write> Gzip<W> {
    pub(super) fn new(mut out: W) -> io::Result<Self> {
        out.write_all(&HEADER)?;
        let (work, pieces) = channel::<Piece>();
        let pieces = Arc::new(Mutex::new(pieces));
        let cores = available_parallelism().map_or(1, usize::from);
        let threads = (0..cores).map(|_| {
            let pieces = Arc::clone(&pieces);
            std::thread::spawn(move || {
                loop {
                    let next = pieces.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(piece) = next else { return };
                    // Nobody waits for it when the writer has failed.
                    let _ = piece.done.send(deflate(&piece.bytes, piece.is_last));
                }
            })
        });
        Ok(Self {
            out,
            piece: Vec::with_capacity(PIECE_BYTES),
            waiting: VecDeque::new(),
            work: Some(work),
            threads: threads.collect(),
            crc: flate2::Crc::new(),
        })
    }

    /// Writes the end of the stream and gives the output back.
    pub(super) fn finish(mut self) -> io::Result<W>
    where
        W: Default,
    {
        self.submit(true)?;
        while !self.waiting.is_empty() {
            self.write_one()?;
        }
        let mut end = self.crc.sum().to_le_bytes().to_vec();
        end.extend(self.crc.amount().to_le_bytes());
        self.out.write_all(&end)?;
        Ok(std::mem::take(&mut self.out))
    }

    fn submit(&mut self, is_last: bool) -> io::Result<()> {
        let bytes = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE_BYTES));
        self.crc.update(&bytes);
        let (done, result) = channel();
        let piece = Piece { bytes, is_last, done };
        let gone = || io::Error::other("a thread that compresses is gone");
        self.work
            .as_ref()
            .and_then(|work| work.send(piece).ok())
            .ok_or_else(gone)?;
        self.waiting.push_back(result);
        if self.waiting.len() > self.threads.len() * PIECES_A_THREAD {
            self.write_one()?;
        }
        Ok(())
    }

    fn write_one(&mut self) -> io::Result<()> {
        let Some(result) = self.waiting.pop_front() else {
            return Ok(());
        };
        let gone = |_| io::Error::other("a thread that compresses is gone");
        let compressed = result.recv().map_err(gone)??;
        self.out.write_all(&compressed)
    }
}

/// One piece. All but the last end at a byte, so that the next can follow.
fn deflate(bytes: &[u8], is_last: bool) -> io::Result<Vec<u8>> {
    let mut encoder = DeflateEncoder::new(Vec::with_capacity(PIECE_BYTES / 2), Compression::new(LEVEL));
    encoder.write_all(bytes)?;
    if is_last {
        return encoder.finish();
    }
    encoder.flush()?;
    Ok(std::mem::take(encoder.get_mut()))
}

impl<W: Write> Write for Gzip<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = PIECE_BYTES - self.piece.len();
        let count = room.min(bytes.len());
        self.piece.extend_from_slice(&bytes[..count]);
        if self.piece.len() == PIECE_BYTES {
            self.submit(false)?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<W> Drop for Gzip<W> {
    fn drop(&mut self) {
        drop(self.work.take());
        for thread in self.threads.drain(..) {
            // One that panicked has said so already, by giving no result.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use std::io::Read as _;

    #[test]
    fn pieces_make_one_stream() {
        for size in [0, 1, PIECE_BYTES - 1, PIECE_BYTES, 3 * PIECE_BYTES + 17] {
            let bytes: Vec<u8> = (0..size).map(|n| (n % 251) as u8 ^ (n / 7000) as u8).collect();
            let mut gzip = Gzip::new(Vec::new()).unwrap();
            gzip.write_all(&bytes).unwrap();
            let compressed = gzip.finish().unwrap();
            // One member: what follows it is nobody's.
            let mut plain = Vec::new();
            let mut decoder = flate2::bufread::GzDecoder::new(compressed.as_slice());
            decoder.read_to_end(&mut plain).unwrap();
            assert!(plain == bytes, "{size}");
            assert!(decoder.into_inner().is_empty(), "{size}");
        }
    }
}
