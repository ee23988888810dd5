//! The answers of git's own program, for repositories that libgit2 reads wrongly or not at all.
//!
//! The main type is [`Program`]. A question costs one or two processes whatever the number of packages. The commands
//! are those by which linuxkit judges a package, so that the answer is the same by definition.

use super::{Change, Commit, Tag};
use crate::identity::IdentityError;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A work tree that the git program answers for.
pub(super) struct Program {
    top: PathBuf,
    reason: &'static str,
}

/// Variables that would lead git to another repository or change what a question means. Configuration given by
/// variables stays: it may hold the `safe.directory` that a container needs.
const SCRUBBED: [&str; 18] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_COMMON_DIR",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_GRAFT_FILE",
    "GIT_SHALLOW_FILE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_REPLACE_REF_BASE",
    "GIT_CEILING_DIRECTORIES",
    "GIT_GLOB_PATHSPECS",
    "GIT_NOGLOB_PATHSPECS",
    "GIT_ICASE_PATHSPECS",
    "GIT_EXTERNAL_DIFF",
];

impl Program {
    /// Asks git for the work tree of `directory`; `reason` says why libgit2 is not enough.
    pub fn open(directory: &Path, reason: &'static str) -> Result<Self, IdentityError> {
        let unopened = Self {
            top: directory.to_owned(),
            reason,
        };
        let arguments = ["rev-parse", "--show-toplevel"];
        let output = unopened.start(&arguments, &[])?;
        if output.stderr.windows(9).any(|window| window == b"work tree") {
            return Err(IdentityError::NoWorkTree {
                directory: directory.to_owned(),
            });
        }
        if !output.status.success() {
            return Err(unopened.failed(&arguments, &output));
        }
        let top = output.stdout;
        let top = PathBuf::from(OsStr::from_bytes(top.strip_suffix(b"\n").unwrap_or(&top)));
        Ok(Self { top, reason })
    }

    pub fn top(&self) -> &Path {
        &self.top
    }

    pub fn head(&self) -> Result<Option<String>, IdentityError> {
        self.resolve("HEAD^{commit}")
    }

    /// The id that `name` stands for, `None` when it stands for nothing.
    fn resolve(&self, name: &str) -> Result<Option<String>, IdentityError> {
        let arguments = ["rev-parse", "--verify", "--quiet", "--end-of-options", name];
        let output = self.start(&arguments, &[])?;
        match output.status.code() {
            Some(0) => Ok(Some(text(&output.stdout))),
            // What cannot be peeled gets a message in spite of --quiet, and 128.
            Some(1) => Ok(None),
            _ if output.stderr.windows(8).any(|window| window == b"expected") => Ok(None),
            _ => Err(self.failed(&arguments, &output)),
        }
    }

    pub fn ids(&self, commit: &str, paths: &BTreeSet<PathBuf>) -> Result<BTreeMap<PathBuf, String>, IdentityError> {
        let tree = self.resolve(&format!("{commit}^{{tree}}"))?;
        let tree = tree.ok_or_else(|| IdentityError::UnknownCommit {
            commit: commit.to_owned(),
            repository: self.top.clone(),
        })?;
        let mut ids = BTreeMap::new();
        let below: Vec<&Path> = paths
            .iter()
            .map(PathBuf::as_path)
            .filter(|path| !path.as_os_str().is_empty())
            .collect();
        if below.len() < paths.len() {
            ids.insert(PathBuf::new(), tree.clone());
        }
        if below.is_empty() {
            return Ok(ids);
        }
        // "<mode> <type> <id>\t<path>\0"
        let listed = self.run(&["ls-tree", "-z", "--full-tree", &tree, "--"], &below)?;
        for line in records(&listed) {
            let mut halves = line.splitn(2, |byte| *byte == b'\t');
            let (facts, path) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
            if let Some(id) = text(facts).split(' ').nth(2) {
                ids.insert(PathBuf::from(OsStr::from_bytes(path)), id.to_owned());
            }
        }
        ids.retain(|path, _| paths.contains(path));
        Ok(ids)
    }

    pub fn changes(&self, paths: &[PathBuf]) -> Result<Vec<Change>, IdentityError> {
        let paths: Vec<&Path> = match paths {
            [top] if top.as_os_str().is_empty() => vec![Path::new(".")],
            paths => paths.iter().map(PathBuf::as_path).collect(),
        };
        // Before the first commit everything that is staged is a change.
        let tracked = match self.head()? {
            Some(_) => self.run(
                &[
                    "diff",
                    "--no-ext-diff",
                    "--no-renames",
                    "--name-only",
                    "-z",
                    "HEAD",
                    "--",
                ],
                &paths,
            )?,
            None => self.run(&["ls-files", "-z", "--"], &paths)?,
        };
        let untracked = self.run(&["ls-files", "-z", "--others", "--exclude-standard", "--"], &paths)?;
        let change = |is_untracked| {
            move |path: &[u8]| Change {
                path: path.to_owned(),
                is_untracked,
            }
        };
        let mut changes: Vec<Change> = records(&tracked).map(change(false)).collect();
        changes.extend(records(&untracked).map(change(true)));
        changes.sort();
        Ok(changes)
    }

