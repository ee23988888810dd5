//! [`Committed`]: records as every work tree of the same commit has them. Git keeps of a file its content and whether it
//! can be executed; what depends on the machine's umask, on links between files, on its file system and on when somebody
//! checked something out is made the same.
//!
//! Times are special. BuildKit brings those in layers that are later than SOURCE_DATE_EPOCH back to it, and leaves earlier
//! ones alone: so none may be earlier. Those that are later stay, because programs that build (make, cargo) find by
//! them what changed since their last run. By its time, too, BuildKit finds out which file it has to ask for again. All that
//! are raised get the same time, so that none looks older than another; within the second after the epoch it depends on
//! their real times, so that it is another one when one of them changed.

use super::error::FileSyncError;
use super::filter::WalkOptions;
use super::stat::go_mode;
use super::tree::Tree;
use bollard_buildkit_proto::fsutil::types::Stat;
use sha2::{Digest as _, Sha256};

const SECOND_NS: i64 = 1_000_000_000;

/// How a tree's records are changed.
pub(super) struct Committed {
    epoch_ns: i64,
    /// What is not later than the epoch gets this time.
    raised_ns: i64,
}

impl Committed {
    /// Looks at the times of all that is going to be sent. None where the tree is sent as it is.
    pub fn of(tree: &Tree, options: &WalkOptions) -> Result<Option<Self>, FileSyncError> {
        let Some(epoch_s) = tree.epoch_s else {
            return Ok(None);
        };
        let epoch_ns = epoch_s.saturating_mul(SECOND_NS);
        let mut hasher = Sha256::new();
        for entry in tree.walk(options)? {
            let stat = entry?.stat;
            if stat.mod_time <= epoch_ns && stat.mode & go_mode::DIRECTORY == 0 {
                hasher.update(stat.path.as_bytes());
                hasher.update([0]);
                hasher.update(stat.mod_time.to_le_bytes());
            }
        }
        let hash: [u8; 32] = hasher.finalize().into();
        let part = hash
            .iter()
            .take(7)
            .fold(0, |number, byte| number << 8 | i64::from(*byte));
        Ok(Some(Self {
            epoch_ns,
            raised_ns: epoch_ns.saturating_add(part % SECOND_NS),
        }))
    }

    /// Changes one record.
    pub fn apply(&self, stat: &mut Stat) {
        if stat.mod_time <= self.epoch_ns {
            stat.mod_time = self.raised_ns;
        }
        stat.xattrs.clear();
        if stat.mode & go_mode::DIRECTORY != 0 {
            stat.mode = go_mode::DIRECTORY | 0o755;
        } else if stat.mode & go_mode::TYPE == 0 {
            let is_program = stat.mode & 0o100 != 0;
            stat.mode = if is_program { 0o755 } else { 0o644 };
            // Each file by itself: whether two were linked to each other, nobody else knows.
            stat.linkname.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use std::fs::{self, File, FileTimes, Permissions};
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;
    use std::time::{Duration, SystemTime};

    const EPOCH_S: u64 = 1_700_000_000;

    fn records(directory: &Path) -> Vec<(String, u32, i64, String)> {
        let tree = Tree::new(directory.to_owned(), vec![]).unwrap();
        let tree = tree.as_committed(Some(EPOCH_S.cast_signed()));
        let options = WalkOptions::default();
        let committed = Committed::of(&tree, &options).unwrap().unwrap();
        let record = |entry: Result<super::super::Entry, _>| {
            let mut stat = entry.unwrap().stat;
            committed.apply(&mut stat);
            assert!(stat.xattrs.is_empty());
            (stat.path, stat.mode, stat.mod_time, stat.linkname)
        };
        tree.walk(&options).unwrap().map(record).collect()
    }

    fn touch(path: &Path, seconds: u64, nanoseconds: u64) {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_nanos(nanoseconds);
        let file = File::open(path).unwrap();
        file.set_times(FileTimes::new().set_modified(time)).unwrap();
    }

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn modes_links_and_early_times_are_those_of_every_work_tree() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::create_dir(at("d")).unwrap();
        fs::write(at("d/file"), "x").unwrap();
        fs::write(at("program"), "x").unwrap();
        fs::hard_link(at("d/file"), at("linked")).unwrap();
        std::os::unix::fs::symlink("program", at("symlink")).unwrap();
        chmod(&at("d"), 0o770);
        chmod(&at("d/file"), 0o4664);
        chmod(&at("program"), 0o775);
        touch(&at("d/file"), 5, 0);
        touch(&at("program"), EPOCH_S, 0);
        let second = EPOCH_S.cast_signed() * SECOND_NS..(EPOCH_S.cast_signed() + 1) * SECOND_NS;
        let found = records(directory.path());
        let modes: Vec<_> = found.iter().map(|(path, mode, ..)| (path.as_str(), *mode)).collect();
        let symlink = go_mode::SYMLINK | 0o777;
        let expected = [
            ("d", go_mode::DIRECTORY | 0o755),
            ("d/file", 0o644),
            ("linked", 0o644),
            ("program", 0o755),
            ("symlink", symlink),
        ];
        assert_eq!(modes, expected);
        let links: Vec<_> = found.iter().map(|(.., link)| link.as_str()).collect();
        assert_eq!(links, ["", "", "", "", "program"]);
        let raised = [1, 2, 3].map(|at| found[at].2);
        assert!(second.contains(&raised[0]), "{raised:?}");
        assert_eq!(raised, [raised[0]; 3]);
        // Made just now: later than the epoch, and left alone.
        assert!(found[4].2 > second.end);
    }

    #[test]
    fn another_time_before_the_epoch_is_seen_and_one_after_it_stays() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for name in ["a", "b"] {
            fs::write(at(name), "x").unwrap();
            touch(&at(name), EPOCH_S - 100, 7);
        }
        let first = records(directory.path());
        assert_eq!(records(directory.path()), first);
        touch(&at("b"), EPOCH_S - 100, 8);
        let second = records(directory.path());
        assert_ne!(second[1].2, first[1].2);
        assert_eq!(second[0].2, second[1].2);
        touch(&at("b"), EPOCH_S + 100, 9);
        assert_eq!(
            records(directory.path())[1].2,
            (EPOCH_S.cast_signed() + 100) * SECOND_NS + 9
        );
    }
}
