//! `lkpkg builder VERB`: which builders are meant. Here is what they keep on their disks (`du`, `prune`); the other verbs are in
//! `builder/`.

mod inspect;
mod list;
mod tend;

use crate::build::{self, BuildError, PruneOptions, UsageRecord};
use crate::cli::args::builder::{BuilderVerb, PlaceArgs, PruneArgs, WhichArgs};
use crate::cli::args::{Format, GlobalArgs, Progress};
use crate::cli::failure::{ExitCode, Failure};
use crate::cli::format::{self, Align, Table};
use crate::cli::{output, render, runtime, settings};
use crate::event::Events;
use crate::oci::Platform;
use crate::orchestrator::Builders;
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// Runs the verb.
pub fn run(verb: &BuilderVerb, global: &GlobalArgs) -> Result<(), Failure> {
    let (place, prune) = match verb {
        BuilderVerb::Ls(args) => return list::run(&args.place, global),
        BuilderVerb::Inspect(args) => return inspect::run(args, global),
        BuilderVerb::Start(args) => return tend::start(args, global),
        BuilderVerb::Stop(args) => return tend::stop(args, global),
        BuilderVerb::Rm(args) => return tend::remove(args, global),
        BuilderVerb::Logs(args) => return tend::logs(args, global),
        BuilderVerb::Du(args) => (&args.place, None),
        BuilderVerb::Prune(args) => (&args.place, Some(options(args))),
    };
    let builders = Builders::new(settings::builders(&place.which.builder(), global)?);
    let platforms = platforms(&place.which)?;
    let found = runtime::block_on(async |cancel| {
        let work = async {
            let present = async |events| builders.present(&platforms, &events, &cancel).await;
            let endpoints = telling(global, present).await?;
            let mut found = Vec::with_capacity(endpoints.len());
            for endpoint in endpoints {
                let records = match &prune {
                    None => build::disk_usage(&endpoint).await,
                    Some(options) => build::prune(&endpoint, options).await,
                };
                found.push((
                    endpoint.name,
                    records.map_err(|error: BuildError| Failure::from(error))?,
                ));
            }
            Ok(found)
        };
        let done = cancel.run_until_cancelled(work).await;
        done.unwrap_or_else(|| Err(Failure::new(ExitCode::Cancelled, "cancelled")))
    })?;
    print(&found, prune.is_some(), place, global)
}

/// The platforms whose builders are meant.
fn platforms(which: &WhichArgs) -> Result<Vec<Platform>, Failure> {
    let mut platforms = settings::platforms("--platforms", &which.platforms)?;
    if platforms.is_empty() {
        platforms.push(Platform::host());
    }
    Ok(platforms)
}

/// Does the work, and shows what it has to say meanwhile.
async fn telling<T>(global: &GlobalArgs, work: impl AsyncFnOnce(Events) -> T) -> T {
    let (events, said) = Events::channel();
    let how = settings::render_options(Progress::Auto, global);
    // The events are dropped with the work, which ends the telling.
    let (done, _) = tokio::join!(work(events), render::render(said, how, std::io::stderr()));
    done
}

fn options(args: &PruneArgs) -> PruneOptions {
    PruneOptions {
        all: args.all,
        filters: args.filter.clone(),
        keep: args.keep_storage.unwrap_or_default(),
        max: args.max.unwrap_or_default(),
    }
}

/// A builder's name, and records that it has, or had.
type Found = (String, Vec<UsageRecord>);

fn print(found: &[Found], is_prune: bool, place: &PlaceArgs, global: &GlobalArgs) -> Result<(), Failure> {
    if place.format == Format::Json {
        let all: Vec<Value> = found.iter().map(|(name, records)| as_json(name, records)).collect();
        return output::json(&all);
    }
    let mut table = Table::new(&[
        ("BUILDER", Align::Left),
        (if is_prune { "FREED" } else { "SIZE" }, Align::Right),
        (if is_prune { "" } else { "RECLAIMABLE" }, Align::Right),
        ("RECORDS", Align::Right),
    ]);
    for (name, records) in found {
        let reclaimable = match is_prune {
            true => String::new(),
            false => format::size(sum(records, is_reclaimable)),
        };
        let (size, count) = (format::size(sum(records, |_| true)), records.len().to_string());
        table.row([name.clone(), size, reclaimable, count]);
    }
    let mut text = match found {
        [] => String::new(),
        _ => table.render(),
    };
    if global.verbose > 1 {
        for (_, records) in found {
            text.push('\n');
            text.push_str(&details(records));
        }
    }
    output::data(&text)
}

fn details(records: &[UsageRecord]) -> String {
    let mut table = Table::new(&[
        ("SIZE", Align::Right),
        ("LAST USED", Align::Right),
        ("KIND", Align::Left),
        ("ID", Align::Left),
        ("DESCRIPTION", Align::Left),
    ]);
    let now = SystemTime::now();
    for record in records {
        let age = record.last_used.and_then(|at| now.duration_since(at).ok());
        let used = match age {
            _ if record.is_in_use => "now".to_owned(),
            Some(age) => format!("{} ago", format::duration(age)),
            None => "never".to_owned(),
        };
        let (size, kind) = (format::size(record.size), record.kind.clone());
        // One line a record, whatever a step's command has in it.
        let description = record.description.split_whitespace().collect::<Vec<_>>().join(" ");
        table.row([size, used, kind, record.id.clone(), description]);
    }
    table.render()
}

fn as_json(name: &str, records: &[UsageRecord]) -> Value {
    let seconds = |at: SystemTime| at.duration_since(UNIX_EPOCH).map(|since| since.as_secs()).ok();
    let record = |record: &UsageRecord| {
        json!({
            "id": record.id,
            "kind": record.kind,
            "description": record.description,
            "size": record.size,
            "in_use": record.is_in_use,
            "shared": record.is_shared,
            "last_used_unix_s": record.last_used.and_then(seconds),
        })
    };
    json!({
        "builder": name,
        "size": sum(records, |_| true),
        "reclaimable": sum(records, is_reclaimable),
        "records": records.iter().map(record).collect::<Vec<_>>(),
    })
}

fn is_reclaimable(record: &UsageRecord) -> bool {
    !record.is_in_use && !record.is_shared
}

fn sum(records: &[UsageRecord], counts: impl Fn(&UsageRecord) -> bool) -> u64 {
    records
        .iter()
        .filter(|record| counts(record))
        .map(|record| record.size)
        .sum()
}
