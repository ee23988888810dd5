//! What the user reads when something went wrong, and the exit code.

use crate::attest::AttestError;
use crate::build::{BuildError, FailureKind};
use crate::builder::{BuilderError, Kind};
use crate::content::ContentError;
use crate::orchestrator::OrchestratorError;
use crate::package::PackageError;
use crate::plan::PlanError;
use crate::registry::RegistryError;
use crate::store::StoreError;
use std::fmt::Write as _;

/// Exit codes; scripts may rely on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// All done.
    Done = 0,
    /// The work failed.
    Failed = 1,
    /// Bad input or usage.
    Usage = 2,
    /// Something needed is missing: no builder, registry unreachable, no credentials.
    Missing = 3,
    /// The store is busy or damaged, or a builder busy.
    Store = 4,
    /// A bug in lkpkg.
    Bug = 70,
    /// Cancelled by a signal.
    Cancelled = 130,
}

impl ExitCode {
    /// All codes with their meaning, for the reference.
    pub const ALL: [(ExitCode, &'static str); 7] = [
        (ExitCode::Done, "done"),
        (ExitCode::Failed, "the work failed: a build, an export, a verification"),
        (ExitCode::Usage, "bad input or usage: nothing was begun"),
        (
            ExitCode::Missing,
            "something needed is missing: no builder, registry unreachable, no credentials",
        ),
        (
            ExitCode::Store,
            "the cache is busy or damaged, or somebody builds in a builder that has to be replaced, stopped or removed",
        ),
        (ExitCode::Bug, "a bug in lkpkg"),
        (ExitCode::Cancelled, "cancelled by a signal"),
    ];
}

/// Why a command did not succeed.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub code: ExitCode,
    /// What was being done, to what, and why it failed. May have several lines.
    pub message: String,
    /// What to do next; empty when there is nothing to say.
    pub hint: String,
}

impl Failure {
    /// A failure with a message.
    pub fn new(code: ExitCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            hint: String::new(),
        }
    }

    /// Bad input or usage.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ExitCode::Usage, message)
    }

    /// The same with what to do next.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// The same about the value of an environment variable.
    pub fn in_variable(mut self, variable: &str) -> Self {
        self.message = format!("{variable}: {}", self.message);
        self
    }

    /// The text for standard error, without a newline at its end.
    pub fn text(&self, colour: bool) -> String {
        let (red, cyan, plain) = if colour {
            ("\x1b[1;31m", "\x1b[1;36m", "\x1b[0m")
        } else {
            ("", "", "")
        };
        let mut text = format!("{red}error{plain}: {}", self.message.trim_end());
        if !self.hint.is_empty() {
            let _ = write!(text, "\n{cyan}hint{plain}: {}", self.hint.trim_end());
        }
        text
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}

impl From<OrchestratorError> for Failure {
    fn from(error: OrchestratorError) -> Self {
        match error {
            OrchestratorError::Package(error) => error.into(),
            OrchestratorError::Identity(error) => Self::new(exit_code(error.exit_code()), error.to_string()),
            OrchestratorError::Plan(error) => error.into(),
            OrchestratorError::Builder(error) => error.into(),
            OrchestratorError::Look { .. } => Self::new(ExitCode::Failed, error.to_string()),
            OrchestratorError::Build {
                tag,
                has_network,
                scanner,
                source,
            } => build_failure(
                &tag,
                has_network,
                scanner.as_deref().unwrap_or(DEFAULT_SCANNER),
                *source,
            ),
            OrchestratorError::Cache(error) => (*error).into(),
            OrchestratorError::CacheTwice { field, .. } => Self::usage(error.to_string()).with_hint(format!(
                "put {field} into it: --cache-to and --cache-from are templates"
            )),
            OrchestratorError::Store(error) => error.into(),
            OrchestratorError::Registry(error) => error.into(),
            OrchestratorError::Content(error) => error.into(),
            OrchestratorError::Fetch { .. } => Self::new(ExitCode::Missing, error.to_string()),
            OrchestratorError::Assemble(error) => Self::new(exit_code(error.exit_code()), error.to_string()),
            OrchestratorError::Journal(_) => Self::new(ExitCode::Store, error.to_string()).with_hint(JOURNAL),
            OrchestratorError::Release {
                doing,
                released,
                all,
                source,
            } => stopped_release(&doing, released, all, *source),
            OrchestratorError::Image { .. } => Self::new(ExitCode::Missing, error.to_string()).with_hint(IMPORT),
            OrchestratorError::Ask { ref source, .. } | OrchestratorError::Push { ref source, .. } => {
                let failure = Self::new(exit_code(source.exit_code()), error.to_string());
                failure.with_hint(registry_hint(source))
            }
            OrchestratorError::Nowhere { .. } => Self::new(ExitCode::Missing, error.to_string())
                .with_hint("lkpkg cache ls lists what is in the cache; check the name and the tag"),
            OrchestratorError::Attest { image, source } => attest_failure(&image, *source),
            OrchestratorError::Absent { .. } => Self::new(ExitCode::Missing, error.to_string()),
            OrchestratorError::NoArchitectureTags { .. } => {
                Self::new(ExitCode::Failed, error.to_string()).with_hint("push the package first: lkpkg push DIR")
            }
            OrchestratorError::NothingToRelease { .. } => {
                Self::new(ExitCode::Failed, error.to_string()).with_hint("build and push it first: lkpkg push DIR")
            }
            OrchestratorError::Temporary { .. } => Self::new(ExitCode::Failed, error.to_string()),
            OrchestratorError::File(error) => Self::new(ExitCode::Failed, error.to_string()),
            OrchestratorError::Cancelled => Self::new(ExitCode::Cancelled, "cancelled"),
            OrchestratorError::Panic(_) => Self::new(ExitCode::Bug, error.to_string()).with_hint(REPORT),
        }
    }
}

