//! Builders: an address, a `buildkitd` of our own, a container in a Docker daemon.

mod address;
mod configuration;
mod contained;
mod container;
mod contexts;
mod local;
mod lookafter;
mod podman;
mod pool;
mod processes;
mod registry;
mod remote;
mod rootless;
mod shared;
mod sshd;
mod usage;
mod volumes;

use crate::servers::server;
use lkpkg::builder::{self, BuilderConfig, BuilderError, Endpoint, Kind, Where};
use lkpkg::event::{CancellationToken, Events};
use lkpkg::oci::Platform;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// How long a condition may take to come true on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(30);

async fn endpoint_at(place: &Where, config: &BuilderConfig) -> Result<Endpoint, BuilderError> {
    builder::endpoint(place, config, &Events::silent(), &CancellationToken::new()).await
}

/// Waits until `condition` holds.
async fn until(what: &str, condition: impl Fn() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < PATIENCE, "waited for too long until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn assert_works(endpoint: &Endpoint) {
    assert!(endpoint.version.starts_with('v'), "{endpoint:?}");
    assert!(
        endpoint
            .platforms
            .iter()
            .any(|platform| platform.matches(&Platform::host())),
        "{endpoint:?}"
    );
}

/// A configuration whose effect can be seen: the platforms that the builder says it can build.
const CONFIGURATION: &str = "[worker.oci]\n  platforms = [\"linux/amd64\", \"linux/mips64le\"]\n";

/// A configuration that can be read and that BuildKit refuses.
const REFUSED: &str = "[worker.oci]\n  platforms = 1\n";

fn assert_configured(endpoint: &Endpoint) {
    assert!(
        endpoint.platforms.contains(&Platform::linux("mips64le")),
        "{endpoint:?}"
    );
}
