//! The command line as clap sees it. Names and meanings are linuxkit's where linuxkit has them.

pub mod assemble;
pub mod builder;
mod cache;
pub mod sbom;
mod verify;

pub use cache::{CacheVerb, ExportArgs, ExportFormat, PullArgs, PushArgs, TransferArgs};

pub use verify::VerifyArgs;

use super::environment as env;
use crate::builder::local::Network;
use assemble::AssembleArgs;
use builder::BuilderVerb;
use clap::builder::Resettable;
use clap::builder::styling::{AnsiColor, Style, Styles};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgAction, Args, Command, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum, ValueHint};
use sbom::{InspectArgs, SbomVerb};
use std::path::PathBuf;

/// As cargo and rustup colour their help.
const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(Style::new().fg_color(Some(clap::builder::styling::Color::Ansi(AnsiColor::Cyan))));

/// Builds package directories into multi-arch OCI images by driving BuildKit.
#[derive(Debug, Parser)]
#[command(name = "lkpkg", version, styles = STYLES, max_term_width = 110, propagate_version = false)]
#[command(
    arg_required_else_help = true,
    disable_help_subcommand = false,
    infer_subcommands = false
)]
pub struct Cli {
    /// What holds for every verb.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// The verb.
    #[command(subcommand)]
    pub verb: Verb,
}

/// Flags of every verb.
#[derive(Clone, Debug, Args)]
pub struct GlobalArgs {
    /// Directory of the local cache [default: ~/.linuxkit/cache]
    #[arg(long, global = true, value_name = "DIR", env = env::CACHE, hide_env_values = true, value_hint = ValueHint::DirPath)]
    pub cache: Option<PathBuf>,
    /// A mirror for what lkpkg and its builders pull, [REGISTRY=]URL; without REGISTRY for all that have none. May be repeated
    #[arg(long, global = true, value_name = "MIRROR")]
    pub mirror: Vec<String>,
    /// PEM file of an authority that lkpkg and its builders trust besides the system's. May be repeated
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub cert_file: Vec<PathBuf>,
    /// Credentials for a registry, REGISTRY=USER:PASSWORD or REGISTRY=TOKEN; given ones are used instead of Docker's. May be repeated
    #[arg(long, global = true, value_name = "CREDENTIALS", value_delimiter = ',')]
    pub registry_creds: Vec<String>,
    /// Say less: warnings and errors only
    #[arg(long, short, global = true, action = ArgAction::Set, default_value_t)]
    pub quiet: bool,
    /// How much to say: 0 as --quiet, 1 as always, 2 also what will be done and why; 2 when no level is given
    #[arg(
        long,
        short,
        global = true,
        value_name = "LEVEL",
        default_value_t = 1,
        hide_default_value = true
    )]
    pub verbose: u8,
    /// How long to wait for others that hold the cache or build in the builder that has to be replaced
    #[arg(
        long,
        global = true,
        value_name = "SECONDS",
        default_value_t = crate::store::LOCK_WAIT.as_secs(),
    )]
    pub lock_timeout: u64,
}

