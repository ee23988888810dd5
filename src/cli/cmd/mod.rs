//! One verb a file: settings → library call → result.

pub mod assemble;
pub mod build;
pub mod builder;
pub mod cache;
pub mod cache_export;
pub mod cache_pull;
pub mod cache_push;
pub mod completions;
pub mod doctor;
pub mod inspect;
pub mod keep_buildkitd;
pub mod manifest;
pub mod plan;
pub mod reference;
pub mod release;
pub mod remote_tag;
pub mod sbom;
pub mod sbom_diff;
pub mod show_tag;
pub mod verify;
pub mod version;
