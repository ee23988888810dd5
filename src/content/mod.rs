//! The two traits of the house: where content comes from and where it goes to.
//!
//! The local store and a registry are both. Everything that moves images is written against these two.

mod beside;
mod copy;
mod document;
mod overlay;
mod pull;
mod referrer;

pub use beside::Beside;
pub use copy::{Copied, copy, validate};
pub use document::{DOCUMENT_BYTES_MAX, Document, DocumentError, read_document};
pub use overlay::Overlay;
pub use pull::{Pulled, fetch, pull};
pub use referrer::{Referrer, attach, carry_referrers};

use crate::oci::{Descriptor, Digest};
use async_trait::async_trait;
use std::pin::Pin;
use tokio::io::AsyncRead;

/// Bytes of a blob, as they come.
pub type BlobReader = Pin<Box<dyn AsyncRead + Send>>;

/// What can go wrong with content, whoever keeps it.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// The bytes are not what their name says.
    #[error("content {expected} is damaged: {found}")]
    Mismatch {
        /// Digest that was expected.
        expected: Digest,
        /// What came instead: another digest or another size.
        found: String,
    },
    /// The blob is not there.
    #[error("content {0} is missing")]
    Missing(Digest),
    /// A manifest or an index that makes no sense.
    #[error("content {digest} is damaged: {source}")]
    Document {
        /// Which.
        digest: Digest,
        /// Why it makes no sense.
        source: DocumentError,
    },
    /// Whoever keeps the content failed.
    #[error("{doing}: {source}")]
    Failed {
        /// What was being done, to what.
        doing: String,
        /// Why it failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Where content is read from.
#[async_trait]
pub trait Source: Send + Sync {
    /// What `name` (a full image name, see [`crate::oci::Reference::store_name`]) points at, if it is known.
    async fn resolve(&self, name: &str) -> Result<Option<Descriptor>, ContentError>;

    /// Size in bytes of a blob, if it is there.
    async fn size(&self, digest: &Digest) -> Result<Option<u64>, ContentError>;

    /// The bytes of a blob from `offset` to its end; [`ContentError::Missing`] when it is not there.
    async fn read(&self, digest: &Digest, offset: u64) -> Result<BlobReader, ContentError>;

    /// What is about the manifest or index `subject`, though nothing that it stands for needs it: signatures, SBoMs that were
    /// made later. With type of artifact and annotations.
    async fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, ContentError>;
}

/// Where content is written to.
#[async_trait]
pub trait Sink: Send + Sync {
    /// Whether the blob is there already and need not be sent.
    async fn has(&self, descriptor: &Descriptor) -> Result<bool, ContentError>;

    /// Takes `bytes` to their end. They get their name only when digest and size are right and they are safe on disk;
    /// an error from the reader, or a dropped call, leaves nothing behind.
    async fn put(&self, descriptor: &Descriptor, bytes: BlobReader) -> Result<(), ContentError>;

    /// Lets `name` point at content that is already there.
    async fn set(&self, name: &str, descriptor: &Descriptor) -> Result<(), ContentError>;

    /// Lets `referrer`, which is already there, be found by what it is about ([`Source::referrers`]).
    async fn list_referrer(&self, subject: &Digest, referrer: &Descriptor) -> Result<(), ContentError>;
}

/// A place that is both, such as the local store.
pub trait Content: Source + Sink {}
impl<T: Source + Sink + ?Sized> Content for T {}

#[cfg(test)]
pub(crate) mod memory;
