//! A builder's container in the Docker daemon of the tests, and what tests do to it.

use super::*;
use crate::program::{Run, Workshop};
use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, InspectContainerOptions, RemoveContainerOptionsBuilder, RemoveVolumeOptions,
    TagImageOptionsBuilder,
};
use bollard::{API_DEFAULT_VERSION, Docker};
use lkpkg::builder::DEFAULT_IMAGE;
use std::collections::HashMap;
use std::process::Command;

/// How the program builds: there and nowhere else, whatever is found on this machine.
const BUILD: [&str; 5] = [
    "build",
    "--sbom-scanner=false",
    "--force",
    "--builders",
    "docker-container",
];

/// A named builder in the Docker daemon of the tests.
pub(super) struct Contained {
    pub docker: Docker,
    pub place: Where,
    pub config: BuilderConfig,
}

impl Contained {
    pub fn new(name: &str) -> Option<Self> {
        let address = server("LKPKG_TEST_DOCKER")?;
        let docker = Docker::connect_with_unix(&address, 60, API_DEFAULT_VERSION).expect("a Docker daemon");
        let name = format!("lkpkg-it-{name}-{}", std::process::id());
        let config = BuilderConfig {
            name,
            ..BuilderConfig::default()
        };
        Some(Self {
            docker,
            place: Where::DockerContainer {
                docker: address.parse().expect("an address"),
            },
            config,
        })
    }

    pub async fn endpoint(&self) -> Result<Endpoint, BuilderError> {
        endpoint_at(&self.place, &self.config).await
    }

    /// The program, which builds in this container.
    pub fn command(&self, workshop: &Workshop, arguments: &[&str]) -> Command {
        let Where::DockerContainer { docker } = &self.place else {
            unreachable!("it is in a Docker daemon")
        };
        let mut command = workshop.command(&[&BUILD[..], arguments].concat());
        command
            .env("DOCKER_HOST", &docker.address)
            .env("LINUXKIT_BUILDER_NAME", &self.config.name);
        command
    }

    /// The same, run to its end.
    pub fn build(&self, workshop: &Workshop, arguments: &[&str]) -> Run {
        Run::of(self.command(workshop, arguments).output().expect("the program runs"))
    }

    /// Whether there is such a container.
    pub async fn is_there(&self) -> bool {
        let inspected = self
            .docker
            .inspect_container(&self.config.name, None::<InspectContainerOptions>);
        inspected.await.is_ok()
    }

    pub async fn id(&self) -> String {
        let inspected = self
            .docker
            .inspect_container(&self.config.name, None::<InspectContainerOptions>)
            .await;
        inspected.expect("a container").id.expect("an ID")
    }

    /// The volumes that the container has.
    pub async fn volumes(&self) -> Vec<String> {
        let inspected = self
            .docker
            .inspect_container(&self.config.name, None::<InspectContainerOptions>);
        let mounts = inspected.await.expect("a container").mounts.unwrap_or_default();
        mounts.into_iter().filter_map(|mount| mount.name).collect()
    }

    pub async fn volume_created(&self) -> String {
        let volume = self
            .docker
            .inspect_volume(&format!("{}-state", self.config.name))
            .await
            .expect("a volume");
        assert_eq!(volume.labels.get("lkpkg.builder").map(String::as_str), Some("1"));
        format!("{:?}", volume.created_at)
    }

    /// Another name for the same image.
    pub async fn other_image(&self) -> String {
        let tag = TagImageOptionsBuilder::default()
            .repo("lkpkg-it/buildkit")
            .tag("other")
            .build();
        self.docker.tag_image(DEFAULT_IMAGE, Some(tag)).await.expect("a tag");
        "lkpkg-it/buildkit:other".into()
    }

    /// A container of our builder's name that someone else made.
    pub async fn create_foreign(&self, is_privileged: bool, labels: HashMap<String, String>) {
        let body = ContainerCreateBody {
            image: Some(DEFAULT_IMAGE.into()),
            labels: Some(labels),
            host_config: Some(HostConfig {
                privileged: Some(is_privileged),
                ..Default::default()
            }),
            ..Default::default()
        };
        let options = CreateContainerOptionsBuilder::default().name(&self.config.name).build();
        self.docker
            .create_container(Some(options), body)
            .await
            .expect("a container");
    }

    /// A container of our builder's name as linuxkit makes it, running.
    pub async fn create_linuxkits(&self, image: &str, is_privileged: bool) {
        let command = "--allow-insecure-entitlement network.host --addr unix:///run/buildkit/buildkitd.sock --debug";
        let body = ContainerCreateBody {
            image: Some(image.into()),
            cmd: Some(command.split(' ').map(str::to_owned).collect()),
            host_config: Some(HostConfig {
                privileged: Some(is_privileged),
                binds: Some(vec![format!("{}-state:/var/lib/buildkit", self.config.name)]),
                ..Default::default()
            }),
            ..Default::default()
        };
        let options = CreateContainerOptionsBuilder::default().name(&self.config.name).build();
        self.docker
            .create_container(Some(options), body)
            .await
            .expect("a container");
        let start = None::<bollard::query_parameters::StartContainerOptions>;
        self.docker
            .start_container(&self.config.name, start)
            .await
            .expect("it starts");
    }

    /// Removes the container; its state stays.
    pub async fn remove(&self) {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        let removed = self.docker.remove_container(&self.config.name, Some(options)).await;
        removed.expect("a container");
    }

    pub async fn end(self) {
        self.remove().await;
        let volume = format!("{}-state", self.config.name);
        let _ = self.docker.remove_volume(&volume, None::<RemoveVolumeOptions>).await;
    }
}

pub(super) async fn ask_at_once(here: &Contained) -> Vec<Endpoint> {
    let mut asking = JoinSet::new();
    for _ in 0..8 {
        let (place, config) = (here.place.clone(), here.config.clone());
        asking.spawn(async move { endpoint_at(&place, &config).await });
    }
    asking
        .join_all()
        .await
        .into_iter()
        .map(|result| result.expect("an endpoint"))
        .collect()
}
