//! `lkpkg build` and `lkpkg push`: packages into the cache, and from there to their registries.

use super::{plan, verify};
use crate::cli::args::{BuildArgs, Format, GlobalArgs, Progress};
use crate::cli::failure::Failure;
use crate::cli::{ended, format, output, runtime, settings, work};
use crate::event::CancellationToken;
use crate::oci::Descriptor;
use crate::orchestrator::{
    self, Answers, BuildOptions, Ended, PackageReport, Prepared, PublishOptions, Request, SourceDate, again,
};
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
    let date = settings::source_date(&args.how)?;
    if !wish.push && wish.release.is_some() {
        output::tell("warning: --release does nothing without --push");
    }
    let caches = settings::caches(&args.how)?;
    if wish.push && args.how.verify.is_some() {
        return Err(
            Failure::usage("--verify does not go with --push: it would come too late")
                .with_hint("`lkpkg build --verify` first; what it built is then pushed as it is"),
        );
    }
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
        request,
        wish,
        date,
        store,
    };
    // Mostly all is there, and then neither threads nor a renderer nor a registry are needed to say so.
    if !planned.has_work() && !planned.asks_registry() && !args.how.docker && args.how.verify.is_none() {
        return work.finish(&planned, &prepared);
    }
    runtime::block_on(|cancel| work.run(planned, prepared, cancel))
}

struct Work<'a> {
    args: &'a BuildArgs,
    global: &'a GlobalArgs,
    request: Request,
    wish: Wish,
    date: SourceDate,
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
        let mut options = settings::build_options(&args.how, &args.builder, self.global)?;
        if args.how.dry_run {
            options.builders.mark_emulated(&mut plan).await;
        }
        if self.show(&plan)? {
            return Ok(());
        }
        for warning in orchestrator::complete(&mut prepared, Some(&plan), &self.request.hash, self.date)? {
            output::tell(&format!("warning: {warning}"));
        }
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
        let failure = ended::failure(ended, cancel.is_cancelled());
        if let (None, Some(format)) = (&failure, args.how.verify) {
            return self.verify(prepared, &options, format, &cancel).await;
        }
        output::data(&text(&reports))?;
        failure.map_or(Ok(()), Err)
    }

    /// Builds everything again and compares it with what the cache has now.
    async fn verify(
        &self,
        mut prepared: Vec<Prepared>,
        options: &BuildOptions,
        format: Format,
        cancel: &CancellationToken,
    ) -> Result<(), Failure> {
        // Those that were not built as well. The time is the one that the images say.
        orchestrator::complete(&mut prepared, None, &self.request.hash, SourceDate::Now)?;
        let wanted = &self.wish.platforms;
        let firsts = again::firsts(prepared, &self.store)?;
        let how = settings::render_options(self.args.how.progress, self.global);
        let verdicts = work::rendered(how, cancel, async |events| {
            again::compare(&firsts, &self.store, wanted, &self.store, options, events, cancel).await
        });
        verify::report(&verdicts.await?, format)
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
