//! A file that takes its place when it is whole: [`beside`]. For what the user asked for by name.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use tempfile::NamedTempFile;

/// What an ordinary new file may be used for, before the umask takes its share.
const MODE: u32 = 0o666;

/// A file beside `path` that is to be persisted there when it is whole, and goes away otherwise.
pub fn beside(path: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder
        .prefix(".lkpkg-export-")
        .permissions(Permissions::from_mode(MODE))
        .tempfile_in(super::atomic::parent(path))
}
