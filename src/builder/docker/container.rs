//! The builder's container: inspect, create, start, remove. Does what it is told; decides nothing.
//!
//! Other processes may do the same at the same time. "It is there already", "it is gone already" are therefore no errors
//! here: the caller looks again.

use super::super::BuilderError;
use super::super::configuration::{CERTIFICATES_VARIABLE, Configuration, FILE_NAME};
use super::super::decide::{Found, Maker};
use super::archive;
use super::fault::{is_gone, is_passing, is_running, is_taken};
use bollard::Docker;
use bollard::errors::Error;
use bollard::models::{
    ContainerConfig, ContainerCreateBody, ContainerInspectResponse, ContainerStateStatusEnum, HostConfig, Mount,
    MountPoint, MountType,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, InspectContainerOptions, ListContainersOptionsBuilder, LogsOptionsBuilder,
    RemoveContainerOptionsBuilder, RenameContainerOptionsBuilder, StartContainerOptions,
    UploadToContainerOptionsBuilder, WaitContainerOptionsBuilder,
};
use futures_util::StreamExt;
use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Marks our containers and volumes; its value is the version of what the labels mean.
pub(super) const OUR_LABEL: &str = "lkpkg.builder";
pub(super) const OUR_LABEL_VERSION: &str = "1";
/// On a container: the name that it has, or shall have.
const NAME_LABEL: &str = "lkpkg.builder.name";
/// On a container: the label of the configuration that it was created with.
const CONFIG_LABEL: &str = "lkpkg.builder.config";

/// Where BuildKit keeps its state in its image.
const STATE_DIRECTORY: &str = "/var/lib/buildkit";
/// Where the configuration goes in the container.
pub(super) const CONFIG_DIRECTORY: &str = "/etc/buildkit";

/// How many lines of the container's log are shown.
const TAIL_LINES: &str = "20";

/// linuxkit's own command line, so that the two can share a container.
const COMMAND: [&str; 5] = [
    "--allow-insecure-entitlement",
    "network.host",
    "--addr",
    "unix:///run/buildkit/buildkitd.sock",
    "--debug",
];

/// A container that was created and got no name within this time has lost who made it. The clocks of two machines do not
/// differ by that much.
const LEFTOVER_AGE: Duration = Duration::from_secs(60 * 60);

/// Someone else removes the container; the daemon takes seconds for that at most.
const REMOVAL_TIMEOUT: Duration = Duration::from_secs(30);

/// The pause between two looks at a container whose state cannot be read.
const STATE_INTERVAL: Duration = Duration::from_millis(50);

/// The container of that name in that daemon, there or not.
pub(super) struct Container {
    pub docker: Docker,
    pub name: String,
}

/// A container that is there.
pub(super) struct There {
    pub id: String,
    pub found: Found,
}

/// What came of creating.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Created {
    /// It is there; perhaps someone else was first.
    There,
    /// Its image has to be pulled first.
    NoImage,
}

/// What came of removing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Removed {
    /// It is gone.
    ByUs,
    /// It is gone, and a new one of the same name may be there already.
    BySomeone,
    /// It has to be looked at again.
    NotYet,
}

impl Container {
    pub fn new(docker: Docker, name: &str) -> Self {
        Self {
            docker,
            name: name.into(),
        }
    }

    /// For `map_err`: what the daemon said, with what was being done.
    pub fn failed(&self, doing: &str) -> impl FnOnce(Error) -> BuilderError + use<> {
        let doing = format!("{doing} the container {}", self.name);
        move |source| BuilderError::Docker { doing, source }
    }

    /// What the daemon says of the container with this name or ID, if there is one.
    pub async fn look(&self, name: &str) -> Result<Option<ContainerInspectResponse>, BuilderError> {
        let begin = Instant::now();
        let mut interval = tokio::time::interval(STATE_INTERVAL);
        loop {
            interval.tick().await;
            match self
                .docker
                .inspect_container(name, None::<InspectContainerOptions>)
                .await
            {
                Err(error) if is_gone(&error) => return Ok(None),
                Err(error) if is_passing(&error) && begin.elapsed() < REMOVAL_TIMEOUT => {}
                response => return response.map(Some).map_err(self.failed("inspecting")),
            }
        }
    }

    /// The container, if there is one.
    pub async fn inspect(&self) -> Result<Option<There>, BuilderError> {
        let Some(response) = self.look(&self.name).await? else {
            return Ok(None);
        };
        let id = response.id.clone().unwrap_or_default();
        if matches!(
            state(&response),
            Some(ContainerStateStatusEnum::REMOVING | ContainerStateStatusEnum::DEAD)
        ) {
            self.until_removed(&id).await?;
            return Ok(None);
        }
        Ok(Some(There {
            id,
            found: found(response),
        }))
    }

