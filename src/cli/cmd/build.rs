//! `lkpkg build`: packages into the cache.

use super::plan;
use crate::cli::args::{BuildArgs, Format, GlobalArgs};
use crate::cli::failure::{ExitCode, Failure};
use crate::cli::{output, render, runtime, settings};
use crate::event::{CancellationToken, Event, Events};
use crate::orchestrator::{self, BuildOptions, PackageReport, Prepared};
use crate::plan::Plan;
use crate::store::Store;
use std::fmt::Write as _;
use std::sync::Arc;

/// Runs the verb.
pub fn run(args: &BuildArgs, global: &GlobalArgs) -> Result<(), Failure> {
    let request = settings::request(&args.directories, &args.package, Some(&args.selection))?;
    let wish = settings::wish(&args.selection)?;
    let mut options = settings::build_options(args, global)?;
    let mut prepared = orchestrator::prepare(&request)?;
    let store = Arc::new(settings::open_store(global)?);
    let planned = orchestrator::plan(&prepared, &wish, &store)?;
    if args.how.dry_run {
        return plan::print(&planned, Format::Text);
    }
    if global.verbose > 1 {
        output::tell(plan::text(&planned).trim_end());
    }
    // Mostly all is there, and then neither threads nor a renderer are needed to say so.
    if planned.has_work() || options.docker.is_some() {
        orchestrator::complete(&mut prepared, &planned)?;
        if args.how.precache_images || prepared.iter().any(|one| one.package.depends.is_some()) {
            options.remote = Some(settings::remote(options.credentials.clone(), global)?);
        }
        let work = Work {
            plan: &planned,
            prepared: &prepared,
            store: &store,
            options: &options,
        };
        runtime::block_on(|cancel| work.run(settings::render_options(&args.how, global), cancel))?;
    }
    output::data(&text(&orchestrator::report(&prepared, &store)?))
}

struct Work<'a> {
    plan: &'a Plan,
    prepared: &'a [Prepared],
    store: &'a Arc<Store>,
    options: &'a BuildOptions,
}

impl Work<'_> {
    /// Builds and renders side by side; the last event is shown before the result is returned.
    async fn run(&self, how: render::RenderOptions, cancel: CancellationToken) -> Result<(), Failure> {
        let (events, receiver) = Events::channel();
        let build = async {
            let events = events; // dropped with the build, which ends the rendering
            let work = orchestrator::build(self.plan, self.prepared, self.store, self.options, &events, &cancel);
            let mut work = std::pin::pin!(work);
            tokio::select! {
                // First, or a build that stops in the same instant would end without a word.
                biased;
                () = cancel.cancelled() => {}
                result = &mut work => return result,
            }
            // Through the renderer: a line that is printed past it would spoil the screen.
            events.send(Event::Notice(runtime::CANCELLING.to_owned())).await;
            work.await
        };
        let (result, _) = tokio::join!(build, render::render(receiver, how, std::io::stderr()));
        result.map_err(|error| match cancel.is_cancelled() {
            true => Failure::new(ExitCode::Cancelled, "cancelled"),
            false => error.into(),
        })
    }
}

/// One line a package: its tag, and the digest that the tag points at now.
fn text(reports: &[PackageReport]) -> String {
    let mut text = String::new();
    for report in reports {
        let digest = report
            .index
            .as_ref()
            .map(|index| format!("@{}", index.digest))
            .unwrap_or_default();
        let _ = writeln!(text, "{}{digest}", report.tag);
    }
    text
}
