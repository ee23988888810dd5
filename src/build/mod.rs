//! One solve on an [`crate::builder::Endpoint`]: session, solve, status → events.

pub mod filesync;
