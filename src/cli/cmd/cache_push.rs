//! `lkpkg cache push`: images of the cache to their registries, one line each: name and digest there.

use crate::cli::args::{GlobalArgs, PushArgs};
use crate::cli::failure::{ExitCode, Failure};
use crate::cli::{output, settings, work};
use crate::event::{CancellationToken, Event, Events};
use crate::oci::Reference;
use crate::orchestrator::{self, OrchestratorError, Publication};
use crate::registry::{Existing, Registry, RegistryError};
use crate::store::Store;

/// Runs the verb.
pub async fn run(
    store: &Store,
    args: &PushArgs,
    global: &GlobalArgs,
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    let publications = publications(args)?;
    let registry = settings::registry(global, args.transfer.jobs)?;
    let how = settings::render_options(args.transfer.progress, global);
    let mut text = String::new();
    let done = work::rendered(how, cancel, async |events| {
        for publication in &publications {
            text.push_str(&push(publication, store, &registry, events, cancel).await?);
        }
        Ok::<_, Failure>(())
    });
    let done = done.await;
    output::data(&text)?;
    done
}

fn publications(args: &PushArgs) -> Result<Vec<Publication>, Failure> {
    let images = settings::references(&args.images)?;
    let remote: Option<Reference> = match args.remote_name.as_str() {
        "" => None,
        name => Some(
            name.parse()
                .map_err(|error| Failure::usage(format!("--remote-name: {error}")))?,
        ),
    };
    if remote.is_some() && images.len() > 1 {
        return Err(Failure::usage(
            "--remote-name is the name of one image, and several are to be pushed",
        ));
    }
    let publication = |from: Reference| Publication {
        to: remote.clone().unwrap_or_else(|| from.clone()),
        from,
        existing: match args.r#override {
            true => Existing::Merge,
            false => Existing::Extend,
        },
        has_architecture_tags: args.with_arch_tags,
        releases: Vec::new(),
    };
    Ok(images.into_iter().map(publication).collect())
}

/// The line of an image. One that the registry has otherwise is left as it is there, as in linuxkit.
async fn push(
    publication: &Publication,
    store: &Store,
    registry: &Registry,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<String, Failure> {
    let Publication { from, to, .. } = publication;
    match orchestrator::publish(publication, store, registry, events, cancel).await {
        Ok(Some(published)) => {
            let lines = published.names.iter();
            Ok(lines
                .map(|(name, standing)| format!("{}@{}\n", name.store_name(), standing.digest))
                .collect())
        }
        Ok(None) => Err(Failure::new(
            ExitCode::Failed,
            format!("cannot push {from}: the cache has no such image"),
        )
        .with_hint("lkpkg cache ls lists what it has")),
        Err(OrchestratorError::Push { name, source }) if matches!(*source, RegistryError::TagTaken { .. }) => {
            let text = format!("{name} has another image in the registry and is left as it is: --override replaces it");
            events.send(Event::Warning(text)).await;
            match *source {
                RegistryError::TagTaken { found, .. } => Ok(format!("{}@{found}\n", to.store_name())),
                _ => Ok(String::new()),
            }
        }
        Err(error) => Err(error.into()),
    }
}
