//! The builder's container stopped and removed, and its log read. Never that of someone else.

use super::super::context::Daemon;
use super::super::decide::Maker;
use super::super::tend::SETTLE_TIMEOUT;
use super::super::{BuilderConfig, BuilderError, Endpoint, Remedy};
use super::connect;
use super::container::{Container, Removed, There};
use super::ready::ready;
use super::users::{Mark, users};
use crate::event::Events;
use bollard::query_parameters::{LogsOptionsBuilder, StopContainerOptions};
use futures_util::StreamExt;
use std::time::{Duration, Instant};

/// The pause between two looks at who uses a container. A look costs some milliseconds.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// How often the container is looked at and removed. More than once is only needed when others start it at the same time.
const ROUNDS: usize = 5;

/// Stops the container, as `docker stop` does.
pub(in super::super) async fn stop(
    daemon: &Daemon,
    config: &BuilderConfig,
    force: bool,
    events: &Events,
) -> Result<(), BuilderError> {
    let (container, there) = find(daemon, config, "stop").await?;
    let name = &container.name;
    match there {
        None => events.notice(format!("there is no container {name}")).await,
        Some(there) if !there.found.is_running => {
            events.notice(format!("the container {name} is stopped already")).await;
        }
        Some(there) => {
            let mark = claim(&container, &there, force, "stopped").await?;
            events.notice(format!("stopping the container {name}")).await;
            container.stop(&there.id).await?;
            drop(mark);
        }
    }
    Ok(())
}

/// Removes the container, and the volume of its state.
pub(in super::super) async fn remove(
    daemon: &Daemon,
    config: &BuilderConfig,
    keep_state: bool,
    force: bool,
    events: &Events,
) -> Result<(), BuilderError> {
    let (container, there) = find(daemon, config, "rm").await?;
    let (name, mut there) = (container.name.clone(), there);
    let state = match keep_state {
        true => "keeping its state",
        false => "and its state",
    };
    if there.is_none() {
        if !keep_state && container.has_own_volume().await? {
            events
                .notice(format!("removing the volume {}", container.volume()))
                .await;
            return container.remove_volume().await;
        }
        events.notice(format!("there is no container {name}")).await;
        return Ok(());
    }
    for _ in 0..ROUNDS {
        let Some(now) = there else { break };
        let removed = if now.found.is_running {
            let mark = claim(&container, &now, force, "removed").await?;
            events.notice(format!("removing the container {name}, {state}")).await;
            let removed = container.remove(&now.id).await?;
            drop(mark);
            removed
        } else {
            events.notice(format!("removing the container {name}, {state}")).await;
            container.remove_stopped(&now.id).await?
        };
        match removed {
            Removed::ByUs if !keep_state => return container.remove_volume().await,
            Removed::ByUs | Removed::BySomeone => return Ok(()),
            Removed::NotYet => there = own(&container, "rm").await?,
        }
    }
    match there {
        None => Ok(()),
        Some(_) => Err(BuilderError::Busy {
            what: format!("the container {name}"),
            doing: "removed",
            users: vec![format!("another process, which has started it again {ROUNDS} times")],
        }),
    }
}

/// The container's log.
pub(in super::super) async fn logs(
    daemon: &Daemon,
    config: &BuilderConfig,
    mut more: impl FnMut(&[u8]) -> bool,
) -> Result<(), BuilderError> {
    let (container, there) = find(daemon, config, "logs").await?;
    let Some(there) = there else {
        let what = format!("no container {}", container.name);
        return Err(BuilderError::NoneYet { what });
    };
    let options = LogsOptionsBuilder::default().stdout(true).stderr(true).build();
    let mut parts = container.docker.logs(&there.id, Some(options));
    while let Some(part) = parts.next().await {
        let part = part.map_err(container.failed("reading the log of"))?;
        if !more(&part.into_bytes()) {
            break;
        }
    }
    Ok(())
}

/// `verb` is what Docker's program calls it.
async fn find(
    daemon: &Daemon,
    config: &BuilderConfig,
    verb: &'static str,
) -> Result<(Container, Option<There>), BuilderError> {
    let container = Container::new(connect(daemon, config.timeout).await?, &config.name);
    let there = own(&container, verb).await?;
    Ok((container, there))
}

/// The container, if there is one; an error when it is someone else's.
async fn own(container: &Container, verb: &'static str) -> Result<Option<There>, BuilderError> {
    let there = container.inspect().await?;
    match there.as_ref().map(|there| &there.found.maker) {
        Some(Maker::Other(what)) => Err(BuilderError::Foreign {
            name: container.name.clone(),
            what: what.clone(),
            remedy: Remedy::Docker(verb),
        }),
        _ => Ok(there),
    }
}

/// Sees to it that nobody begins to build in a running container as long as what is returned is held, and that nobody does
/// already. By `force` nobody is asked.
async fn claim(
    container: &Container,
    there: &There,
    force: bool,
    doing: &'static str,
) -> Result<Option<Endpoint>, BuilderError> {
    if force {
        return Ok(None);
    }
    let mark = match ready(container, &there.id, Mark::Replacing).await {
        Ok(mark) => mark,
        // Where BuildKit does not answer, nobody can build.
        Err(BuilderError::NotStarted { .. }) => None,
        Err(error) => return Err(error),
    };
    let begin = Instant::now();
    let mut interval = tokio::time::interval(LOOK_INTERVAL);
    loop {
        interval.tick().await;
        let users = users(container, &there.id).await?.unwrap_or_default().building;
        if users.is_empty() {
            return Ok(mark);
        }
        if begin.elapsed() >= SETTLE_TIMEOUT {
            let what = format!("the container {}", container.name);
            return Err(BuilderError::Busy { what, doing, users });
        }
    }
}

impl Container {
    /// Stops it, as [`Container::start`] does; one that is stopped already, or gone, is no error.
    async fn stop(&self, id: &str) -> Result<(), BuilderError> {
        match self.docker.stop_container(id, None::<StopContainerOptions>).await {
            Err(error) if super::fault::is_running(&error) || super::fault::is_gone(&error) => Ok(()),
            result => result.map_err(self.failed("stopping")),
        }
    }
}
