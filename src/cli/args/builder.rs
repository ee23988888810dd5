//! `lkpkg builder VERB` as clap sees it.

use super::{BuilderArgs, Format, PlanArgs};
use crate::cli::environment as env;
use clap::{ArgAction, Args, Subcommand, ValueHint};
use std::path::PathBuf;

/// Multiples of a byte, by the letter before `B`; with an `i` they are of 1024.
const UNITS: [(&str, u32); 5] = [("", 0), ("k", 1), ("m", 2), ("g", 3), ("t", 4)];

/// Verbs on builders.
#[derive(Debug, Subcommand)]
pub enum BuilderVerb {
    /// Show the builders of all platforms, or of --platforms: whether they run, and what they build. Nothing is started
    #[command(visible_alias = "list")]
    Ls(LsArgs),
    /// Show all about builders, and what a build would do about them. Nothing is started
    Inspect(InspectArgs),
    /// Start builders, and create them where there are none, as a build does
    Start(StartArgs),
    /// Stop builders, unless somebody builds in them; their state stays
    Stop(StopArgs),
    /// Remove builders and their state, unless somebody builds in them
    Rm(RmArgs),
    /// Print the logs of builders
    Logs(LogsArgs),
    /// Show how much disk builders use; with `--verbose` for what
    Du(DuArgs),
    /// Remove what builders keep for later builds, except what is in use
    Prune(PruneArgs),
}

/// Which builders.
#[derive(Clone, Debug, Args)]
pub struct WhichArgs {
    /// Platforms whose builders are meant, for example linux/amd64,linux/arm64 [default: this machine's]
    #[arg(long, value_name = "PLATFORMS", value_delimiter = ',')]
    pub platforms: Vec<String>,
    /// Which builder builds which platform: linux/arm64=WHERE,… as for build; all of a pool are meant
    #[arg(long, value_name = "BUILDERS", default_value = "", hide_default_value = true)]
    pub builders: String,
    /// Name of the builder container
    #[arg(long, value_name = "NAME", env = env::BUILDER_NAME, hide_env_values = true, default_value = crate::builder::DEFAULT_NAME)]
    pub builder_name: String,
    /// How long a builder on another machine may take to answer
    #[arg(long, value_name = "SECONDS", default_value_t = crate::builder::DEFAULT_TIMEOUT.as_secs(), value_parser = clap::value_parser!(u64).range(1..))]
    pub builder_timeout: u64,
}

