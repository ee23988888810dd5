//! `lkpkg inspect`: what an image is made of, and what is stated about it.

use super::sbom::Places;
use crate::cli::args::sbom::InspectArgs;
use crate::cli::args::{Format, GlobalArgs};
use crate::cli::failure::Failure;
use crate::cli::work::unless;
use crate::cli::{format, output, runtime};
use crate::orchestrator::{self, InspectedImage, Inspection, Listed};
use std::fmt::Write as _;

/// Runs the verb.
pub fn run(args: &InspectArgs, global: &GlobalArgs) -> Result<(), Failure> {
    runtime::block_on(async |cancel| unless(&cancel, inspect(args, global)).await)
}

async fn inspect(args: &InspectArgs, global: &GlobalArgs) -> Result<(), Failure> {
    let located = Places::open(args.from, global)?.locate(&args.image).await?;
    let found = orchestrator::inspect(&located).await?;
    match args.format {
        Format::Json => output::json(&found),
        Format::Text => output::data(&text(&found)),
    }
}

/// For people: a line a fact, and a part for each platform.
fn text(found: &Inspection) -> String {
    let mut text = String::new();
    field(&mut text, "name", &found.name);
    field(&mut text, "digest", found.digest.as_str());
    field(&mut text, "media type", &found.media_type);
    field(&mut text, "from", found.from);
    list(&mut text, "referrers", &found.referrers);
    for image in &found.images {
        text.push('\n');
        one(&mut text, image);
    }
    text
}

fn one(text: &mut String, image: &InspectedImage) {
    let _ = writeln!(text, "{}", image.platform.as_deref().unwrap_or("no platform"));
    field(
        text,
        "digest",
        image.digest.as_ref().map_or("", |digest| digest.as_str()),
    );
    if image.layers > 0 {
        let layers = format::count(image.layers, "layer");
        field(text, "size", &format!("{} in {layers}", format::size(image.size)));
    }
    field(text, "created", image.created.as_deref().unwrap_or_default());
    field(text, "entrypoint", &words(&image.entrypoint));
    field(text, "cmd", &words(&image.cmd));
    field(text, "env", &image.env.join(" "));
    if let Some(config) = &image.config {
        field(text, "config", &config.to_string());
    }
    for (at, (name, value)) in image.labels.iter().enumerate() {
        field(
            text,
            if at == 0 { "labels" } else { CONTINUED },
            &format!("{name}={value}"),
        );
    }
    list(text, "attestations", &image.attestations);
    list(text, "referrers", &image.referrers);
    for (at, digest) in image.missing.iter().enumerate() {
        field(text, if at == 0 { "not here" } else { CONTINUED }, digest.as_str());
    }
}

/// Stands where the name of a field would be repeated.
const CONTINUED: &str = " ";
/// Width of the names, in columns.
const NAME_COLUMNS: usize = 14;

/// A line; none for what is empty.
fn field(text: &mut String, name: &str, value: &str) {
    if !value.is_empty() {
        let _ = writeln!(text, "  {name:<NAME_COLUMNS$}{value}");
    }
}

fn list(text: &mut String, name: &str, listed: &[Listed]) {
    for (at, one) in listed.iter().enumerate() {
        let kind = if one.kind.is_empty() { "(no type)" } else { &one.kind };
        let value = format!("{kind}  {}  {}", format::size(one.size), one.digest);
        field(text, if at == 0 { name } else { CONTINUED }, &value);
    }
}

/// Words as a shell would want them.
fn words(words: &[String]) -> String {
    let quoted = words.iter().map(|word| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
        match !word.is_empty() && word.chars().all(is_plain) {
            true => word.clone(),
            false => format!("'{}'", word.replace('\'', "'\\''")),
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}
