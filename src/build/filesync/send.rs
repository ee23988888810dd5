//! [`send()`]: the sender's side of fsutil's protocol. STAT for every entry and an empty STAT; meanwhile, for every REQ
//! of the receiver, the content as DATA and an empty DATA; FIN answers FIN. Either side ends it with ERR.
//!
//! Files are read on blocking threads that wait for the receiver: what is in memory is bounded by the channel, besides
//! a line for every file that may still be asked for.

use super::committed::Committed;
use super::error::FileSyncError;
use super::filter::{Content, WalkOptions};
use super::tree::Tree;
use crate::event::CancellationToken;
use bollard_buildkit_proto::fsutil::types::Packet;
use bollard_buildkit_proto::fsutil::types::packet::PacketType;
use futures_util::{Stream, StreamExt as _};
use std::collections::{HashMap, VecDeque};
use std::io::Read as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tonic::Status;

/// Packets as they are sent.
pub type PacketStream = Pin<Box<dyn Stream<Item = Result<Packet, Status>> + Send>>;

/// Size of a piece of content: twice fsutil's, to save packets. Below the 128 KiB from which on the allocator asks the
/// kernel for every buffer anew, which took eight times as long.
const CHUNK_BYTES: usize = 64 << 10;
/// Files read at the same time, as many as fsutil does.
const CONCURRENT_FILES: usize = 4;
/// Requests that may wait for their turn before no more are read, as in fsutil.
const WAITING_REQUESTS: usize = 128;
/// Packets read ahead of the receiver: 2 MiB of content at most.
const PACKETS_AHEAD: usize = 32;

/// A file that the receiver was told of and has not asked for.
struct Offer {
    path: String,
    content: Content,
    size: u64,
}

/// What the threads share.
struct Shared {
    tree: Arc<Tree>,
    offers: Mutex<HashMap<u32, Offer>>,
    packets: mpsc::Sender<Result<Packet, Status>>,
    stop: CancellationToken,
}

/// The receiver is gone, or work was stopped; whoever stopped it knows why.
struct Stopped;

/// Sends `tree` to the receiver whose packets come on `incoming`. Everything is done while the stream is polled, and
/// ends when it is dropped.
pub fn send<S>(tree: Arc<Tree>, options: WalkOptions, incoming: S) -> PacketStream
where
    S: Stream<Item = Result<Packet, Status>> + Send + Unpin + 'static,
{
    let (sender, mut receiver) = mpsc::channel(PACKETS_AHEAD);
    let shared = Shared {
        tree,
        offers: Mutex::default(),
        packets: sender,
        stop: CancellationToken::new(),
    };
    let packets = futures_util::stream::poll_fn(move |context| receiver.poll_recv(context));
    let driver = futures_util::stream::once(drive(Arc::new(shared), options, incoming)).filter_map(async |()| None);
    Box::pin(futures_util::stream::select(packets, driver))
}

/// Does all of it and says how it ended: with FIN, or with ERR and a status.
async fn drive<S>(shared: Arc<Shared>, options: WalkOptions, incoming: S)
where
    S: Stream<Item = Result<Packet, Status>> + Unpin,
{
    // Threads cannot be aborted: when this future is dropped they learn it from here.
    let _stop = shared.stop.clone().drop_guard();
    let mut work = JoinSet::new();
    let outcome = serve(&shared, options, incoming, &mut work).await;
    if let Err(error) = &outcome {
        shared.stop.cancel();
        // A receiver that gave up by itself knows why.
        if !matches!(error, FileSyncError::Refused(_)) {
            let text = format!("failed to {error}").into_bytes();
            let packet = Packet {
                data: text,
                ..packet(PacketType::PacketErr)
            };
            drop(shared.packets.send(Ok(packet)).await);
        }
    }
    while work.join_next().await.is_some() {}
    let last = match outcome {
        Ok(()) => Ok(packet(PacketType::PacketFin)),
        Err(error) => Err(error.to_status()),
    };
    drop(shared.packets.send(last).await);
}

/// Reads requests and runs the walk and the files until the receiver has all that it wants.
async fn serve<S>(
    shared: &Arc<Shared>,
    options: WalkOptions,
    mut incoming: S,
    work: &mut JoinSet<Result<(), FileSyncError>>,
) -> Result<(), FileSyncError>
where
    S: Stream<Item = Result<Packet, Status>> + Unpin,
{
    let walk = shared.clone();
    let walk = work.spawn_blocking(move || announce(&walk, &options)).id();
    let mut waiting: VecDeque<(u32, Offer)> = VecDeque::new();
    let mut files = 0;
    let mut has_finished = false;
    while !(has_finished && work.is_empty()) {
        while files < CONCURRENT_FILES
            && let Some((id, offer)) = waiting.pop_front()
        {
            let shared = shared.clone();
            work.spawn_blocking(move || send_file(&shared, id, &offer));
            files += 1;
        }
        tokio::select! {
            Some(done) = work.join_next_with_id() => {
                let (id, result) = done.map_err(panicked)?;
                files -= usize::from(id != walk);
                result?;
            }
            packet = incoming.next(), if !has_finished && waiting.len() < WAITING_REQUESTS => {
                match read_packet(packet)? {
                    Wish::File(id) => waiting.push_back((id, shared.take_offer(id)?)),
                    Wish::Finish => has_finished = true,
                    Wish::Nothing => {}
                }
            }
        }
    }
    Ok(())
}

