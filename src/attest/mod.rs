//! What is known about images: SBoMs and provenance, found beside them, read, checked, merged and compared.
//!
//! [`images`] takes an image's index apart, [`find`] reads what attests one image. An [`Sbom`] is one that was found:
//! [`packages`] lists what is in it, [`original`] gives it as it is, [`merged`] makes one document of several, and
//! [`diff()`] compares two lists. Nothing here knows registries, the store or the command line, and nothing is believed
//! before its digest and its subject were checked.

mod convert;
mod cyclonedx;
mod diff;
mod error;
mod find;
mod image;
mod merge;
mod packages;
mod read;
mod reproducible;
mod sbom;
mod span;
mod spdx;
mod spool;
mod statement;
mod transcode;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;

pub use diff::{Change, Difference, diff};
pub use error::AttestError;
pub use find::{Attestation, Image, Predicate, find, images, select};
pub use packages::Package;
pub use read::SBOM_BYTES_MAX;
pub use reproducible::reproducible;
pub use sbom::{DocumentFormat, Sbom, merged, merged_spdx, original, packages};
pub use spool::Spool;