impl GlobalArgs {
    /// Whether only warnings and errors are wanted.
    pub fn is_quiet(&self) -> bool {
        self.quiet || self.verbose == 0
    }
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Verbs on packages (the same verbs are understood without `pkg`)
    Pkg(PkgArgs),
    /// What can be done with packages.
    #[command(flatten)]
    Package(PackageVerb),
    /// Assemble bootable images of packages, as image YAMLs describe them (linuxkit's `build`)
    Assemble(Box<AssembleArgs>),
    /// Look after the local cache
    #[command(subcommand, arg_required_else_help = true)]
    Cache(CacheVerb),
    /// Look before a long run whether everything that it needs is there, and say what to do about what is not
    Doctor(Box<DoctorArgs>),
    /// Show what is in images: read, merge and compare their SBoMs
    #[command(subcommand, arg_required_else_help = true)]
    Sbom(SbomVerb),
    /// Show what an image is made of, and what is stated about it
    Inspect(InspectArgs),
    /// Prove that an image comes from a package directory: build that again, and compare
    Verify(Box<VerifyArgs>),
    /// Write a completion script for a shell to standard output
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Show the version
    Version {
        /// How to print it
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Write the reference of the command line, environment and exit codes as Markdown
    #[command(hide = true)]
    Reference,
    /// Keeps a buildkitd that lkpkg has started; called by lkpkg itself
    #[command(hide = true, name = "__keep-buildkitd")]
    KeepBuildkitd(KeepBuildkitdArgs),
}

/// `lkpkg pkg VERB`, with linuxkit's habit of flags before the verb.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub struct PkgArgs {
    /// Flags before the verb.
    #[command(flatten)]
    pub package: PackageArgs,
    /// The verb.
    #[command(subcommand)]
    pub verb: PackageVerb,
}

/// Verbs on packages.
#[derive(Debug, Subcommand)]
pub enum PackageVerb {
    /// Build packages into the local cache, but for what the cache or their registry has
    Build(Box<BuildArgs>),
    /// Build packages and push them to their registry: `build --push`
    Push(Box<BuildArgs>),
    /// Let packages' tags in the registry stand for all images that it has as TAG-ARCH
    #[command(visible_alias = "index")]
    Manifest(IndexArgs),
    /// Give an image in a registry another name, there or in another registry; an image that has the name loses it
    RemoteTag(RemoteTagArgs),
    /// Show the tags of packages, one line each, in the order given
    ShowTag(ShowTagArgs),
    /// Show what a build would do, and why
    Plan(PlanArgs),
    /// Look after builders
    #[command(subcommand, arg_required_else_help = true)]
    Builder(BuilderVerb),
    /// Give packages that are in their registries the tag of a release: all of them, or none
    Release(Box<ReleaseArgs>),
}

/// Flags that describe packages and their tags.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Packages and tags")]
pub struct PackageArgs {
    /// Organisation: what stands before the image's name [default: build.yml's]
    #[arg(long, global = true, value_name = "ORG", env = env::ORGANISATION, hide_env_values = true)]
    pub org: Option<String>,
    /// Name of the file that describes a package
    #[arg(long, global = true, value_name = "FILE", default_value = "build.yml")]
    pub build_yml: String,
    /// Tag template instead of build.yml's; `{{.Hash}}` stands for the hash
    #[arg(long, global = true, value_name = "TEMPLATE")]
    pub tag: Option<String>,
    /// Hash to use instead of the one that git gives
    #[arg(
        long,
        global = true,
        value_name = "HASH",
        hide_default_value = true,
        default_value = ""
    )]
    pub hash: String,
    /// Git commit that the hash is taken from
    #[arg(long, global = true, value_name = "COMMIT", default_value = "HEAD")]
    pub hash_commit: String,
    /// Directory to hash instead of the package's; must be a parent of it
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub hash_path: Option<PathBuf>,
    /// Take the packages for dirty
    #[arg(long, global = true, action = ArgAction::Set, default_value_t)]
    pub force_dirty: bool,
    /// Use $USER as organisation and `dev` as hash
    #[arg(long, global = true, action = ArgAction::Set, default_value_t)]
    pub dev: bool,
    /// Pass over BuildKit's cache
    #[arg(long, global = true, conflicts_with = "enable_cache")]
    pub disable_cache: Option<bool>,
    /// Use BuildKit's cache, whatever build.yml says
    #[arg(long, global = true)]
    pub enable_cache: Option<bool>,
    /// Give RUN steps the network, whatever build.yml says
    #[arg(long, global = true, conflicts_with = "nonetwork")]
    pub network: Option<bool>,
    /// Keep the network from RUN steps, whatever build.yml says
    #[arg(long, global = true)]
    pub nonetwork: Option<bool>,
}

