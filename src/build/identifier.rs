//! Names for BuildKit: random ones for a session and a build, and one that stays the same for a directory.

use crate::oci::Digest;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// As many random bytes as nobody guesses: who knows a session's id can ask it for credentials.
const RANDOM_BYTES: usize = 16;
/// Where systemd and D-Bus keep the machine's identity.
const MACHINE_ID: &str = "/etc/machine-id";

/// A name that nothing else has.
pub fn random() -> String {
    let mut bytes = [0; RANDOM_BYTES];
    let mut filled = 0;
    while filled < bytes.len() {
        // The kernel's generator cannot fail once the machine is up; an interruption is tried again.
        filled += rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty()).unwrap_or(0);
    }
    hex::encode(bytes)
}

/// A name for `directory` of this user on this machine. BuildKit keeps what it was sent under it, and compares the
/// next tree with that by names, sizes and times; so nobody else may come to the same name by chance.
pub fn shared_key(directory: &Path) -> String {
    let machine = std::fs::read_to_string(MACHINE_ID).unwrap_or_default();
    let host = rustix::system::uname();
    let user = rustix::process::getuid().as_raw();
    let inode = std::fs::metadata(directory)
        .map(|found| (found.dev(), found.ino()))
        .unwrap_or_default();
    let host = host.nodename().to_string_lossy();
    let text = format!(
        "lkpkg\0{}\0{host}\0{user}\0{inode:?}\0{}",
        machine.trim(),
        directory.display()
    );
    Digest::of(text.as_bytes()).hex().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_keeps_its_name_and_a_build_never() {
        let (one, other) = (tempfile::tempdir().expect("one"), tempfile::tempdir().expect("other"));
        assert_eq!(shared_key(one.path()), shared_key(one.path()));
        assert_ne!(shared_key(one.path()), shared_key(other.path()));
        assert_ne!(random(), random());
        assert_eq!(random().len(), 2 * RANDOM_BYTES);
    }
}
