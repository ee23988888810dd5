//! Moving and checking whole graphs of content: an index, its manifests, their configurations and layers.

use super::{ContentError, Document, Sink, Source, read_document};
use crate::oci::{Descriptor, Digest, Hasher};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use std::collections::BTreeMap;
use tokio::io::AsyncReadExt;

/// How many blobs travel at once: enough to hide the latency of a registry, few enough for its limits and our memory.
const BLOBS_AT_ONCE: usize = 8;
/// Size of the buffer through which a blob is hashed, in bytes.
const BUFFER_BYTES: usize = 1 << 20;
/// How deep indexes may be nested; real ones are two levels deep.
const DEPTH_MAX: usize = 8;

/// What [`copy`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Blobs, manifests and indexes that were sent.
    pub sent: usize,
    /// Their sizes, in bytes.
    pub sent_bytes: u64,
    /// Those that the sink had already.
    pub skipped: usize,
}

impl Copied {
    fn sent(descriptor: &Descriptor) -> Self {
        Self {
            sent: 1,
            sent_bytes: descriptor.size,
            skipped: 0,
        }
    }

    fn skipped() -> Self {
        Self {
            skipped: 1,
            ..Self::default()
        }
    }
}

impl std::ops::Add for Copied {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            sent: self.sent + other.sent,
            sent_bytes: self.sent_bytes + other.sent_bytes,
            skipped: self.skipped + other.skipped,
        }
    }
}

/// A graph, read as far as its documents: they are small, and what they point at is not read.
#[derive(Default)]
struct Graph {
    /// Parents before children, each once.
    documents: Vec<(Descriptor, Bytes)>,
    /// What they point at that is no document.
    blobs: BTreeMap<Digest, Descriptor>,
}

impl Graph {
    async fn read(source: &dyn Source, root: &Descriptor) -> Result<Self, ContentError> {
        let mut graph = Self::default();
        let mut level = vec![root.clone()];
        for _ in 0..DEPTH_MAX {
            let mut next = Vec::new();
            for descriptor in level {
                // The same document can be met again further down: its place is the lowest.
                graph.documents.retain(|(known, _)| known.digest != descriptor.digest);
                let (bytes, document) = read_document(source, &descriptor).await?;
                graph.documents.push((descriptor, bytes));
                for child in document.children() {
                    if Document::is_type(&child.media_type) {
                        next.push(child.clone());
                    } else {
                        graph.blobs.insert(child.digest.clone(), child.clone());
                    }
                }
            }
            if next.is_empty() {
                return Ok(graph);
            }
            level = next;
        }
        Err(ContentError::Mismatch {
            expected: root.digest.clone(),
            found: format!("indexes are nested more than {DEPTH_MAX} deep"),
        })
    }
}

/// Copies what `root` (a manifest or an index) points at, and `root` itself, byte for byte. Children come before their
/// parents, so that the sink never knows a parent without its children. What the sink has is not sent.
pub async fn copy(source: &dyn Source, sink: &dyn Sink, root: &Descriptor) -> Result<Copied, ContentError> {
    let Graph { documents, blobs } = Graph::read(source, root).await?;
    let mut total = stream::iter(blobs.into_values())
        .map(|descriptor| copy_blob(source, sink, descriptor))
        .buffer_unordered(BLOBS_AT_ONCE)
        .try_fold(Copied::default(), async |total, one| Ok(total + one))
        .await?;
    for (descriptor, bytes) in documents.into_iter().rev() {
        if sink.has(&descriptor).await? {
            total = total + Copied::skipped();
        } else {
            sink.put(&descriptor, Box::pin(std::io::Cursor::new(bytes))).await?;
            total = total + Copied::sent(&descriptor);
        }
    }
    Ok(total)
}

