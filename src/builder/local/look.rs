//! A `buildkitd` of our own as it is. Makes no directory, starts and holds nothing.

use super::super::configuration::Configuration;
use super::super::inspect::{Details, Would};
use super::super::look::Standing;
use super::asked::Asked;
use super::decide::{Decision, decide};
use super::places::Places;
use super::talk::Conversation;
use super::{BuilderConfig, BuilderError, Local, dial};
use std::path::Path;

/// The daemon that runs, or what will be done to have one.
pub(in super::super) async fn look(local: &Local, config: &BuilderConfig) -> Result<Standing, BuilderError> {
    let asked = Asked::read(local, config)?;
    let options = &asked.options;
    let is_there = Places::has_root(&options.state);
    let will = |what: String| Ok(Standing::Coming { is_there, what });
    let starting = async || {
        let manner = asked.manner().await?;
        let manner = manner.map(|manner| format!(" {manner}")).unwrap_or_default();
        will(format!("{} will be started{manner}", options.buildkitd.display()))
    };
    let Ok(state) = options.state.canonicalize() else {
        return starting().await;
    };
    let places = Places::of(&state, rustix::process::geteuid().as_raw());
    let Some(conversation) = Conversation::begin(&places.control_socket).await else {
        return starting().await;
    };
    let wanted = asked.wanted(&conversation.greeting, &places)?;
    if !config.as_it_is
        && let Decision::Replace { reason } = decide(&wanted, &conversation.greeting, config.restart)
    {
        return will(format!("buildkitd will be restarted: {reason}"));
    }
    // Not held: it may end in this very moment, and then the next build starts another.
    match dial::unix("local", &places.buildkitd_socket).await {
        Ok(endpoint) => Ok(endpoint.into()),
        Err(_) => starting().await,
    }
}

/// What the daemon of that place is made of, and what a build would do about it.
pub(in super::super) async fn inspect(local: &Local, config: &BuilderConfig) -> Result<Details, BuilderError> {
    let asked = Asked::read(local, config)?;
    let label = |configuration: Option<Configuration>| configuration.as_ref().map(Configuration::label);
    let mut details = Details {
        image: None,
        config: None,
        wanted_config: label(asked.configuration(asked.likely_network())?.configuration),
        state: asked.options.state.display().to_string(),
        would: match Places::has_root(&asked.options.state) {
            true => Would::Start,
            false => Would::Create,
        },
    };
    let Ok(state) = asked.options.state.canonicalize() else {
        return Ok(details);
    };
    let places = Places::of(&state, rustix::process::geteuid().as_raw());
    let Some(Conversation { greeting, .. }) = Conversation::begin(&places.control_socket).await else {
        return Ok(details);
    };
    let wanted = asked.wanted_anew(&greeting, &places)?;
    if let Some(network) = greeting.network {
        details.wanted_config = label(asked.configuration(Some(network))?.configuration);
    }
    details.would = match decide(&wanted, &greeting, config.restart) {
        Decision::Keep => Would::Keep,
        Decision::Replace { reason } => Would::Replace {
            reason,
            removes_state: false,
        },
    };
    // The directory of a configuration is called by its label.
    let directory = greeting
        .config
        .as_deref()
        .and_then(Path::parent)
        .and_then(Path::file_name);
    details.config = directory.map(|label| label.to_string_lossy().into_owned());
    details.image = Some(greeting.buildkitd.display().to_string());
    Ok(details)
}
