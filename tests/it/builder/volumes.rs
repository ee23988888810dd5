//! Volumes: the one with the state, and none besides.

use super::contained::Contained;
use super::*;
use crate::program::{Workshop, unique};
use bollard::query_parameters::ListVolumesOptionsBuilder;
use std::collections::{BTreeSet, HashMap};

/// Recreations in a row.
const RECREATIONS: usize = 10;

/// Volumes without a name that no container uses.
async fn left_behind(here: &Contained) -> BTreeSet<String> {
    let filters = HashMap::from([
        ("dangling", vec!["true"]),
        ("label", vec!["com.docker.volume.anonymous"]),
    ]);
    let options = ListVolumesOptionsBuilder::default().filters(&filters).build();
    let found = here.docker.list_volumes(Some(options)).await.expect("volumes").volumes;
    found
        .unwrap_or_default()
        .into_iter()
        .map(|volume| volume.name)
        .collect()
}

#[tokio::test]
async fn ten_recreations_leave_the_one_volume() {
    let Some(mut here) = Contained::new("recreated") else {
        return;
    };
    let before = left_behind(&here).await;
    here.endpoint().await.expect("an endpoint");
    let (mut created, volume) = (BTreeSet::from([here.id().await]), here.volume_created().await);
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("buildkitd.toml");
    for number in 0..RECREATIONS {
        // For each reason that keeps the state: a wish, and a configuration that comes, changes and goes.
        here.config.restart = number % 2 == 0;
        here.config.config = (number % 4 > 1).then(|| config.clone());
        std::fs::write(
            &config,
            format!("{CONFIGURATION}# {number}\n[history]\nmaxEntries = {}\n", number + 50),
        )
        .expect("a file");
        here.endpoint().await.expect("an endpoint");
        assert_eq!(here.volumes().await, [format!("{}-state", here.config.name)]);
        created.insert(here.id().await);
    }
    assert_eq!(here.volume_created().await, volume);
    assert!(created.len() > RECREATIONS / 2, "{created:?}");
    // Other tests make such volumes as well, and remove them.
    let begin = Instant::now();
    while !left_behind(&here).await.is_subset(&before) {
        assert!(begin.elapsed() < PATIENCE, "{:?}", left_behind(&here).await);
    }
    here.end().await;
}

#[tokio::test]
async fn a_build_after_a_restart_finds_its_cache() {
    let (Some(here), Some(workshop)) = (Contained::new("cached"), Workshop::with_bases()) else {
        return;
    };
    let dockerfile = format!("FROM busybox:1.37\nRUN echo {} >/mark\n", unique());
    workshop.package("p", "image: p\narches: [amd64]\n", &dockerfile);
    let first = here.build(&workshop, &["p"]);
    assert!(!first.stderr.contains("CACHED"), "{}", first.stderr);
    let id = here.id().await;
    let second = here.build(&workshop, &["--builder-restart", "p"]);
    assert_ne!(here.id().await, id);
    assert!(
        second.stderr.contains("keeping its state") && second.stderr.contains("CACHED"),
        "{}",
        second.stderr
    );
    assert_eq!(first.done(), second.done());
    here.end().await;
}
