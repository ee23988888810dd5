//! `lkpkg builder start|stop|rm|logs`: a builder that lkpkg runs itself, brought up and down.

use crate::builder::{self, BuilderError, Where};
use crate::cli::args::builder::{LogsArgs, RmArgs, StartArgs, StopArgs, WhichArgs};
use crate::cli::args::{BuilderArgs, GlobalArgs};
use crate::cli::failure::{ExitCode, Failure};
use crate::cli::{output, runtime, settings};
use crate::event::{CancellationToken, Events};
use crate::orchestrator::Builders;

/// Runs `builder start`.
pub fn start(args: &StartArgs, global: &GlobalArgs) -> Result<(), Failure> {
    let work = async |builders: &Builders, place: &Where, events: &Events, cancel: &CancellationToken| {
        let endpoint = builder::endpoint(place, builders.config(), events, cancel).await?;
        let text = format!("{}: BuildKit {} answers", endpoint.name, endpoint.version);
        events.notice(text).await;
        Ok(())
    };
    each(&args.wanted.which, &args.wanted.builder(), global, "started", work)
}

/// Runs `builder stop`.
pub fn stop(args: &StopArgs, global: &GlobalArgs) -> Result<(), Failure> {
    let work = async |builders: &Builders, place: &Where, events: &Events, _: &CancellationToken| {
        builder::stop(place, builders.config(), args.force, events).await
    };
    each(&args.which, &args.which.builder(), global, "stopped", work)
}

/// Runs `builder rm`.
pub fn remove(args: &RmArgs, global: &GlobalArgs) -> Result<(), Failure> {
    let work = async |builders: &Builders, place: &Where, events: &Events, _: &CancellationToken| {
        builder::remove(place, builders.config(), args.keep_state, args.force, events).await
    };
    each(&args.which, &args.which.builder(), global, "removed", work)
}

/// Runs `builder logs`.
pub fn logs(args: &LogsArgs, global: &GlobalArgs) -> Result<(), Failure> {
    let mut written = Ok(());
    let work = async |builders: &Builders, place: &Where, _: &Events, _: &CancellationToken| {
        let more = |piece: &[u8]| {
            written = output::bytes(piece);
            written.is_ok()
        };
        builder::logs(place, builders.config(), more).await
    };
    each(&args.which, &args.which.builder(), global, "asked for its log", work)?;
    written
}

/// Does something to every builder that is meant, one after the other; to none, if one of them is not ours.
async fn all(
    builders: &Builders,
    places: &[Where],
    doing: &'static str,
    mut work: impl AsyncFnMut(&Where) -> Result<(), BuilderError>,
) -> Result<(), BuilderError> {
    for place in places {
        builder::owned(place, builders.config(), doing)?;
    }
    for place in places {
        work(place).await?;
    }
    Ok(())
}

fn each(
    which: &WhichArgs,
    wanted: &BuilderArgs,
    global: &GlobalArgs,
    doing: &'static str,
    mut work: impl AsyncFnMut(&Builders, &Where, &Events, &CancellationToken) -> Result<(), BuilderError>,
) -> Result<(), Failure> {
    let builders = Builders::new(settings::builders(wanted, global)?);
    let platforms = super::platforms(which)?;
    runtime::block_on(async |cancel| {
        let work = super::telling(global, async |events: Events| {
            let places = builders.meant(&platforms).await?;
            all(&builders, &places, doing, async |place| {
                work(&builders, place, &events, &cancel).await
            })
            .await
        });
        let done = cancel.run_until_cancelled(work).await;
        let cancelled = || Err(Failure::new(ExitCode::Cancelled, "cancelled"));
        done.map_or_else(cancelled, |done| done.map_err(Failure::from))
    })
}
