//! lkpkg turns package directories into multi-arch OCI images by driving BuildKit.
//!
//! ```text
//! package directory → package → identity → plan → builder → build → store → registry → assemble
//!                     (what)    (its tag)  (what to do) (where) (do it) (keep) (publish)  (boot)
//! ```
//!
//! Brains ([`package`], [`identity`], [`plan`]) take values and return values. Hands ([`builder`], [`build`],
//! [`store`]) act. [`orchestrator`] joins them; [`cli`] is the front door, and only it prints.

pub mod assemble;
pub mod attest;
pub mod build;
pub mod builder;
pub mod cli;
pub mod content;
pub mod event;
pub mod fsx;
pub mod identity;
pub mod layers;
pub mod oci;
pub mod orchestrator;
pub mod package;
pub mod plan;
pub mod registry;
pub mod store;
pub mod yaml;

/// The version of this program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that this program was built from, where the release script said so; else `unknown`.
pub const REVISION: &str = match option_env!("LKPKG_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};