/// What the receiver wants.
enum Wish {
    File(u32),
    Finish,
    Nothing,
}

fn read_packet(packet: Option<Result<Packet, Status>>) -> Result<Wish, FileSyncError> {
    let packet = match packet {
        None => {
            return Err(FileSyncError::Refused(
                "it ended the transfer before it had all files".to_owned(),
            ));
        }
        Some(Err(status)) => return Err(FileSyncError::Refused(status.message().to_owned())),
        Some(Ok(packet)) => packet,
    };
    match PacketType::try_from(packet.r#type) {
        Ok(PacketType::PacketReq) => Ok(Wish::File(packet.id)),
        Ok(PacketType::PacketFin) => Ok(Wish::Finish),
        Ok(PacketType::PacketErr) => Err(FileSyncError::Refused(
            String::from_utf8_lossy(&packet.data).into_owned(),
        )),
        // As fsutil does: what a sender does not know is not for it.
        Ok(PacketType::PacketStat | PacketType::PacketData) | Err(_) => Ok(Wish::Nothing),
    }
}

/// Walks the tree and tells the receiver of every entry. The number of an entry is its place in this order.
fn announce(shared: &Shared, options: &WalkOptions) -> Result<(), FileSyncError> {
    let mut id: u32 = 0;
    let committed = Committed::of(&shared.tree, options)?;
    for entry in shared.tree.walk(options)? {
        if shared.stop.is_cancelled() {
            return Ok(());
        }
        let mut entry = entry?;
        if let Some(committed) = &committed {
            committed.apply(&mut entry.stat);
        }
        if entry.content != Content::None {
            let size = u64::try_from(entry.stat.size).unwrap_or_default();
            shared.offer(
                id,
                Offer {
                    path: entry.stat.path.clone(),
                    content: entry.content,
                    size,
                },
            );
        }
        if shared
            .send(Packet {
                stat: Some(entry.stat),
                ..packet(PacketType::PacketStat)
            })
            .is_err()
        {
            return Ok(());
        }
        id = id
            .checked_add(1)
            .ok_or_else(|| FileSyncError::Protocol("more files than it can number".to_owned()))?;
    }
    let _: Result<(), Stopped> = shared.send(packet(PacketType::PacketStat));
    Ok(())
}

/// Sends one file, exactly as many bytes as the receiver was told.
fn send_file(shared: &Shared, id: u32, offer: &Offer) -> Result<(), FileSyncError> {
    if offer.content == Content::File {
        let (mut file, path) = shared.tree.open(&offer.path)?;
        let changed = |reason: String| FileSyncError::Changed {
            path: path.clone(),
            reason,
        };
        let mut left = offer.size;
        loop {
            // One byte more than is left, to notice when there is more.
            let wanted = usize::try_from(left.saturating_add(1)).map_or(CHUNK_BYTES, |left| left.min(CHUNK_BYTES));
            let mut data = vec![0; wanted];
            let length = file.read(&mut data).map_err(FileSyncError::io("read", &path))?;
            if length == 0 {
                break;
            }
            data.truncate(length);
            left = left
                .checked_sub(length as u64)
                .ok_or_else(|| changed(format!("it is longer than the {} bytes it had", offer.size)))?;
            if shared
                .send(Packet {
                    id,
                    data,
                    ..packet(PacketType::PacketData)
                })
                .is_err()
            {
                return Ok(());
            }
        }
        if left > 0 {
            return Err(changed(format!(
                "it is {left} bytes shorter than the {} bytes it had",
                offer.size
            )));
        }
    }
    let _: Result<(), Stopped> = shared.send(Packet {
        id,
        ..packet(PacketType::PacketData)
    });
    Ok(())
}

impl Shared {
    fn offer(&self, id: u32, offer: Offer) {
        self.offers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, offer);
    }

    /// Each file can be asked for once.
    fn take_offer(&self, id: u32) -> Result<Offer, FileSyncError> {
        let offer = self.offers.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        offer.ok_or_else(|| FileSyncError::Protocol(format!("no file {id} is on offer")))
    }

    /// Waits on a blocking thread until the receiver has room.
    fn send(&self, packet: Packet) -> Result<(), Stopped> {
        if self.stop.is_cancelled() {
            return Err(Stopped);
        }
        self.packets.blocking_send(Ok(packet)).map_err(|_| Stopped)
    }
}

fn packet(kind: PacketType) -> Packet {
    Packet {
        r#type: kind.into(),
        ..Packet::default()
    }
}

fn panicked(error: JoinError) -> FileSyncError {
    FileSyncError::Protocol(format!("a thread that reads files ended early: {error}"))
}

#[cfg(test)]
mod tests;
