//! Where tests find their servers. A missing one is said aloud: CI counts a SKIP as a failure.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a condition may take to come true on a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The value of `variable`, or None after a SKIP line that names it.
///
/// The line goes to stderr and, since a test runner hides what a passing test prints, to the file that
/// `LKPKG_TEST_SKIPS` names.
pub fn server(variable: &str) -> Option<String> {
    let value = std::env::var(variable).ok().filter(|value| !value.is_empty());
    if value.is_none() {
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        skip(&format!(
            "SKIP {test}: {variable} is not set; scripts/test starts the servers"
        ));
    }
    value
}

/// Says aloud that a test did not run, in the words of `line`.
pub fn skip(line: &str) {
    eprintln!("{line}");
    let Some(path) = std::env::var_os("LKPKG_TEST_SKIPS").filter(|path| !path.is_empty()) else {
        return;
    };
    // One write of a short line to a file opened for appending: tests that skip at once do not mix.
    std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()))
        .expect("the file named by LKPKG_TEST_SKIPS can be written");
}

/// Waits until `condition` holds, and says how long it took.
#[track_caller]
pub fn until(what: &str, condition: impl Fn() -> bool) -> Duration {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < PATIENCE, "waited for too long until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
    begin.elapsed()
}

/// skopeo's output, or None after a SKIP line.
#[track_caller]
pub fn skopeo(arguments: &[&str]) -> Option<String> {
    let output = Command::new(program("skopeo")?)
        .args(arguments)
        .output()
        .expect("skopeo runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "skopeo {arguments:?}: {errors}");
    Some(String::from_utf8(output.stdout).expect("skopeo writes UTF-8"))
}

/// A buildkitd of the test's own, that it may kill; it is killed at the end.
pub struct OwnBuildKit {
    child: Child,
    directory: TempDir,
}

impl OwnBuildKit {
    /// Starts the program and waits until it listens.
    pub fn start(program: &str) -> Self {
        Self::start_with(program, &[])
    }

    /// The same with more arguments.
    pub fn start_with(program: &str, arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path();
        let log = std::fs::File::create(path.join("log")).expect("a log");
        let programs = Path::new(program).parent().expect("in a directory").display();
        let child = Command::new(program)
            .arg("--root")
            .arg(path.join("root"))
            .args(["--oci-worker-snapshotter=native", "--addr"])
            .arg(format!("unix://{}", path.join("sock").display()))
            .args(arguments)
            .env(
                "PATH",
                format!("{programs}:{}", std::env::var("PATH").unwrap_or_default()),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("buildkitd starts");
        let own = Self { child, directory };
        let socket = own.directory.path().join("sock");
        until("buildkitd listens", || {
            std::os::unix::net::UnixStream::connect(&socket).is_ok()
        });
        own
    }

    /// Where it listens.
    pub fn address(&self) -> String {
        format!("unix://{}", self.directory.path().join("sock").display())
    }

    /// Ends it without a chance to say anything.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for OwnBuildKit {
    fn drop(&mut self) {
        self.kill();
        // Killed in the middle of a step it leaves that step's file system mounted.
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let places = mounts.lines().filter_map(|line| line.split(' ').nth(1));
        for place in places.filter(|place| Path::new(place).starts_with(self.directory.path())) {
            let _ = Command::new("umount").args(["--lazy", place]).status();
        }
    }
}

/// A file system of 2 MiB, unmounted at the end.
pub struct SmallDisk(TempDir);

impl SmallDisk {
    /// None, after a SKIP line, where nothing may be mounted.
    pub fn mount() -> Option<Self> {
        let directory = tempfile::tempdir().expect("a directory");
        let arguments = ["-t", "tmpfs", "-o", "size=2m", "lkpkg-test"];
        let mounted = Command::new("mount").args(arguments).arg(directory.path()).status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self(directory));
        }
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        skip(&format!(
            "SKIP {test}: a tmpfs cannot be mounted; run the tests as root"
        ));
        None
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

/// The path of a program on PATH, or None after a SKIP line that names it.
pub fn program(name: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|file| file.is_file());
    if found.is_none() {
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        skip(&format!("SKIP {test}: {name} is not on PATH"));
    }
    found
}
