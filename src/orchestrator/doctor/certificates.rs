//! Certificates that the user gave: whether they can be read, and when they end.

use super::{Area, Finding, OrchestratorError, blocking};
use crate::registry::RegistrySettings;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

/// Whoever gives out certificates needs some notice.
const ENDS_SOON: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// A file of certificates.
#[derive(Clone, Debug)]
pub(super) struct Fact {
    path: PathBuf,
    found: Result<Vec<Life>, String>,
}

/// From when to when a certificate holds.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Life {
    name: String,
    begins: SystemTime,
    ends: SystemTime,
    /// `ends`, for people.
    ends_text: String,
}

/// Reads the files of `--cert-file` and those in the directories, in the order of their names.
pub(super) async fn gather(settings: &RegistrySettings) -> Result<Vec<Fact>, OrchestratorError> {
    let (files, directories) = (settings.certificates.clone(), settings.certificate_directories.clone());
    blocking(move || {
        let mut facts: Vec<Fact> = files.into_iter().map(|path| fact(path, false)).collect();
        for host in directories.iter().flat_map(|directory| sorted(directory)) {
            for path in sorted(&host) {
                match path.extension().and_then(|ending| ending.to_str()) {
                    Some("crt") => facts.push(fact(path, false)),
                    Some("cert") => facts.push(fact(path, true)),
                    _ => {}
                }
            }
        }
        facts
    })
    .await
}

/// What a directory holds; nothing when it is none.
fn sorted(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn fact(path: PathBuf, needs_key: bool) -> Fact {
    let key = path.with_extension("key");
    let found = match needs_key && !key.is_file() {
        true => Err(format!("its key {} is not there", key.display())),
        false => read(&path),
    };
    Fact { path, found }
}

fn read(path: &Path) -> Result<Vec<Life>, String> {
    let pem = std::fs::read(path).map_err(|error| error.to_string())?;
    let mut lives = Vec::new();
    for one in CertificateDer::pem_slice_iter(&pem) {
        let der = one.map_err(|error| format!("it is no PEM file: {error}"))?;
        let certificate =
            Certificate::from_der(&der).map_err(|error| format!("a certificate in it is damaged: {error}"))?;
        let (body, validity) = (certificate.tbs_certificate(), certificate.tbs_certificate().validity());
        lives.push(Life {
            name: body.subject().to_string(),
            begins: SystemTime::UNIX_EPOCH + validity.not_before.to_unix_duration(),
            ends: SystemTime::UNIX_EPOCH + validity.not_after.to_unix_duration(),
            ends_text: validity.not_after.to_date_time().to_string(),
        });
    }
    match lives.is_empty() {
        true => Err("it holds no PEM certificate".to_owned()),
        false => Ok(lives),
    }
}

/// Those of `files` that can be read.
pub(super) fn usable(facts: &[Fact], files: &[PathBuf]) -> Vec<PathBuf> {
    let is_usable = |file: &&PathBuf| facts.iter().any(|fact| fact.path == **file && fact.found.is_ok());
    files.iter().filter(is_usable).cloned().collect()
}

/// What that means now.
pub(super) fn judge(fact: &Fact, now: SystemTime) -> Finding {
    let subject = fact.path.display().to_string();
    let lives = match &fact.found {
        Err(reason) => {
            return Finding::failed(Area::Certificate, subject, reason)
                .with_hint("give a PEM file (BEGIN CERTIFICATE), or take it away");
        }
        Ok(lives) => lives,
    };
    let renew = "ask whoever gave it out for a new one";
    let holds = |life: &&Life| life.begins <= now && now < life.ends;
    let Some(first) = lives.iter().filter(holds).min_by_key(|life| life.ends) else {
        let text = lives
            .iter()
            .max_by_key(|life| life.ends)
            .map(|life| match life.ends <= now {
                true => format!("{} has ended on {}", life.name, life.ends_text),
                false => format!("{} does not hold yet; is the clock of this machine right?", life.name),
            });
        return Finding::failed(Area::Certificate, subject, text.unwrap_or_default()).with_hint(renew);
    };
    if let Some(ended) = lives.iter().find(|life| !holds(life)) {
        let text = format!(
            "{} ends on {} and does not hold now; others in it do",
            ended.name, ended.ends_text
        );
        return Finding::warning(Area::Certificate, subject, text).with_hint(renew);
    }
    let text = format!("{} ends on {}", first.name, first.ends_text);
    let is_soon = first.ends.duration_since(now).is_ok_and(|left| left < ENDS_SOON);
    match is_soon {
        true => Finding::warning(Area::Certificate, subject, format!("{text}, which is soon")).with_hint(renew),
        false => Finding::ok(Area::Certificate, subject, text),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    /// CN=lkpkg test, from 2020-01-01 to 2020-01-31.
    const ENDED: &str = include_str!("ended.pem");

    #[test]
    fn every_row() {
        let now = SystemTime::UNIX_EPOCH + 1000 * DAY;
        let life = |begins: u32, ends: u32| Life {
            name: format!("CN={ends}"),
            begins: SystemTime::UNIX_EPOCH + begins * DAY,
            ends: SystemTime::UNIX_EPOCH + ends * DAY,
            ends_text: format!("day {ends}"),
        };
        let check = |found: Result<Vec<Life>, String>, verdict: Verdict, part: &str| {
            let fact = Fact {
                path: "/c.pem".into(),
                found,
            };
            let found = judge(&fact, now);
            assert!(
                found.verdict == verdict && found.finding.contains(part),
                "{part}: {found:?}"
            );
        };
        check(
            Ok(vec![life(0, 1100), life(0, 1050)]),
            Verdict::Ok,
            "CN=1050 ends on day 1050",
        );
        check(Ok(vec![life(0, 1029)]), Verdict::Warning, "which is soon");
        check(
            Ok(vec![life(0, 1100), life(0, 900)]),
            Verdict::Warning,
            "CN=900 ends on day 900",
        );
        check(
            Ok(vec![life(0, 900), life(0, 800)]),
            Verdict::Failed,
            "CN=900 has ended on day 900",
        );
        check(Ok(vec![life(1001, 1100)]), Verdict::Failed, "does not hold yet");
        check(Err("it is no PEM file".into()), Verdict::Failed, "no PEM");
    }

    #[test]
    fn files_are_read() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).expect("a file");
            path
        };
        let ended = read(&path("ended.crt", ENDED)).expect("a certificate");
        assert_eq!((ended.len(), ended[0].name.as_str()), (1, "CN=lkpkg test"));
        assert_eq!(ended[0].ends_text, "2020-01-31T00:00:00Z");
        for text in [
            "",
            "nonsense",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ] {
            assert!(read(&path("bad.crt", text)).is_err(), "{text}");
        }
        let alone = fact(path("x.cert", ENDED), true);
        assert!(alone.found.expect_err("no key").contains("x.key"));
    }
}
