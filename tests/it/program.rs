//! The program as a user runs it: an own home, an own cache, a git repository of packages, nothing from the environment.

#![expect(clippy::unwrap_used, reason = "tests")]

use crate::servers::{server, until};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A place to work in, gone when dropped.
pub struct Workshop {
    directory: TempDir,
    buildkit: Option<String>,
}

/// What a run of the program came to.
#[derive(Debug)]
pub struct Run {
    /// Exit code; -1 when a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Run {
    /// What a finished process said.
    pub fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// Checks that it went well, and gives its standard output.
    #[track_caller]
    pub fn done(self) -> String {
        assert_eq!(self.code, 0, "standard error: {}", self.stderr);
        self.stdout
    }

    /// Checks that it failed with this code and said all of this.
    #[track_caller]
    pub fn failed(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, code, "standard error: {}", self.stderr);
        for one in words {
            assert!(self.stderr.contains(one), "{one:?} is not in: {}", self.stderr);
        }
        self
    }
}

impl Workshop {
    /// An empty repository.
    pub fn new() -> Self {
        let workshop = Self {
            directory: tempfile::tempdir().unwrap(),
            buildkit: None,
        };
        for name in ["home", "repository"] {
            fs::create_dir(workshop.path().join(name)).unwrap();
        }
        workshop.git(&["init", "-q", "-b", "main"]);
        workshop
    }

    /// One whose runs build on the BuildKit of the test bed, with the base images in the cache and nothing else. None, after
    /// a SKIP line, where there is none.
    pub fn with_buildkit() -> Option<Self> {
        let address = server("LKPKG_TEST_BUILDKIT")?;
        let mut workshop = Self::with_bases()?;
        workshop.buildkit = Some(address);
        Some(workshop)
    }

    /// One with the base images in the cache.
    pub fn with_bases() -> Option<Self> {
        let bases = server("LKPKG_TEST_BASES")?;
        let workshop = Self::new();
        workshop.run(&["cache", "import", &bases]).done();
        Some(workshop)
    }

    /// From now on runs build on this BuildKit.
    pub fn build_on(&mut self, address: &str) {
        self.buildkit = Some(address.to_owned());
    }

    /// The directory of everything.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The cache that runs use.
    pub fn cache(&self) -> PathBuf {
        self.path().join("cache")
    }

    /// The git repository, in which runs take place.
    pub fn repository(&self) -> PathBuf {
        self.path().join("repository")
    }

    /// Writes a file of the repository, with the directories above it.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.repository().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Writes a package and commits everything.
    pub fn package(&self, name: &str, build_yml: &str, dockerfile: &str) {
        self.write(&format!("{name}/build.yml"), build_yml);
        self.write(&format!("{name}/Dockerfile"), dockerfile);
        self.commit();
    }

    /// Commits everything.
    pub fn commit(&self) {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", "a commit"]);
    }

    /// Runs git in the repository.
    pub fn git(&self, arguments: &[&str]) {
        let identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"];
        let mut command = Command::new("git");
        command
            .current_dir(self.repository())
            .env("HOME", self.path().join("home"))
            .args(identity)
            .args(arguments);
        assert!(command.status().unwrap().success(), "git {arguments:?}");
    }

