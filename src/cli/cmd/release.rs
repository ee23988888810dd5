//! `lkpkg release`: the tag of a release for packages that are in their registries; one line each: name and digest.

use crate::cli::args::{Format, GlobalArgs, Progress, ReleaseArgs};
use crate::cli::failure::{ExitCode, Failure};
use crate::cli::{format, output, runtime, settings, work};
use crate::event::{CancellationToken, Events};
use crate::orchestrator::OrchestratorError;
use crate::orchestrator::release::{self, Checked, CheckedPackage, Hands, Problem, Release, State};
use crate::registry::{Mirrors, Registry, RegistrySettings};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

/// Runs the verb.
pub fn run(args: &ReleaseArgs, global: &GlobalArgs) -> Result<(), Failure> {
    let request = settings::request(&args.directories, &args.package, None)?;
    let wish = settings::platform_wish(&args.platforms)?;
    let release = release::read(&request, &wish, &args.release, args.manifest)?;
    // What a mirror has may be old, and nothing is written to it.
    let registry = RegistrySettings {
        mirrors: Mirrors::default(),
        ..settings::registry_settings(global, None)?
    };
    let hands = Hands {
        registry: Registry::new(registry)?,
        store: Arc::new(settings::open_store(global)?),
        wait: Duration::from_secs(global.lock_timeout),
    };
    let how = settings::render_options(Progress::Plain, global);
    let work = async |cancel: CancellationToken| {
        // How far it is when it is cancelled is told by its own error.
        let work =
            async |events: &Events| Ok::<_, Failure>(move_or_look(&release, &hands, args.check, events, &cancel).await);
        work::rendered(how, &cancel, work).await
    };
    let checked = runtime::block_on(work)??;
    print(&checked, args)?;
    verdict(&checked, &release, args.check)
}

/// Only looks, or carries out.
async fn move_or_look(
    release: &Release,
    hands: &Hands,
    is_check: bool,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<Checked, OrchestratorError> {
    if !is_check {
        return release::carry_out(release, hands, events, cancel).await;
    }
    let checked = cancel.run_until_cancelled(release::check(release, hands, events)).await;
    checked.unwrap_or(Err(OrchestratorError::Cancelled))
}

fn print(checked: &Checked, args: &ReleaseArgs) -> Result<(), Failure> {
    match args.format {
        Format::Json => output::json(checked),
        Format::Text if args.check => output::data(&states(checked)),
        Format::Text if checked.is_right() => output::data(&names(checked)),
        Format::Text => Ok(()),
    }
}

/// One line a package that is released: its name, and the digest that the name stands for now.
fn names(checked: &Checked) -> String {
    let mut text = String::new();
    for one in &checked.packages {
        let digest = one
            .digest
            .as_ref()
            .map(|digest| format!("@{digest}"))
            .unwrap_or_default();
        let _ = writeln!(text, "{}{digest}", one.name);
    }
    text
}

/// One line a package: how far it is.
fn states(checked: &Checked) -> String {
    let mut text = String::new();
    for one in &checked.packages {
        let _ = writeln!(text, "{}  {}", one.tag, state(one));
    }
    text
}

fn state(one: &CheckedPackage) -> String {
    match one.state {
        State::Ready => "ready".to_owned(),
        State::Released => "released".to_owned(),
        State::NotReady => {
            let problems: Vec<String> = one.problems.iter().map(ToString::to_string).collect();
            problems.join("; ")
        }
    }
}

/// The failure that packages are which cannot be released, all of them at once.
fn verdict(checked: &Checked, release: &Release, is_check: bool) -> Result<(), Failure> {
    let wrong: Vec<(&CheckedPackage, String)> = checked
        .packages
        .iter()
        .zip(&release.packages)
        .filter(|(one, _)| one.state == State::NotReady)
        .map(|(one, package)| (one, package.directory.display().to_string()))
        .collect();
    if wrong.is_empty() {
        return Ok(());
    }
    let all = format::count(checked.packages.len(), "package");
    let mut message = format!(
        "{} cannot be released: {} of {all} are not ready",
        checked.release,
        wrong.len()
    );
    // With --check, it stands on standard output.
    for (one, _) in wrong.iter().filter(|_| !is_check) {
        let _ = write!(message, "\n  {}  {}", one.tag, state(one));
    }
    let problems = || wrong.iter().flat_map(|(one, _)| &one.problems);
    let is_unknown = |problem: &Problem| matches!(problem, Problem::Unknown { exit_code: 3, .. });
    let code = match problems().any(is_unknown) {
        true => ExitCode::Missing,
        false => ExitCode::Failed,
    };
    Err(Failure::new(code, message).with_hint(hint(&wrong)))
}

/// What to push, and what cannot be pushed away.
fn hint(wrong: &[(&CheckedPackage, String)]) -> String {
    let has = |one: &CheckedPackage, is_it: fn(&Problem) -> bool| one.problems.iter().any(is_it);
    let is_pushable = |problem: &Problem| {
        matches!(
            problem,
            Problem::NotThere | Problem::NoPlatforms(_) | Problem::NoManifests(_)
        )
    };
    let pushable: Vec<&str> = wrong
        .iter()
        .filter(|(one, _)| has(one, is_pushable))
        .map(|(_, directory)| directory.as_str())
        .collect();
    let mut hints = Vec::new();
    if !pushable.is_empty() {
        hints.push(format!("push what is missing: lkpkg push {}", pushable.join(" ")));
    }
    if wrong
        .iter()
        .any(|(one, _)| has(one, |problem| matches!(problem, Problem::Taken { .. })))
    {
        hints.push("a release is never overwritten: choose another tag for what has changed".to_owned());
    }
    if wrong
        .iter()
        .any(|(one, _)| has(one, |problem| matches!(problem, Problem::Lost(_))))
    {
        hints.push("remove the journal in the cache's directory `releases` to begin the release anew".to_owned());
    }
    hints.join("; ")
}
