//! `lkpkg version`.

use crate::cli::args::Format;
use crate::cli::failure::Failure;
use crate::cli::output;
use crate::{REVISION, VERSION};

/// Runs the verb.
pub fn run(format: Format) -> Result<(), Failure> {
    match format {
        Format::Text => output::data(&format!("lkpkg {VERSION} ({REVISION})\n")),
        Format::Json => output::json(&serde_json::json!({ "version": VERSION, "revision": REVISION })),
    }
}
