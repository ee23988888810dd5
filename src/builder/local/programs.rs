//! A `buildkitd` of our own: its place, and its programs as they are found on the path that the caller gives.

use super::rootless::Rootless;
use super::{AMBIENT_CONFIG, DEFAULT_IDLE};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A `buildkitd` that lkpkg starts itself: its programs and its place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Local {
    /// The program of lkpkg, which starts itself again as the supervisor.
    pub lkpkg: PathBuf,
    /// The program `buildkitd`; None when there is none.
    pub buildkitd: Option<PathBuf>,
    /// The container runtime, `runc` or `buildkit-runc`; None when there is none.
    pub runc: Option<PathBuf>,
    /// Directory of its state, log and lock. One daemon a directory.
    pub state: PathBuf,
    /// How long it stays when nobody uses it.
    pub idle: Duration,
    /// The value of `SSL_CERT_DIR`; None when it is not set.
    pub certificates: Option<OsString>,
    /// What every `buildkitd` of this user reads when it is told nothing else.
    pub ambient_config: PathBuf,
    /// What an ordinary user needs besides.
    pub rootless: Rootless,
}

impl Local {
    /// A place without programs, and the default idle time.
    pub fn new(lkpkg: impl Into<PathBuf>, state: impl Into<PathBuf>) -> Self {
        Self {
            lkpkg: lkpkg.into(),
            buildkitd: None,
            runc: None,
            state: state.into(),
            idle: DEFAULT_IDLE,
            certificates: None,
            ambient_config: AMBIENT_CONFIG.into(),
            rootless: Rootless::default(),
        }
    }

    /// Finds the programs: `buildkitd` as `given`, else on `search_path` (the value of `PATH`); the runtime beside it, else
    /// on `search_path`; for an ordinary user RootlessKit and what goes with it. Whether a given program is there is looked at
    /// when it is needed.
    #[must_use]
    pub fn with_programs(mut self, given: Option<&Path>, search_path: &OsStr) -> Self {
        let on_path: Vec<PathBuf> = std::env::split_paths(search_path).collect();
        self.buildkitd = match given {
            Some(path) => std::path::absolute(path).ok(),
            None => find("buildkitd", &on_path),
        };
        self.rootless = Rootless::find(self.buildkitd.as_deref(), &on_path);
        let beside = self.buildkitd.as_deref().and_then(Path::parent).map(Path::to_owned);
        let directories: Vec<PathBuf> = beside.into_iter().chain(on_path).collect();
        // Debian keeps runc in /usr/sbin, which is not on the PATH of everybody.
        let directories = [directories, vec!["/usr/sbin".into(), "/sbin".into()]].concat();
        self.runc = find("buildkit-runc", &directories).or_else(|| find("runc", &directories));
        self
    }
}

/// The program in the first of these directories that has it.
pub(super) fn find(program: &str, directories: &[PathBuf]) -> Option<PathBuf> {
    directories
        .iter()
        .map(|directory| directory.join(program))
        .find(|path| path.is_absolute() && path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_beside_and_on_the_path() {
        let directory = tempfile::tempdir().expect("a directory");
        let make = |name: &str| {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
            std::fs::write(&path, "").expect("a file");
            path
        };
        let [given, beside, on_path, _runc] = [
            make("given/buildkitd"),
            make("given/buildkit-runc"),
            make("path/buildkitd"),
            make("path/buildkit-runc"),
        ];
        let search = directory.path().join("path");
        let local = |given: Option<&Path>, search: &OsStr| Local::new("/l", "/s").with_programs(given, search);

        let found = local(Some(&given), search.as_os_str());
        assert_eq!((found.buildkitd, found.runc), (Some(given.clone()), Some(beside)));
        assert_eq!(local(None, search.as_os_str()).buildkitd, Some(on_path));
        assert_eq!(local(None, OsStr::new("")).buildkitd, None);
    }
}
