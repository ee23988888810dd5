//! Runs asynchronous work with signals turned into cancellation.

use super::failure::{ExitCode, Failure};
use crate::event::CancellationToken;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What is said when work is being cancelled.
pub const CANCELLING: &str = "cancelling; once more to stop at once";

/// Runs `work` to its end. The first SIGINT, SIGTERM or SIGHUP cancels the token that it was given; the second ends the
/// process at once.
pub fn block_on<T, W>(work: impl FnOnce(CancellationToken) -> W) -> Result<T, Failure>
where
    W: Future<Output = Result<T, Failure>>,
{
    let error = |error: std::io::Error| Failure::new(ExitCode::Failed, format!("cannot start the runtime: {error}"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(error)?;
    let result = runtime.block_on(async {
        let cancel = CancellationToken::new();
        let mut signals = Signals::listen().map_err(error)?;
        let mut work = std::pin::pin!(work(cancel.clone()));
        loop {
            tokio::select! {
                result = &mut work => return result,
                () = signals.next() => {
                    if cancel.is_cancelled() {
                        std::process::exit(ExitCode::Cancelled as i32);
                    }
                    cancel.cancel();
                }
            }
        }
    });
    // A read of standard input that nobody answers must not keep the process.
    runtime.shutdown_background();
    result
}

/// The signals that ask a program to end.
struct Signals([Signal; 3]);

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self([
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ]))
    }

    async fn next(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
