//! Whether the `buildkitd` that runs is the one that is wanted: wanted × greeting → [`Decision`]. Pure.

use super::rootless::Network;
use super::talk::Greeting;
use std::path::PathBuf;

/// The daemon that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Its program.
    pub buildkitd: PathBuf,
    /// Its configuration file, if it shall have one; another content has another path.
    pub config: Option<PathBuf>,
    /// The network that the user asks for, if any.
    pub network: Option<Network>,
}

/// What to do with the daemon that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// It is right.
    Keep,
    /// It must end, and another one be started.
    Replace {
        /// Why, for the user.
        reason: String,
    },
}

/// What to do with the daemon that greets so.
pub(super) fn decide(wanted: &Wanted, found: &Greeting, is_restart: bool) -> Decision {
    let reason = if is_restart {
        "a restart was asked for".to_owned()
    } else if found.buildkitd != wanted.buildkitd {
        format!(
            "it is {}, wanted is {}",
            found.buildkitd.display(),
            wanted.buildkitd.display()
        )
    } else if let Some(network) = wanted.network
        && network != found.network.unwrap_or_default()
    {
        let there = found.network.unwrap_or_default();
        format!("its network is {there}, wanted is {network}")
    } else if found.config != wanted.config {
        "its configuration changed".to_owned()
    } else {
        return Decision::Keep;
    };
    Decision::Replace { reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row() {
        let check = |wanted_config: Option<&str>,
                     found_config: Option<&str>,
                     program: &str,
                     is_restart: bool,
                     expected: Option<&str>| {
            let wanted = Wanted {
                buildkitd: "/b".into(),
                config: wanted_config.map(PathBuf::from),
                network: None,
            };
            let found = Greeting {
                buildkitd: program.into(),
                config: found_config.map(PathBuf::from),
                network: None,
                pid: 1,
            };
            let expected = expected.map_or(Decision::Keep, |reason| Decision::Replace { reason: reason.into() });
            assert_eq!(decide(&wanted, &found, is_restart), expected);
        };
        check(None, None, "/b", false, None);
        check(Some("1"), Some("1"), "/b", false, None);
        check(Some("1"), Some("2"), "/b", false, Some("its configuration changed"));
        check(Some("1"), None, "/b", false, Some("its configuration changed"));
        check(None, Some("1"), "/b", false, Some("its configuration changed"));
        check(None, None, "/c", false, Some("it is /c, wanted is /b"));
        check(None, None, "/b", true, Some("a restart was asked for"));
    }
    #[test]
    fn another_network_is_a_reason_only_where_one_is_asked_for() {
        use Network::{Host, Slirp4netns};
        let check = |wanted: Option<Network>, found: Option<Network>, expected: Option<&str>| {
            let wanted = Wanted {
                buildkitd: "/b".into(),
                config: None,
                network: wanted,
            };
            let found = Greeting {
                buildkitd: "/b".into(),
                config: None,
                network: found,
                pid: 1,
            };
            let expected = expected.map_or(Decision::Keep, |reason| Decision::Replace { reason: reason.into() });
            assert_eq!(decide(&wanted, &found, false), expected);
        };
        check(None, Some(Slirp4netns), None);
        check(Some(Host), Some(Host), None);
        check(
            Some(Host),
            Some(Slirp4netns),
            Some("its network is slirp4netns, wanted is host"),
        );
        check(Some(Host), None, None);
    }
}
