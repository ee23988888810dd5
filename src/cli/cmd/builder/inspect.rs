//! `lkpkg builder inspect`: all about the builders that are meant, and what a build would do about them.

use super::list;
use crate::builder::{Details, Standing, Would};
use crate::cli::args::builder::InspectArgs;
use crate::cli::args::{Format, GlobalArgs};
use crate::cli::failure::{ExitCode, Failure};
use crate::cli::{output, runtime, settings};
use crate::orchestrator::{Builders, Inspected};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Runs the verb.
pub fn run(args: &InspectArgs, global: &GlobalArgs) -> Result<(), Failure> {
    let builders = Builders::new(settings::builders(&args.wanted.builder(), global)?);
    let platforms = super::platforms(&args.wanted.which)?;
    let inspected = runtime::block_on(async |cancel| {
        let done = cancel
            .run_until_cancelled(builders.inspected(&platforms, &cancel))
            .await;
        let cancelled = || Err(Failure::new(ExitCode::Cancelled, "cancelled"));
        done.map_or_else(cancelled, |done| done.map_err(Failure::from))
    })?;
    if args.format == Format::Json {
        return output::json(&inspected.iter().map(as_json).collect::<Vec<_>>());
    }
    let texts: Vec<String> = inspected.iter().map(text).collect();
    output::data(&texts.join("\n"))
}

/// One fact a line.
fn text(one: &Inspected) -> String {
    let mut facts = vec![("name", one.seen.name.clone())];
    if let Some(place) = &one.seen.place {
        facts.push(("kind", place.kind().to_owned()));
        facts.extend(place.address().map(|address| ("address", address)));
    }
    facts.push(match list::status(&one.seen) {
        (status, Some(reason)) => ("status", format!("{status}: {reason}")),
        (status, None) => ("status", status.to_owned()),
    });
    if let Ok(Standing::Running { version, platforms }) = &one.seen.standing {
        facts.push(("buildkit", version.clone()));
        facts.push(("platforms", list::shown(platforms)));
    }
    if let Some(details) = &one.details {
        let none = || "none".to_owned();
        facts.push(("image", details.image.clone().unwrap_or_else(none)));
        facts.push(("configuration", details.config.clone().unwrap_or_else(none)));
        facts.push(("state", details.state.clone()));
        let (verb, why) = would(details);
        let colon = if why.is_empty() { "" } else { ": " };
        facts.push(("a build would", format!("{verb} it{colon}{why}")));
    }
    for worker in &one.workers {
        facts.push(("worker", worker.id.clone()));
        let labels = worker.labels.iter();
        facts.extend(labels.map(|(label, value)| ("", format!("{label}={value}"))));
    }
    facts.iter().fold(String::new(), |mut text, (name, value)| {
        let _ = writeln!(text, "{name:<15}{value}");
        text
    })
}

/// A word, and why.
fn would(details: &Details) -> (&'static str, String) {
    match &details.would {
        Would::Keep => ("keep", String::new()),
        Would::Start => ("start", String::new()),
        Would::Create => ("create", String::new()),
        Would::Replace { reason, removes_state } => {
            let state = if *removes_state { "removing" } else { "keeping" };
            ("replace", format!("{reason}; {state} its state"))
        }
        Would::Refuse { what } => ("refuse", what.clone()),
    }
}

fn as_json(one: &Inspected) -> Value {
    let mut value = list::as_json(&one.seen);
    if let Some(details) = &one.details {
        let (verb, why) = would(details);
        value["image"] = json!(details.image);
        value["configuration"] = json!(details.config);
        value["wanted_configuration"] = json!(details.wanted_config);
        value["state"] = json!(details.state);
        value["build_would"] = json!(verb);
        value["why"] = json!(Some(why).filter(|why| !why.is_empty()));
    }
    let workers = one.workers.iter();
    let worker = |worker: &crate::build::Worker| json!({"id": worker.id, "labels": worker.labels});
    value["workers"] = workers.map(worker).collect();
    value
}
