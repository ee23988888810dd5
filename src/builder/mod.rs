//! A running BuildKit, wherever it is: found, created or started → [`Endpoint`].

mod endpoint;

pub use endpoint::Endpoint;
