//! The front door: arguments, environment, settings, rendering, exit codes. Nothing imports it.

pub mod format;
pub mod render;
