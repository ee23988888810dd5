//! `lkpkg remote-tag`: another name for an image that a registry has.

use crate::cli::args::{GlobalArgs, RemoteTagArgs};
use crate::cli::failure::Failure;
use crate::cli::{output, runtime, settings, work};
use crate::oci::Reference;
use crate::orchestrator;

/// Runs the verb.
pub fn run(args: &RemoteTagArgs, global: &GlobalArgs) -> Result<(), Failure> {
    let parse = |name: &String| name.parse().map_err(|error| Failure::usage(format!("{error}")));
    let (from, to): (Reference, Reference) = (parse(&args.from)?, parse(&args.to)?);
    if to.digest().is_some() {
        return Err(Failure::usage(format!(
            "{to} has a digest: an image gets a tag, and has the digest that it has"
        )));
    }
    runtime::block_on(async |cancel| {
        let registry = settings::registry(global, args.transfer.jobs)?;
        let how = settings::render_options(args.transfer.progress, global);
        let standing = work::rendered(how, &cancel, async |events| {
            orchestrator::copy_image(&registry, &from, &to, events, &cancel).await
        });
        output::data(&format!("{}@{}\n", to.store_name(), standing.await?.digest))
    })
}
