//! `lkpkg plan`: what a build would do, and why.

use crate::cli::args::{Format, GlobalArgs, PlanArgs};
use crate::cli::failure::Failure;
use crate::cli::{output, runtime, settings, work};
use crate::orchestrator::{self, Answers, Builders, Prepared};
use crate::plan::{Plan, Wish};
use crate::registry::Registry;
use crate::store::Store;
use std::fmt::Write as _;

/// Runs the verb.
pub fn run(args: &PlanArgs, global: &GlobalArgs) -> Result<(), Failure> {
    settings::check_builders(&args.builder())?;
    let request = settings::request(&args.directories, &args.package, Some(&args.selection))?;
    let wish = settings::wish(&args.selection)?;
    let prepared = orchestrator::prepare(&request)?;
    let store = settings::open_store(global)?;
    let mut planned = orchestrator::plan(&prepared, &wish, &store)?;
    if !planned.has_work() {
        return print(&planned, args.format);
    }
    let builders = Builders::new(settings::builders(&args.builder(), global)?);
    runtime::block_on(async |cancel| {
        let work = async {
            if !args.selection.offline && planned.asks_registry() {
                let registry = settings::registry(global, None)?;
                (planned, _) = ask(&prepared, &wish, &store, &registry).await?;
            }
            builders.mark_emulated(&mut planned).await;
            print(&planned, args.format)
        };
        work::unless(&cancel, work).await
    })
}

/// The plan with what registries have. What could not be found out is told.
pub async fn ask(
    prepared: &[Prepared],
    wish: &Wish,
    store: &Store,
    registry: &Registry,
) -> Result<(Plan, Answers), Failure> {
    let (plan, answers) = orchestrator::plan_asking(prepared, wish, store, registry).await?;
    for (registry, reason) in &answers.silent {
        output::tell(&format!(
            "warning: {registry} does not say what it has, and what is not in the cache is built: {reason}"
        ));
    }
    Ok((plan, answers))
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
            let emulated = if one.is_emulated == Some(true) {
                "; emulated"
            } else {
                ""
            };
            let (action, reason) = (one.action.text(), one.reason.text());
            let _ = writeln!(text, "  {platform:<14} {action:<5}  {reason}{emulated}");
        }
        if !package.needs.is_empty() {
            let _ = writeln!(text, "  after {}", package.needs.join(", "));
        }
        if let Some(push) = &package.push {
            let names = std::iter::once(&push.name).chain(&push.releases);
            let _ = writeln!(
                text,
                "  push  {}",
                names.map(String::as_str).collect::<Vec<_>>().join(", ")
            );
        }
    }
    text
}
