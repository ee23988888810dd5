//! `lkpkg plan`: what a build would do, and why.

use crate::cli::args::{Format, GlobalArgs, PlanArgs};
use crate::cli::failure::Failure;
use crate::cli::{output, settings};
use crate::orchestrator;
use crate::plan::Plan;
use std::fmt::Write as _;

/// Runs the verb.
pub fn run(args: &PlanArgs, global: &GlobalArgs) -> Result<(), Failure> {
    let request = settings::request(&args.directories, &args.package, Some(&args.selection))?;
    let wish = settings::wish(&args.selection)?;
    let prepared = orchestrator::prepare(&request)?;
    let store = settings::open_store(global)?;
    print(&orchestrator::plan(&prepared, &wish, &store)?, args.format)
}

/// Prints a plan on standard output.
pub fn print(plan: &Plan, format: Format) -> Result<(), Failure> {
    match format {
        Format::Json => output::json(plan),
        Format::Text => output::data(&text(plan)),
    }
}

/// A plan for people.
pub fn text(plan: &Plan) -> String {
    let mut text = String::new();
    for package in &plan.packages {
        let _ = writeln!(text, "{}", package.tag);
        for one in &package.platforms {
            let platform = one.platform.to_string();
            let _ = writeln!(text, "  {platform:<14} {:<5}  {}", one.action.text(), one.reason.text());
        }
        if !package.needs.is_empty() {
            let _ = writeln!(text, "  after {}", package.needs.join(", "));
        }
    }
    text
}