/// What to do about an image that lkpkg cannot get itself.
const IMPORT: &str = "put it into the cache with `lkpkg cache import FILE`; its digest has to be the one in build.yml";

/// What to do about a journal that makes no sense.
const JOURNAL: &str = "remove it to begin the release anew, with what the packages' tags stand for now";

/// A release that stopped half-way, with how far it is.
fn stopped_release(doing: &str, released: usize, all: usize, source: OrchestratorError) -> Failure {
    let mut failure = Failure::from(source);
    failure.message = format!("{doing}: {}", failure.message);
    failure.hint = format!("{released} of {all} are released; the same command goes on where it stopped");
    failure
}

/// What to do about a bug.
const REPORT: &str = "this is a bug in lkpkg; please report it with the command that showed it";

fn exit_code(code: u8) -> ExitCode {
    let found = ExitCode::ALL.iter().find(|(known, _)| *known as u8 == code);
    found.map_or(ExitCode::Failed, |(known, _)| *known)
}

impl From<PackageError> for Failure {
    fn from(error: PackageError) -> Self {
        let code = if matches!(error, PackageError::Read { .. }) {
            ExitCode::Failed
        } else {
            ExitCode::Usage
        };
        let is_yaml = |path: &std::path::Path| {
            path.extension()
                .is_some_and(|ending| ending == "yml" || ending == "yaml")
        };
        let failure = Self::new(code, error.to_string());
        match &error {
            PackageError::NotADirectory { path, .. } if is_yaml(path) => failure.with_hint(format!(
                "lkpkg assemble {} makes an image of it, if it describes one",
                path.display()
            )),
            _ => failure,
        }
    }
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        let hint = match &error {
            PlanError::NotHead { .. } => "check that commit out, or leave --hash-commit away",
            PlanError::Conflict(..) => "give one of them",
            PlanError::Dirty(_) => "commit the changes, or undo them: git status shows them",
            PlanError::Release(..)
            | PlanError::UnknownPlatform(_)
            | PlanError::SameTag { .. }
            | PlanError::Cycle(_) => "",
        };
        Self::usage(error.to_string()).with_hint(hint)
    }
}

impl From<BuilderError> for Failure {
    fn from(error: BuilderError) -> Self {
        let code = match error.kind() {
            Kind::Failed => ExitCode::Failed,
            Kind::Input => ExitCode::Usage,
            Kind::Missing => ExitCode::Missing,
            Kind::Busy => ExitCode::Store,
            Kind::Cancelled => ExitCode::Cancelled,
        };
        let hint = match error {
            BuilderError::NoDocker { .. } => {
                "start the Docker daemon, or say where it is with DOCKER_HOST or a Docker context; --builder-timeout SECONDS \
                 waits longer for one on another machine"
            }
            BuilderError::UnknownContext { .. } => "docker context create NAME --docker host=… makes one",
            BuilderError::Emulates { .. } => {
                "name a builder of that platform with --builders PLATFORM=WHERE, or build without --strict-platform"
            }
            BuilderError::Unreachable { .. } => {
                "start BuildKit there, or correct the address: --builders goes first, then LINUXKIT_BUILDERS and \
                 BUILDKIT_HOST; without them lkpkg uses Docker or starts buildkitd itself; --builder-timeout SECONDS waits \
                 longer"
            }
            _ => "",
        };
        Self::new(code, error.to_string()).with_hint(hint)
    }
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Self {
        Self::new(exit_code(error.exit_code()), error.to_string()).with_hint(registry_hint(&error))
    }
}

fn registry_hint(error: &RegistryError) -> &'static str {
    match error {
        RegistryError::Unreachable { .. } => {
            "check the name and the network; lkpkg doctor looks at registries, mirrors and credentials"
        }
        RegistryError::TagTaken { .. } => "a release keeps its image: release under another tag",
        _ => "",
    }
}

/// With the image. What is wrong with content is wrong here as everywhere.
fn attest_failure(image: &str, error: AttestError) -> Failure {
    let (code, hint) = (exit_code(error.exit_code()), attest_hint(image, &error));
    let mut failure = match error {
        AttestError::Content(error) => Failure::from(error),
        error => Failure::new(code, error.to_string()),
    };
    failure.message = format!("{image}: {}", failure.message);
    if failure.hint.is_empty() {
        failure.hint = hint;
    }
    failure
}

