//! A `buildkitd` of our own as it is. Makes no directory, starts and holds nothing.

use super::super::look::Standing;
use super::decide::{Decision, Wanted, decide};
use super::places::Places;
use super::talk::Conversation;
use super::{BuilderConfig, BuilderError, Local, configuration, dial, options};

/// The daemon that runs, or what will be done to have one.
pub(in super::super) async fn look(local: &Local, config: &BuilderConfig) -> Result<Standing, BuilderError> {
    let (options, configuration) = (options(local)?, configuration(config)?);
    let is_there = Places::has_root(&options.state);
    let will = |what: String| Ok(Standing::Coming { is_there, what });
    let starting = || will(format!("{} will be started", options.buildkitd.display()));
    let Ok(state) = options.state.canonicalize() else {
        return starting();
    };
    let places = Places::of(&state, rustix::process::geteuid().as_raw());
    let Some(conversation) = Conversation::begin(&places.control_socket).await else {
        return starting();
    };
    let wanted = Wanted {
        buildkitd: options.buildkitd.clone(),
        config: configuration.map(|configuration| places.config_file(&configuration)),
    };
    if !config.as_it_is
        && let Decision::Replace { reason } = decide(&wanted, &conversation.greeting, config.restart)
    {
        return will(format!("buildkitd will be restarted: {reason}"));
    }
    // Not held: it may end in this very moment, and then the next build starts another.
    match dial::unix("local", &places.buildkitd_socket).await {
        Ok(endpoint) => Ok(endpoint.into()),
        Err(_) => starting(),
    }
}
