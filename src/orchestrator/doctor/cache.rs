//! The local cache: whether it can be used, and how much room there is.

use super::{Area, Finding, OrchestratorError, Verdict, blocking};
use crate::store::{self, Look, StoreError};
use rustix::fs::{Access, access, statvfs};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Less than this is too little for one package and what BuildKit keeps of it.
const FREE_MIN_BYTES: u64 = 1 << 30;
/// Less than this may not do for a long run: tens of packages for four platforms, with the state of a builder beside them.
const FREE_GOOD_BYTES: u64 = 10 << 30;
/// For people.
const GIB: f64 = (1_u64 << 30) as f64;

/// How the cache is.
pub(super) struct Facts {
    directory: PathBuf,
    /// The directory itself, or the nearest above it that is there.
    base: Option<PathBuf>,
    /// Whether something can be written in `base`, or why not.
    writable: Result<(), String>,
    free_bytes: Result<u64, String>,
    store: Result<Option<Look>, StoreError>,
}

impl Facts {
    /// Full names of the images that are there.
    pub(super) fn names(&self) -> BTreeSet<String> {
        match &self.store {
            Ok(Some(look)) => look.names.clone(),
            _ => BTreeSet::new(),
        }
    }
}

/// Looks at the directory.
pub(super) async fn gather(directory: PathBuf) -> Result<Facts, OrchestratorError> {
    blocking(move || {
        let directory = std::path::absolute(&directory).unwrap_or(directory);
        let base = directory.ancestors().find(|path| path.symlink_metadata().is_ok());
        let base = base.map(Path::to_owned);
        Facts {
            writable: base.as_deref().map_or(Ok(()), writable),
            free_bytes: free_bytes(base.as_deref().unwrap_or(Path::new("/"))),
            store: store::look(&directory),
            base,
            directory,
        }
    })
    .await
}

fn writable(path: &Path) -> Result<(), String> {
    if !path.is_dir() {
        return Err(format!("{} is no directory", path.display()));
    }
    let may = access(path, Access::WRITE_OK | Access::EXEC_OK);
    may.map_err(|error| format!("nothing can be written in {}: {error}", path.display()))
}

fn free_bytes(path: &Path) -> Result<u64, String> {
    let found = statvfs(path).map_err(|error| error.to_string())?;
    // What is kept for root is not counted.
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

/// What that means.
pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let subject = facts.directory.display().to_string();
    let mut findings = vec![directory(facts, &subject)];
    findings.push(room(&facts.free_bytes, &subject));
    match &facts.store {
        Ok(None) => {}
        Ok(Some(Look { busy: Some(busy), .. })) => findings.push(
            Finding::warning(Area::Cache, &subject, busy.to_string())
                .with_hint("a run waits for it; --lock-timeout says how long"),
        ),
        Ok(Some(look)) => {
            let names = look.names.len();
            let ending = if names == 1 { "" } else { "s" };
            findings.push(Finding::ok(
                Area::Cache,
                &subject,
                format!("index.json is readable and has {names} name{ending}; no other process holds it"),
            ));
        }
        Err(error) => findings.push(unusable(error, &subject)),
    }
    findings
}

fn directory(facts: &Facts, subject: &str) -> Finding {
    let hint = "give the directory to the user who runs lkpkg, or name another with --cache or LINUXKIT_CACHE";
    match (&facts.writable, &facts.base) {
        (Err(reason), _) => Finding::failed(Area::Cache, subject, reason).with_hint(hint),
        (Ok(()), Some(base)) if *base == facts.directory => {
            Finding::ok(Area::Cache, subject, "the directory is there and can be written")
        }
        (Ok(()), base) => {
            let above = base.as_deref().unwrap_or(Path::new("/")).display();
            Finding::ok(Area::Cache, subject, format!("the directory will be made in {above}"))
        }
    }
}

