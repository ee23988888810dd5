//! Builders: an address, a `buildkitd` of our own, a container in a Docker daemon.

use crate::servers::server;
use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, InspectContainerOptions, ListVolumesOptions, RemoveContainerOptionsBuilder,
    RemoveVolumeOptions, StopContainerOptions, TagImageOptionsBuilder, TopOptions,
};
use bollard::{API_DEFAULT_VERSION, Docker};
use lkpkg::builder::{self, BuilderConfig, BuilderError, DEFAULT_IMAGE, Endpoint, Kind, Local, Where, docker_answers};
use lkpkg::event::{CancellationToken, Events};
use lkpkg::oci::Platform;
use std::collections::{BTreeSet, HashMap};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::task::JoinSet;

/// How long a condition may take to come true on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(30);

async fn endpoint_at(place: &Where, config: &BuilderConfig) -> Result<Endpoint, BuilderError> {
    builder::endpoint(place, config, &Events::silent(), &CancellationToken::new()).await
}

/// Waits until `condition` holds.
async fn until(what: &str, condition: impl Fn() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < PATIENCE, "waited for too long until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn assert_works(endpoint: &Endpoint) {
    assert!(endpoint.version.starts_with('v'), "{endpoint:?}");
    assert!(
        endpoint
            .platforms
            .iter()
            .any(|platform| platform.matches(&Platform::host())),
        "{endpoint:?}"
    );
}

/// A configuration whose effect can be seen: the platforms that the builder says it can build.
const CONFIGURATION: &str = "[worker.oci]\n  platforms = [\"linux/amd64\", \"linux/mips64le\"]\n";

fn assert_configured(endpoint: &Endpoint) {
    assert!(
        endpoint.platforms.contains(&Platform::linux("mips64le")),
        "{endpoint:?}"
    );
}

// --- an address ---

#[tokio::test]
async fn an_address_that_answers_is_an_endpoint() {
    let Some(address) = server("LKPKG_TEST_BUILDKIT") else {
        return;
    };
    let endpoint = endpoint_at(&Where::Address(address.clone()), &BuilderConfig::default())
        .await
        .expect("an endpoint");
    assert_eq!(endpoint.name, address);
    assert_works(&endpoint);
}

#[tokio::test]
async fn an_address_where_nothing_or_something_else_answers_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("sock");
    let check = async |part: &str| {
        let address = format!("unix://{}", path.display());
        let error = endpoint_at(&Where::Address(address.clone()), &BuilderConfig::default())
            .await
            .expect_err("no BuildKit");
        let text = error.to_string();
        assert_eq!(error.kind(), Kind::Missing, "{text}");
        assert!(text.contains(&address) && text.contains(part), "{text}");
    };
    check("No such file").await;
    let listener = tokio::net::UnixListener::bind(&path).expect("a socket");
    let mut others = JoinSet::new();
    others.spawn(async move { while listener.accept().await.is_ok() {} });
    check("").await;
    others.shutdown().await;
    check("refused").await;
}

#[tokio::test]
async fn a_cancelled_call_ends_at_once() {
    let cancel = CancellationToken::new();
    cancel.cancel();
    let place = Where::Address("unix:///nowhere".into());
    let result = builder::endpoint(&place, &BuilderConfig::default(), &Events::silent(), &cancel).await;
    assert!(
        matches!(&result, Err(error) if error.kind() == Kind::Cancelled),
        "{result:?}"
    );
}

// --- a buildkitd of our own ---

/// A place for a local daemon, which ends by itself a second after its last user.
struct Here {
    directory: TempDir,
    local: Local,
}

impl Here {
    fn new(below: &str) -> Option<Self> {
        let buildkitd = PathBuf::from(server("LKPKG_BUILDKITD")?);
        let directory = tempfile::tempdir().expect("a directory");
        let search_path = std::env::var_os("PATH").unwrap_or_default();
        let mut local = Local::new(env!("CARGO_BIN_EXE_lkpkg"), directory.path().join(below))
            .with_programs(Some(&buildkitd), &search_path);
        local.idle = Duration::from_secs(1);
        Some(Self { directory, local })
    }

    async fn endpoint(&self) -> Result<Endpoint, BuilderError> {
        endpoint_at(&Where::Local(self.local.clone()), &BuilderConfig::default()).await
    }

