//! `lkpkg doctor`: one line a check on standard output, with what to do below what is wrong.

use crate::cli::args::{DoctorArgs, Format, GlobalArgs};
use crate::cli::failure::{ExitCode, Failure};
use crate::cli::{environment as env, format, output, runtime, settings};
use crate::oci::Reference;
use crate::orchestrator::doctor::{self, Checkup, Finding, Report, Verdict};
use crate::orchestrator::{self, Prepared};
use std::fmt::Write as _;

/// Runs the verb.
pub fn run(args: &DoctorArgs, global: &GlobalArgs) -> Result<(), Failure> {
    let checkup = checkup(args, global)?;
    let report = runtime::block_on(|cancel| async move {
        let examined = cancel.run_until_cancelled(doctor::examine(&checkup)).await;
        let cancelled = || Err(Failure::new(ExitCode::Cancelled, "cancelled"));
        examined.map_or_else(cancelled, |report| report.map_err(Failure::from))
    })?;
    match args.format {
        Format::Json => output::json(&report)?,
        Format::Text => output::data(&text(&report, settings::use_colour_in_data()))?,
    }
    verdict(&report)
}

fn checkup(args: &DoctorArgs, global: &GlobalArgs) -> Result<Checkup, Failure> {
    let cache = settings::cache_directory(global)?;
    let registries = args
        .registry
        .iter()
        .map(|text| registry(text))
        .collect::<Result<_, _>>()?;
    Ok(Checkup {
        prepared: packages(args)?,
        wish: settings::platform_wish(&args.platforms)?,
        builders: settings::builders(&args.builder, global)?,
        registries,
        is_pushing: args.push,
        registry: settings::registry_settings(global, None)?,
        search_path: env::search_path(),
        cache,
    })
}

fn packages(args: &DoctorArgs) -> Result<Vec<Prepared>, Failure> {
    if args.directories.is_empty() {
        return Ok(Vec::new());
    }
    let request = settings::request(&args.directories, &args.package, None)?;
    Ok(orchestrator::prepare(&request)?)
}

/// `ghcr.io`, `127.0.0.1:5000`, or a URL of it.
fn registry(text: &str) -> Result<String, Failure> {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let host = rest.split('/').next().unwrap_or_default();
    // The grammar is that of images' names, of which a registry is a part.
    let image = format!("{host}/x/x").parse::<Reference>().ok();
    let registry = image
        .filter(|image| image.repository() == "x/x")
        .map(|image| image.registry().to_owned());
    registry.ok_or_else(|| {
        Failure::usage(format!("--registry {text:?} names no registry")).with_hint("use HOST or HOST:PORT")
    })
}

/// The report for people.
fn text(report: &Report, has_colour: bool) -> String {
    let mut text = String::new();
    for one in &report.findings {
        let (word, colour) = match one.verdict {
            Verdict::Ok => ("ok", "\x1b[32m"),
            Verdict::Warning => ("warning", "\x1b[1;33m"),
            Verdict::Failed | Verdict::Damaged => ("failed", "\x1b[1;31m"),
        };
        let paint = |colour: &str, word: &str| match has_colour {
            true => format!(
                "{colour}{word}\x1b[0m{}",
                " ".repeat(WORD_COLUMNS.saturating_sub(word.len()))
            ),
            false => format!("{word:<WORD_COLUMNS$}"),
        };
        let (area, subject) = (one.area.text(), &one.subject);
        let _ = writeln!(text, "{}{area} {subject}: {}", paint(colour, word), one.finding);
        if !one.hint.is_empty() {
            let _ = writeln!(text, "{}{}", paint("\x1b[1;36m", "hint"), one.hint);
        }
    }
    text
}

/// The longest word and a blank.
const WORD_COLUMNS: usize = "warning".len() + 1;

/// The exit code: what is missing goes before damage of the cache.
fn verdict(report: &Report) -> Result<(), Failure> {
    let failed: Vec<&Finding> = report.findings.iter().filter(|one| one.is_failed()).collect();
    if failed.is_empty() {
        return Ok(());
    }
    let is_damage_only = failed.iter().all(|one| one.verdict == Verdict::Damaged);
    let code = if is_damage_only {
        ExitCode::Store
    } else {
        ExitCode::Missing
    };
    let checks = format::count(report.findings.len(), "check");
    Err(Failure::new(code, format!("{} of {checks} failed", failed.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(verdict: Verdict, hint: &str) -> Finding {
        Finding {
            area: doctor::Area::Registry,
            subject: "r".into(),
            verdict,
            finding: "says something".into(),
            hint: hint.into(),
        }
    }

    #[test]
    fn a_check_is_a_line_and_a_hint_stands_below() {
        let findings = vec![
            finding(Verdict::Ok, ""),
            finding(Verdict::Warning, ""),
            finding(Verdict::Failed, "mend it"),
        ];
        let report = Report { findings };
        let plain = "ok      registry r: says something\nwarning registry r: says something\n\
                     failed  registry r: says something\nhint    mend it\n";
        assert_eq!(text(&report, false), plain);
        let coloured = text(&report, true);
        assert!(
            coloured.starts_with("\x1b[32mok\x1b[0m      registry r"),
            "{coloured:?}"
        );
        assert_eq!(coloured.lines().count(), 4);
    }

    #[test]
    fn the_exit_code_says_what_is_wrong() {
        let check = |verdicts: &[Verdict], expected: Option<ExitCode>| {
            let findings = verdicts.iter().map(|verdict| finding(*verdict, "")).collect();
            let found = verdict(&Report { findings }).err().map(|failure| failure.code);
            assert_eq!(found, expected, "{verdicts:?}");
        };
        check(&[], None);
        check(&[Verdict::Ok, Verdict::Warning], None);
        check(&[Verdict::Ok, Verdict::Damaged], Some(ExitCode::Store));
        check(&[Verdict::Failed, Verdict::Damaged], Some(ExitCode::Missing));
    }

    #[test]
    fn registries_are_hosts() {
        for (text, expected) in [
            ("ghcr.io", Some("ghcr.io")),
            ("https://127.0.0.1:5000/v2/", Some("127.0.0.1:5000")),
            ("index.docker.io", Some("docker.io")),
            ("localhost", Some("localhost")),
            ("", None),
            ("a b", None),
        ] {
            assert_eq!(registry(text).ok().as_deref(), expected, "{text}");
        }
    }
}
