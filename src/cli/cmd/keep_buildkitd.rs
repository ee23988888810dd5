//! `lkpkg __keep-buildkitd`: the process that owns a buildkitd of our own. lkpkg starts it; nobody else has to.

use crate::builder::local::{Manner, SuperviseOptions, supervise};
use crate::cli::args::KeepBuildkitdArgs;
use crate::cli::failure::{ExitCode, Failure};
use std::time::Duration;

/// Runs the verb.
pub fn run(args: &KeepBuildkitdArgs) -> Result<(), Failure> {
    let options = SuperviseOptions {
        state: args.state.clone(),
        buildkitd: args.buildkitd.clone(),
        runc: args.runc.clone(),
        config: args.config.clone(),
        rootless: args.rootlesskit.clone().map(|rootlesskit| Manner {
            rootlesskit,
            network: args.network,
            network_program: args.network_program.clone(),
            has_sandbox: !args.no_process_sandbox,
        }),
        idle: Duration::from_secs(args.idle_seconds),
    };
    let failed = |error| Failure::new(ExitCode::Failed, format!("cannot start the runtime: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    runtime.block_on(supervise(options)).map_err(Failure::from)
}