    /// The program, ready to run in the repository.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lkpkg"));
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
            .env("HOME", self.path().join("home"))
            .env("LINUXKIT_CACHE", self.cache());
        // Only servers that a test names itself: never a daemon that happens to run on this machine.
        command.env(
            "DOCKER_HOST",
            format!("unix://{}/no-docker.sock", self.path().display()),
        );
        // The packages of tests have names in Docker Hub, which is none of theirs.
        command.env("LKPKG_OFFLINE", "true");
        command.current_dir(self.repository()).args(arguments);
        if let Some(address) = &self.buildkit {
            command.env("BUILDKIT_HOST", address);
        }
        command
    }

    /// Builds without an SBoM, which takes its time.
    pub fn build(&self, arguments: &[&str]) -> Run {
        self.run(&[&["build", "--sbom-scanner=false"], arguments].concat())
    }

    /// The cache has nothing wrong or half done in it.
    #[track_caller]
    pub fn verify(&self) {
        let text = self.run(&["cache", "verify", "--format", "json"]).done();
        let found: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (&found["problems"], &found["leftovers"]),
            (&serde_json::json!([]), &serde_json::json!([])),
            "{text}"
        );
    }

    /// Names in the cache.
    pub fn names(&self) -> Vec<String> {
        let text = self.run(&["cache", "ls", "--format", "json"]).done();
        let images: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
        images
            .iter()
            .map(|image| image["name"].as_str().unwrap().to_owned())
            .collect()
    }

    /// A file of a blob in the cache.
    pub fn blob(&self, digest: &str) -> PathBuf {
        self.cache().join("blobs").join(digest.replace(':', "/"))
    }

    /// An index or a manifest in the cache.
    pub fn document(&self, digest: &str) -> serde_json::Value {
        serde_json::from_slice(&fs::read(self.blob(digest)).unwrap()).unwrap()
    }

    /// Runs the program to its end.
    pub fn run(&self, arguments: &[&str]) -> Run {
        Run::of(self.command(arguments).output().unwrap())
    }

    /// The same with a variable set.
    pub fn run_with(&self, variable: &str, value: &str, arguments: &[&str]) -> Run {
        Run::of(self.command(arguments).env(variable, value).output().unwrap())
    }
}

/// Writes a program that can be run at once. Another process does it: a file that this one has open for writing, or a
/// child that it forks at the same time, cannot be run.
pub fn write_program(path: &Path, text: &str) {
    use std::io::Write as _;
    let mut shell = Command::new("sh")
        .args(["-c", "cat >\"$1\" && chmod 755 \"$1\"", "sh"])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .expect("a shell");
    let mut stdin = shell.stdin.take().expect("its input");
    stdin.write_all(text.as_bytes()).expect("takes it");
    drop(stdin);
    assert!(shell.wait().expect("ends").success());
}

/// The digest in a line `name@digest`.
#[track_caller]
pub fn digest(line: &str) -> String {
    line.trim_end().rsplit_once('@').expect(line).1.to_owned()
}

/// Something that no earlier run has in BuildKit's cache.
pub fn unique() -> String {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("after 1970");
    format!("{}-{}", std::process::id(), now.as_nanos())
}

/// Processes whose command line has `text` in it.
pub fn processes(text: &str) -> Vec<i32> {
    let all = Path::new("/proc").read_dir().expect("/proc").flatten();
    let is_it = |path: &Path| {
        let line = fs::read(path.join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).replace('\0', " ").contains(text)
    };
    all.filter(|entry| is_it(&entry.path()))
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// A run that has not ended yet. Killed when dropped.
pub struct Running {
    child: Child,
    said: Arc<Mutex<String>>,
    readers: Vec<std::thread::JoinHandle<()>>,
}

impl Running {
    /// Starts it.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let (mut stderr, to) = (child.stderr.take().unwrap(), said.clone());
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = stderr.read(&mut buffer) {
                to.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..count]));
            }
        });
        Self {
            child,
            said,
            readers: vec![reader],
        }
    }

    /// Its process ID.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it said on standard error so far.
    pub fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Waits until it has said this.
    #[track_caller]
    pub fn until_said(&self, text: &str) {
        until(&format!("it says {text:?}"), || self.said().contains(text));
    }

    /// The signals that it handles, as proc(5) has them in SigCgt.
    pub fn caught_signals(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        u64::from_str_radix(mask.trim(), 16).unwrap()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until it ends: what it said and how long that took. Its standard output is not kept.
    pub fn end(mut self) -> (Run, Duration) {
        let begin = Instant::now();
        let status = self.child.wait().unwrap();
        let took = begin.elapsed();
        self.readers.drain(..).for_each(|reader| reader.join().unwrap());
        let run = Run {
            code: status.code().unwrap_or(-1),
            stdout: String::new(),
            stderr: self.said(),
        };
        (run, took)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
