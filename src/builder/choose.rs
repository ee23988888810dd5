//! Which builders a platform can be built at: [`Facts`] × platform → [`Where`]s. Pure; the facts are gathered by the caller.
//!
//! The order is `--builders` over `LINUXKIT_BUILDERS`, then a Docker context named `linuxkit-<os>-<arch>`, then
//! `BUILDKIT_HOST`, then a Docker daemon that answers, then a `buildkitd` of our own. Several places are a pool.

use super::context::{Contexts, Daemon};
use super::local::Missing;
use super::{Address, BuilderError, Local, Where};
use crate::oci::Platform;
use std::collections::BTreeMap;

/// `--builders` and `LINUXKIT_BUILDERS`: which builders for which platform.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Builders {
    by_platform: BTreeMap<(String, String), Pool>,
    for_others: Pool,
}

/// The builders of a platform.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Pool {
    addresses: Vec<Address>,
    /// Which flag or variable names them; empty when nobody said.
    named_by: String,
}

impl Builders {
    /// Reads `linux/arm64=unix:///…,linux/amd64=local`. An entry without a platform is for all platforms that have none
    /// of their own. Several entries for one platform are a pool. An empty text is an empty map.
    pub fn parse(text: &str) -> Result<Self, BuilderError> {
        let mut builders = Self::default();
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let bad = |reason: String| BuilderError::BadAddress {
                text: entry.into(),
                reason,
            };
            let (pool, address): (_, Address) = match entry.split_once('=') {
                // An equals sign may also be part of an address.
                Some((platform, address)) if !platform.contains("://") => {
                    let platform: Platform = platform.parse().map_err(|error| bad(format!("{error}")))?;
                    (
                        builders.by_platform.entry(key(&platform)).or_default(),
                        address.trim().parse()?,
                    )
                }
                _ => (&mut builders.for_others, entry.parse()?),
            };
            if !pool.addresses.contains(&address) {
                pool.addresses.push(address);
            }
        }
        Ok(builders)
    }

    /// The same, with the flag or the variable that names them, for errors.
    pub fn named_by(mut self, what: &str) -> Self {
        for pool in self.by_platform.values_mut().chain([&mut self.for_others]) {
            what.clone_into(&mut pool.named_by);
        }
        self
    }

    /// Whether all Docker contexts that are named exist.
    pub fn check(&self, contexts: &Contexts) -> Result<(), BuilderError> {
        for pool in self.by_platform.values().chain([&self.for_others]) {
            for address in &pool.addresses {
                if let Some(name) = address.context() {
                    contexts.named_by(name, &clause(&pool.named_by))?;
                }
            }
        }
        Ok(())
    }

    /// These, and for platforms that they do not name, those of `fallback` (the flag over the environment).
    pub fn over(self, fallback: Self) -> Self {
        // An entry for all platforms stands above everything that the fallback says.
        if !self.for_others.addresses.is_empty() {
            return self;
        }
        let mut by_platform = fallback.by_platform;
        by_platform.extend(self.by_platform);
        Self {
            by_platform,
            for_others: fallback.for_others,
        }
    }

    /// How many different builders are named.
    pub fn count(&self) -> usize {
        let mut seen: Vec<&Address> = Vec::new();
        let pools = self.by_platform.values().chain([&self.for_others]);
        for address in pools.flat_map(|pool| &pool.addresses) {
            if !seen.contains(&address) {
                seen.push(address);
            }
        }
        seen.len()
    }

    /// The builders named for `platform`; none when the user named none. The variant of the platform does not count.
    fn named_for(&self, platform: &Platform) -> &Pool {
        self.by_platform.get(&key(platform)).unwrap_or(&self.for_others)
    }
}

/// `, which LINUXKIT_BUILDERS names`; nothing for nobody.
fn clause(named_by: &str) -> String {
    match named_by {
        "" => String::new(),
        by => format!(", which {by} names"),
    }
}

fn key(platform: &Platform) -> (String, String) {
    (platform.os.clone(), platform.architecture.clone())
}

