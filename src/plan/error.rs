//! Why there is no plan.

use crate::oci::{KNOWN_ARCHITECTURES, Platform};

/// Why there is no plan.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PlanError {
    /// Two flags that say opposite things.
    #[error("{0} and {1} cannot be used together")]
    Conflict(&'static str, &'static str),
    /// Packages with changes that are not committed cannot be published: their tags would say nothing that others can check.
    #[error("cannot publish what differs from what is committed: {}", .0.join(", "))]
    Dirty(Vec<String>),
    /// A release that cannot be a tag.
    #[error("{0:?} cannot be the tag of a release: {1}")]
    Release(String, String),
    /// An operating system or architecture for which packages are not built.
    #[error("unknown platform {0}: packages are built for {known}", known = known_platforms())]
    UnknownPlatform(String),
    /// `--hash-commit` names another commit than HEAD, whose files are not in the work tree.
    #[error("cannot build {tag}: its tag was taken from a commit that is not HEAD, but what is built is the work tree")]
    NotHead {
        /// The package.
        tag: String,
    },
    /// Two packages would be built under one tag.
    #[error("{first} and {second} both have the tag {tag}; give them different image names")]
    SameTag {
        /// The tag.
        tag: String,
        /// A package's directory.
        first: String,
        /// Another package's directory.
        second: String,
    },
    /// Packages that wait for each other.
    #[error("packages need each other in a circle: {}", .0.join(" → "))]
    Cycle(Vec<String>),
}

fn known_platforms() -> String {
    KNOWN_ARCHITECTURES
        .map(|architecture| Platform::linux(architecture).to_string())
        .join(", ")
}
