//! `lkpkg completions SHELL`.

use crate::cli::args::Cli;
use crate::cli::failure::Failure;
use crate::cli::output;

/// Runs the verb.
pub fn run(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::definition(), "lkpkg", &mut script);
    output::data(&String::from_utf8_lossy(&script))
}