/// Flags that choose what is built.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "What is built")]
pub struct SelectionArgs {
    /// Platforms to build, for example linux/amd64,linux/arm64 [default: build.yml's]
    #[arg(long, value_name = "PLATFORMS", value_delimiter = ',')]
    pub platforms: Vec<String>,
    /// Platforms to leave out, even where build.yml names them
    #[arg(long, value_name = "PLATFORMS", value_delimiter = ',')]
    pub skip_platforms: Vec<String>,
    /// Build even what is in the cache or in its registry
    #[arg(long, action = ArgAction::Set, default_value_t)]
    pub force: bool,
    /// Bring what only its registry has into the cache
    #[arg(long, action = ArgAction::Set, default_value_t)]
    pub pull: bool,
    /// Do not ask registries what they have: build what is not in the cache
    #[arg(long, action = ArgAction::Set, default_value_t, env = env::OFFLINE, hide_env_values = true)]
    pub offline: bool,
    /// File of build args, one KEY=VALUE a line, over those of build.yml. May be repeated
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub build_arg_file: Vec<PathBuf>,
    /// Dockerfile instead of build.yml's, inside the package
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub dockerfile: Option<PathBuf>,
}

/// Flags that say what becomes of packages in registries.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Push")]
pub struct PublishArgs {
    /// Push what is in the cache in the end; what the registry has for other platforms stays
    #[arg(long, action = ArgAction::Set, default_value_t)]
    pub push: bool,
    /// Build nothing: push what is in the cache
    #[arg(long, action = ArgAction::Set, default_value_t)]
    pub nobuild: bool,
    /// With --push, this tag as well; it never gets another image than it has [default: vX.Y.Z for a git tag pkg-vX.Y.Z at HEAD]
    #[arg(long, value_name = "TAG", default_value = "", hide_default_value = true)]
    pub release: String,
    /// With --push, a tag for each platform's image too, TAG-ARCH
    #[arg(long, action = ArgAction::Set, default_value_t = true)]
    pub manifest: bool,
}

/// Flags that say where and how BuildKit runs.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Builder")]
pub struct BuilderArgs {
    /// Which builder builds which platform: linux/arm64=WHERE,… where WHERE is a Docker context, or unix://, tcp://, ssh://, kube-pod://, docker://, docker-container or local. A platform given several times has a pool
    #[arg(long, value_name = "BUILDERS", default_value = "", hide_default_value = true)]
    pub builders: String,
    /// Name of the builder container
    #[arg(long, value_name = "NAME", env = env::BUILDER_NAME, hide_env_values = true, default_value = crate::builder::DEFAULT_NAME)]
    pub builder_name: String,
    /// Image of the builder container
    #[arg(long, value_name = "IMAGE", env = env::BUILDER_IMAGE, hide_env_values = true, default_value = crate::builder::DEFAULT_IMAGE)]
    pub builder_image: String,
    /// A buildkitd.toml for the builder; certificates and keys that it names go with it
    #[arg(long, value_name = "FILE", env = env::BUILDER_CONFIG, hide_env_values = true, value_hint = ValueHint::FilePath)]
    pub builder_config: Option<PathBuf>,
    /// Replace the builder container, even if it is right
    #[arg(long, action = ArgAction::Set, default_value_t)]
    pub builder_restart: bool,
    /// How long a builder on another machine may take to answer
    #[arg(long, value_name = "SECONDS", default_value_t = crate::builder::DEFAULT_TIMEOUT.as_secs(), value_parser = clap::value_parser!(u64).range(1..))]
    pub builder_timeout: u64,
    /// Refuse builders that would have to emulate a platform
    #[arg(long, action = ArgAction::Set, default_value_t)]
    pub strict_platform: bool,
}