/// What [`choose`] decides on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The builders that the user named by platform.
    pub builders: Builders,
    /// What Docker's files and variables say.
    pub contexts: Contexts,
    /// `BUILDKIT_HOST`, when set.
    pub buildkit_host: Option<String>,
    /// None when the current Docker daemon answers, else why not ([`super::docker_answers`] says it). Only looked at when
    /// [`Facts::needs_docker`] says so.
    pub docker_silent_because: Option<String>,
    /// A `buildkitd` of our own, with the programs that were found.
    pub local: Local,
    /// What this user lacks for it who is not root ([`super::local::missing`] says it); nothing for root.
    pub missing: Vec<Missing>,
}

impl Facts {
    /// Whether the current Docker daemon has to be asked before [`choose`] can answer for `platforms`.
    pub fn needs_docker(&self, platforms: &[Platform]) -> Result<bool, BuilderError> {
        for platform in platforms {
            if named(self, platform)?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Where `platform` can be built: at least one place, each once. The error names what was looked for, and the ways to get a
/// builder.
pub fn choose(facts: &Facts, platform: &Platform) -> Result<Vec<Where>, BuilderError> {
    let named = named(facts, platform)?;
    if !named.is_empty() {
        return Ok(named);
    }
    let daemon = facts.contexts.current()?;
    let Some(silence) = &facts.docker_silent_because else {
        return Ok(vec![Where::DockerContainer { docker: daemon }]);
    };
    // Somebody said where the daemon is, and meant another machine than this one.
    if daemon.is_remote() {
        return Err(BuilderError::NoDocker {
            address: daemon.to_string(),
            reason: silence.clone(),
        });
    }
    let missing = facts.missing.clone();
    let no_local = match &facts.local.buildkitd {
        Some(_) if missing.is_empty() => return Ok(vec![Where::Local(facts.local.clone())]),
        None if missing.is_empty() => "buildkitd was not found on PATH",
        _ => "this user, who is not root, cannot start buildkitd",
    };
    let why = format!("no Docker daemon answers at {daemon} ({silence}), and {no_local}");
    Err(BuilderError::NoBuilder {
        platform: platform.to_string(),
        why,
        missing,
    })
}

/// Where the user, by a flag, a variable or the name of a context, said that `platform` is built.
fn named(facts: &Facts, platform: &Platform) -> Result<Vec<Where>, BuilderError> {
    let mut places: Vec<Where> = Vec::new();
    let pool = facts.builders.named_for(platform);
    for address in &pool.addresses {
        let place = place(facts, address, &pool.named_by)?;
        if !places.contains(&place) {
            places.push(place);
        }
    }
    if !places.is_empty() {
        return Ok(places);
    }
    let own = format!("linuxkit-{}-{}", platform.os, platform.architecture);
    if let Some(docker) = facts.contexts.find(&own)? {
        return Ok(vec![Where::DockerContainer { docker }]);
    }
    match &facts.buildkit_host {
        Some(host) => Ok(vec![place(facts, &host.parse()?, "BUILDKIT_HOST")?]),
        None => Ok(Vec::new()),
    }
}

/// The place of an address that the user named.
fn place(facts: &Facts, address: &Address, named_by: &str) -> Result<Where, BuilderError> {
    let named = |name: &str| facts.contexts.named_by(name, &clause(named_by));
    let daemon = |context: &Option<String>| -> Result<Daemon, BuilderError> {
        match context {
            Some(name) => named(name),
            None => facts.contexts.current(),
        }
    };
    Ok(match address {
        Address::Dialled(dialled) => Where::Address(dialled.clone()),
        Address::Local => Where::Local(facts.local.clone()),
        Address::DockerContainer => Where::DockerContainer { docker: daemon(&None)? },
        Address::Context(name) => Where::DockerContainer { docker: named(name)? },
        Address::InContainer { name, context } => Where::InContainer {
            name: name.clone(),
            docker: daemon(context)?,
        },
        Address::Docker { context } => Where::Embedded {
            docker: daemon(context)?,
        },
    })
}

#[cfg(test)]
mod tests;
