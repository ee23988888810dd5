//! Registries where the builders of the tests reach them: with TLS of an own authority, and with passwords.

use crate::servers::{program, server, skopeo, until};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

pub(super) const USER: &str = "me";
/// With letters that are other ones in base64 for URLs.
pub(super) const PASSWORD: &str = "s3cret-???-~~~-pass";
/// bcrypt of [`PASSWORD`], cost 5: docker-registry takes nothing else, and few machines have a program for it.
const PASSWORD_HASH: &str = "$2y$05$abcdefghijklmnopqrstuun5X1XQ/j1q0rvdv25rlH.WJNApUut.K";

/// A docker-registry with `library/busybox:1.37` in it; it ends when it is dropped.
pub(super) struct Registry {
    /// `address:port`, as its users reach it.
    pub host: String,
    process: Child,
    directory: TempDir,
}

impl Registry {
    /// With TLS, where the machine and its containers reach it. None after a SKIP line.
    pub fn with_tls() -> Option<Self> {
        Self::with_tls_and(|_| json!([]))
    }

    /// The same, for those who show a certificate of the authority. None after a SKIP line.
    pub fn with_mutual_tls() -> Option<Self> {
        Self::with_tls_and(|authority| json!([authority]))
    }

    fn with_tls_and(client_authorities: impl Fn(&Path) -> Value) -> Option<Self> {
        let _openssl = program("openssl")?;
        let bridge = server("LKPKG_TEST_REGISTRY_BRIDGE")?;
        let address = bridge.split(':').next().expect("address:port");
        let directory = tempfile::tempdir().expect("a directory");
        sign(directory.path(), address);
        let path = |name: &str| directory.path().join(name);
        let tls = json!({
            "certificate": path("certificate"),
            "key": path("key"),
            "clientcas": client_authorities(&path("ca.pem")),
        });
        Self::start(directory, address, json!({"http": {"tls": tls}}))
    }

    /// For [`USER`] only, and for this machine, where daemons speak plain HTTP. None after a SKIP line.
    pub fn with_password() -> Option<Self> {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("htpasswd");
        std::fs::write(&file, format!("{USER}:{PASSWORD_HASH}\n")).expect("a file");
        let auth = json!({"htpasswd": {"realm": "test", "path": file}});
        Self::start(directory, "127.0.0.1", json!({"auth": auth}))
    }

    fn start(directory: TempDir, address: &str, mut settings: Value) -> Option<Self> {
        let (program, bases) = (program("docker-registry")?, server("LKPKG_TEST_BASES")?);
        let free = std::net::TcpListener::bind((address, 0)).expect("a port");
        let host = free.local_addr().expect("an address").to_string();
        drop(free);
        let path = |name: &str| directory.path().join(name);
        settings["version"] = json!(0.1);
        settings["log"] = json!({"level": "error"});
        settings["storage"] = json!({"filesystem": {"rootdirectory": path("storage")}});
        settings["http"]["addr"] = json!(host);
        // JSON is YAML.
        std::fs::write(path("registry.yml"), settings.to_string()).expect("a file");
        let log = std::fs::File::create(path("log")).expect("a log");
        let mut command = Command::new(program);
        command
            .arg("serve")
            .arg(path("registry.yml"))
            .stdout(Stdio::null())
            .stderr(log);
        let process = command.spawn().expect("docker-registry starts");
        let registry = Self {
            host: host.clone(),
            process,
            directory,
        };
        until("the registry listens", || std::net::TcpStream::connect(&host).is_ok());
        let from = format!("oci:{bases}:docker.io/library/busybox:1.37");
        let to = format!("docker://{}", registry.image());
        let credentials = format!("--dest-creds={USER}:{PASSWORD}");
        // As Docker names them: x.cert and x.key are what is shown.
        let certificates = format!("--dest-cert-dir={}", registry.directory.path().display());
        skopeo(&[
            "--insecure-policy",
            "copy",
            "--quiet",
            "--all",
            "--dest-tls-verify=false",
            &certificates,
            &credentials,
            &from,
            &to,
        ])?;
        Some(registry)
    }

    /// The image in it.
    pub fn image(&self) -> String {
        format!("{}/library/busybox:1.37", self.host)
    }

    /// PEM file of the authority that signed its certificate.
    pub fn authority(&self) -> PathBuf {
        self.file("ca.pem")
    }

    /// A file beside it: `client.cert` and `client.key` are what the authority's clients show.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Makes `key` and `certificate` for an address, `client.key` and `client.cert`, and the authority behind them, `ca.pem`.
fn sign(directory: &Path, address: &str) {
    let openssl = |line: &str| {
        let output = Command::new("openssl")
            .current_dir(directory)
            .args(line.split(' '))
            .output();
        let output = output.expect("openssl runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    std::fs::write(directory.join("extensions"), format!("subjectAltName=IP:{address}\n")).expect("a file");
    openssl("req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=authority -keyout authority-key -out ca.pem");
    openssl("req -newkey rsa:2048 -nodes -subj /CN=registry -keyout key -out request");
    openssl("req -newkey rsa:2048 -nodes -subj /CN=client -keyout client.key -out client.request");
    openssl("x509 -req -days 30 -CAcreateserial -in client.request -out client.cert -CA ca.pem -CAkey authority-key");
    openssl(
        "x509 -req -days 30 -CAcreateserial -in request -out certificate -CA ca.pem -CAkey authority-key -extfile extensions",
    );
}
