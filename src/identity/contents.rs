//! What tells two dirty states of a package apart: seven digits over the contents of its files.

use super::IdentityError;
use super::git::{Change, Repository, is_below};
use crate::oci::Hasher;
use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// How many hexadecimal digits of the contents' SHA-256 a dirty hash carries.
const DIGITS: usize = 7;

/// Files are read in pieces of this size: large enough that system calls do not count, small enough for a stack.
const PIECE_BYTES: usize = 64 * 1024;

/// Seven hexadecimal digits of the SHA-256 over the regular files of `directory` (`inside` the work tree), tracked
/// ones first and then untracked ones that are not ignored, each in git's order.
///
/// As in linuxkit, what is not a readable regular file does not count, and neither does a file whose name git's lists
/// put in quotes.
pub(super) fn suffix(
    repository: &Repository,
    inside: &Path,
    directory: &Path,
    changes: &[Change],
) -> Result<String, IdentityError> {
    let inside = inside.as_os_str().as_bytes();
    let quotes_high_bytes = repository.quotes_high_bytes()?;
    let tracked = repository.tracked(Path::new(OsStr::from_bytes(inside)))?;
    let untracked = changes
        .iter()
        .filter(|change| change.is_untracked && is_below(&change.path, inside));
    let mut hasher = Hasher::default();
    for path in tracked.iter().chain(untracked.map(|change| &change.path)) {
        let name = path.strip_prefix(inside).unwrap_or(path);
        let name = name.strip_prefix(b"/").unwrap_or(name);
        if !is_quoted(name, quotes_high_bytes) {
            add_file(&mut hasher, &directory.join(OsStr::from_bytes(name)))?;
        }
    }
    Ok(hasher.finish().hex()[..DIGITS].to_owned())
}

/// Whether `git ls-files` prints `name` in quotes, in which form linuxkit finds no such file.
fn is_quoted(name: &[u8], quotes_high_bytes: bool) -> bool {
    let is_special = |byte: &u8| matches!(byte, 0..=0x1f | 0x7f | b'"' | b'\\') || (quotes_high_bytes && *byte >= 0x80);
    name.iter().any(is_special)
}

fn add_file(hasher: &mut Hasher, path: &Path) -> Result<(), IdentityError> {
    let is_file = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file());
    let Ok(mut file) = std::fs::File::open(path) else {
        return Ok(());
    };
    if !is_file {
        return Ok(());
    }
    let mut piece = [0; PIECE_BYTES];
    loop {
        match file.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(length) => hasher.update(&piece[..length]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(source) => {
                return Err(IdentityError::Read {
                    path: path.to_owned(),
                    source,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_as_git_quotes() {
        for (name, quotes_high_bytes, expected) in [
            ("plain name.txt", true, false),
            ("a\tb", false, true),
            ("a\"b", false, true),
            ("a\\b", false, true),
            ("é", true, true),
            ("é", false, false),
            ("\u{7f}", false, true),
        ] {
            assert_eq!(is_quoted(name.as_bytes(), quotes_high_bytes), expected, "{name:?}");
        }
    }
}
