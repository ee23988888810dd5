//! `lkpkg verify`, and what `lkpkg build --verify` prints: whether images are the same when they are built again.

use crate::cli::args::sbom::From;
use crate::cli::args::{Format, GlobalArgs, HowArgs, SelectionArgs, VerifyArgs};
use crate::cli::failure::{ExitCode, Failure};
use crate::cli::{output, runtime, settings, work};
use crate::event::CancellationToken;
use crate::oci::{Platform, Reference, merge};
use crate::orchestrator::again::{self, Verdict};
use crate::orchestrator::{self, OrchestratorError, SourceDate};
use crate::store::Difference;
use std::fmt::Write as _;
use std::sync::Arc;

/// How many differences of a platform people are shown; the cause is in the first ones.
const SHOWN: usize = 20;

/// Runs the verb.
pub fn run(args: &VerifyArgs, global: &GlobalArgs) -> Result<(), Failure> {
    runtime::block_on(|cancel| verify(args, global, cancel))
}

async fn verify(args: &VerifyArgs, global: &GlobalArgs, cancel: CancellationToken) -> Result<(), Failure> {
    let image: Reference = args.image.parse().map_err(|error| Failure::usage(format!("{error}")))?;
    let selection = SelectionArgs {
        build_arg_file: args.build_arg_file.clone(),
        dockerfile: args.dockerfile.clone(),
        ..SelectionArgs::default()
    };
    let how = HowArgs {
        secret: args.secret.clone(),
        ssh: args.ssh.clone(),
        sbom_scanner: "false".to_owned(),
        ..HowArgs::default()
    };
    let request = settings::request(std::slice::from_ref(&args.directory), &args.package, Some(&selection))?;
    let mut prepared = orchestrator::prepare(&request)?;
    // The time is the one that the image says.
    for warning in orchestrator::complete(&mut prepared, None, &request.hash, SourceDate::Now)? {
        output::tell(&format!("warning: {warning}"));
    }
    let store = Arc::new(settings::open_store(global)?);
    let registry = settings::registry(global, None)?;
    let remote = settings::remote(&registry);
    let mut options = settings::build_options(&how, &args.builder, global)?;
    options.remote = Some(remote.clone());
    let mut cached = None;
    if args.from != From::Registry {
        cached = store.find(&image)?;
    }
    if cached.is_none() && args.from == From::Cache {
        return Err(Failure::new(
            ExitCode::Missing,
            format!("the cache has no image {image}"),
        ));
    }
    let render = settings::render_options(args.progress, global);
    let wanted = settings::platforms("--platforms", &args.platforms.platforms)?;
    let skipped = settings::platforms("--skip-platforms", &args.platforms.skip_platforms)?;
    let verdicts = work::rendered(render, &cancel, async |events| {
        let fetched;
        let (firsts, first) = match cached {
            Some(root) => {
                let name = image.to_string();
                let first = again::First {
                    name,
                    root,
                    statements: false,
                };
                (&store, first)
            }
            None => {
                fetched = again::fetch(&image, &wanted, &store, &remote, events, &cancel).await?;
                (&fetched.store, fetched.first.clone())
            }
        };
        let wanted: Vec<Platform> = match skipped.is_empty() {
            true => wanted.clone(),
            false => {
                let there = firsts
                    .view()?
                    .complete(&first.root)?
                    .map(|part| merge::platforms(&part.index));
                let is_skipped = |platform: &Platform| skipped.iter().any(|one| one.matches(platform));
                there
                    .unwrap_or_default()
                    .into_iter()
                    .filter(|platform| !is_skipped(platform))
                    .collect()
            }
        };
        if wanted.is_empty() && !skipped.is_empty() {
            let (image, reason) = (
                image.to_string(),
                "--skip-platforms leaves none of its platforms".to_owned(),
            );
            return Err(OrchestratorError::Absent { image, reason });
        }
        let packages: Vec<_> = prepared.into_iter().map(|one| (one, first.clone())).collect();
        again::compare(&packages, firsts, &wanted, &store, &options, events, &cancel).await
    });
    report(&verdicts.await?, args.format)
}

/// Prints what was found, and fails where something differs.
pub fn report(verdicts: &[Verdict], format: Format) -> Result<(), Failure> {
    match format {
        Format::Json => output::json(&verdicts)?,
        Format::Text => output::data(&text(verdicts))?,
    }
    let other: Vec<&str> = verdicts
        .iter()
        .filter(|one| !one.is_same())
        .map(|one| one.name.as_str())
        .collect();
    match other.as_slice() {
        [] => Ok(()),
        names => {
            let message = format!("built again, it is not the same: {}", names.join(", "));
            let hint = "docs/guide/reproducible.md says what each difference mostly comes from";
            Err(Failure::new(ExitCode::Failed, message).with_hint(hint))
        }
    }
}

fn text(verdicts: &[Verdict]) -> String {
    let mut text = String::new();
    for verdict in verdicts {
        let _ = writeln!(text, "{}@{}", verdict.name, verdict.first);
        for platform in &verdict.platforms {
            let word = if platform.is_same() { "same" } else { "differs" };
            let _ = writeln!(text, "  {:<14} {word:<8} {}", platform.platform, platform.first);
            let mut layer = None;
            for difference in platform.differences.iter().take(SHOWN) {
                if difference.layer != layer {
                    layer = difference.layer;
                    let step = difference.step.as_deref().unwrap_or_default();
                    let _ = writeln!(text, "    layer {}: {step}", layer.unwrap_or_default());
                }
                let _ = writeln!(text, "      {}", line(difference));
            }
            let rest = platform.differences.len().saturating_sub(SHOWN);
            if rest > 0 {
                let _ = writeln!(text, "      and {rest} more; --format json or --verify=json shows them");
            }
        }
    }
    text
}

/// `/etc/passwd: time 2023-11-14T22:13:20Z | 2026-01-01T00:00:00Z`
fn line(difference: &Difference) -> String {
    let shown = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".to_owned());
    let path = difference
        .path
        .as_ref()
        .map(|path| format!("/{path}: "))
        .unwrap_or_default();
    let (first, second) = (shown(&difference.first), shown(&difference.second));
    format!("{path}{} {first} | {second}", difference.field)
}