    /// Creates the volume and the container, and puts the configuration into it. Does not start it.
    pub async fn create(&self, image: &str, configuration: Option<&Configuration>) -> Result<Created, BuilderError> {
        self.create_volume(image).await?;
        let labels = [(OUR_LABEL, OUR_LABEL_VERSION), (NAME_LABEL, &self.name)];
        let mut labels = HashMap::from(labels.map(|(label, value)| (label.to_owned(), value.to_owned())));
        let mut command = COMMAND.map(str::to_owned).to_vec();
        let mut environment = None;
        if let Some(configuration) = configuration {
            command.extend(["--config".to_owned(), format!("{CONFIG_DIRECTORY}/{FILE_NAME}")]);
            labels.insert(CONFIG_LABEL.into(), configuration.label());
            environment = configuration
                .certificates(Path::new(CONFIG_DIRECTORY), None)
                .map(|value| vec![format!("{CERTIFICATES_VARIABLE}={}", value.to_string_lossy())]);
            self.sweep().await?;
        }
        let state = Mount {
            typ: Some(MountType::VOLUME),
            source: Some(self.volume()),
            target: Some(STATE_DIRECTORY.into()),
            ..Default::default()
        };
        let body = ContainerCreateBody {
            image: Some(image.into()),
            cmd: Some(command),
            env: environment,
            labels: Some(labels),
            host_config: Some(HostConfig {
                privileged: Some(true),
                mounts: Some(vec![state]),
                ..Default::default()
            }),
            ..Default::default()
        };
        let named = CreateContainerOptionsBuilder::default().name(&self.name).build();
        // Without a configuration the name is given with the container, and the daemon sees to it that there is one. With
        // one, the name comes last: nobody shall find, and start, a container that has not got its configuration yet.
        let id = match self
            .docker
            .create_container(configuration.is_none().then_some(named), body)
            .await
        {
            Err(error) if is_gone(&error) => return Ok(Created::NoImage),
            Err(error) if is_taken(&error) => return Ok(Created::There),
            response => response.map_err(self.failed("creating"))?.id,
        };
        if let Some(configuration) = configuration
            && let Err(error) = self.complete(&id, configuration).await
        {
            self.remove(&id).await?;
            return if is_taken(&error) {
                Ok(Created::There)
            } else {
                Err(self.failed("configuring")(error))
            };
        }
        Ok(Created::There)
    }

    /// Removes containers that were meant for this name and never got it, because who made them was killed.
    async fn sweep(&self) -> Result<(), BuilderError> {
        let label = vec![format!("{NAME_LABEL}={}", self.name)];
        let filters = HashMap::from([("label", label), ("status", vec!["created".to_owned()])]);
        let options = ListContainersOptionsBuilder::default()
            .all(true)
            .filters(&filters)
            .build();
        let found = self.docker.list_containers(Some(options)).await;
        let own = format!("/{}", self.name);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        for one in found.map_err(self.failed("looking for what is left of"))? {
            if is_old(one.created, now) && !one.names.unwrap_or_default().contains(&own) {
                self.remove(&one.id.unwrap_or_default()).await?;
            }
        }
        Ok(())
    }

    /// Puts the configuration into a container that has not started yet, and gives it its name.
    async fn complete(&self, id: &str, configuration: &Configuration) -> Result<(), Error> {
        let options = UploadToContainerOptionsBuilder::default().path("/").build();
        let body = bollard::body_full(archive::archive(configuration, CONFIG_DIRECTORY)?);
        self.docker.upload_to_container(id, Some(options), body).await?;
        let name = RenameContainerOptionsBuilder::default().name(&self.name).build();
        self.docker.rename_container(id, name).await
    }

    /// Starts it; one that runs already, or is gone, is no error.
    pub async fn start(&self, id: &str) -> Result<(), BuilderError> {
        match self.docker.start_container(id, None::<StartContainerOptions>).await {
            Err(error) if is_running(&error) || is_gone(&error) || is_passing(&error) => Ok(()),
            result => result.map_err(self.failed("starting")),
        }
    }

    /// Removes exactly the container with this ID, running or not, with its anonymous volumes.
    pub async fn remove(&self, id: &str) -> Result<Removed, BuilderError> {
        match self.remove_container(id, true).await {
            Ok(()) => Ok(Removed::ByUs),
            Err(error) if is_gone(&error) => Ok(Removed::BySomeone),
            Err(error) if is_taken(&error) => self.until_removed(id).await.map(|()| Removed::BySomeone),
            Err(error) if is_passing(&error) => Ok(Removed::NotYet),
            Err(error) => Err(self.failed("removing")(error)),
        }
    }

    /// The same with one that is stopped, as long as nobody starts it.
    pub async fn remove_stopped(&self, id: &str) -> Result<Removed, BuilderError> {
        match self.remove_container(id, false).await {
            Ok(()) => Ok(Removed::ByUs),
            Err(error) if is_gone(&error) => Ok(Removed::BySomeone),
            // It runs, or its removal has begun.
            Err(error) if is_taken(&error) || is_passing(&error) => Ok(Removed::NotYet),
            Err(error) => Err(self.failed("removing")(error)),
        }
    }

    async fn remove_container(&self, id: &str, force: bool) -> Result<(), Error> {
        let options = RemoveContainerOptionsBuilder::default().force(force).v(true).build();
        self.docker.remove_container(id, Some(options)).await
    }

