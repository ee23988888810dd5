//! `lkpkg show-tag`: one line a package, in the order given.

use crate::cli::args::ShowTagArgs;
use crate::cli::failure::Failure;
use crate::cli::{output, settings};
use crate::orchestrator;
use std::fmt::Write as _;

/// Runs the verb.
pub fn run(args: &ShowTagArgs) -> Result<(), Failure> {
    let request = settings::request(&args.directories, &args.package, None)?;
    let mut text = String::new();
    for (_, identity) in orchestrator::load(&request)? {
        let tag = if args.canonical {
            identity.reference.to_string()
        } else {
            identity.tag
        };
        let _ = writeln!(text, "{tag}");
    }
    output::data(&text)
}
