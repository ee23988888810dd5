//! `lkpkg manifest` (`index`): the tags of packages stand for all images that their registry has as `tag-arch`.

use crate::cli::args::{GlobalArgs, IndexArgs};
use crate::cli::failure::{ExitCode, Failure};
use crate::cli::{output, runtime, settings, work};
use crate::identity::Identity;
use crate::orchestrator;
use crate::plan::PlanError;
use std::fmt::Write as _;

/// Runs the verb.
pub fn run(args: &IndexArgs, global: &GlobalArgs) -> Result<(), Failure> {
    let request = settings::request(&args.directories, &args.package, None)?;
    let identities: Vec<Identity> = orchestrator::load(&request)?
        .into_iter()
        .map(|(_, identity)| identity)
        .collect();
    let dirty = identities.iter().filter(|identity| identity.is_dirty);
    let dirty: Vec<String> = dirty.map(|identity| identity.tag.clone()).collect();
    if !dirty.is_empty() {
        return Err(PlanError::Dirty(dirty).into());
    }
    let releases: Vec<String> = Some(args.release.clone())
        .filter(|release| !release.is_empty())
        .into_iter()
        .collect();
    runtime::block_on(async |cancel| {
        let registry = settings::registry(global, None)?;
        let (mut text, mut failure) = (String::new(), None);
        for identity in &identities {
            let made = orchestrator::rebuild_index(&registry, &identity.reference, &releases, true);
            match work::unless(&cancel, async { Ok(made.await?) }).await {
                Ok(names) => {
                    for (name, standing) in names {
                        let tag = name.tag().unwrap_or_default();
                        let _ = writeln!(text, "{}:{tag}@{}", identity.image, standing.digest);
                    }
                }
                Err(cancelled) if cancelled.code == ExitCode::Cancelled => return Err(cancelled),
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        output::data(&text)?;
        failure.map_or(Ok(()), Err)
    })
}