/// What to do about what is known of an image.
fn attest_hint(image: &str, error: &AttestError) -> String {
    match error {
        AttestError::Missing { .. } => {
            format!(
                "only a part of the image is here: lkpkg cache pull {image} brings the rest, --from registry reads it there"
            )
        }
        AttestError::NoSbom { .. } => "build it with an SBoM: lkpkg build --force --sbom-scanner IMAGE".to_owned(),
        AttestError::NoPlatform { .. } => "name one of them with --platform".to_owned(),
        AttestError::TooLarge { .. } => {
            "make it smaller: let the scanner leave out the files of packages, or scan less".to_owned()
        }
        AttestError::NotJson { .. } | AttestError::Shape { .. } => {
            "whoever made it wrote it so: build the image again, with another scanner perhaps".to_owned()
        }
        AttestError::Foreign { .. } | AttestError::Predicate { .. } => {
            "do not trust it: somebody filed it wrongly; build and push the image again".to_owned()
        }
        AttestError::CycloneDxOnly { .. } => {
            "build the image with a scanner that writes SPDX, or use sbom show --format table or cyclonedx".to_owned()
        }
        AttestError::Content(ContentError::Mismatch { .. }) => {
            "lkpkg cache verify names everything that is wrong".to_owned()
        }
        AttestError::Content(_) | AttestError::NotAnImage(_) | AttestError::Spool(_) => String::new(),
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let hint = match &error {
            StoreError::Busy { .. } => "try again when it has finished, or wait longer with --lock-timeout SECONDS",
            StoreError::Damaged { .. } | StoreError::Missing { .. } => {
                "lkpkg cache verify names everything that is wrong"
            }
            _ => "",
        };
        Self::new(exit_code(error.exit_code()), error.to_string()).with_hint(hint)
    }
}

impl From<ContentError> for Failure {
    fn from(error: ContentError) -> Self {
        match error {
            ContentError::Failed { doing, source } => match source.downcast::<StoreError>() {
                Ok(error) => (*error).into(),
                Err(source) => match source.downcast::<RegistryError>() {
                    Ok(error) => (*error).into(),
                    Err(source) => Self::new(ExitCode::Failed, format!("{doing}: {source}")),
                },
            },
            ContentError::Mismatch { .. } | ContentError::Missing(_) => Self::new(ExitCode::Store, error.to_string()),
            error => Self::new(ExitCode::Failed, error.to_string()),
        }
    }
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        let hint = error.hint().unwrap_or_default();
        let failure = match error {
            BuildError::Cancelled => Self::new(ExitCode::Cancelled, error.to_string()),
            BuildError::Failed(failure) => Self::new(build_code(failure.kind), build_text(&failure)),
            BuildError::Content(error) => error.into(),
            BuildError::Context { .. }
            | BuildError::Request { .. }
            | BuildError::Secret { .. }
            | BuildError::Cache { .. } => Self::usage(error.to_string()),
            BuildError::Credentials(_) | BuildError::Ssh { .. } => Self::new(ExitCode::Missing, error.to_string()),
            BuildError::Lost { .. } | BuildError::Unexpected { .. } => Self::new(ExitCode::Failed, error.to_string()),
        };
        if hint.is_empty() {
            failure
        } else {
            failure.with_hint(hint)
        }
    }
}

/// Name of the scanner image that BuildKit takes by itself.
const DEFAULT_SCANNER: &str = "docker/buildkit-syft-scanner";

/// With the package that failed, and with what a RUN step that fails wants most often.
fn build_failure(tag: &str, has_network: bool, scanner: &str, error: BuildError) -> Failure {
    let is_run = matches!(&error, BuildError::Failed(failure) if failure.kind == FailureKind::Run);
    let mut failure = Failure::from(error);
    if failure.message.contains(scanner) {
        failure.hint =
            "the image of the SBoM scanner cannot be pulled: name another with --sbom-scanner IMAGE, or make no SBoM \
                        with --sbom-scanner=false"
                .to_owned();
    }
    failure.message = format!("failed to build {tag}: {}", failure.message);
    if is_run && failure.hint.is_empty() {
        failure.hint = match has_network {
            true => "the log of the step is above; mend the command and build again".to_owned(),
            false => "the log of the step is above; if the command needs the network, set `network: true` in build.yml"
                .to_owned(),
        };
    }
    failure
}

fn build_code(kind: FailureKind) -> ExitCode {
    match kind {
        FailureKind::Unauthorized | FailureKind::RegistryUnreachable => ExitCode::Missing,
        _ => ExitCode::Failed,
    }
}

/// What failed, and the lines of the Dockerfile around it with a mark.
fn build_text(failure: &crate::build::Failure) -> String {
    let mut text = failure.to_string();
    if let Some(location) = &failure.location {
        for (number, line) in &location.lines {
            let mark = if (location.line..=location.last_line).contains(number) {
                ">"
            } else {
                " "
            };
            let _ = write!(text, "\n{mark} {number:>4} | {line}");
        }
    }
    text
}
