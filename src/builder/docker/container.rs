//! The builder's container and its state volume: inspect, create, start, remove. Does what it is told; decides nothing.
//!
//! Other processes may do the same at the same time. "It is there already", "it is gone already" are therefore no errors
//! here: the caller looks again.

use super::super::BuilderError;
use super::super::decide::Found;
use super::TAIL_LINES;
use bollard::Docker;
use bollard::errors::Error;
use bollard::models::{ContainerCreateBody, HostConfig, Mount, MountType, VolumeCreateRequest};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, InspectContainerOptions, LogsOptionsBuilder, RemoveContainerOptionsBuilder,
    RemoveVolumeOptions, RenameContainerOptionsBuilder, StartContainerOptions, UploadToContainerOptionsBuilder,
    WaitContainerOptionsBuilder,
};
use bytes::Bytes;
use futures_util::StreamExt;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::time::Duration;

/// Marks our containers and volumes; its value is the version of what the labels mean.
const OUR_LABEL: &str = "lkpkg.builder";
const OUR_LABEL_VERSION: &str = "1";
/// On a volume: the image whose state it holds.
const IMAGE_LABEL: &str = "lkpkg.builder.image";
/// Digest of the configuration that a container was created with.
const CONFIG_LABEL: &str = "lkpkg.builder.config";

/// Where BuildKit keeps its state in its image.
const STATE_DIRECTORY: &str = "/var/lib/buildkit";
/// Where the configuration goes in the container.
const CONFIG_PATH: &str = "/etc/buildkit/buildkitd.toml";

/// linuxkit's own command line, so that the two can share a container.
const COMMAND: [&str; 5] = [
    "--allow-insecure-entitlement",
    "network.host",
    "--addr",
    "unix:///run/buildkit/buildkitd.sock",
    "--debug",
];

/// Someone else removes the container; the daemon takes seconds for that at most.
const REMOVAL_TIMEOUT: Duration = Duration::from_secs(30);

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

/// The configuration that a container is created with.
pub(super) struct Configuration {
    pub bytes: Vec<u8>,
    /// By which a change is noticed.
    pub digest: String,
}

impl Configuration {
    pub fn new(bytes: Vec<u8>) -> Self {
        let digest = hex::encode(Sha256::digest(&bytes));
        Self { bytes, digest }
    }

    /// As Docker takes files: an archive, to be unpacked at `/`.
    fn archive(&self) -> std::io::Result<Bytes> {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(self.bytes.len() as u64);
        let mut archive = tar::Builder::new(Vec::new());
        archive.append_data(&mut header, CONFIG_PATH.trim_start_matches('/'), self.bytes.as_slice())?;
        archive.into_inner().map(Bytes::from)
    }
}

/// What came of creating.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Created {
    /// It is there; perhaps someone else was first.
    There,
    /// Its image has to be pulled first.
    NoImage,
}

impl Container {
    pub fn new(docker: Docker, name: &str) -> Self {
        Self {
            docker,
            name: name.into(),
        }
    }

    fn volume(&self) -> String {
        format!("{}-state", self.name)
    }

    fn failed(&self, doing: &str) -> impl FnOnce(Error) -> BuilderError {
        let doing = format!("{doing} the container {}", self.name);
        move |source| BuilderError::Docker { doing, source }
    }

    /// The container, if there is one.
    pub async fn inspect(&self) -> Result<Option<There>, BuilderError> {
        let response = match self
            .docker
            .inspect_container(&self.name, None::<InspectContainerOptions>)
            .await
        {
            Err(error) if status(&error) == Some(404) => return Ok(None),
            response => response.map_err(self.failed("inspecting"))?,
        };
        let config = response.config.unwrap_or_default();
        let labels = config.labels.unwrap_or_default();
        let found = Found {
            is_ours: labels.contains_key(OUR_LABEL),
            image: config.image.unwrap_or_default(),
            is_privileged: response
                .host_config
                .and_then(|host| host.privileged)
                .unwrap_or_default(),
            is_running: response.state.and_then(|state| state.running).unwrap_or_default(),
            config: labels.get(CONFIG_LABEL).cloned(),
        };
        Ok(Some(There {
            id: response.id.unwrap_or_default(),
            found,
        }))
    }

