//! The daemon that is asked for: programs, configuration and manner, as far as they are known before one runs.

use super::super::configuration::{Configuration, Loaded, Reach};
use super::super::error::io;
use super::super::{BuilderConfig, BuilderError};
use super::decide::Wanted;
use super::places::Places;
use super::rootless::{self, Manner, Network};
use super::talk::Greeting;
use super::{Local, SuperviseOptions};
use std::path::Path;
use std::time::Duration;

/// What is asked for.
pub(super) struct Asked<'a> {
    pub local: &'a Local,
    config: &'a BuilderConfig,
    /// What the supervisor is told, without configuration and manner.
    pub options: SuperviseOptions,
    /// How it may be started, best first; nothing for root.
    manners: Vec<Manner>,
}

/// A configuration as a daemon in some network can use it.
pub(super) struct Configured {
    /// None when there is nothing to tell it.
    pub configuration: Option<Configuration>,
    /// Mirrors that it cannot reach there.
    pub left_out: Vec<String>,
}

impl<'a> Asked<'a> {
    /// Reads the configuration and looks at the programs; an error when something is wrong or missing. Starts nothing.
    pub fn read(local: &'a Local, config: &'a BuilderConfig) -> Result<Self, BuilderError> {
        configured(local, config, None)?;
        let is_root = rustix::process::geteuid().is_root();
        let manners = if is_root { Vec::new() } else { rootless::manners(local)? };
        Ok(Self {
            options: options(local)?,
            local,
            config,
            manners,
        })
    }

    /// What is wanted of a daemon that greets so. When it is to be taken as it is, that is what it has.
    pub fn wanted(&self, found: &Greeting, places: &Places) -> Result<Wanted, BuilderError> {
        if self.config.as_it_is {
            return Ok(Wanted {
                buildkitd: found.buildkitd.clone(),
                config: found.config.clone(),
                network: None,
            });
        }
        self.wanted_anew(found, places)
    }

    /// The same, also where it could be taken as it is.
    pub fn wanted_anew(&self, found: &Greeting, places: &Places) -> Result<Wanted, BuilderError> {
        let network = self.network();
        let configuration = self.configuration(network.or(found.network))?.configuration;
        Ok(Wanted {
            buildkitd: self.options.buildkitd.clone(),
            config: configuration.map(|configuration| places.config_file(&configuration)),
            network,
        })
    }

    /// What a daemon in this network is configured with.
    pub fn configuration(&self, network: Option<Network>) -> Result<Configured, BuilderError> {
        configured(self.local, self.config, network)
    }

    /// How it can be started, by an attempt; None for root, who starts it as it is.
    pub async fn manner(&self) -> Result<Option<Manner>, BuilderError> {
        match self.manners.is_empty() {
            true => Ok(None),
            false => rootless::try_out(&self.manners).await.map(Some),
        }
    }

    /// The network that it would be started in if nothing speaks against it.
    pub fn likely_network(&self) -> Option<Network> {
        self.manners.first().map(|manner| manner.network)
    }

    /// The network that the user asks for; root's daemon has the machine's in any case.
    fn network(&self) -> Option<Network> {
        self.local.rootless.network.filter(|_| !self.manners.is_empty())
    }
}

/// What the supervisor is told; an error when something is missing.
fn options(local: &Local) -> Result<SuperviseOptions, BuilderError> {
    let given = local.buildkitd.clone();
    let Some(buildkitd) = given.clone().filter(|path| path.is_file()) else {
        return Err(BuilderError::NoBuildkitd { given });
    };
    let runc = local.runc.clone().ok_or_else(|| BuilderError::NoRunc {
        buildkitd: buildkitd.clone(),
    })?;
    let absolute = |path: &Path| std::path::absolute(path).map_err(io("finding", path));
    Ok(SuperviseOptions {
        state: absolute(&local.state)?,
        buildkitd,
        runc,
        config: None,
        rootless: None,
        // Less than the moment between its start and its first use would be no time at all.
        idle: local.idle.max(Duration::from_secs(1)),
    })
}

/// What the daemon is configured with. What is given with flags does not take away what the machine's own file says.
fn configured(local: &Local, config: &BuilderConfig, network: Option<Network>) -> Result<Configured, BuilderError> {
    let reach = match network {
        None | Some(Network::Host) => Reach::Machine,
        Some(Network::Slirp4netns | Network::Pasta) => Reach::Container,
    };
    let load = |base: Option<&Path>| Configuration::load(config, base, reach);
    let mut loaded = load(config.config.as_deref())?;
    let ambient = local.ambient_config.as_path();
    if config.config.is_none() && loaded.configuration.is_some() && ambient.exists() {
        loaded = load(Some(ambient))?;
    }
    let Loaded {
        configuration,
        left_out,
    } = loaded;
    Ok(Configured {
        configuration,
        left_out,
    })
}
