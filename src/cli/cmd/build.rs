//! `lkpkg build` and `lkpkg push`: packages into the cache, and from there to their registries.

use super::plan;
use crate::cli::args::{BuildArgs, Format, GlobalArgs, Progress};
use crate::cli::failure::Failure;
use crate::cli::{ended, format, output, runtime, settings, work};
use crate::event::CancellationToken;
use crate::oci::Descriptor;
use crate::orchestrator::{self, Answers, Ended, PackageReport, Prepared, PublishOptions};
use crate::plan::{Plan, Wish};
use crate::store::Store;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

/// Runs the verb.
pub fn run(args: &BuildArgs, global: &GlobalArgs) -> Result<(), Failure> {
    settings::check_builders(&args.builder)?;
    let request = settings::request(&args.directories, &args.package, Some(&args.selection))?;
    let wish = settings::build_wish(args)?;
    if !wish.push && wish.release.is_some() {
        output::tell("warning: --release does nothing without --push");
    }
    let caches = settings::caches(&args.how)?;
    let mut prepared = orchestrator::prepare(&request)?;
    caches.check(&prepared)?;
    if wish.push && wish.release.is_none() {
        orchestrator::find_releases(&mut prepared)?;
    }
    let store = Arc::new(settings::open_store(global)?);
    let planned = orchestrator::plan(&prepared, &wish, &store)?;
    let work = Work {
        args,
        global,
        wish,
        store,
    };
    // Mostly all is there, and then neither threads nor a renderer nor a registry are needed to say so.
    if !planned.has_work() && !planned.asks_registry() && !args.how.docker {
        return work.finish(&planned, &prepared);
    }
    runtime::block_on(|cancel| work.run(planned, prepared, cancel))
}

struct Work<'a> {
    args: &'a BuildArgs,
    global: &'a GlobalArgs,
    wish: Wish,
    store: Arc<Store>,
}

impl Work<'_> {
    /// Where nothing has to be done.
    fn finish(&self, plan: &Plan, prepared: &[Prepared]) -> Result<(), Failure> {
        if self.show(plan)? {
            return Ok(());
        }
        let ended = Ended::without_work(plan);
        let reports = orchestrator::report(prepared, &ended, &self.store, &Answers::default())?;
        output::data(&text(&reports))
    }

    /// Shows the plan where that is wanted, and says whether that is all.
    fn show(&self, plan: &Plan) -> Result<bool, Failure> {
        if self.args.how.dry_run {
            plan::print(plan, Format::Text)?;
        } else if self.global.verbose > 1 {
            output::tell(plan::text(plan).trim_end());
        }
        Ok(self.args.how.dry_run)
    }

    async fn run(&self, plan: Plan, mut prepared: Vec<Prepared>, cancel: CancellationToken) -> Result<(), Failure> {
        let (args, wish, jobs) = (self.args, &self.wish, self.args.how.jobs);
        let registry = settings::registry(self.global, jobs)?;
        let (mut plan, answers) = match args.selection.offline {
            true => (plan, Answers::default()),
            false => work::unless(&cancel, plan::ask(&prepared, wish, &self.store, &registry)).await?,
        };
        let mut options = settings::build_options(args, self.global)?;
        if args.how.dry_run {
            options.builders.mark_emulated(&mut plan).await;
        }
        if self.show(&plan)? {
            return Ok(());
        }
        orchestrator::complete(&mut prepared, &plan)?;
        let counted = registry.clone();
        options.remote = Some(settings::remote(&registry));
        options.publish = wish.push.then(|| PublishOptions {
            registry,
            has_architecture_tags: args.publish.manifest,
        });
        let how = settings::render_options(args.how.progress, self.global);
        let begun = Instant::now();
        let ended = work::rendered(how, &cancel, async |events| {
            orchestrator::build(&plan, &prepared, &self.store, &options, events, &cancel).await
        });
        let ended = ended.await?;
        // Lines of JSON are for programs, which would stumble over it.
        if !self.global.is_quiet() && !matches!(args.how.progress, Progress::Rawjson | Progress::Quiet) {
            ended::tell(&ended, begun.elapsed());
        }
        if self.global.verbose > 1 {
            output::tell(&format!(
                "{} to registries",
                format::count(usize::try_from(counted.requests()).unwrap_or(usize::MAX), "request")
            ));
        }
        let reports = orchestrator::report(&prepared, &ended, &self.store, &answers)?;
        output::data(&text(&reports))?;
        ended::failure(ended, cancel.is_cancelled()).map_or(Ok(()), Err)
    }
}

/// A line for each package, its tag and the digest that it stands for now, and one for each release of it.
fn text(reports: &[PackageReport]) -> String {
    let mut text = String::new();
    let mut line = |name: &str, found: Option<&Descriptor>| {
        let digest = found.map(|found| format!("@{}", found.digest)).unwrap_or_default();
        let _ = writeln!(text, "{name}{digest}");
    };
    for report in reports {
        let (tag, found) = &report.tag;
        line(tag, found.as_ref());
        for (release, standing) in &report.releases {
            line(release, Some(standing));
        }
    }
    text
}