    async fn configured(&self, config: &Path) -> Result<Endpoint, BuilderError> {
        let config = BuilderConfig {
            config: Some(config.into()),
            ..BuilderConfig::default()
        };
        endpoint_at(&Where::Local(self.local.clone()), &config).await
    }

    fn pid_file(&self) -> PathBuf {
        self.local.state.join("buildkitd.pid")
    }

    fn pid(&self) -> i32 {
        let text = std::fs::read_to_string(self.pid_file()).expect("a pid file");
        text.trim().parse().expect("a process ID")
    }

    /// Process ID of the supervisor: the daemon's parent.
    fn supervisor(&self) -> i32 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("a process");
        let parent = status
            .lines()
            .find_map(|line| line.strip_prefix("PPid:"))
            .expect("a parent");
        parent.trim().parse().expect("a process ID")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.local.state.join("buildkitd.log")).unwrap_or_default()
    }

    /// Waits until nobody uses it, the daemon has ended, and its supervisor too.
    async fn end(self, processes: &[i32]) {
        until("the pid file is gone", || !self.pid_file().exists()).await;
        for process in processes {
            until("the processes are gone", || !is_alive(*process)).await;
        }
        for socket in ["control.sock", "buildkitd.sock"] {
            assert!(!self.local.state.join(socket).exists(), "{socket}");
        }
    }
}

/// Whether a process is there and no zombie.
fn is_alive(process: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit(')')
        .next()
        .is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
}

fn kill_9(process: i32) {
    let process = rustix::process::Pid::from_raw(process).expect("a process ID");
    rustix::process::kill_process(process, rustix::process::Signal::KILL).expect("a signal");
}

#[tokio::test]
async fn local_is_started_used_again_and_ends_when_idle() {
    let Some(here) = Here::new("state") else { return };
    let first = here.endpoint().await.expect("an endpoint");
    assert_works(&first);
    let (pid, supervisor) = (here.pid(), here.supervisor());
    let second = here.endpoint().await.expect("an endpoint");
    assert_eq!(here.pid(), pid);
    // It stays as long as one of them is held, however long that is.
    drop(first);
    tokio::time::sleep(here.local.idle * 2).await;
    assert!(is_alive(pid));
    drop(second);
    here.end(&[pid, supervisor]).await;
}

#[tokio::test]
async fn local_starts_once_however_many_ask() {
    let Some(here) = Here::new("state") else { return };
    let mut asking = JoinSet::new();
    for _ in 0..20 {
        let place = Where::Local(here.local.clone());
        asking.spawn(async move { endpoint_at(&place, &BuilderConfig::default()).await });
    }
    let endpoints: Vec<Endpoint> = asking
        .join_all()
        .await
        .into_iter()
        .map(|result| result.expect("an endpoint"))
        .collect();
    assert_eq!(endpoints.len(), 20);
    assert_eq!(here.log().matches("running server on").count(), 1, "{}", here.log());
    assert!(!here.local.state.join("buildkitd.log.old").exists());
    let pid = here.pid();
    drop(endpoints);
    here.end(&[pid]).await;
}

#[tokio::test]
async fn local_is_started_anew_when_it_was_killed() {
    let Some(here) = Here::new("state") else { return };
    let first = here.endpoint().await.expect("an endpoint");
    let (killed, supervisor) = (here.pid(), here.supervisor());
    kill_9(killed);
    let second = here.endpoint().await.expect("an endpoint");
    assert_ne!(here.pid(), killed);
    assert!(!is_alive(supervisor));
    let pid = here.pid();
    drop((first, second));
    here.end(&[pid]).await;
}

#[tokio::test]
async fn local_is_started_anew_when_its_supervisor_was_killed() {
    let Some(here) = Here::new("state") else { return };
    let first = here.endpoint().await.expect("an endpoint");
    let orphan = here.pid();
    kill_9(here.supervisor());
    let second = here.endpoint().await.expect("an endpoint");
    assert!(!is_alive(orphan));
    assert_works(&second);
    let pid = here.pid();
    drop((first, second));
    here.end(&[pid]).await;
}

