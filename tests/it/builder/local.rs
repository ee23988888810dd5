//! A `buildkitd` of our own.

use super::*;
use lkpkg::builder::Local;
use tempfile::TempDir;

/// A place for a local daemon, which ends by itself a second after its last user.
struct Here {
    directory: TempDir,
    local: Local,
    /// How long others are waited for.
    wait: Duration,
}

impl Here {
    fn new(below: &str) -> Option<Self> {
        let buildkitd = PathBuf::from(server("LKPKG_BUILDKITD")?);
        let directory = tempfile::tempdir().expect("a directory");
        let search_path = std::env::var_os("PATH").unwrap_or_default();
        let mut local = Local::new(env!("CARGO_BIN_EXE_lkpkg"), directory.path().join(below))
            .with_programs(Some(&buildkitd), &search_path);
        local.idle = Duration::from_secs(1);
        let wait = Duration::ZERO;
        Some(Self { directory, local, wait })
    }

    async fn endpoint(&self) -> Result<Endpoint, BuilderError> {
        endpoint_at(&Where::Local(self.local.clone()), &BuilderConfig::default()).await
    }

    async fn configured(&self, config: &Path) -> Result<Endpoint, BuilderError> {
        let config = BuilderConfig {
            config: Some(config.into()),
            wait: self.wait,
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
    crate::program::write_program(&wrapper, &script);
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
    std::fs::write(&config, REFUSED).expect("a file");
    let error = here.configured(&config).await.expect_err("a broken configuration");
    let text = error.to_string();
    assert_eq!(error.kind(), Kind::Failed);
    assert!(
        text.contains("buildkitd did not start: it ended with exit status: 1"),
        "{text}"
    );
    assert!(
        text.contains("Its log ends with:\n  buildkitd: ") && text.contains("failed to parse config"),
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
    let Some(mut here) = Here::new("state") else { return };
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

    // Closing the connection is seen by the supervisor a moment later, for which it waits.
    here.wait = PATIENCE;
    let endpoint = here.configured(&config).await.expect("an endpoint");
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