    pub fn tracked(&self, directory: &Path) -> Result<Vec<Vec<u8>>, IdentityError> {
        let directory = match directory.as_os_str().is_empty() {
            true => Path::new("."),
            false => directory,
        };
        let listed = self.run(&["ls-files", "-z", "--"], &[directory])?;
        Ok(records(&listed).map(<[u8]>::to_owned).collect())
    }

    pub fn quotes_high_bytes(&self) -> Result<bool, IdentityError> {
        let set = self.run(
            &["config", "--type=bool", "--default=true", "--get", "core.quotePath"],
            &[],
        )?;
        Ok(text(&set) != "false")
    }

    pub fn tags(&self) -> Result<Vec<Tag>, IdentityError> {
        // An annotated tag's commit is what it peels to; a light one's is itself.
        let format = "--format=%(refname:strip=2) %(objecttype) %(objectname) %(*objecttype) %(*objectname)";
        let listed = self.run(&["for-each-ref", "--sort=refname", format, "refs/tags"], &[])?;
        let tag = |line: &str| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (name, commit) = match fields.as_slice() {
                [name, "commit", commit] | [name, "tag", _, "commit", commit] => (name, commit),
                _ => return None,
            };
            Some(Tag {
                name: (*name).to_owned(),
                commit: (*commit).to_owned(),
            })
        };
        Ok(text(&listed).lines().filter_map(tag).collect())
    }

    pub fn is_in_history(&self, commit: &str) -> Result<bool, IdentityError> {
        let arguments = ["merge-base", "--is-ancestor", commit, "HEAD"];
        let output = self.start(&arguments, &[])?;
        match output.status.code() {
            Some(0) => Ok(true),
            Some(1) => Ok(false),
            _ => Err(self.failed(&arguments, &output)),
        }
    }

    pub fn head_time_s(&self) -> Result<i64, IdentityError> {
        let arguments = ["log", "-1", "--no-show-signature", "--format=%ct", "HEAD"];
        let output = self.start(&arguments, &[])?;
        text(&output.stdout)
            .parse()
            .map_err(|_| self.failed(&arguments, &output))
    }

    /// The newest commit that touched one of the paths. A process for each package that is built: few repositories need
    /// the program, and few packages are built at once.
    pub fn last_commit(
        &self,
        paths: &BTreeSet<PathBuf>,
        boundary: &BTreeSet<String>,
    ) -> Result<Option<Commit>, IdentityError> {
        if self.head()?.is_none() {
            return Ok(None);
        }
        let paths: Vec<&Path> = match paths.first() {
            Some(top) if top.as_os_str().is_empty() => vec![Path::new(".")],
            _ => paths.iter().map(PathBuf::as_path).collect(),
        };
        let known = self.run(&["ls-tree", "-z", "--name-only", "--full-tree", "HEAD", "--"], &paths)?;
        if known.is_empty() && paths != [Path::new(".")] {
            return Ok(None);
        }
        let arguments = ["rev-list", "-1", "--timestamp", "HEAD", "--"];
        let listed = text(&self.run(&arguments, &paths)?);
        let Some((time_s, id)) = listed.split_once(' ') else {
            return Ok(None);
        };
        Ok(Some(Commit {
            id: id.to_owned(),
            time_s: time_s.parse().unwrap_or_default(),
            is_boundary: boundary.contains(id),
        }))
    }

    fn run(&self, arguments: &[&str], paths: &[&Path]) -> Result<Vec<u8>, IdentityError> {
        let output = self.start(arguments, paths)?;
        match output.status.success() {
            true => Ok(output.stdout),
            false => Err(self.failed(arguments, &output)),
        }
    }

    fn start(&self, arguments: &[&str], paths: &[&Path]) -> Result<Output, IdentityError> {
        let mut command = Command::new("git");
        for name in SCRUBBED {
            command.env_remove(name);
        }
        command
            .env("LC_ALL", "C")
            .env("GIT_TERMINAL_PROMPT", "0")
            .args(["--no-optional-locks", "--no-pager", "--literal-pathspecs", "-C"])
            .arg(&self.top)
            .args(arguments)
            .args(paths)
            .stdin(Stdio::null());
        command.output().map_err(|error| IdentityError::ProgramMissing {
            repository: self.top.clone(),
            reason: self.reason,
            detail: error.to_string(),
        })
    }

    fn failed(&self, arguments: &[&str], output: &Output) -> IdentityError {
        let detail = text(&output.stderr);
        if detail.contains("dubious ownership") {
            return IdentityError::Untrusted {
                directory: super::work_tree(&self.top).to_owned(),
            };
        }
        IdentityError::Program {
            directory: self.top.clone(),
            command: arguments.join(" "),
            detail: match detail.is_empty() {
                true => output.status.to_string(),
                false => detail,
            },
        }
    }
}

fn records(output: &[u8]) -> impl Iterator<Item = &[u8]> {
    output.split(|byte| *byte == 0).filter(|record| !record.is_empty())
}

fn text(output: &[u8]) -> String {
    String::from_utf8_lossy(output).trim().to_owned()
}
