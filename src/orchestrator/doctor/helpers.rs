//! Credential helpers that Docker's configuration names: whether they are there and answer. Their secrets are not kept.

use super::{Area, Finding, OrchestratorError, QUESTION_TIMEOUT, blocking};
use crate::oci::credentials::{CredentialSource, Helper};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// What a helper is asked for that is there for all registries: Docker Hub, which all know.
const ANY_KEY: &str = "https://index.docker.io/v1/";
/// By which helpers say that they work and have nothing.
const NOTHING: &str = "credentials not found";
/// How much of what a failing helper said is repeated.
const TEXT_MAX_CHARS: usize = 200;

/// The helpers, or why the configuration cannot be read.
pub(super) type Facts = Result<Vec<Fact>, String>;

/// A helper that is named.
pub(super) struct Fact {
    helper: Helper,
    /// Where it is, or nowhere.
    path: Option<PathBuf>,
    /// Whether it answered, or what it said instead.
    answer: Result<(), String>,
}

/// Looks for the helpers and asks each.
pub(super) async fn gather(source: &CredentialSource, search_path: &OsStr) -> Result<Facts, OrchestratorError> {
    let source = source.clone();
    let helpers = match blocking(move || source.helpers()).await? {
        Ok(helpers) => helpers,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let asked = helpers.into_iter().map(async |helper| {
        let path = std::env::split_paths(search_path)
            .map(|directory| directory.join(&helper.program))
            .find(|path| path.is_file());
        let answer = match &path {
            Some(path) => answers(path, helper.key.as_deref().unwrap_or(ANY_KEY)).await,
            None => Ok(()),
        };
        Fact { helper, path, answer }
    });
    Ok(Ok(futures_util::future::join_all(asked).await))
}

/// Not every helper knows `list`; `get` they all do.
async fn answers(program: &Path, key: &str) -> Result<(), String> {
    match ask(program, "list", "").await {
        Ok(()) => Ok(()),
        Err(_) => ask(program, "get", key).await,
    }
}

async fn ask(program: &Path, verb: &str, input: &str) -> Result<(), String> {
    let run = async {
        let mut child = Command::new(program)
            .arg(verb)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // One that does not read it says so by its answer.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        child.wait_with_output().await
    };
    let output = match tokio::time::timeout(QUESTION_TIMEOUT, run).await {
        Ok(output) => output.map_err(|error| error.to_string())?,
        Err(_) => return Err(format!("no answer within {} s", QUESTION_TIMEOUT.as_secs())),
    };
    if output.status.success() {
        return Ok(());
    }
    // What a failing helper says is a complaint, and by the protocol on standard output.
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
    let said = said.into_iter().find(|text| !text.is_empty()).unwrap_or_default();
    if said.to_lowercase().contains(NOTHING) {
        return Ok(());
    }
    let line = said.lines().next().unwrap_or("it failed without a word");
    Err(line.chars().take(TEXT_MAX_CHARS).collect())
}

/// What that means.
pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    match facts {
        Err(reason) => vec![
            Finding::failed(Area::Helper, "Docker's configuration", reason)
                .with_hint("mend the file, or give credentials with --registry-creds"),
        ],
        Ok(facts) => facts.iter().map(of_helper).collect(),
    }
}

fn of_helper(fact: &Fact) -> Finding {
    let Helper { program, place, .. } = &fact.helper;
    let hint = format!("install it, or remove it from {place}");
    match (&fact.path, &fact.answer) {
        (None, _) => Finding::failed(
            Area::Helper,
            program,
            format!("{place} names it, and it is not on PATH"),
        )
        .with_hint(hint),
        (Some(path), Ok(())) => Finding::ok(Area::Helper, program, format!("{} answers", path.display())),
        (Some(path), Err(said)) => {
            Finding::failed(Area::Helper, program, format!("{} fails: {said}", path.display())).with_hint(hint)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    /// A helper of its own kind answers, whatever it is.
    #[tokio::test]
    async fn helpers_are_found_and_asked() {
        let directory = tempfile::tempdir().expect("a directory");
        let script = |name: &str, text: &str| {
            let path = directory.path().join(format!("docker-credential-{name}"));
            crate::fsx::write_program(&path, &format!("#!/bin/sh\n{text}\n"));
        };
        script("lists", "[ $1 = list ] && echo '{\"r\":\"me\"}'");
        script("gets", "[ $1 = get ] && grep -qx r && echo '{\"Secret\":\"s3cret\"}'");
        script("empty", "echo credentials not found in native keychain; exit 1");
        script("broken", "echo no keychain; echo more; exit 2");
        let helpers = ["lists", "gets", "empty", "broken", "gone"].map(|name| format!(r#""{name}r":"{name}""#));
        let config = format!(r#"{{"credHelpers":{{{}}}}}"#, helpers.join(",").replace("getsr", "r"));
        std::fs::write(directory.path().join("config.json"), config).expect("a file");
        let source = CredentialSource::docker(Some(directory.path().to_owned()));
        let search_path = std::ffi::OsString::from(directory.path());
        let facts = gather(&source, &search_path).await.expect("no panic");
        let found: Vec<_> = judge(&facts)
            .into_iter()
            .map(|one| {
                let name = one.subject.trim_start_matches("docker-credential-").to_owned();
                (
                    name,
                    one.verdict,
                    one.finding.rsplit(": ").next().unwrap_or_default().to_owned(),
                )
            })
            .collect();
        let verdict = |name: &str| found.iter().find(|one| one.0 == name).map(|one| one.1);
        for (name, expected) in [
            ("lists", Verdict::Ok),
            ("gets", Verdict::Ok),
            ("empty", Verdict::Ok),
            ("broken", Verdict::Failed),
            ("gone", Verdict::Failed),
        ] {
            assert_eq!(verdict(name), Some(expected), "{name}: {found:?}");
        }
        assert!(found.iter().any(|one| one.2 == "no keychain"), "{found:?}");
        assert!(!format!("{found:?}").contains("s3cret"), "{found:?}");
        assert_eq!(judge(&Err("it is no JSON".into()))[0].verdict, Verdict::Failed);
    }
}
