//! The program as a user runs it: an own home, an own cache, a git repository of packages, nothing from the environment.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// A place to work in, gone when dropped.
pub struct Workshop {
    directory: TempDir,
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
        };
        for name in ["home", "repository"] {
            fs::create_dir(workshop.path().join(name)).unwrap();
        }
        workshop.git(&["init", "-q", "-b", "main"]);
        workshop
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
        command.current_dir(self.repository()).args(arguments);
        command
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
