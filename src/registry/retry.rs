//! When a request is tried again, and how long to wait before.

use super::error::RegistryError;
use std::time::{Duration, Instant};

/// Tries of one request before its failure is believed: enough for a registry that is being restarted.
const TRIES: u32 = 5;
/// The first pause between two tries; doubled each time, and stretched at random so that many clients spread out.
const FIRST_PAUSE: Duration = Duration::from_millis(400);
/// The longest pause that a registry may ask for with Retry-After. Limits on bursts reset within a minute; a registry
/// that wants a longer one (Docker Hub's quota asks for hours) has said no.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// No try begins later than this after the first: four pauses of a minute would be longer than anybody watches.
const LAST_TRY_AFTER: Duration = Duration::from_secs(180);

/// How often and how long; other values than the constants are for tests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retries {
    pub(super) tries: u32,
    pub(super) first_pause: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            tries: TRIES,
            first_pause: FIRST_PAUSE,
        }
    }
}

/// A failure, and when the registry wants to be asked again.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) error: RegistryError,
    pub(super) retry_after: Option<Duration>,
}

impl From<RegistryError> for Failed {
    fn from(error: RegistryError) -> Self {
        Self {
            error,
            retry_after: None,
        }
    }
}

impl Retries {
    /// The pause after a number of failures, as lengthened at random.
    pub(super) fn pause(&self, failures: u32) -> Duration {
        let doubled = self.first_pause * 2_u32.pow(failures.saturating_sub(1).min(10));
        doubled.mul_f64(1.0 + fastrand::f64())
    }

    /// The tries of one request.
    pub(super) fn begin(self) -> Attempts {
        Attempts {
            retries: self,
            began: Instant::now(),
            failures: 0,
        }
    }
}

/// The tries of one request.
pub(super) struct Attempts {
    retries: Retries,
    began: Instant,
    failures: u32,
}

impl Attempts {
    /// Waits as long as is fit after a failure; gives it back when another try makes no sense.
    pub(super) async fn failed(&mut self, failed: Failed) -> Result<(), RegistryError> {
        self.failures += 1;
        let Some(pause) = self.pause(&failed) else {
            return Err(failed.error);
        };
        tokio::time::sleep(pause).await;
        Ok(())
    }

    fn pause(&self, failed: &Failed) -> Option<Duration> {
        if !failed.error.is_temporary() || self.failures >= self.retries.tries {
            return None;
        }
        let pause = failed.retry_after.unwrap_or_else(|| self.retries.pause(self.failures));
        (pause <= LONGEST_PAUSE && self.began.elapsed() + pause <= LAST_TRY_AFTER).then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_tried_again() {
        let check = |status: u16, retry_after: Option<u64>, failures: u32, is_tried: bool| {
            let error = RegistryError::Status {
                url: "u".into(),
                status,
                text: String::new(),
            };
            let retry_after = retry_after.map(Duration::from_secs);
            let attempts = Attempts {
                failures,
                ..Retries::default().begin()
            };
            let pause = attempts.pause(&Failed { error, retry_after });
            assert_eq!(pause.is_some(), is_tried, "{status} {retry_after:?} {failures}");
            if let (Some(wanted), Some(pause)) = (retry_after, pause) {
                assert_eq!(wanted, pause);
            }
        };
        check(503, None, 1, true);
        check(503, Some(2), 4, true);
        check(503, None, 5, false);
        check(503, Some(61), 1, false);
        check(400, None, 1, false);
        check(408, None, 1, true);
    }

    #[test]
    fn pauses_grow_and_stay_bounded() {
        let retries = Retries::default();
        assert!(retries.pause(1) >= FIRST_PAUSE && retries.pause(1) <= FIRST_PAUSE * 2);
        assert!(retries.pause(4) >= FIRST_PAUSE * 8);
        let all: Duration = (1..TRIES).map(|failures| retries.pause(failures)).sum();
        assert!(all < Duration::from_secs(15));
    }
}
