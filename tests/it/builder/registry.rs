//! A registry with TLS of an own authority, where the builders of the tests reach it.

use crate::servers::{program, server, skopeo, until};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// A docker-registry with `library/busybox:1.37` in it; it ends when it is dropped.
pub(super) struct TlsRegistry {
    /// `address:port`, as the machine and its containers reach it.
    pub host: String,
    /// PEM file of the authority that signed its certificate.
    pub authority: PathBuf,
    process: Child,
    _directory: TempDir,
}

impl TlsRegistry {
    /// None after a SKIP line.
    pub fn start() -> Option<Self> {
        let (registry, _openssl) = (program("docker-registry")?, program("openssl")?);
        let (bridge, bases) = (server("LKPKG_TEST_REGISTRY_BRIDGE")?, server("LKPKG_TEST_BASES")?);
        let address = bridge.split(':').next().expect("address:port");
        let free = std::net::TcpListener::bind((address, 0)).expect("a port");
        let host = free.local_addr().expect("an address").to_string();
        drop(free);
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        let authority = sign(directory.path(), address);
        let settings = serde_json::json!({
            "version": 0.1,
            "log": {"level": "error"},
            "storage": {"filesystem": {"rootdirectory": path("storage")}},
            "http": {"addr": host, "tls": {"certificate": path("certificate"), "key": path("key")}},
        });
        // JSON is YAML.
        std::fs::write(path("registry.yml"), settings.to_string()).expect("a file");
        let log = std::fs::File::create(path("log")).expect("a log");
        let mut command = Command::new(registry);
        command
            .arg("serve")
            .arg(path("registry.yml"))
            .stdout(Stdio::null())
            .stderr(log);
        let process = command.spawn().expect("docker-registry starts");
        let registry = Self {
            host: host.clone(),
            authority,
            process,
            _directory: directory,
        };
        until("the registry listens", || std::net::TcpStream::connect(&host).is_ok());
        let from = format!("oci:{bases}:docker.io/library/busybox:1.37");
        let to = format!("docker://{host}/library/busybox:1.37");
        skopeo(&[
            "--insecure-policy",
            "copy",
            "--quiet",
            "--all",
            "--dest-tls-verify=false",
            &from,
            &to,
        ])?;
        Some(registry)
    }
}

impl Drop for TlsRegistry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Makes `key` and `certificate` for an address, and the authority behind them.
fn sign(directory: &Path, address: &str) -> PathBuf {
    let openssl = |line: &str| {
        let output = Command::new("openssl")
            .current_dir(directory)
            .args(line.split(' '))
            .output();
        let output = output.expect("openssl runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    std::fs::write(directory.join("extensions"), format!("subjectAltName=IP:{address}\n")).expect("a file");
    openssl("req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=authority -keyout ca.key -out ca.pem");
    openssl("req -newkey rsa:2048 -nodes -subj /CN=registry -keyout key -out request");
    openssl(
        "x509 -req -days 30 -CAcreateserial -in request -out certificate -CA ca.pem -CAkey ca.key -extfile extensions",
    );
    directory.join("ca.pem")
}
