//! The sender against a receiver that asks as BuildKit does.

#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Code;

/// The receiver's side of a transfer.
struct Receiver {
    requests: mpsc::UnboundedSender<Result<Packet, Status>>,
    packets: PacketStream,
}

impl Receiver {
    fn new(root: &Path) -> Self {
        let tree = Tree::new(root.to_owned(), vec![]).unwrap();
        let (requests, incoming) = mpsc::unbounded_channel();
        let packets = send(
            Arc::new(tree),
            WalkOptions::default(),
            UnboundedReceiverStream::new(incoming),
        );
        Self { requests, packets }
    }

    fn say(&self, kind: PacketType, id: u32, data: &[u8]) {
        self.requests
            .send(Ok(Packet {
                id,
                data: data.to_vec(),
                ..packet(kind)
            }))
            .unwrap();
    }

    async fn next(&mut self) -> Packet {
        self.packets.next().await.unwrap().unwrap()
    }

    /// Reads all records; gives numbers and paths of what can be asked for.
    async fn records(&mut self) -> BTreeMap<String, u32> {
        let mut files = BTreeMap::new();
        for id in 0.. {
            let Some(stat) = self.next().await.stat else {
                break;
            };
            if super::super::stat::has_content(&stat) {
                files.insert(stat.path, id);
            }
        }
        files
    }

    /// Everything up to the end: the text of the ERR packet, if there is one, and the status.
    async fn failure(mut self) -> (Option<String>, Status) {
        let mut error = None;
        loop {
            match self.packets.next().await.expect("the stream ends without a status") {
                Ok(packet) if packet.r#type() == PacketType::PacketErr => {
                    error = Some(String::from_utf8(packet.data).unwrap());
                }
                Ok(_) => {}
                Err(status) => {
                    assert!(self.packets.next().await.is_none());
                    return (error, status);
                }
            }
        }
    }
}

#[tokio::test]
async fn files_are_sent_as_they_are_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let content = |number: usize| vec![u8::try_from(number).unwrap(); number * 70_001];
    fs::create_dir(directory.path().join("d")).unwrap();
    for number in 0..9 {
        fs::write(directory.path().join(format!("d/{number}")), content(number)).unwrap();
    }
    drop(std::os::unix::net::UnixListener::bind(directory.path().join("socket")).unwrap());
    let mut receiver = Receiver::new(directory.path());
    let files = receiver.records().await;
    assert_eq!(files.len(), 10);
    for id in files.values() {
        receiver.say(PacketType::PacketReq, *id, b"");
    }
    let mut contents: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
    let mut open = files.len();
    while open > 0 {
        let packet = receiver.next().await;
        assert_eq!(packet.r#type(), PacketType::PacketData);
        assert!(packet.data.len() <= CHUNK_BYTES);
        open -= usize::from(packet.data.is_empty());
        contents.entry(packet.id).or_default().extend(packet.data);
    }
    for number in 0..9 {
        assert!(
            contents[&files[&format!("d/{number}")]] == content(number),
            "file {number}"
        );
    }
    assert!(contents[&files["socket"]].is_empty());
    receiver.say(PacketType::PacketFin, 0, b"");
    assert_eq!(receiver.next().await.r#type(), PacketType::PacketFin);
    assert!(receiver.packets.next().await.is_none());
}

/// The file `x` of 300,000 bytes changes after BuildKit was told of it.
async fn check_change(change: impl FnOnce(&Path), expected: &str) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x");
    fs::write(&path, vec![1; 300_000]).unwrap();
    let mut receiver = Receiver::new(directory.path());
    let files = receiver.records().await;
    change(&path);
    receiver.say(PacketType::PacketReq, files["x"], b"");
    let (error, status) = receiver.failure().await;
    assert_eq!(status.code(), Code::Aborted);
    assert_eq!(error.as_deref(), Some(status.message()));
    assert!(
        status.message().contains(path.to_str().unwrap()),
        "{}",
        status.message()
    );
    assert!(status.message().contains(expected), "{}", status.message());
}

#[tokio::test]
async fn a_file_that_changes_meanwhile_is_an_error() {
    check_change(
        |path| fs::write(path, vec![1; 299_999]).unwrap(),
        "1 bytes shorter than the 300000",
    )
    .await;
    check_change(
        |path| fs::write(path, vec![1; 300_001]).unwrap(),
        "longer than the 300000",
    )
    .await;
    check_change(|path| fs::remove_file(path).unwrap(), "it is gone").await;
    check_change(
        |path| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        },
        "no longer a regular file",
    )
    .await;
}

#[tokio::test]
async fn an_entry_that_cannot_be_sent_ends_the_transfer() {
    use std::os::unix::ffi::OsStrExt as _;
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join(std::ffi::OsStr::from_bytes(b"bad\xff")), "").unwrap();
    let (error, status) = Receiver::new(directory.path()).failure().await;
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(error.unwrap().contains("not UTF-8"));
}

#[tokio::test]
async fn a_file_is_on_offer_once() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("x"), "x").unwrap();
    let mut receiver = Receiver::new(directory.path());
    let id = receiver.records().await["x"];
    receiver.say(PacketType::PacketReq, id, b"");
    receiver.say(PacketType::PacketReq, id, b"");
    let (error, status) = receiver.failure().await;
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(error.is_some());
}

#[tokio::test]
async fn a_receiver_that_gives_up_is_quoted() {
    let directory = tempfile::tempdir().unwrap();
    let receiver = Receiver::new(directory.path());
    receiver.say(PacketType::PacketErr, 0, b"disk full");
    let (error, status) = receiver.failure().await;
    assert_eq!((error, status.code()), (None, Code::Aborted));
    assert!(status.message().contains("disk full"));

    let Receiver { requests, packets } = Receiver::new(directory.path());
    drop(requests);
    let last = packets.collect::<Vec<_>>().await.pop().unwrap().unwrap_err();
    assert!(last.message().contains("before it had all files"), "{}", last.message());
}

#[tokio::test]
async fn nothing_goes_on_after_the_stream_is_dropped() {
    let directory = tempfile::tempdir().unwrap();
    for number in 0..200 {
        fs::write(directory.path().join(format!("{number}")), vec![0; 4 * CHUNK_BYTES]).unwrap();
    }
    // The walk waits for room in the channel, then four files do. The runtime waits for its threads: a thread that
    // is not told hangs this test.
    let mut receiver = Receiver::new(directory.path());
    receiver.next().await;
    drop(receiver);
    let mut receiver = Receiver::new(directory.path());
    for id in receiver.records().await.into_values() {
        receiver.say(PacketType::PacketReq, id, b"");
    }
    assert_eq!(receiver.next().await.r#type(), PacketType::PacketData);
}
