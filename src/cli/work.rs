//! Long work with its progress shown beside it.

use super::failure::{ExitCode, Failure};
use super::{render, runtime};
use crate::event::{CancellationToken, Event, Events};

/// Does `work` and shows what it tells; its last event is shown before its result is returned.
pub async fn rendered<T, E: Into<Failure>>(
    how: render::RenderOptions,
    cancel: &CancellationToken,
    work: impl AsyncFnOnce(&Events) -> Result<T, E>,
) -> Result<T, Failure> {
    let (events, receiver) = Events::channel();
    let work = async {
        let events = events; // dropped with the work, which ends the rendering
        let mut work = std::pin::pin!(work(&events));
        tokio::select! {
            // First, or work that stops in the same instant would end without a word.
            biased;
            () = cancel.cancelled() => {}
            result = &mut work => return result,
        }
        // Through the renderer: a line that is printed past it would spoil the screen.
        events.send(Event::Notice(runtime::CANCELLING.to_owned())).await;
        work.await
    };
    let (result, _) = tokio::join!(work, render::render(receiver, how, std::io::stderr()));
    result.map_err(|error| match cancel.is_cancelled() {
        true => cancelled(),
        false => error.into(),
    })
}

/// Leaves work that has nothing to clean up where it stands when it is cancelled.
pub async fn unless<T>(
    cancel: &CancellationToken,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let done = cancel.run_until_cancelled(work).await;
    done.unwrap_or_else(|| Err(cancelled()))
}

fn cancelled() -> Failure {
    Failure::new(ExitCode::Cancelled, "cancelled")
}
