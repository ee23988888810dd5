//! Where the files of the local `buildkitd` are.
//!
//! Everything is in the state directory, except the sockets when its path is too long for them.

use super::super::BuilderError;
use super::super::configuration::{Configuration, FILE_NAME};
use super::super::error::io;
use sha2::{Digest as _, Sha256};
use std::fs::{DirBuilder, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A socket's path has 108 bytes with its terminating zero in Linux (unix(7)), 104 elsewhere.
const SOCKET_PATH_MAX_BYTES: usize = 103;

/// The longest name that is joined to the sockets' directory.
const LONGEST_SOCKET: &str = "buildkitd.sock";

/// Name of BuildKit's own state.
const ROOT: &str = "root";

/// Paths of one local daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Places {
    pub state: PathBuf,
    /// BuildKit's own state.
    pub root: PathBuf,
    /// The same on its way out.
    pub removed: PathBuf,
    pub log: PathBuf,
    /// The log before this one.
    pub old_log: PathBuf,
    /// Holds the process ID of `buildkitd` while it runs.
    pub pid: PathBuf,
    /// Held by the process that starts or ends a daemon.
    pub start_lock: PathBuf,
    /// Held by the supervisor as long as it lives.
    pub supervisor_lock: PathBuf,
    /// Holds the configuration of the daemon that runs, below a name that says what is in it.
    pub config: PathBuf,
    pub sockets: PathBuf,
    pub buildkitd_socket: PathBuf,
    /// Where the supervisor listens; there exactly as long as the daemon can be used.
    pub control_socket: PathBuf,
    /// What RootlessKit keeps while it runs; a socket is in it.
    pub rootlesskit: PathBuf,
    /// `XDG_RUNTIME_DIR` of an ordinary user's daemon. The user's own ends with the session, the daemon does not.
    pub runtime: PathBuf,
    /// BuildKit's trace socket; its default place is shared by all daemons of the machine.
    pub trace_socket: PathBuf,
}

impl Places {
    /// The paths below `state`, which must be the same text in every process: canonical.
    pub fn of(state: &Path, uid: u32) -> Self {
        let is_short = state.as_os_str().len() + 1 + LONGEST_SOCKET.len() <= SOCKET_PATH_MAX_BYTES;
        let sockets = if is_short {
            state.to_owned()
        } else {
            let hash = hex::encode(Sha256::digest(state.as_os_str().as_encoded_bytes()));
            // Not below TMPDIR or /run/user/UID: those may differ between two processes that shall meet.
            let parent = if uid == 0 { "/run" } else { "/tmp" };
            Path::new(parent).join(format!("lkpkg-{uid}-{}", &hash[..16]))
        };
        Self {
            root: state.join(ROOT),
            removed: state.join("root.removed"),
            log: state.join("buildkitd.log"),
            old_log: state.join("buildkitd.log.old"),
            pid: state.join("buildkitd.pid"),
            start_lock: state.join("start.lock"),
            supervisor_lock: state.join("supervisor.lock"),
            config: state.join("config"),
            buildkitd_socket: sockets.join(LONGEST_SOCKET),
            control_socket: sockets.join("control.sock"),
            trace_socket: sockets.join("otel.sock"),
            // `rk/api.sock` is no longer than the longest.
            rootlesskit: sockets.join("rk"),
            runtime: state.join("run"),
            sockets,
            state: state.to_owned(),
        }
    }

    /// Whether a daemon has ever kept anything there.
    pub fn has_root(state: &Path) -> bool {
        state.join(ROOT).exists()
    }

    /// Makes the state directory, readable for its owner only: whoever reaches the sockets is root in the builder.
    pub fn prepare(state: &Path) -> Result<Self, BuilderError> {
        if let Some(parent) = state.parent() {
            std::fs::create_dir_all(parent).map_err(io("making the directory", parent))?;
        }
        make_directory(state)?;
        let state = state.canonicalize().map_err(io("finding", state))?;
        protect(&state)?;
        let places = Self::of(&state, rustix::process::geteuid().as_raw());
        if places.sockets.symlink_metadata().is_ok() {
            protect(&places.sockets)?;
        }
        Ok(places)
    }

    /// Makes the sockets' directory. Only the supervisor does, under its lock, because it also removes it.
    pub fn make_sockets(&self) -> Result<(), BuilderError> {
        make_directory(&self.sockets)?;
        protect(&self.sockets)
    }

    /// Makes the directory that stands for the user's `XDG_RUNTIME_DIR`.
    pub fn make_runtime(&self) -> Result<(), BuilderError> {
        make_directory(&self.runtime)
    }