/// `lkpkg build`
#[derive(Clone, Debug, Args)]
pub struct BuildArgs {
    /// Package directories
    #[arg(required = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub directories: Vec<PathBuf>,
    /// Which packages.
    #[command(flatten)]
    pub package: PackageArgs,
    /// Which platforms.
    #[command(flatten)]
    pub selection: SelectionArgs,
    /// Where to.
    #[command(flatten)]
    pub publish: PublishArgs,
    /// Where.
    #[command(flatten)]
    pub builder: BuilderArgs,
    /// How.
    #[command(flatten)]
    pub how: HowArgs,
}

/// Flags of the build itself.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Build")]
pub struct HowArgs {
    /// Print what would be done, and why, and do nothing
    #[arg(long, action = ArgAction::Set, default_value_t)]
    pub dry_run: bool,
    /// Let BuildKit pull the images that a Dockerfile names, even those in the cache
    #[arg(long, action = ArgAction::Set, default_value_t)]
    pub ignore_cached: bool,
    /// Pull the images that a Dockerfile names into the cache first, and let BuildKit read them there
    #[arg(long, action = ArgAction::Set, default_value_t)]
    pub precache_images: bool,
    /// Afterwards build everything again without a cache, where nobody has built yet, and compare; exit code 1 where something differs
    #[arg(long, value_enum, value_name = "FORMAT", num_args = 0..=1, require_equals = true, default_missing_value = "text")]
    pub verify: Option<Format>,
    /// Load the images into the Docker daemon too
    #[arg(long, action = ArgAction::Set, default_value_t)]
    pub docker: bool,
    /// Image of the SBoM scanner; empty for BuildKit's default, `false` for no SBoM
    #[arg(long, value_name = "IMAGE", default_value = "", hide_default_value = true)]
    pub sbom_scanner: String,
    /// Time of the build in seconds since 1970: what is new in an image has none later; `false` for the time at which it runs [default: SOURCE_DATE_EPOCH, else when the package's last change was committed]
    #[arg(long, value_name = "SECONDS")]
    pub source_date_epoch: Option<String>,
    /// A secret for RUN --mount=type=secret: id=ID,src=FILE or id=ID,env=VARIABLE. May be repeated
    #[arg(long, value_name = "SECRET")]
    pub secret: Vec<String>,
    /// An ssh agent for RUN --mount=type=ssh: default or ID=SOCKET. May be repeated
    #[arg(long, value_name = "AGENT")]
    pub ssh: Vec<String>,
    /// A cache to read steps from: type=registry,ref=NAME, the NAME alone, or type=local,src=DIR. {{.Name}}, {{.Image}}, {{.Hash}}, {{.Tag}} and {{.Arch}} stand for the package's. May be repeated
    #[arg(long, value_name = "CACHE")]
    pub cache_from: Vec<String>,
    /// A cache to write steps to: type=registry,ref=NAME,mode=max, type=local,dest=DIR, or type=inline; templates as above. May be repeated
    #[arg(long, value_name = "CACHE")]
    pub cache_to: Vec<String>,
    /// Packages built at the same time; blobs sent at the same time
    #[arg(long, short, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: Option<u16>,
    /// When a package fails, go on with those that do not need it
    #[arg(long, short, action = ArgAction::Set, default_value_t)]
    pub keep_going: bool,
    /// Kind of progress output
    #[arg(long, value_enum, default_value_t, env = env::PROGRESS, hide_env_values = true)]
    pub progress: Progress,
}

/// `lkpkg manifest`
#[derive(Clone, Debug, Args)]
pub struct IndexArgs {
    /// Package directories
    #[arg(required = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub directories: Vec<PathBuf>,
    /// This tag as well; it never gets another image than it has
    #[arg(long, value_name = "TAG", default_value = "", hide_default_value = true)]
    pub release: String,
    /// Which packages.
    #[command(flatten)]
    pub package: PackageArgs,
}