/// Which builders, and how they are printed.
#[derive(Clone, Debug, Args)]
pub struct PlaceArgs {
    /// Which builders.
    #[command(flatten)]
    pub which: WhichArgs,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

impl WhichArgs {
    /// The same as a build has them; a builder is looked after as it is, and so nothing else matters.
    pub fn builder(&self) -> BuilderArgs {
        BuilderArgs {
            builder_name: self.builder_name.clone(),
            builder_timeout: self.builder_timeout,
            ..BuilderArgs::of(&self.builders)
        }
    }
}

impl BuilderArgs {
    /// Those that build which platform, and nothing else said.
    pub fn of(builders: &str) -> Self {
        Self {
            builders: builders.to_owned(),
            builder_name: crate::builder::DEFAULT_NAME.to_owned(),
            builder_image: crate::builder::DEFAULT_IMAGE.to_owned(),
            builder_config: None,
            builder_restart: false,
            builder_timeout: crate::builder::DEFAULT_TIMEOUT.as_secs(),
            strict_platform: false,
        }
    }
}

impl PlanArgs {
    /// The same as a build has them. A plan only asks what machines they are.
    pub fn builder(&self) -> BuilderArgs {
        BuilderArgs::of(&self.builders)
    }
}

/// `lkpkg builder ls`
#[derive(Clone, Debug, Args)]
pub struct LsArgs {
    /// Which builders.
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// Which builders, and how they should be.
#[derive(Clone, Debug, Args)]
pub struct WantedArgs {
    /// Which builders.
    #[command(flatten)]
    pub which: WhichArgs,
    /// Image of the builder container
    #[arg(long, value_name = "IMAGE", env = env::BUILDER_IMAGE, hide_env_values = true, default_value = crate::builder::DEFAULT_IMAGE)]
    pub builder_image: String,
    /// A buildkitd.toml for the builder; certificates and keys that it names go with it
    #[arg(long, value_name = "FILE", env = env::BUILDER_CONFIG, hide_env_values = true, value_hint = ValueHint::FilePath)]
    pub builder_config: Option<PathBuf>,
    /// Replace the builder container, even if it is right
    #[arg(long, action = ArgAction::Set, default_value_t)]
    pub builder_restart: bool,
}

impl WantedArgs {
    /// The same as a build has them.
    pub fn builder(&self) -> BuilderArgs {
        BuilderArgs {
            builder_image: self.builder_image.clone(),
            builder_config: self.builder_config.clone(),
            builder_restart: self.builder_restart,
            ..self.which.builder()
        }
    }
}

/// `lkpkg builder inspect`
#[derive(Clone, Debug, Args)]
pub struct InspectArgs {
    /// Which builders, and how they should be.
    #[command(flatten)]
    pub wanted: WantedArgs,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// `lkpkg builder start`
#[derive(Clone, Debug, Args)]
pub struct StartArgs {
    /// Which builders, and how they should be.
    #[command(flatten)]
    pub wanted: WantedArgs,
}

/// `lkpkg builder stop`
#[derive(Clone, Debug, Args)]
pub struct StopArgs {
    /// Which builders.
    #[command(flatten)]
    pub which: WhichArgs,
    /// Even while somebody builds in it; that build fails
    #[arg(long)]
    pub force: bool,
}

/// `lkpkg builder rm`
#[derive(Clone, Debug, Args)]
pub struct RmArgs {
    /// Which builders.
    #[command(flatten)]
    pub which: WhichArgs,
    /// Keep the state, so that the next builder has what this one has in its cache
    #[arg(long)]
    pub keep_state: bool,
    /// Even while somebody builds in it; that build fails
    #[arg(long)]
    pub force: bool,
}

/// `lkpkg builder logs`
#[derive(Clone, Debug, Args)]
pub struct LogsArgs {
    /// Which builders.
    #[command(flatten)]
    pub which: WhichArgs,
}

/// `lkpkg builder du`
#[derive(Clone, Debug, Args)]
pub struct DuArgs {
    /// Which builders.
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// `lkpkg builder prune`
#[derive(Clone, Debug, Args)]
pub struct PruneArgs {
    /// Which builders.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Also what BuildKit keeps for itself
    #[arg(long, action = ArgAction::Set, default_value_t)]
    pub all: bool,
    /// How much stays in any case, the latest first, for example 5GB
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub keep_storage: Option<u64>,
    /// Remove down to this size and not further, for example 20GB
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub max: Option<u64>,
    /// Only what fits, as buildctl has it: type==exec.cachemount, unused-for=24h … May be repeated
    #[arg(long, value_name = "FILTER")]
    pub filter: Vec<String>,
}

/// Bytes, written with or without a unit.
fn size(text: &str) -> Result<u64, String> {
    let wrong = || "expected a number of bytes such as 500MB, 20GB or 1.5GiB".to_owned();
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let unit = unit.trim().to_ascii_lowercase();
    let unit = unit.strip_suffix('b').unwrap_or(&unit);
    let (unit, base) = match unit.strip_suffix('i') {
        Some(unit) if !unit.is_empty() => (unit, 1024_u64),
        _ => (unit, 1000),
    };
    let power = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, power)| *power);
    let bytes = number * base.pow(power.ok_or_else(wrong)?) as f64;
    // More than there is anywhere, and within what a float counts exactly enough.
    if bytes > 1e18 { Err(wrong()) } else { Ok(bytes as u64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        let check = |text: &str, expected: Option<u64>| assert_eq!(size(text).ok(), expected, "{text}");
        check("0", Some(0));
        check("512", Some(512));
        check("512B", Some(512));
        check("20GB", Some(20_000_000_000));
        check("20 gb", Some(20_000_000_000));
        check("1.5GiB", Some(1_610_612_736));
        check("3k", Some(3000));
        check("1MiB", Some(1_048_576));
        check("", None);
        check("GB", None);
        check("-1GB", None);
        check("1XB", None);
        check("1iB", None);
        check("1.2.3", None);
        check("99999999TB", None);
    }
}