#[tokio::test]
async fn local_takes_what_its_daemon_started_with_it() {
    let Some(mut here) = Here::new("state") else { return };
    // As the container of a build does: a process in a session of its own, whose parent dies first.
    let (wrapper, left) = (
        here.directory.path().join("wrapper"),
        here.directory.path().join("left"),
    );
    let program = here.local.buildkitd.replace(wrapper.clone()).expect("a program");
    let script = format!(
        "#!/bin/sh\nsetsid sleep 1000 &\necho $! >{}\nexec {} \"$@\"\n",
        left.display(),
        program.display()
    );
    std::fs::write(&wrapper, script).expect("a script");
    std::fs::set_permissions(&wrapper, std::fs::Permissions::from_mode(0o755)).expect("permissions");
    for kill in [false, true] {
        let endpoint = here.endpoint().await.expect("an endpoint");
        let left: i32 = std::fs::read_to_string(&left)
            .expect("a file")
            .trim()
            .parse()
            .expect("a process ID");
        let supervisor = here.supervisor();
        assert!(is_alive(left));
        if kill {
            kill_9(here.pid());
        }
        drop(endpoint);
        until("all are gone", || !is_alive(left) && !is_alive(supervisor)).await;
    }
}

#[tokio::test]
async fn local_survives_stale_files() {
    let Some(here) = Here::new("state") else { return };
    std::fs::create_dir(&here.local.state).expect("a directory");
    // As after a reboot: sockets without a listener, and the process ID of someone else.
    for socket in ["control.sock", "buildkitd.sock"] {
        drop(std::os::unix::net::UnixListener::bind(here.local.state.join(socket)).expect("a socket"));
    }
    std::fs::write(here.pid_file(), std::process::id().to_string()).expect("a pid file");
    let endpoint = here.endpoint().await.expect("an endpoint");
    let pid = here.pid();
    drop(endpoint);
    here.end(&[pid]).await;
}

#[tokio::test]
async fn local_shows_the_log_of_what_does_not_start() {
    let Some(here) = Here::new("state") else { return };
    let config = here.directory.path().join("buildkitd.toml");
    std::fs::write(&config, "this is = not [ toml").expect("a file");
    let error = here.configured(&config).await.expect_err("a broken configuration");
    let text = error.to_string();
    assert_eq!(error.kind(), Kind::Failed);
    assert!(
        text.contains("buildkitd did not start: it ended with exit status: 1"),
        "{text}"
    );
    assert!(
        text.contains("Its log ends with:\n  buildkitd: (1, 6)") && text.contains("failed to parse config"),
        "{text}"
    );
    assert!(!here.pid_file().exists());

    let error = here
        .configured(Path::new("/nowhere/buildkitd.toml"))
        .await
        .expect_err("no configuration");
    assert_eq!(error.kind(), Kind::Input, "{error}");
}

#[tokio::test]
async fn local_is_restarted_for_another_configuration_unless_in_use() {
    let Some(here) = Here::new("state") else { return };
    let config = here.directory.path().join("buildkitd.toml");
    std::fs::write(&config, CONFIGURATION).expect("a file");
    let endpoint = here.endpoint().await.expect("an endpoint");
    let plain = here.pid();
    let error = here.configured(&config).await.expect_err("it is in use");
    assert_eq!(error.kind(), Kind::Busy);
    assert!(
        error
            .to_string()
            .contains(&format!("in use by process {}", std::process::id())),
        "{error}"
    );
    assert_eq!(here.pid(), plain);
    drop(endpoint);

    // Closing the connection is seen by the supervisor a moment later.
    let begin = Instant::now();
    let endpoint = loop {
        match here.configured(&config).await {
            Err(error) if error.kind() == Kind::Busy && begin.elapsed() < PATIENCE => {}
            result => break result.expect("an endpoint"),
        }
    };
    let configured = here.pid();
    assert_ne!(configured, plain);
    assert_configured(&endpoint);
    drop(here.configured(&config).await.expect("an endpoint"));
    assert_eq!(here.pid(), configured);
    drop(endpoint);
    here.end(&[plain, configured]).await;
}

#[tokio::test]
async fn local_works_in_a_deep_directory_and_leaves_nothing_elsewhere() {
    let Some(here) = Here::new(&"deep".repeat(30)) else {
        return;
    };
    let endpoint = here.endpoint().await.expect("an endpoint");
    let (pid, supervisor) = (here.pid(), here.supervisor());
    let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).expect("a command line");
    let address = command
        .split('\0')
        .find_map(|argument| argument.strip_prefix("unix://"))
        .expect("an address");
    let sockets = Path::new(address).parent().expect("a directory").to_owned();
    assert!(sockets.starts_with("/run") && sockets.exists(), "{sockets:?}");
    drop(endpoint);
    here.end(&[pid, supervisor]).await;
    assert!(!sockets.exists(), "{sockets:?}");
}