fn room(free_bytes: &Result<u64, String>, subject: &str) -> Finding {
    let free = match free_bytes {
        Ok(free) => *free,
        Err(reason) => {
            return Finding::warning(
                Area::Cache,
                subject,
                format!("cannot tell how much room there is: {reason}"),
            );
        }
    };
    let text = |wanted: u64| {
        format!(
            "{:.1} GiB are free, {:.0} GiB should be",
            free as f64 / GIB,
            wanted as f64 / GIB
        )
    };
    let hint = "remove images with `lkpkg cache rm`, free space otherwise, or name another directory with --cache";
    match free {
        ..FREE_MIN_BYTES => Finding::failed(Area::Cache, subject, text(FREE_MIN_BYTES)).with_hint(hint),
        FREE_MIN_BYTES..FREE_GOOD_BYTES => {
            Finding::warning(Area::Cache, subject, text(FREE_GOOD_BYTES)).with_hint(hint)
        }
        _ => Finding::ok(Area::Cache, subject, format!("{:.1} GiB are free", free as f64 / GIB)),
    }
}

fn unusable(error: &StoreError, subject: &str) -> Finding {
    let finding = match error {
        StoreError::Damaged { .. } | StoreError::NewerVersion { .. } => Verdict::Damaged,
        _ => Verdict::Failed,
    };
    let hint = match error {
        StoreError::NewerVersion { .. } => "",
        StoreError::Damaged { .. } => {
            "move the cache away, and build or import the images again: without its index.json it cannot be mended"
        }
        _ => "name another directory with --cache or LINUXKIT_CACHE",
    };
    Finding::new(Area::Cache, subject, finding, error.to_string()).with_hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            directory: "/home/me/cache".into(),
            base: Some("/home/me/cache".into()),
            writable: Ok(()),
            free_bytes: Ok(FREE_GOOD_BYTES),
            store: Ok(Some(Look {
                names: BTreeSet::from(["a".to_owned()]),
                busy: None,
            })),
        }
    }

    #[test]
    fn every_row() {
        let check = |facts: Facts, expected: &[(Verdict, &str)]| {
            let found = judge(&facts);
            assert_eq!(found.len(), expected.len(), "{found:?}");
            for (found, (verdict, part)) in found.iter().zip(expected) {
                assert!(
                    found.verdict == *verdict && found.finding.contains(part),
                    "{part}: {found:?}"
                );
                assert!(!found.is_failed() || !found.hint.is_empty(), "{found:?}");
            }
        };
        let there = (Verdict::Ok, "is there and can be written");
        let room = (Verdict::Ok, "10.0 GiB are free");
        let readable = (Verdict::Ok, "has 1 name;");
        check(facts(), &[there, room, readable]);
        let new = Facts {
            base: Some("/home".into()),
            store: Ok(None),
            ..facts()
        };
        check(new, &[(Verdict::Ok, "will be made in /home"), room]);
        let locked = Facts {
            writable: Err("nothing can be written in /home: Permission denied".into()),
            ..facts()
        };
        check(locked, &[(Verdict::Failed, "nothing can be written"), room, readable]);
        for (free, verdict, part) in [
            (
                FREE_GOOD_BYTES - 1,
                Verdict::Warning,
                "10.0 GiB are free, 10 GiB should be",
            ),
            (FREE_MIN_BYTES, Verdict::Warning, "1.0 GiB are free, 10 GiB should be"),
            (FREE_MIN_BYTES - 1, Verdict::Failed, "1.0 GiB are free, 1 GiB should be"),
            (0, Verdict::Failed, "0.0 GiB are free"),
        ] {
            let small = Facts {
                free_bytes: Ok(free),
                ..facts()
            };
            check(small, &[there, (verdict, part), readable]);
        }
        let held = Facts {
            store: Ok(Some(Look {
                names: BTreeSet::new(),
                busy: Some(StoreError::Busy {
                    path: "/c/.lkpkg.lock".into(),
                    holder: "process 12 (lkpkg)".into(),
                    waited: std::time::Duration::ZERO,
                }),
            })),
            ..facts()
        };
        check(held, &[there, room, (Verdict::Warning, "held by process 12 (lkpkg)")]);
        let damaged = Facts {
            store: Err(StoreError::Damaged {
                path: "/c/index.json".into(),
                reason: "EOF".into(),
            }),
            ..facts()
        };
        check(
            damaged,
            &[there, room, (Verdict::Damaged, "/c/index.json is damaged: EOF")],
        );
    }
}