async fn copy_blob(source: &dyn Source, sink: &dyn Sink, descriptor: Descriptor) -> Result<Copied, ContentError> {
    if sink.has(&descriptor).await? {
        return Ok(Copied::skipped());
    }
    let reader = source.read(&descriptor.digest, 0).await?;
    sink.put(&descriptor, reader).await?;
    Ok(Copied::sent(&descriptor))
}

/// Reads everything that `root` points at and gives all that is wrong with it: missing, wrong size, wrong digest,
/// unreadable. Empty when all is well. Stops at a document that cannot be read, for nothing below it is known.
pub async fn validate(source: &dyn Source, root: &Descriptor) -> Vec<ContentError> {
    let graph = match Graph::read(source, root).await {
        Ok(graph) => graph,
        Err(error) => return vec![error],
    };
    stream::iter(graph.blobs.into_values())
        .map(|descriptor| check(source, descriptor))
        .buffered(BLOBS_AT_ONCE)
        .filter_map(async |result| result.err())
        .collect()
        .await
}

async fn check(source: &dyn Source, descriptor: Descriptor) -> Result<(), ContentError> {
    let mut reader = source.read(&descriptor.digest, 0).await?;
    let (mut hasher, mut size, mut buffer) = (Hasher::default(), 0, vec![0; BUFFER_BYTES]);
    loop {
        let count = reader
            .read(&mut buffer)
            .await
            .map_err(|e| unreadable(&descriptor.digest, e))?;
        if count == 0 {
            return compare(&descriptor, &hasher.finish(), size);
        }
        hasher.update(&buffer[..count]);
        size += count as u64;
    }
}

pub(super) fn compare(expected: &Descriptor, digest: &Digest, size: u64) -> Result<(), ContentError> {
    let mismatch = |found| ContentError::Mismatch {
        expected: expected.digest.clone(),
        found,
    };
    if size != expected.size {
        return Err(mismatch(format!("{size} bytes instead of {}", expected.size)));
    }
    if *digest != expected.digest {
        return Err(mismatch(format!("the bytes are {digest}")));
    }
    Ok(())
}

pub(super) fn unreadable(digest: &Digest, source: std::io::Error) -> ContentError {
    ContentError::Failed {
        doing: format!("read content {digest}"),
        source: Box::new(source),
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::Memory;
    use super::*;

    #[tokio::test]
    async fn a_copied_graph_is_whole_and_is_not_sent_twice() {
        let source = Memory::default();
        let root = source.image_index(&["amd64", "arm64"]);
        let sink = Memory::default();
        let first = copy(&source, &sink, &root).await.expect("copies");
        assert_eq!((first.sent, first.skipped), (source.len(), 0));
        assert!(validate(&sink, &root).await.is_empty());
        let second = copy(&source, &sink, &root).await.expect("copies again");
        assert_eq!((second.sent, second.skipped), (0, source.len()));
    }

    #[tokio::test]
    async fn children_come_before_their_parents() {
        let source = Memory::default();
        let root = source.image_index(&["amd64", "arm64"]);
        let sink = Memory::default();
        copy(&source, &sink, &root).await.expect("copies");
        assert_eq!(sink.order().last(), Some(&root.digest));
    }

    #[tokio::test]
    async fn what_is_wrong_is_named() {
        let source = Memory::default();
        let root = source.image_index(&["amd64"]);
        let layer = source.any_layer();
        source.corrupt(&layer);
        let wrong = validate(&source, &root).await;
        assert_eq!(wrong.len(), 1);
        assert!(wrong[0].to_string().contains(layer.as_str()), "{}", wrong[0]);
        assert!(copy(&source, &Memory::default(), &root).await.is_err());
        source.lose(&layer);
        assert!(
            matches!(validate(&source, &root).await.as_slice(), [ContentError::Missing(digest)] if *digest == layer)
        );
        source.lose(&root.digest);
        assert!(matches!(
            validate(&source, &root).await.as_slice(),
            [ContentError::Missing(_)]
        ));
    }
}
