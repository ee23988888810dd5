//! How the packages of a run ended, for people: a table, and what went wrong.

use super::failure::{ExitCode, Failure};
use super::{output, settings};
use crate::orchestrator::{Ended, How};
use std::fmt::Write as _;
use std::time::Duration;

/// The order in which the last line counts.
const WORDS: [&str; 7] = ["built", "pulled", "found", "left out", "failed", "skipped", "cancelled"];

/// Tells of several packages how they ended.
pub fn tell(ended: &[Ended], took: Duration) {
    if ended.len() > 1 {
        output::tell(table(ended, took).trim_end());
    }
}

/// A line for each package, in the plan's order, and one that counts.
fn table(ended: &[Ended], took: Duration) -> String {
    let mut text = String::new();
    let width = ended.iter().map(|one| one.tag.len()).max().unwrap_or_default();
    for one in ended {
        let (word, tag) = (one.how.word(), &one.tag);
        let remark = match &one.how {
            How::Skipped(because) => format!("because {because} failed"),
            How::BuiltBy(holder) => format!("built meanwhile by {holder}"),
            // What is seen at a glance takes no time.
            How::Found | How::LeftOut => String::new(),
            _ if one.took.is_zero() => String::new(),
            _ => seconds(one.took),
        };
        let _ = writeln!(text, "{}", format!("{word:<9} {tag:<width$}  {remark}").trim_end());
    }
    let count = |word: &&str| ended.iter().filter(|one| one.how.word() == *word).count();
    let counted = WORDS
        .iter()
        .map(|word| (count(word), word))
        .filter(|(count, _)| *count > 0);
    let counted: Vec<String> = counted.map(|(count, word)| format!("{count} {word}")).collect();
    let _ = writeln!(text, "{} in {}", counted.join(", "), seconds(took));
    text
}

fn seconds(took: Duration) -> String {
    format!("{:.1}s", took.as_secs_f64())
}

/// What went wrong, if anything did. Of several failures the last one is given, with the exit code of the first; the others
/// are told here.
pub fn failure(ended: Vec<Ended>, is_cancelled: bool) -> Option<Failure> {
    if is_cancelled && ended.iter().any(|one| !one.how.is_good()) {
        return Some(Failure::new(ExitCode::Cancelled, "cancelled"));
    }
    let failed = ended.into_iter().filter_map(|one| match one.how {
        How::Failed(error) => Some(Failure::from(*error)),
        _ => None,
    });
    let mut failed: Vec<Failure> = failed.collect();
    let code = failed.first()?.code;
    let last = failed.pop()?;
    for one in failed {
        output::tell(&one.text(settings::use_colour()));
    }
    Some(Failure { code, ..last })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::orchestrator::OrchestratorError;

    fn ended(tag: &str, how: How, took_ms: u64) -> Ended {
        Ended {
            tag: tag.to_owned(),
            how,
            took: Duration::from_millis(took_ms),
            published: None,
        }
    }

    #[test]
    fn the_table_tells_of_each_and_counts() {
        let failed = || How::Failed(Box::new(OrchestratorError::Panic("x".to_owned())));
        let all = [
            ended("o/base:1", How::Built, 12_340),
            ended("o/b:1", How::Found, 0),
            ended("o/c:1", How::BuiltBy("process 7 (lkpkg)".to_owned()), 200),
            ended("o/d:1", failed(), 1_000),
            ended("o/e:1", How::Skipped("o/d:1".to_owned()), 0),
        ];
        let expected = "\
built     o/base:1  12.3s
found     o/b:1
found     o/c:1     built meanwhile by process 7 (lkpkg)
failed    o/d:1     1.0s
skipped   o/e:1     because o/d:1 failed
1 built, 2 found, 1 failed, 1 skipped in 13.4s
";
        assert_eq!(table(&all, Duration::from_millis(13_400)), expected);
    }

    #[test]
    fn cancelled_is_said_before_what_it_made_fail() {
        let of = |how: fn() -> How| vec![ended("o/a:1", How::Built, 1), ended("o/b:1", how(), 1)];
        assert!(failure(of(|| How::Built), false).is_none());
        assert!(failure(of(|| How::Built), true).is_none());
        let code = |how, is_cancelled| failure(of(how), is_cancelled).map(|failure| failure.code);
        assert_eq!(code(|| How::Cancelled, true), Some(ExitCode::Cancelled));
        let failed: fn() -> How = || How::Failed(Box::new(OrchestratorError::Panic("x".to_owned())));
        assert_eq!(code(failed, false), Some(ExitCode::Bug));
        assert_eq!(code(failed, true), Some(ExitCode::Cancelled));
    }
}
