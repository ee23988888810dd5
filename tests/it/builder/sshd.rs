//! An sshd of the test's own, and an ssh whose configuration knows it.

use crate::program::{Run, Workshop};
use crate::servers::{program, server, skip, until};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// sshd wants to be called by its path, which is not where an ordinary user looks.
const SSHD: &str = "/usr/sbin/sshd";

/// Who has logged in finds `docker` and `buildctl`, the daemons of the test bed, and nothing else.
pub(super) struct Sshd {
    /// Its port, on 127.0.0.1. For ssh, `builder.example` is the same with the right user.
    pub port: u16,
    process: Child,
    directory: TempDir,
}

impl Sshd {
    /// None after a SKIP line.
    pub fn start() -> Option<Self> {
        let (docker, buildkit) = (server("LKPKG_TEST_DOCKER")?, server("LKPKG_TEST_BUILDKIT")?);
        let (ssh, keygen) = (program("ssh")?, program("ssh-keygen")?);
        if !Path::new(SSHD).exists() {
            let test = std::thread::current().name().unwrap_or("a test").to_owned();
            skip(&format!("SKIP {test}: there is no {SSHD}"));
            return None;
        }
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        for name in ["host", "key"] {
            let mut command = Command::new(&keygen);
            command.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path(name));
            assert!(command.status().expect("ssh-keygen runs").success());
        }
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        let here = directory.path().display();
        let search = std::env::var("PATH").unwrap_or_default();
        let host_key = fs::read_to_string(path("host.pub")).expect("a key");
        let write = |name: &str, text: String| fs::write(path(name), text).expect("a file");
        write(
            "sshd_config",
            format!(
                "ListenAddress 127.0.0.1:{port}\nHostKey {here}/host\nAuthorizedKeysFile {here}/key.pub\nPidFile none\n\
                 StrictModes no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n\
                 SetEnv \"PATH={search}\" \"DOCKER_HOST={docker}\" \"BUILDKIT_HOST={buildkit}\"\n"
            ),
        );
        write("known_hosts", format!("[127.0.0.1]:{port} {host_key}"));
        write(
            "ssh_config",
            format!(
                "Host builder.example\n  HostName 127.0.0.1\n  Port {port}\nHost *\n  IdentityFile {here}/key\n  \
                 IdentitiesOnly yes\n  UserKnownHostsFile {here}/known_hosts\n  StrictHostKeyChecking yes\n"
            ),
        );
        // ssh looks for its configuration in the account's home, whatever HOME says.
        write(
            "ssh",
            format!("#!/bin/sh\nexec {} -F {here}/ssh_config \"$@\"\n", ssh.display()),
        );
        fs::set_permissions(path("ssh"), fs::Permissions::from_mode(0o755)).expect("a program");
        // Where sshd runs as root it wants this directory.
        let _ = fs::create_dir_all("/run/sshd");
        let log = fs::File::create(path("log")).expect("a log");
        let process = Command::new(SSHD)
            .args(["-D", "-e", "-f"])
            .arg(path("sshd_config"))
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("sshd starts");
        let sshd = Self {
            port,
            process,
            directory,
        };
        until("sshd listens", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Some(sshd)
    }

    /// PATH with the ssh that knows it.
    fn search_path(&self) -> String {
        let search = std::env::var("PATH").unwrap_or_default();
        format!("{}:{search}", self.directory.path().display())
    }

    /// Builds with that ssh.
    pub fn build(&self, workshop: &Workshop, prepare: impl Fn(&mut Command), arguments: &[&str]) -> Run {
        let mut command = workshop.command(&[&["build", "--sbom-scanner=false", "--force"], arguments].concat());
        command.env("PATH", self.search_path());
        prepare(&mut command);
        Run::of(command.output().expect("the program runs"))
    }

    /// What nobody can log in with any more.
    pub fn key(&self) -> PathBuf {
        self.directory.path().join("key.pub")
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
