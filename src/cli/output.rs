//! Standard output: data for whoever called. Everything else goes to standard error.

use super::failure::{ExitCode, Failure};
use std::io::Write as _;

/// Writes text as it is. A reader that went away (`lkpkg cache ls | head`) is no failure.
pub fn data(text: &str) -> Result<(), Failure> {
    bytes(text.as_bytes())
}

/// The same with what need not be text.
pub fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    stream(|stdout| stdout.write_all(bytes))
}

/// Writes what `write` writes, as it comes; as [`data`], a reader that went away is no failure.
pub fn stream(write: impl FnOnce(&mut std::io::StdoutLock<'_>) -> std::io::Result<()>) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    match write(&mut stdout).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::new(
            ExitCode::Failed,
            format!("cannot write to standard output: {error}"),
        )),
        _ => Ok(()),
    }
}

/// Writes a value as JSON, indented, with a newline at its end.
pub fn json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::new(ExitCode::Bug, format!("cannot write JSON: {error}")))?;
    data(&(text + "\n"))
}

/// Tells the user something on standard error.
pub fn tell(text: &str) {
    // Nobody to tell it to is no reason to stop.
    let _ = writeln!(std::io::stderr(), "{text}");
}