/// `lkpkg remote-tag`
#[derive(Clone, Debug, Args)]
pub struct RemoteTagArgs {
    /// Name of the image, with a tag or a digest
    #[arg(value_name = "FROM")]
    pub from: String,
    /// Its other name
    #[arg(value_name = "TO")]
    pub to: String,
    /// How.
    #[command(flatten)]
    pub transfer: TransferArgs,
}

/// `lkpkg show-tag`
#[derive(Clone, Debug, Args)]
pub struct ShowTagArgs {
    /// Package directories
    #[arg(required = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub directories: Vec<PathBuf>,
    /// Show the full name, docker.io/org/image:tag
    #[arg(long, action = ArgAction::Set, default_value_t)]
    pub canonical: bool,
    /// Which packages.
    #[command(flatten)]
    pub package: PackageArgs,
}

/// `lkpkg plan`
#[derive(Clone, Debug, Args)]
pub struct PlanArgs {
    /// Package directories
    #[arg(required = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub directories: Vec<PathBuf>,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Which builder builds which platform: linux/arm64=WHERE,… as for build
    #[arg(long, value_name = "BUILDERS", default_value = "", hide_default_value = true)]
    pub builders: String,
    /// Which packages.
    #[command(flatten)]
    pub package: PackageArgs,
    /// Which platforms.
    #[command(flatten)]
    pub selection: SelectionArgs,
}

/// `lkpkg release`
#[derive(Clone, Debug, Args)]
pub struct ReleaseArgs {
    /// The tag
    #[arg(value_name = "TAG")]
    pub release: String,
    /// Package directories
    #[arg(required = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub directories: Vec<PathBuf>,
    /// Only say of each package whether it can be released
    #[arg(long, action = ArgAction::Set, default_value_t)]
    pub check: bool,
    /// Also give each platform a tag of its own, TAG-ARCH; --manifest=false turns that off
    #[arg(long, action = ArgAction::Set, default_value_t = true)]
    pub manifest: bool,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Which packages.
    #[command(flatten)]
    pub package: PackageArgs,
    /// Which platforms.
    #[command(flatten)]
    pub platforms: PlatformArgs,
}

/// `lkpkg doctor`
#[derive(Clone, Debug, Args)]
pub struct DoctorArgs {
    /// Package directories: what they build on, read and are pushed to is looked at
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub directories: Vec<PathBuf>,
    /// A registry to look at as well. May be repeated [default, without DIR: all for which Docker's configuration has credentials]
    #[arg(long, value_name = "REGISTRY")]
    pub registry: Vec<String>,
    /// Also look whether the packages may be pushed; what is begun for that in a registry is cancelled
    #[arg(long, action = ArgAction::Set, default_value_t)]
    pub push: bool,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Which packages.
    #[command(flatten)]
    pub package: PackageArgs,
    /// Which platforms.
    #[command(flatten)]
    pub platforms: PlatformArgs,
    /// Where.
    #[command(flatten)]
    pub builder: BuilderArgs,
}

/// Flags that choose platforms, for verbs that build nothing.
#[derive(Clone, Debug, Default, Args)]
pub struct PlatformArgs {
    /// Platforms that have to be there, for example linux/amd64,linux/arm64 [default: build.yml's]
    #[arg(long, value_name = "PLATFORMS", value_delimiter = ',')]
    pub platforms: Vec<String>,
    /// Platforms to leave out, even where build.yml names them
    #[arg(long, value_name = "PLATFORMS", value_delimiter = ',')]
    pub skip_platforms: Vec<String>,
}

