//! The nouns that every other room speaks: digest, platform, reference, descriptor, manifest, index, credentials.
//!
//! Values only: nothing here reads a file, a clock or the network, with one marked exception
//! ([`credentials::CredentialSource`] asks Docker's files and helpers when it is told to).

pub mod credentials;
mod descriptor;
mod digest;
pub mod media_type;
pub mod merge;
mod platform;
mod reference;

pub use descriptor::{Descriptor, Index, Manifest, annotation};
pub use digest::{Digest, DigestError, Hasher};
pub use platform::{KNOWN_ARCHITECTURES, Platform, PlatformError};
pub use reference::{Reference, ReferenceError, expand};
