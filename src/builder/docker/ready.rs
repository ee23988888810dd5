//! From a container that runs to an [`Endpoint`]: dialled until BuildKit in it answers, or it is clear that it will not.

use super::super::{BuilderError, Endpoint, dial};
use super::container::Container;
use super::exec;
use super::fault::is_gone;
use super::users::Mark;
use bollard::Docker;
use bollard::query_parameters::WaitContainerOptionsBuilder;
use futures_util::StreamExt;
use std::time::Duration;

/// BuildKit in a container is up within a second; a loaded machine, or a large state to be read, takes longer.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// The pause between two attempts to dial a container that is starting. Each attempt is an exec, which costs 50 ms.
const ATTEMPT_INTERVAL: Duration = Duration::from_millis(50);

/// Opens a stream with `mark` to BuildKit in the container with this ID; None when that is the builder's container no more.
pub(super) async fn ready(container: &Container, id: &str, mark: Mark) -> Result<Option<Endpoint>, BuilderError> {
    let mut silence = String::new();
    let attempts = async {
        let mut interval = tokio::time::interval(ATTEMPT_INTERVAL);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            // By its ID: under its name there could be another one by now, with another configuration.
            let (docker, id) = (container.docker.clone(), id.to_owned());
            let open = move || exec::dial_stdio(docker.clone(), id.clone(), mark);
            match dial::connect(&container.name, open).await {
                Ok(endpoint) => return endpoint,
                Err(reason) => silence = reason,
            }
        }
    };
    let reason = tokio::select! {
        result = tokio::time::timeout(READY_TIMEOUT, attempts) => match result {
            Ok(endpoint) => return Ok(Some(endpoint)),
            Err(_) => None,
        },
        ended = ended(&container.docker, id) => Some(ended),
    };
    if reason.is_some() {
        match container.inspect().await? {
            Some(there) if there.id == id && !there.found.is_running => {}
            _ => return Ok(None),
        }
    }
    let reason = reason.unwrap_or_else(|| {
        let limit = READY_TIMEOUT.as_secs();
        format!("BuildKit in it did not answer within {limit} s: {silence}")
    });
    Err(BuilderError::NotStarted {
        what: format!("the container {}", container.name),
        reason,
        log: container.log_tail(id).await,
    })
}

/// Waits until the container ends, and says how. Never returns when the daemon does not tell.
async fn ended(docker: &Docker, id: &str) -> String {
    let options = WaitContainerOptionsBuilder::default().condition("not-running").build();
    match docker.wait_container(id, Some(options)).next().await {
        Some(Ok(response)) => format!("it ended with status {}", response.status_code),
        Some(Err(bollard::errors::Error::DockerContainerWaitError { code, .. })) => {
            format!("it ended with status {code}")
        }
        Some(Err(error)) if is_gone(&error) => "it was removed".to_owned(),
        _ => std::future::pending().await,
    }
}