/// `lkpkg __keep-buildkitd`
#[derive(Debug, Args)]
pub struct KeepBuildkitdArgs {
    /// Directory of its state
    #[arg(long)]
    pub state: PathBuf,
    /// The program
    #[arg(long)]
    pub buildkitd: PathBuf,
    /// Its container runtime
    #[arg(long)]
    pub runc: PathBuf,
    /// A buildkitd.toml
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// The program that starts it for an ordinary user
    #[arg(long)]
    pub rootlesskit: Option<PathBuf>,
    /// Its network there
    #[arg(long, default_value_t)]
    pub network: Network,
    /// The program that makes this network
    #[arg(long)]
    pub network_program: Option<PathBuf>,
    /// Whether its builds share their process namespace with it
    #[arg(long)]
    pub no_process_sandbox: bool,
    /// Seconds without a user after which it ends
    #[arg(long)]
    pub idle_seconds: u64,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Progress {
    /// tty on a terminal, plain elsewhere
    #[default]
    Auto,
    /// Live, for a terminal
    Tty,
    /// One line after the other
    Plain,
    /// BuildKit's status as JSON, one object a line
    Rawjson,
    /// Warnings and errors only
    Quiet,
}

impl Cli {
    /// The command line's definition, with every yes-or-no flag in Go's manner: `--flag` and `--flag=false` both work.
    pub fn definition() -> Command {
        go_flags(Self::command())
    }

    /// Reads a command line.
    pub fn read(arguments: impl IntoIterator<Item = std::ffi::OsString>) -> Result<Self, clap::Error> {
        let arguments = with_levels(arguments.into_iter().collect());
        let mut definition = Self::definition();
        let matches = definition.try_get_matches_from_mut(&arguments);
        let matches = matches.map_err(|error| explained(error, &mut definition, &arguments))?;
        Self::from_arg_matches(&matches).map_err(|error| error.format(&mut definition))
    }
}

/// `--verbose` alone is what linuxkit's `pkg builder du` knows, and means the next level.
fn with_levels(mut arguments: Vec<std::ffi::OsString>) -> Vec<std::ffi::OsString> {
    let is_level = |argument: &std::ffi::OsString| argument.to_str().is_some_and(|text| text.parse::<u8>().is_ok());
    let end = arguments
        .iter()
        .position(|argument| argument == "--")
        .unwrap_or(arguments.len());
    for at in 1..end {
        let is_verbose = arguments[at] == "--verbose" || arguments[at] == "-v";
        if is_verbose && !arguments.get(at + 1).is_some_and(is_level) {
            arguments[at] = "--verbose=2".into();
        }
    }
    arguments
}

/// An error with the usage of the verb it is about. clap takes what an environment variable gives for something that the user
/// has typed: it puts it into the usage, and finds that `lkpkg cache` is more than nothing, which would be answered by help.
fn explained(mut error: clap::Error, definition: &mut Command, arguments: &[std::ffi::OsString]) -> clap::Error {
    definition.build();
    let mut verb = definition.clone();
    for word in arguments.iter().skip(1).filter_map(|argument| argument.to_str()) {
        verb = verb.find_subcommand(word).cloned().unwrap_or(verb);
    }
    if error.kind() == ErrorKind::MissingSubcommand {
        let alone = verb.get_bin_name().unwrap_or_default().to_owned();
        let verb = verb.mut_args(|arg| arg.env(Resettable::Reset));
        return verb.try_get_matches_from([alone]).err().unwrap_or(error);
    }
    if error.get(ContextKind::Usage).is_some() {
        error.insert(ContextKind::Usage, ContextValue::StyledStr(verb.render_usage()));
    }
    error
}

fn go_flags(command: Command) -> Command {
    let is_bool = |arg: &clap::Arg| arg.get_value_parser().type_id() == clap::builder::ValueParser::bool().type_id();
    let adapted = command.mut_args(|arg| {
        if !is_bool(&arg) || !matches!(arg.get_action(), ArgAction::Set) {
            return arg;
        }
        let arg = arg
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .value_name("BOOL");
        arg.value_parser(go_bool)
            .hide_default_value(true)
            .hide_possible_values(true)
    });
    adapted.mut_subcommands(go_flags)
}

/// A bool as Go's flags read it, so that `--network=F` goes on working.
fn go_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err("expected true or false".to_owned()),
    }
}
