//! A BuildKit that answers.

use crate::oci::Platform;
use tonic::transport::Channel;

/// A BuildKit that answered its first call. Cloning shares the connection.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// What people call it: `local`, `linuxkit-builder`, `unix:///run/…`.
    pub name: String,
    /// An HTTP/2 connection that speaks `moby.buildkit.v1.Control`. A `buildkitd` of our own stays as long as a clone of it
    /// lives.
    pub channel: Channel,
    /// Platforms that its workers say they can build.
    pub platforms: Vec<Platform>,
    /// BuildKit's version, `v0.26.3`.
    pub version: String,
}
