//! The life of a builder's container: created, kept, started, replaced.

use super::contained::{Contained, ask_at_once};
use super::registry::{PASSWORD, Registry, USER};
use super::*;
use bollard::query_parameters::{
    InspectContainerOptions, ListVolumesOptions, RemoveVolumeOptions, StopContainerOptions, TopOptions,
};
use lkpkg::builder::DEFAULT_IMAGE;
use lkpkg::event::{Event, Outcome};
use lkpkg::oci::credentials::{CredentialSource, Credentials};
use std::collections::{BTreeMap, BTreeSet, HashMap};

#[tokio::test]
async fn a_container_is_created_kept_started_and_replaced() {
    let Some(mut here) = Contained::new("life") else { return };
    let endpoint = here.endpoint().await.expect("an endpoint");
    assert_works(&endpoint);
    assert_eq!(endpoint.name, here.config.name);
    let (created, volume) = (here.id().await, here.volume_created().await);

    here.endpoint().await.expect("kept");
    assert_eq!(here.id().await, created);

    here.docker
        .stop_container(&created, None::<StopContainerOptions>)
        .await
        .expect("stopped");
    here.endpoint().await.expect("started");
    assert_eq!(here.id().await, created);

    here.config.restart = true;
    here.endpoint().await.expect("replaced");
    here.config.restart = false;
    let restarted = here.id().await;
    assert_ne!(restarted, created);
    assert_eq!(here.volume_created().await, volume, "a restart keeps the state");

    here.config.image = here.other_image().await;
    // The times of volumes are whole seconds.
    tokio::time::sleep(Duration::from_secs(1)).await;
    here.endpoint().await.expect("replaced");
    assert_ne!(here.id().await, restarted);
    assert_ne!(
        here.volume_created().await,
        volume,
        "another image begins with an empty state"
    );
    here.end().await;
}

#[tokio::test]
async fn a_container_is_created_once_however_many_ask() {
    let Some(here) = Contained::new("race") else { return };
    ask_at_once(&here).await.iter().for_each(assert_works);
    here.end().await;
}

#[tokio::test]
async fn no_container_is_started_before_it_has_its_configuration() {
    let Some(mut here) = Contained::new("configured-race") else {
        return;
    };
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("buildkitd.toml");
    std::fs::write(&path, CONFIGURATION).expect("a file");
    here.config.config = Some(path);
    ask_at_once(&here).await.iter().for_each(assert_configured);
    let id = here.id().await;
    ask_at_once(&here).await.iter().for_each(assert_configured);
    assert_eq!(here.id().await, id);
    here.end().await;
}

#[tokio::test]
async fn a_container_is_replaced_once_however_many_ask() {
    let Some(mut here) = Contained::new("replace-race") else {
        return;
    };
    here.endpoint().await.expect("an endpoint");
    here.config.image = here.other_image().await;
    ask_at_once(&here).await.iter().for_each(assert_works);
    let volume = here
        .docker
        .inspect_volume(&format!("{}-state", here.config.name))
        .await
        .expect("a volume");
    assert_eq!(volume.labels.get("lkpkg.builder.image"), Some(&here.config.image));
    here.end().await;
}

#[tokio::test]
async fn an_endpoint_that_is_dropped_leaves_no_process_in_the_container() {
    let Some(here) = Contained::new("dropped") else { return };
    let endpoint = here.endpoint().await.expect("an endpoint");
    let dialling = async || {
        let top = here
            .docker
            .top_processes(&here.config.name, None::<TopOptions>)
            .await
            .expect("processes");
        let processes = top.processes.unwrap_or_default().concat();
        processes.iter().filter(|column| column.contains("dial-stdio")).count()
    };
    assert_eq!(dialling().await, 1);
    drop(endpoint);
    let begin = Instant::now();
    while dialling().await > 0 {
        assert!(begin.elapsed() < PATIENCE, "buildctl stays behind");
    }
    here.end().await;
}

#[tokio::test]
async fn a_container_of_someone_else_is_replaced_only_when_asked_to() {
    let Some(mut here) = Contained::new("foreign") else {
        return;
    };
    here.create_foreign(false, HashMap::new()).await;
    let foreign = here.id().await;
    let error = here.endpoint().await.expect_err("not ours");
    assert_eq!(error.kind(), Kind::Input);
    assert!(
        error
            .to_string()
            .contains("is left alone: it runs \"buildkitd\" of the image "),
        "{error}"
    );
    assert_eq!(here.id().await, foreign);
    here.config.restart = true;
    here.endpoint().await.expect("replaced");
    assert_ne!(here.id().await, foreign);
    here.end().await;
}

