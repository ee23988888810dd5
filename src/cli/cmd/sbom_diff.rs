//! `lkpkg sbom diff`: how the packages in two images differ.

use super::sbom::{Places, of_image};
use crate::attest::{self, Change, Difference, Package};
use crate::cli::args::sbom::DiffArgs;
use crate::cli::args::{Format, GlobalArgs};
use crate::cli::failure::{ExitCode, Failure};
use crate::cli::output;
use std::fmt::Write as _;

/// Runs the verb.
pub async fn run(args: &DiffArgs, global: &GlobalArgs) -> Result<(), Failure> {
    let mut places = Places::open(args.from, global)?;
    let old = packages(&mut places, &args.old, args).await?;
    let new = packages(&mut places, &args.new, args).await?;
    let difference = attest::diff(&old, &new);
    match args.format {
        Format::Json => output::json(&difference)?,
        Format::Text => output::data(&text(&difference))?,
    }
    match args.exit_code && !difference.changes.is_empty() {
        true => {
            let (old, new) = (&args.old, &args.new);
            let message = format!("the packages in {old} and in {new} differ: {}", summary(&difference));
            Err(Failure::new(ExitCode::Failed, message))
        }
        false => Ok(()),
    }
}

async fn packages(places: &mut Places<'_>, image: &str, args: &DiffArgs) -> Result<Vec<Package>, Failure> {
    let sboms = places.sboms(image, args.platform.as_deref()).await?;
    attest::packages(&sboms).await.map_err(|error| of_image(image, error))
}

/// A line for each difference.
fn text(difference: &Difference) -> String {
    let mut text = String::new();
    for change in &difference.changes {
        let _ = match change {
            Change::Added { package } => writeln!(text, "+ {} {}", package.name, shown(&package.version)),
            Change::Removed { package } => writeln!(text, "- {} {}", package.name, shown(&package.version)),
            Change::Version { old, new } => {
                let versions = format!("{} → {}", shown(&old.version), shown(&new.version));
                match old.licence == new.licence {
                    true => writeln!(text, "~ {} {versions}", old.name),
                    false => writeln!(text, "~ {} {versions}, {}", old.name, licences(old, new)),
                }
            }
            Change::Licence { old, new } => {
                writeln!(text, "~ {} {}, {}", old.name, shown(&old.version), licences(old, new))
            }
        };
    }
    text
}

fn licences(old: &Package, new: &Package) -> String {
    format!("licence {} → {}", shown(&old.licence), shown(&new.licence))
}

fn shown(text: &str) -> &str {
    if text.is_empty() { "(unknown)" } else { text }
}

/// How many of each kind.
fn summary(difference: &Difference) -> String {
    let count = |is_one: fn(&Change) -> bool| difference.changes.iter().filter(|one| is_one(one)).count();
    let counts = [
        (count(|one| matches!(one, Change::Added { .. })), "added"),
        (count(|one| matches!(one, Change::Removed { .. })), "removed"),
        (
            count(|one| matches!(one, Change::Version { .. })),
            "with another version",
        ),
        (
            count(|one| matches!(one, Change::Licence { .. })),
            "with another licence",
        ),
    ];
    let some = counts.iter().filter(|(count, _)| *count > 0);
    some.map(|(count, what)| format!("{count} {what}"))
        .collect::<Vec<_>>()
        .join(", ")
}
