//! The front door: arguments, environment, settings, rendering, exit codes. Nothing imports it.