#[tokio::test]
async fn local_without_a_runtime_says_how_to_get_one() {
    let Some(mut here) = Here::new("state") else { return };
    here.local.runc = None;
    let error = here.endpoint().await.expect_err("no runtime");
    assert_eq!(error.kind(), Kind::Missing);
    assert!(error.to_string().contains("apt-get install runc"), "{error}");
}

// --- a container ---

/// A named builder in the Docker daemon of the tests.
struct Contained {
    docker: Docker,
    place: Where,
    config: BuilderConfig,
}

impl Contained {
    fn new(name: &str) -> Option<Self> {
        let address = server("LKPKG_TEST_DOCKER")?;
        let docker = Docker::connect_with_unix(&address, 60, API_DEFAULT_VERSION).expect("a Docker daemon");
        let name = format!("lkpkg-it-{name}-{}", std::process::id());
        let config = BuilderConfig {
            name,
            ..BuilderConfig::default()
        };
        Some(Self {
            docker,
            place: Where::DockerContainer { docker: address },
            config,
        })
    }

    async fn endpoint(&self) -> Result<Endpoint, BuilderError> {
        endpoint_at(&self.place, &self.config).await
    }

    async fn id(&self) -> String {
        let inspected = self
            .docker
            .inspect_container(&self.config.name, None::<InspectContainerOptions>)
            .await;
        inspected.expect("a container").id.expect("an ID")
    }

    async fn volume_created(&self) -> String {
        let volume = self
            .docker
            .inspect_volume(&format!("{}-state", self.config.name))
            .await
            .expect("a volume");
        assert_eq!(volume.labels.get("lkpkg.builder").map(String::as_str), Some("1"));
        format!("{:?}", volume.created_at)
    }

    /// Another name for the same image.
    async fn other_image(&self) -> String {
        let tag = TagImageOptionsBuilder::default()
            .repo("lkpkg-it/buildkit")
            .tag("other")
            .build();
        self.docker.tag_image(DEFAULT_IMAGE, Some(tag)).await.expect("a tag");
        "lkpkg-it/buildkit:other".into()
    }

    /// A container of our builder's name that someone else made.
    async fn create_foreign(&self, is_privileged: bool, labels: HashMap<String, String>) {
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

    async fn end(self) {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        self.docker
            .remove_container(&self.config.name, Some(options))
            .await
            .expect("a container");
        let volume = format!("{}-state", self.config.name);
        let _ = self.docker.remove_volume(&volume, None::<RemoveVolumeOptions>).await;
    }
}

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

async fn ask_at_once(here: &Contained) -> Vec<Endpoint> {
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
        error.to_string().contains("it is not privileged\n--builder-restart"),
        "{error}"
    );
    assert_eq!(here.id().await, foreign);
    here.config.restart = true;
    here.endpoint().await.expect("replaced");
    assert_ne!(here.id().await, foreign);
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
async fn a_container_gets_its_configuration_and_a_new_one_when_it_changes() {
    let Some(mut here) = Contained::new("config") else {
        return;
    };
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("buildkitd.toml");
    here.config.config = Some(path.clone());
    let error = here.endpoint().await.expect_err("no configuration");
    assert_eq!(error.kind(), Kind::Input, "{error}");

    std::fs::write(&path, CONFIGURATION).expect("a file");
    let endpoint = here.endpoint().await.expect("an endpoint");
    assert_configured(&endpoint);
    let configured = here.id().await;
    here.endpoint().await.expect("kept");
    assert_eq!(here.id().await, configured);

    std::fs::write(&path, "not = [ toml").expect("a file");
    let error = here.endpoint().await.expect_err("a broken configuration");
    let text = error.to_string();
    assert!(
        text.contains("it ended with status 1\nIts log ends with:\n") && text.contains("failed to parse config"),
        "{text}"
    );
    assert_ne!(here.id().await, configured);
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

#[tokio::test]
async fn a_docker_daemon_that_is_not_there_is_known_at_once() {
    let error = docker_answers("unix:///nowhere/docker.sock")
        .await
        .expect_err("no daemon");
    assert_eq!(error.kind(), Kind::Missing);
    assert!(
        error.to_string().contains("unix:///nowhere/docker.sock: No such file"),
        "{error}"
    );
    if let Some(address) = server("LKPKG_TEST_DOCKER") {
        docker_answers(&address).await.expect("a daemon");
    }
}