    /// Takes away what a daemon leaves behind, but not its state.
    pub fn clear(&self) {
        // What cannot be removed is not there, or makes the next start fail with a reason.
        for path in [
            &self.pid,
            &self.buildkitd_socket,
            &self.trace_socket,
            &self.control_socket,
        ] {
            let _ = std::fs::remove_file(path);
        }
        // RootlessKit and runc take these away themselves, unless they are killed.
        for directory in [&self.rootlesskit, &self.runtime] {
            let _ = std::fs::remove_dir_all(directory);
        }
        if self.sockets != self.state {
            let _ = std::fs::remove_dir(&self.sockets);
        }
    }

    /// Where the file of a configuration is. Another configuration has another place.
    pub fn config_file(&self, configuration: &Configuration) -> PathBuf {
        self.config.join(configuration.label()).join(FILE_NAME)
    }

    /// Writes a configuration, and takes away the one before it. Only for who starts a daemon, under the lock for that.
    pub fn write_config(&self, configuration: Option<&Configuration>) -> Result<(), BuilderError> {
        match std::fs::remove_dir_all(&self.config) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(io("removing the configuration", &self.config)(error));
            }
            _ => {}
        }
        let Some(configuration) = configuration else {
            return Ok(());
        };
        let directory = self.config.join(configuration.label());
        let toml = configuration.toml(&directory.to_string_lossy());
        let files = configuration.files().map(|(path, file)| (path, file.bytes.as_slice()));
        for (path, bytes) in files.chain([(FILE_NAME, toml.as_bytes())]) {
            let path = directory.join(path);
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent).map_err(io("making the directory", parent))?;
            }
            // The state directory is nobody else's, and so is what is in it.
            let mut options = File::options();
            options.create(true).write(true).truncate(true).mode(0o600);
            let written = options.open(&path).and_then(|mut file| file.write_all(bytes));
            written.map_err(io("writing", &path))?;
        }
        Ok(())
    }

    /// A new log; the one before is kept beside it.
    pub fn fresh_log(&self) -> Result<File, BuilderError> {
        match std::fs::rename(&self.log, &self.old_log) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(io("moving the log", &self.log)(error));
            }
            _ => {}
        }
        self.open_log()
    }

    /// The log, to be written at its end.
    pub fn open_log(&self) -> Result<File, BuilderError> {
        let mut options = File::options();
        options.create(true).append(true).mode(0o600);
        options.open(&self.log).map_err(io("opening the log", &self.log))
    }
}

/// Makes a directory of mode 0700, unless something of that name is there.
fn make_directory(path: &Path) -> Result<(), BuilderError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(io("making the directory", path)(error)),
        _ => Ok(()),
    }
}

/// Sees that a directory is ours and nobody else's. One that someone else prepared, or a link, is refused.
fn protect(path: &Path) -> Result<(), BuilderError> {
    let found = std::fs::symlink_metadata(path).map_err(io("reading the directory", path))?;
    let uid = rustix::process::geteuid().as_raw();
    if !found.is_dir() || found.uid() != uid {
        let source = std::io::Error::other(format!("it is no directory of user {uid}"));
        return Err(io("using the directory", path)(source));
    }
    if found.mode() & 0o077 != 0 {
        std::fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(io("protecting the directory", path))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_short() {
        let check = |state: &str, uid: u32, parent: &str| {
            let places = Places::of(Path::new(state), uid);
            assert!(places.buildkitd_socket.as_os_str().len() <= SOCKET_PATH_MAX_BYTES);
            assert!(places.control_socket.as_os_str().len() <= SOCKET_PATH_MAX_BYTES);
            assert!(places.sockets.starts_with(parent), "{places:?}");
        };
        let limit = SOCKET_PATH_MAX_BYTES - 1 - LONGEST_SOCKET.len();
        let deep = |bytes: usize| format!("/{}", "d".repeat(bytes - 1));
        check("/home/me/.linuxkit/buildkit", 0, "/home/me/.linuxkit/buildkit");
        check(&deep(limit), 0, &deep(limit));
        check(&deep(limit + 1), 0, "/run");
        check(&deep(200), 1000, "/tmp");
        assert_ne!(
            Places::of(Path::new(&deep(200)), 0).sockets,
            Places::of(Path::new(&deep(201)), 0).sockets
        );
    }

    #[test]
    fn directories_are_private() {
        let directory = tempfile::tempdir().expect("a directory");
        let state = directory.path().join("a/b");
        let places = Places::prepare(&state).expect("places");
        let mode = |path: &Path| std::fs::metadata(path).expect("metadata").mode() & 0o777;
        assert_eq!(mode(&places.state), 0o700);
        places.make_sockets().expect("a directory for the sockets");
        std::fs::set_permissions(&places.state, Permissions::from_mode(0o755)).expect("permissions");
        assert_eq!(Places::prepare(&state).expect("places"), places);
        assert_eq!(mode(&places.state), 0o700);
    }
}
