//! Certificates of authorities of our own, made by openssl.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A certificate and its key, as PEM files.
pub struct Pair {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// The directory in which they are made.
pub struct Certificates<'a>(pub &'a Path);

impl Certificates<'_> {
    fn path(&self, name: &str, end: &str) -> PathBuf {
        self.0.join(format!("{name}.{end}"))
    }

    fn pair(&self, name: &str) -> Pair {
        Pair {
            certificate: self.path(name, "crt"),
            key: self.path(name, "key"),
        }
    }

    /// Signed by itself.
    pub fn authority(&self, name: &str) -> Pair {
        let pair = self.pair(name);
        let mut command = Command::new("openssl");
        command.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30"]);
        command.args(["-subj", &format!("/CN={name}")]);
        command.arg("-keyout").arg(&pair.key).arg("-out").arg(&pair.certificate);
        run(&mut command);
        pair
    }

    /// Signed by an authority, with an extension such as `subjectAltName=IP:127.0.0.1`.
    pub fn signed(&self, name: &str, extension: &str, authority: &Pair) -> Pair {
        let pair = self.pair(name);
        let (extensions, request) = (self.path(name, "extensions"), self.path(name, "request"));
        std::fs::write(&extensions, format!("{extension}\n")).unwrap();
        let mut command = Command::new("openssl");
        command.args(["req", "-newkey", "rsa:2048", "-nodes", "-subj", &format!("/CN={name}")]);
        command.arg("-keyout").arg(&pair.key).arg("-out").arg(&request);
        run(&mut command);
        let mut command = Command::new("openssl");
        command.args(["x509", "-req", "-days", "30", "-CAcreateserial"]);
        command.arg("-in").arg(&request).arg("-out").arg(&pair.certificate);
        command
            .arg("-CA")
            .arg(&authority.certificate)
            .arg("-CAkey")
            .arg(&authority.key);
        command.arg("-extfile").arg(&extensions);
        run(&mut command);
        pair
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Signs a file with a private key: RSA and SHA-256.
pub fn sign(key: &Path, file: &Path) -> Vec<u8> {
    let mut command = Command::new("openssl");
    command.args(["dgst", "-sha256", "-sign"]).arg(key).arg(file);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}
