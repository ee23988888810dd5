//! Signals → cancellation, cli, exit code.

fn main() {}