    /// Creates the volume and the container, and puts the configuration into it. Does not start it.
    pub async fn create(&self, image: &str, configuration: Option<&Configuration>) -> Result<Created, BuilderError> {
        self.create_volume(image).await?;
        let mut labels = HashMap::from([(OUR_LABEL.to_owned(), OUR_LABEL_VERSION.to_owned())]);
        let mut command = COMMAND.map(str::to_owned).to_vec();
        if let Some(configuration) = configuration {
            command.extend(["--config".to_owned(), CONFIG_PATH.to_owned()]);
            labels.insert(CONFIG_LABEL.into(), configuration.digest.clone());
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
            Err(error) if status(&error) == Some(404) => return Ok(Created::NoImage),
            Err(error) if status(&error) == Some(409) => return Ok(Created::There),
            response => response.map_err(self.failed("creating"))?.id,
        };
        if let Some(configuration) = configuration
            && let Err(error) = self.complete(&id, configuration).await
        {
            self.remove(&id, false).await?;
            return if status(&error) == Some(409) {
                Ok(Created::There)
            } else {
                Err(self.failed("configuring")(error))
            };
        }
        Ok(Created::There)
    }

    /// Creates the state volume, explicitly, for its labels. One that is there is taken as it is, unless it holds the state
    /// of another image: whoever replaced that one's container had no time yet to remove it.
    async fn create_volume(&self, image: &str) -> Result<(), BuilderError> {
        let labels = [(OUR_LABEL, OUR_LABEL_VERSION), (IMAGE_LABEL, image)];
        let labels = HashMap::from(labels.map(|(label, value)| (label.to_owned(), value.to_owned())));
        let volume = VolumeCreateRequest {
            name: Some(self.volume()),
            labels: Some(labels),
            ..Default::default()
        };
        let failed = || self.failed("creating the state volume of");
        let there = self.docker.create_volume(volume.clone()).await.map_err(failed())?;
        if there.labels.get(IMAGE_LABEL).is_some_and(|other| other != image) {
            self.remove_volume().await?;
            self.docker.create_volume(volume).await.map_err(failed())?;
        }
        Ok(())
    }

    /// Removes the state volume. One that is in use is in the hands of someone who was faster.
    async fn remove_volume(&self) -> Result<(), BuilderError> {
        match self
            .docker
            .remove_volume(&self.volume(), None::<RemoveVolumeOptions>)
            .await
        {
            Err(error) if matches!(status(&error), Some(404 | 409)) => Ok(()),
            result => result.map_err(self.failed("removing the state volume of")),
        }
    }

    /// Puts the configuration into a container that has not started yet, and gives it its name.
    async fn complete(&self, id: &str, configuration: &Configuration) -> Result<(), Error> {
        let options = UploadToContainerOptionsBuilder::default().path("/").build();
        let body = bollard::body_full(configuration.archive()?);
        self.docker.upload_to_container(id, Some(options), body).await?;
        let name = RenameContainerOptionsBuilder::default().name(&self.name).build();
        self.docker.rename_container(id, name).await
    }

    /// Starts it; one that runs already, or is gone, is no error.
    pub async fn start(&self, id: &str) -> Result<(), BuilderError> {
        match self.docker.start_container(id, None::<StartContainerOptions>).await {
            Err(error) if matches!(status(&error), Some(304 | 404)) => Ok(()),
            result => result.map_err(self.failed("starting")),
        }
    }

    /// Removes exactly the container with this ID, running or not, and the state volume when asked to. Where someone else
    /// was first, nothing is done: then a new one of the same name may be there already.
    pub async fn remove(&self, id: &str, removes_volume: bool) -> Result<(), BuilderError> {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        match self.docker.remove_container(id, Some(options)).await {
            Err(error) if status(&error) == Some(404) => return Ok(()),
            Err(error) if status(&error) == Some(409) => return self.until_removed(id).await,
            result => result.map_err(self.failed("removing"))?,
        }
        if removes_volume {
            self.remove_volume().await
        } else {
            Ok(())
        }
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

/// The status code with which the daemon refused.
fn status(error: &Error) -> Option<u16> {
    match error {
        Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}
