//! File sync of a BuildKit session: local directories, sent as BuildKit asks for them, so that an unchanged file does
//! not travel twice.
//!
//! [`Tree`] is a directory with extra sources laid over it; [`Tree::walk`] gives its entries as BuildKit is to see
//! them; [`FileSyncService`] serves named trees over `moby.filesync.v1.FileSync`. What travels is what docker's own
//! client would send. It reads no .dockerignore (BuildKit does, and sends the patterns) and writes nothing.

mod clean;
mod committed;
mod error;
mod filter;
mod follow;
mod options;
pub mod pattern;
mod send;
mod service;
mod stat;
mod tree;
mod walk;

#[cfg(test)]
mod golden;

pub use error::FileSyncError;
pub use filter::{Content, Entries, Entry, WalkOptions};
pub use send::send;
pub use service::FileSyncService;
pub use tree::Tree;
