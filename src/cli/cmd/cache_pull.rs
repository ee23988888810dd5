//! `lkpkg cache pull`: images from their registries into the cache, one line each: name and digest.

use crate::cli::args::{GlobalArgs, PullArgs};
use crate::cli::failure::Failure;
use crate::cli::{output, settings, work};
use crate::event::CancellationToken;
use crate::orchestrator;
use crate::store::Store;
use std::fmt::Write as _;

/// Runs the verb.
pub async fn run(
    store: &Store,
    args: &PullArgs,
    global: &GlobalArgs,
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    let images = settings::references(&args.images)?;
    let platforms = settings::platforms("--platforms", &args.platforms)?;
    let remote = settings::remote(&settings::registry(global, None)?);
    let how = settings::render_options(args.progress, global);
    let mut text = String::new();
    let done = work::rendered(how, cancel, async |events| {
        for image in &images {
            let pulled = orchestrator::pull_image(image, &platforms, store, &remote, events, cancel).await;
            let (name, standing) = pulled.map_err(Failure::from)?;
            let _ = match image.digest() {
                Some(_) => writeln!(text, "{name}"),
                None => writeln!(text, "{name}@{}", standing.digest),
            };
        }
        Ok::<_, Failure>(())
    });
    let done = done.await;
    output::data(&text)?;
    done
}