    /// Waits until the removal that someone else has begun is done.
    async fn until_removed(&self, id: &str) -> Result<(), BuilderError> {
        let options = WaitContainerOptionsBuilder::default().condition("removed").build();
        let mut end = self.docker.wait_container(id, Some(options));
        // Its exit status and "no such container" say the same: it is gone. The caller looks again anyway.
        let _ = tokio::time::timeout(REMOVAL_TIMEOUT, end.next()).await;
        Ok(())
    }

    /// The last lines of its log; empty when there are none.
    pub async fn log_tail(&self, id: &str) -> String {
        let options = LogsOptionsBuilder::default()
            .stdout(true)
            .stderr(true)
            .tail(TAIL_LINES)
            .build();
        let mut parts = self.docker.logs(id, Some(options));
        let mut text = String::new();
        while let Some(Ok(part)) = parts.next().await {
            text.push_str(&part.to_string());
        }
        text.trim_end().to_owned()
    }
}

/// Whether a container of that time has lost who made it.
fn is_old(created_s: Option<i64>, now: Duration) -> bool {
    let created = created_s.and_then(|at| at.try_into().ok()).map(Duration::from_secs);
    created.is_some_and(|created| now.saturating_sub(created) > LEFTOVER_AGE)
}

fn state(response: &ContainerInspectResponse) -> Option<ContainerStateStatusEnum> {
    response.state.as_ref()?.status
}

/// What [`decide`](super::super::decide::decide) has to know of a container.
fn found(response: ContainerInspectResponse) -> Found {
    let config = response.config.unwrap_or_default();
    let labels = config.labels.clone().unwrap_or_default();
    Found {
        image: config.image.clone().unwrap_or_default(),
        is_privileged: response
            .host_config
            .and_then(|host| host.privileged)
            .unwrap_or_default(),
        is_running: response.state.and_then(|state| state.running).unwrap_or_default(),
        config: labels.get(CONFIG_LABEL).cloned(),
        maker: maker(&config, &response.mounts.unwrap_or_default()),
    }
}

/// linuxkit has no label: its command line and its volume tell.
fn maker(config: &ContainerConfig, mounts: &[MountPoint]) -> Maker {
    let command = config.cmd.clone().unwrap_or_default();
    if config
        .labels
        .as_ref()
        .is_some_and(|labels| labels.contains_key(OUR_LABEL))
    {
        return Maker::Lkpkg;
    }
    let has_state = mounts
        .iter()
        .any(|mount| mount.typ.as_deref() == Some("volume") && mount.destination.as_deref() == Some(STATE_DIRECTORY));
    if has_state && command.starts_with(&COMMAND.map(str::to_owned)) {
        return Maker::Linuxkit;
    }
    let line = [config.entrypoint.clone().unwrap_or_default(), command]
        .concat()
        .join(" ");
    Maker::Other(format!(
        "it runs {line:?} of the image {}",
        config.image.as_deref().unwrap_or_default()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_makes_a_container_has_an_hour() {
        let now = Duration::from_secs(1_000_000);
        let check = |created: Option<i64>, expected: bool| assert_eq!(is_old(created, now), expected, "{created:?}");
        check(Some(1_000_000), false);
        check(Some(1_000_000 - 3600), false);
        check(Some(1_000_000 - 3601), true);
        check(Some(2_000_000), false); // the daemon's clock is ahead
        check(Some(-1), false);
        check(None, false);
    }

    #[test]
    fn makers_are_told_by_label_command_and_mounts() {
        let check = |label: bool, command: &[&str], volume: Option<&str>, expected: &str| {
            let config = ContainerConfig {
                labels: label.then(|| HashMap::from([(OUR_LABEL.to_owned(), "1".to_owned())])),
                cmd: Some(command.iter().map(|word| word.to_string()).collect()),
                image: Some("b:1".into()),
                ..ContainerConfig::default()
            };
            let mount = volume.map(|destination| MountPoint {
                typ: Some("volume".into()),
                destination: Some(destination.into()),
                ..MountPoint::default()
            });
            let found = match maker(&config, mount.as_slice()) {
                Maker::Lkpkg => "lkpkg".to_owned(),
                Maker::Linuxkit => "linuxkit".to_owned(),
                Maker::Other(what) => what,
            };
            assert_eq!(found, expected);
        };
        let configured = [&COMMAND[..], &["--config", "/etc/buildkit/buildkitd.toml"]].concat();
        check(true, &[], None, "lkpkg");
        check(false, &COMMAND, Some(STATE_DIRECTORY), "linuxkit");
        check(false, &configured, Some(STATE_DIRECTORY), "linuxkit");
        check(
            false,
            &["nginx"],
            Some(STATE_DIRECTORY),
            "it runs \"nginx\" of the image b:1",
        );
        let line = COMMAND.join(" ");
        check(
            false,
            &COMMAND,
            Some("/data"),
            &format!("it runs {line:?} of the image b:1"),
        );
        check(false, &COMMAND, None, &format!("it runs {line:?} of the image b:1"));
    }
}
