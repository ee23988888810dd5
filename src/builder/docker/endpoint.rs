//! The builder's container, brought to what is wanted: look, decide, act, until BuildKit in it answers.

use super::super::configuration::{Configuration, Loaded, Reach};
use super::super::context::Daemon;
use super::super::decide::{Decision, Wanted, decide};
use super::super::error::who_builds;
use super::super::{BuilderConfig, BuilderError, Endpoint};
use super::container::{Container, Created, Removed, There};
use super::ready::ready;
use super::users::{Mark, Users, users};
use super::{connect, image, remedy};
use crate::event::{Event, Events};
use std::time::{Duration, Instant};

/// How often we look at the container and act. More than one round is only needed when other processes act at the same
/// time, and each of those does at least one step forward.
const ROUNDS: usize = 20;

/// The pause between two looks at who uses a container: the daemon says nothing by itself. A look costs some milliseconds.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// The BuildKit in the container that `config` describes.
pub async fn endpoint(daemon: &Daemon, config: &BuilderConfig, events: &Events) -> Result<Endpoint, BuilderError> {
    // Read before anything is looked at: a new container must get it as well.
    let Loaded {
        configuration,
        left_out,
    } = Configuration::load(config, config.config.as_deref(), Reach::Container)?;
    for mirror in left_out {
        let text = format!(
            "the mirror {mirror} is on the loopback of this machine, where the builder {} cannot reach it; it goes without",
            config.name
        );
        events.send(Event::Warning(text)).await;
    }
    let work = Work {
        container: Container::new(connect(daemon, config.timeout).await?, &config.name),
        config,
        configuration,
        events,
    };
    work.run().await
}

/// What all steps need.
struct Work<'a> {
    container: Container,
    config: &'a BuilderConfig,
    configuration: Option<Configuration>,
    events: &'a Events,
}

impl Work<'_> {
    async fn run(&self) -> Result<Endpoint, BuilderError> {
        let name = &self.container.name;
        let mut wanted = Wanted {
            image: self.config.image.clone(),
            config: self.configuration.as_ref().map(Configuration::label),
            restart: self.config.restart,
            as_it_is: self.config.as_it_is,
        };
        for _ in 0..ROUNDS {
            let there = self.container.inspect().await?;
            match (decide(&wanted, there.as_ref().map(|there| &there.found)), &there) {
                (Decision::Keep, Some(there)) => {
                    if let Some(endpoint) = self.join(&there.id).await? {
                        return Ok(endpoint);
                    }
                }
                (Decision::Start, Some(there)) => {
                    self.events.notice(format!("starting the container {name}")).await;
                    self.container.start(&there.id).await?;
                }
                (Decision::Replace { reason, removes_volume }, Some(there)) => {
                    if self.remove(there, &reason, removes_volume).await? {
                        wanted.restart = false;
                    }
                }
                (Decision::Refuse { what }, _) => {
                    let name = name.clone();
                    return Err(BuilderError::Foreign {
                        name,
                        what,
                        remedy: remedy(self.config),
                    });
                }
                (_, _) if self.config.as_it_is => {
                    let what = format!("no container {name}");
                    return Err(BuilderError::NoneYet { what });
                }
                (_, _) => {
                    self.create().await?;
                    wanted.restart = false;
                }
            }
        }
        let reason =
            format!("after {ROUNDS} attempts it is still not as it should be; does another process change it?");
        Err(BuilderError::NotStarted {
            what: format!("the container {name}"),
            reason,
            log: String::new(),
        })
    }

    async fn create(&self) -> Result<(), BuilderError> {
        let (container, image) = (&self.container, &self.config.image);
        let text = format!("creating the container {} from {image}", container.name);
        self.events.notice(text).await;
        if container.create(image, self.configuration.as_ref()).await? == Created::NoImage {
            image::pull(&container.docker, image, &self.config.credentials, self.events).await?;
        }
        Ok(())
    }

    /// Connects to BuildKit in the container that is right; None when someone replaces it just now, and is done with it.
    async fn join(&self, id: &str) -> Result<Option<Endpoint>, BuilderError> {
        let Some(endpoint) = ready(&self.container, id, Mark::Building).await? else {
            return Ok(None);
        };
        // Whoever replaces it sees us from here on; whoever began before is seen by us.
        let Some(Users { replacing, .. }) = self.users(id).await? else {
            return Ok(None);
        };
        if replacing.is_empty() {
            return Ok(Some(endpoint));
        }
        drop(endpoint);
        let (name, limit) = (&self.container.name, self.config.wait.as_secs());
        let text = format!(
            "waiting at most {limit} s until the container {name} is replaced by {}",
            replacing.join(", ")
        );
        self.events.notice(text).await;
        let begin = Instant::now();
        let mut interval = tokio::time::interval(LOOK_INTERVAL);
        loop {
            interval.tick().await;
            let Some(users) = self.users(id).await? else {
                return Ok(None);
            };
            if users.replacing.is_empty() {
                return Ok(None);
            }
            if begin.elapsed() >= self.config.wait {
                return Err(BuilderError::BeingReplaced {
                    name: self.container.name.clone(),
                    by: users.replacing,
                    waited_s: self.config.wait.as_secs(),
                });
            }
        }
    }

    /// Removes the container that must go, as soon as nobody builds in it. False when it has to be looked at again.
    async fn remove(&self, there: &There, reason: &str, removes_volume: bool) -> Result<bool, BuilderError> {
        let state = match removes_volume {
            true => "removing its state",
            false => "keeping its state",
        };
        let text = format!("replacing the container {}, {state}: {reason}", self.container.name);
        let removed = if there.found.is_running {
            let mark = match ready(&self.container, &there.id, Mark::Replacing).await {
                Ok(Some(mark)) => Some(mark),
                Ok(None) => return Ok(true),
                // Where BuildKit does not answer, nobody can build.
                Err(BuilderError::NotStarted { .. }) => None,
                Err(error) => return Err(error),
            };
            self.until_unused(&there.id, reason).await?;
            self.events.notice(text).await;
            let removed = self.container.remove(&there.id).await?;
            drop(mark);
            removed
        } else {
            self.events.notice(text).await;
            self.container.remove_stopped(&there.id).await?
        };
        if removed == Removed::ByUs && removes_volume {
            self.container.remove_volume().await?;
        }
        Ok(removed != Removed::NotYet)
    }

    /// Waits until nobody builds in the container, and says for whom.
    async fn until_unused(&self, id: &str, reason: &str) -> Result<(), BuilderError> {
        let (name, limit) = (&self.container.name, self.config.wait);
        let begin = Instant::now();
        let mut interval = tokio::time::interval(LOOK_INTERVAL);
        // Who was seen at the last look, and who was told of. A stream that was just closed is seen for a moment yet.
        let (mut seen, mut told) = (Vec::new(), Vec::new());
        loop {
            interval.tick().await;
            let now = self.users(id).await?.map(|users| users.building).unwrap_or_default();
            if now.is_empty() {
                return Ok(());
            }
            if now == seen && now != told {
                let text = format!(
                    "waiting at most {} s before the container {name} is replaced ({reason}): {} in it",
                    limit.as_secs(),
                    who_builds(&now)
                );
                self.events.notice(text).await;
                told = now.clone();
            }
            if begin.elapsed() >= limit {
                return Err(BuilderError::BuildsGoOn {
                    name: name.clone(),
                    reason: reason.to_owned(),
                    users: now,
                    waited_s: limit.as_secs(),
                });
            }
            seen = now;
        }
    }

    async fn users(&self, id: &str) -> Result<Option<Users>, BuilderError> {
        users(&self.container, id).await
    }
}
