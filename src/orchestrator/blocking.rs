//! Blocking work of the hallway: [`blocking`].

use super::OrchestratorError;

/// Does blocking work where it blocks nobody.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, OrchestratorError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done),
        Err(error) if error.is_panic() => Err(OrchestratorError::Panic(error.to_string())),
        Err(_) => Err(OrchestratorError::Cancelled), // the runtime is being shut down
    }
}
