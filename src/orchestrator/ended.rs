//! How the work on the packages of a plan ended: [`Ended`].

use super::{OrchestratorError, Published};
use crate::plan::{Action, Plan, PlannedPackage};
use std::time::Duration;

/// How the work on one package ended.
#[derive(Debug)]
pub struct Ended {
    /// `org/image:tag`.
    pub tag: String,
    /// How.
    pub how: How,
    /// From its begin, when all it needed was there; nothing for what was not begun.
    pub took: Duration,
    /// What stands in the registry now, of what was pushed.
    pub published: Option<Published>,
}

/// How the work on a package ended.
#[derive(Debug)]
pub enum How {
    /// BuildKit built it, or some platforms of it.
    Built,
    /// Another process built it meanwhile.
    BuiltBy(String),
    /// It was brought from its registry.
    Pulled,
    /// It was there.
    Found,
    /// None of its platforms was asked for.
    LeftOut,
    /// Not begun, because a package that it needs failed: its tag.
    Skipped(String),
    /// Cancelled, or not begun because of that.
    Cancelled,
    /// Failed.
    Failed(Box<OrchestratorError>),
}

impl How {
    /// How a package ends for which all goes well.
    pub(super) fn planned(package: &PlannedPackage) -> Self {
        match package {
            package if !package.to_build().is_empty() => How::Built,
            package if !package.to_pull().is_empty() => How::Pulled,
            package if package.platforms.iter().all(|one| one.action == Action::Skip) => How::LeftOut,
            _ => How::Found,
        }
    }

    /// Whether the package is as it was wished.
    pub fn is_good(&self) -> bool {
        !matches!(self, How::Skipped(_) | How::Cancelled | How::Failed(_))
    }

    /// In one word.
    pub fn word(&self) -> &'static str {
        match self {
            How::Built => "built",
            How::Pulled => "pulled",
            How::Found | How::BuiltBy(_) => "found",
            How::LeftOut => "left out",
            How::Skipped(_) => "skipped",
            How::Cancelled => "cancelled",
            How::Failed(_) => "failed",
        }
    }
}

impl Ended {
    pub(super) fn after(tag: String, how: How, took: Duration) -> Self {
        Self {
            tag,
            how,
            took,
            published: None,
        }
    }

    /// The packages of a plan that has no work.
    pub fn without_work(plan: &Plan) -> Vec<Self> {
        let ended = |package: &PlannedPackage| Self::after(package.tag.clone(), How::planned(package), Duration::ZERO);
        plan.packages.iter().map(ended).collect()
    }
}