#[tokio::test]
async fn a_container_of_linuxkit_is_shared_and_judged_by_its_rules() {
    let Some(mut here) = Contained::new("linuxkit") else {
        return;
    };
    let volume = format!("{}-state", here.config.name);
    let created = async |here: &Contained| {
        let volume = here.docker.inspect_volume(&volume).await.expect("a volume");
        (
            volume.labels.contains_key("lkpkg.builder"),
            format!("{:?}", volume.created_at),
        )
    };
    here.create_linuxkits(DEFAULT_IMAGE, true).await;
    let (linuxkits, its_volume) = (here.id().await, created(&here).await);
    assert_works(&here.endpoint().await.expect("used"));
    assert_eq!(here.id().await, linuxkits);

    // A configuration is wanted, and nobody knows whether it has it.
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("buildkitd.toml");
    std::fs::write(&config, CONFIGURATION).expect("a file");
    here.config.config = Some(config);
    assert_configured(&here.endpoint().await.expect("replaced"));
    assert_eq!(created(&here).await, its_volume, "linuxkit's state is kept");
    here.config.config = None;
    here.remove().await;

    // Another image, and its state goes too.
    let other = here.other_image().await;
    here.create_linuxkits(&other, true).await;
    here.endpoint().await.expect("replaced");
    assert!(created(&here).await.0, "the volume is a new one, of our own");
    here.remove().await;

    here.create_linuxkits(DEFAULT_IMAGE, false).await;
    let unprivileged = here.id().await;
    here.endpoint().await.expect("replaced");
    assert_ne!(here.id().await, unprivileged);
    here.end().await;
}

#[tokio::test]
async fn a_container_that_is_not_privileged_is_replaced_and_leaves_no_volume() {
    let Some(here) = Contained::new("unprivileged") else {
        return;
    };
    here.create_foreign(false, HashMap::from([("lkpkg.builder".into(), "1".into())]))
        .await;
    let unprivileged = here.id().await;
    let mounts = here
        .docker
        .inspect_container(&unprivileged, None::<InspectContainerOptions>)
        .await
        .expect("a container")
        .mounts;
    let anonymous = mounts.expect("mounts").remove(0).name.expect("a name");
    here.endpoint().await.expect("replaced");
    assert_ne!(here.id().await, unprivileged);
    let volumes = here
        .docker
        .list_volumes(None::<ListVolumesOptions>)
        .await
        .expect("volumes")
        .volumes
        .unwrap_or_default();
    let names: BTreeSet<String> = volumes.into_iter().map(|volume| volume.name).collect();
    assert!(
        !names.contains(&anonymous),
        "the volume of the image went with its container"
    );
    here.end().await;
}

#[tokio::test]
async fn a_private_image_is_pulled_with_the_credentials_for_its_registry() {
    let (Some(mut here), Some(registry)) = (Contained::new("private"), Registry::with_password()) else {
        return;
    };
    here.config.image = registry.image();
    let error = here.endpoint().await.expect_err("no credentials");
    assert_eq!(error.kind(), Kind::Missing, "{error}");
    let credentials = Credentials::Basic {
        username: USER.into(),
        password: PASSWORD.into(),
    };
    here.config.credentials = CredentialSource::given(BTreeMap::from([(registry.host.clone(), credentials)]));
    // It is pulled, and is no BuildKit.
    let (events, mut told) = Events::channel();
    let (config, cancel) = (here.config.clone(), CancellationToken::new());
    let endpoint = builder::endpoint(&here.place, &config, &events, &cancel).await;
    drop(events);
    let error = endpoint.expect_err("it does not start");
    assert!(matches!(error, BuilderError::Docker { .. }), "{error}");
    assert!(error.to_string().starts_with("starting the container"), "{error}");
    here.docker.inspect_image(&registry.image()).await.expect("the image");
    // The pull is told as every other: what travels, and how it ended.
    let (mut moved, mut layers) = (None, 0);
    while let Some(event) = told.recv().await {
        match event {
            Event::Warning(text) => panic!("{text}"),
            Event::StepFinished { outcome, .. } => moved = Some(outcome),
            Event::Progress { progress, .. } if progress.completed.is_some() => {
                assert!(progress.total > 0 && progress.current == progress.total, "{progress:?}");
                layers += 1;
            }
            _ => {}
        }
    }
    let Some(Outcome::Moved {
        how,
        digest,
        blobs,
        bytes,
    }) = moved
    else {
        panic!("{moved:?}")
    };
    // None where the daemon had the layer from another image.
    assert_eq!((how, blobs), ("pulled", layers));
    assert!(
        digest.starts_with("sha256:") && (bytes > 0) == (layers > 0),
        "{digest} {bytes}"
    );
    here.end().await;
}

#[tokio::test]
async fn an_image_that_cannot_be_pulled_is_named() {
    let Some(mut here) = Contained::new("image") else {
        return;
    };
    here.config.image = "registry.invalid/none:1".into();
    let error = here.endpoint().await.expect_err("no image");
    assert_eq!(error.kind(), Kind::Missing);
    let text = error.to_string();
    assert!(
        text.contains("registry.invalid/none:1 cannot be pulled") && text.contains("--builder-image"),
        "{text}"
    );
    let volume = format!("{}-state", here.config.name);
    let _ = here.docker.remove_volume(&volume, None::<RemoveVolumeOptions>).await;
}
