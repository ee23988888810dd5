//! What a long run needs, looked at before it begins: [`examine`]. Nothing is made, started, pulled or left anywhere.
//!
//! One file an area. In each, what is looked at comes in as facts, and a pure function makes findings of them.

mod builder;
mod cache;
mod certificates;
mod helpers;
mod mirrors;
mod registries;
mod targets;

use super::blocking::blocking;
use super::{Builders, BuildersSettings, OrchestratorError, Prepared, wanted};
use crate::oci::Platform;
use crate::plan::{PlanError, Wish};
use crate::registry::{Registry, RegistryError, RegistrySettings};
use serde::Serialize;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// How long one question may take: longer than a registry or a helper that is merely slow, and short enough for somebody
/// who waits for the answer.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(30);

/// What is examined.
pub struct Checkup {
    /// Directory of the store, which need not be there.
    pub cache: PathBuf,
    /// The packages that are to be built or published.
    pub prepared: Vec<Prepared>,
    /// For which platforms.
    pub wish: Wish,
    /// Where platforms are built.
    pub builders: BuildersSettings,
    /// Registries that were named; without packages and without these, all for which there are credentials.
    pub registries: Vec<String>,
    /// Whether the packages are to be pushed.
    pub is_pushing: bool,
    /// How registries are reached.
    pub registry: RegistrySettings,
    /// Where helper programs are looked for: the value of `PATH`.
    pub search_path: OsString,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// One entry a check, in a fixed order.
    pub findings: Vec<Finding>,
}

/// What came of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind of thing was looked at.
    pub area: Area,
    /// Which.
    pub subject: String,
    /// Whether it is right.
    pub verdict: Verdict,
    /// What was found, one line.
    pub finding: String,
    /// What to do about it; empty when there is nothing to do or to say.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hint: String,
}

/// The kinds of things that are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Area {
    /// The local cache.
    Cache,
    /// A place where BuildKit runs or would run.
    Builder,
    /// A platform that is wanted.
    Platform,
    /// A file of certificates.
    Certificate,
    /// A credential helper.
    Helper,
    /// A mirror.
    Mirror,
    /// A registry.
    Registry,
    /// A repository of a registry.
    Image,
}

/// Whether something is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It is.
    Ok,
    /// It will do, but should be mended.
    Warning,
    /// It will make the run fail.
    Failed,
    /// It will make the run fail, and is the cache's own damage.
    #[serde(rename = "failed")]
    Damaged,
}

impl Area {
    /// The kind in one word.
    pub fn text(self) -> &'static str {
        match self {
            Self::Cache => "cache",
            Self::Builder => "builder",
            Self::Platform => "platform",
            Self::Certificate => "certificate",
            Self::Helper => "helper",
            Self::Mirror => "mirror",
            Self::Registry => "registry",
            Self::Image => "image",
        }
    }
}

impl Finding {
    fn new(area: Area, subject: impl Into<String>, verdict: Verdict, finding: impl Into<String>) -> Self {
        Self {
            area,
            subject: subject.into(),
            verdict,
            finding: one_line(&finding.into()),
            hint: String::new(),
        }
    }

    fn ok(area: Area, subject: impl Into<String>, finding: impl Into<String>) -> Self {
        Self::new(area, subject, Verdict::Ok, finding)
    }

    fn warning(area: Area, subject: impl Into<String>, finding: impl Into<String>) -> Self {
        Self::new(area, subject, Verdict::Warning, finding)
    }

    fn failed(area: Area, subject: impl Into<String>, finding: impl Into<String>) -> Self {
        Self::new(area, subject, Verdict::Failed, finding)
    }

    fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = one_line(&hint.into());
        self
    }

    /// Whether it will make a run fail.
    pub fn is_failed(&self) -> bool {
        matches!(self.verdict, Verdict::Failed | Verdict::Damaged)
    }
}

/// The first line: others are for those who see nothing but this one error.
fn one_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

/// Looks at everything, independent things at the same time.
pub async fn examine(checkup: &Checkup) -> Result<Report, OrchestratorError> {
    let platforms = platforms(checkup)?;
    let now = SystemTime::now();
    let cache = cache::gather(checkup.cache.clone()).await?;
    let certificates = certificates::gather(&checkup.registry).await?;
    // With what can be used, so that the registries are looked at all the same.
    let settings = RegistrySettings {
        certificates: certificates::usable(&certificates, &checkup.registry.certificates),
        ..checkup.registry.clone()
    };
    let clients = Clients::new(settings)?;
    let targets = targets::targets(checkup, &cache.names());
    let (builders, helpers, mirrors, registries) = tokio::join!(
        builder::gather(Builders::new(checkup.builders.clone()), platforms, &checkup.builders),
        helpers::gather(&checkup.registry.credentials, &checkup.search_path),
        mirrors::gather(&clients),
        registries::gather(&clients, targets),
    );
    let (helpers, mirrors) = (helpers?, mirrors);
    let mut findings = cache::judge(&cache);
    findings.extend(builder::judge(&builders));
    findings.extend(certificates.iter().map(|fact| certificates::judge(fact, now)));
    findings.extend(helpers::judge(&helpers));
    findings.extend(mirrors.iter().map(mirrors::judge));
    let registries = registries?;
    findings.extend(registries.iter().flat_map(|fact| registries::judge(fact, &mirrors)));
    Ok(Report { findings })
}

/// All platforms that some package is wanted for; without packages those that were named, or this machine's.
fn platforms(checkup: &Checkup) -> Result<Vec<Platform>, PlanError> {
    let packages = checkup.prepared.iter().map(|one| (&one.package, &one.identity));
    let of_packages = wanted::platforms(packages, &checkup.wish)?;
    let named = match checkup.wish.platforms.is_empty() {
        true => vec![Platform::host()],
        false => checkup.wish.platforms.clone(),
    };
    let mut all: Vec<Platform> = Vec::new();
    let wanted = match checkup.prepared.is_empty() {
        true => named,
        false => of_packages.concat(),
    };
    for platform in wanted {
        if !all.contains(&platform) {
            all.push(platform);
        }
    }
    Ok(all)
}

/// Who asks registries: past the mirrors, and as a run would.
struct Clients {
    settings: RegistrySettings,
    direct: Registry,
    usual: Registry,
}

impl Clients {
    fn new(settings: RegistrySettings) -> Result<Self, RegistryError> {
        Ok(Self {
            direct: Registry::for_probing(settings.clone(), true)?,
            usual: Registry::for_probing(settings.clone(), false)?,
            settings,
        })
    }
}

/// An answer of a registry, within the time that it has.
async fn timely<T>(name: &str, question: impl Future<Output = Result<T, RegistryError>>) -> Result<T, RegistryError> {
    let silent = |_| {
        Err(RegistryError::Unreachable {
            url: name.to_owned(),
            is_connected: true,
            reason: format!("no answer within {} s", QUESTION_TIMEOUT.as_secs()),
        })
    };
    tokio::time::timeout(QUESTION_TIMEOUT, question)
        .await
        .unwrap_or_else(silent)
}
