//! Flags > environment > defaults, resolved once into the plain values that the library takes.

use super::args::{BuildArgs, BuilderArgs, GlobalArgs, HowArgs, PackageArgs, PlatformArgs, Progress, SelectionArgs};
use super::environment as env;
use super::failure::{ExitCode, Failure};
use super::{output, render};
use crate::build::{CacheEntry, CacheKind, CacheUse, SecretSource, SshSource};
use crate::builder::choose::Builders as NamedBuilders;
use crate::builder::{BuilderConfig, Contexts, Daemon, DockerSettings, Local, Registries};
use crate::identity::HashOptions;
use crate::oci::credentials::{self, CredentialSource};
use crate::oci::{Platform, Reference};
use crate::orchestrator::{BuildOptions, Builders, BuildersSettings, Caches, Remote, Request, SourceDate};
use crate::package::Overrides;
use crate::plan::Wish;
use crate::registry::{self, Mirrors, Registry, RegistrySettings};
use crate::store::{Store, StoreError};
use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The directory of the cache: `--cache`, `LINUXKIT_CACHE`, `~/.linuxkit/cache`.
pub fn cache_directory(global: &GlobalArgs) -> Result<PathBuf, Failure> {
    if let Some(directory) = &global.cache {
        return Ok(directory.clone());
    }
    let home = env::value(env::HOME).ok_or_else(|| {
        Failure::usage("cannot tell where the cache is: HOME is not set")
            .with_hint("name it with --cache DIR or LINUXKIT_CACHE")
    })?;
    Ok(PathBuf::from(home).join(".linuxkit").join("cache"))
}

/// Opens the cache. Whoever holds it is named while we wait.
pub fn open_store(global: &GlobalArgs) -> Result<Store, Failure> {
    let wait = Duration::from_secs(global.lock_timeout);
    let tell = |busy: &StoreError| {
        if let StoreError::Busy { path, holder, .. } = busy {
            let (path, limit) = (path.display(), wait.as_secs());
            output::tell(&format!("waiting at most {limit} s for {holder}, which holds {path}"));
        }
    };
    Store::open_telling(&cache_directory(global)?, wait, tell).map_err(|error| {
        let is_unusable = matches!(error, StoreError::File { .. });
        let failure = Failure::from(error);
        match is_unusable {
            true => failure.with_hint("--cache DIR or LINUXKIT_CACHE names another directory for the cache"),
            false => failure,
        }
    })
}

/// Which packages, and how they are read.
pub fn request(
    directories: &[PathBuf],
    package: &PackageArgs,
    selection: Option<&SelectionArgs>,
) -> Result<Request, Failure> {
    Ok(Request {
        directories: directories.to_vec(),
        overrides: Overrides {
            build_yml: Some(package.build_yml.clone()),
            org: package.org.clone().filter(|org| !org.is_empty()),
            tag: package.tag.clone().filter(|tag| !tag.is_empty()),
            dockerfile: selection.and_then(|selection| selection.dockerfile.clone()),
            has_network: package.network.or(package.nonetwork.map(|no| !no)),
            is_cache_disabled: package.disable_cache.or(package.enable_cache.map(|yes| !yes)),
        },
        hash: hash_options(package)?,
        build_arg_files: selection
            .map(|selection| selection.build_arg_file.clone())
            .unwrap_or_default(),
        ambient_build_args: proxies(),
    })
}

fn hash_options(package: &PackageArgs) -> Result<HashOptions, Failure> {
    // As in linuxkit, an organisation that was given wins over the user's name.
    let user = || {
        package
            .org
            .clone()
            .filter(|org| !org.is_empty())
            .or_else(|| env::value(env::USER))
    };
    let no_user = || Failure::usage("--dev takes the organisation from USER, which is not set").with_hint("give --org");
    let dev_user = package.dev.then(|| user().ok_or_else(no_user)).transpose()?;
    Ok(HashOptions {
        hash: Some(package.hash.clone()).filter(|hash| !hash.is_empty()),
        hash_commit: package.hash_commit.clone(),
        hash_path: package.hash_path.clone(),
        force_dirty: package.force_dirty,
        dev_user,
    })
}

fn proxies() -> BTreeMap<String, String> {
    let both = env::PROXIES
        .iter()
        .flat_map(|name| [name.to_string(), name.to_uppercase()]);
    both.filter_map(|name| env::value(&name).map(|value| (name, value)))
        .collect()
}

/// Which platforms, and whether by force.
pub fn wish(selection: &SelectionArgs) -> Result<Wish, Failure> {
    Ok(Wish {
        platforms: platforms("--platforms", &selection.platforms)?,
        skip_platforms: platforms("--skip-platforms", &selection.skip_platforms)?,
        force: selection.force,
        pull: selection.pull,
        ..Wish::default()
    })
}

/// The same for verbs that build nothing.
pub fn platform_wish(platforms: &PlatformArgs) -> Result<Wish, Failure> {
    wish(&SelectionArgs {
        platforms: platforms.platforms.clone(),
        skip_platforms: platforms.skip_platforms.clone(),
        ..SelectionArgs::default()
    })
}

/// [`wish`] with what becomes of the packages in registries.
pub fn build_wish(args: &BuildArgs) -> Result<Wish, Failure> {
    let publish = &args.publish;
    Ok(Wish {
        // What goes into the Docker daemon has to be here.
        pull: args.selection.pull || (args.how.docker && !args.selection.force),
        no_build: publish.nobuild,
        push: publish.push,
        release: Some(publish.release.clone()).filter(|release| !release.is_empty()),
        ..wish(&args.selection)?
    })
}

/// The images that arguments name.
pub fn references(texts: &[String]) -> Result<Vec<Reference>, Failure> {
    let parse = |text: &String| text.parse().map_err(|error| Failure::usage(format!("{error}")));
    texts.iter().map(parse).collect()
}

/// The platforms that a flag names.
pub fn platforms(flag: &str, texts: &[String]) -> Result<Vec<Platform>, Failure> {
    let given = texts.iter().filter(|text| !text.trim().is_empty());
    let parse = |text: &String| text.parse().map_err(|error| Failure::usage(format!("{flag}: {error}")));
    given.map(parse).collect()
}

/// Given credentials only, or else what Docker's configuration says.
pub fn credentials(global: &GlobalArgs) -> Result<CredentialSource, Failure> {
    if global.registry_creds.is_empty() {
        return Ok(dockers_credentials());
    }
    let parse = |text: &String| {
        credentials::parse_given(text).map_err(|error| {
            Failure::usage(error.to_string()).with_hint("use REGISTRY=USER:PASSWORD or REGISTRY=TOKEN")
        })
    };
    Ok(CredentialSource::given(
        global.registry_creds.iter().map(parse).collect::<Result<_, _>>()?,
    ))
}

/// What Docker's configuration and its helpers say.
pub fn dockers_credentials() -> CredentialSource {
    CredentialSource::docker_with_text(docker_directory(), env::value(env::DOCKER_AUTH_CONFIG))
}

/// What RUN steps may ask for.
pub fn secrets(how: &HowArgs) -> Result<Vec<SecretSource>, Failure> {
    let parse =
        |text: &String| SecretSource::parse(text, &env::value).map_err(|error| Failure::usage(error.to_string()));
    how.secret.iter().map(parse).collect()
}

/// Agents that RUN steps may use.
pub fn ssh(how: &HowArgs) -> Result<Vec<SshSource>, Failure> {
    let parse = |text: &String| SshSource::parse(text, &env::value).map_err(|error| Failure::usage(error.to_string()));
    how.ssh.iter().map(parse).collect()
}

/// Caches that are shared with other builders. Directories become absolute, and stay templates.
pub fn caches(how: &HowArgs) -> Result<Caches, Failure> {
    let read = |flag: &str, texts: &[String], usage: CacheUse| {
        let failed = |error: String| Failure::usage(format!("{flag}: {error}"));
        let mut entries = Vec::new();
        for text in texts.iter().filter(|text| !text.is_empty()) {
            for mut entry in CacheEntry::parse(text, usage).map_err(|error| failed(error.to_string()))? {
                if entry.kind == CacheKind::Local {
                    let absolute = std::path::absolute(&entry.place).map_err(|error| failed(error.to_string()))?;
                    entry.place = absolute.display().to_string();
                }
                entries.push(entry);
            }
        }
        Ok::<_, Failure>(entries)
    };
    Ok(Caches {
        from: read("--cache-from", &how.cache_from, CacheUse::From)?,
        to: read("--cache-to", &how.cache_to, CacheUse::To)?,
    })
}

/// How progress is shown, with the terminal's nature taken into account.
pub fn render_options(progress: Progress, global: &GlobalArgs) -> render::RenderOptions {
    let is_terminal = std::io::stderr().is_terminal();
    let style = match progress {
        _ if global.is_quiet() => render::Style::Quiet,
        Progress::Auto if is_terminal => render::Style::Tty,
        Progress::Auto | Progress::Plain => render::Style::Plain,
        Progress::Tty => render::Style::Tty,
        Progress::Rawjson => render::Style::RawJson,
        Progress::Quiet => render::Style::Quiet,
    };
    render::RenderOptions {
        has_colour: use_colour(),
        ..render::RenderOptions::new(style)
    }
}

/// Whether standard error may be coloured.
pub fn use_colour() -> bool {
    std::io::stderr().is_terminal() && env::value(env::NO_COLOR).is_none()
}

/// Whether standard output may be coloured.
pub fn use_colour_in_data() -> bool {
    std::io::stdout().is_terminal() && env::value(env::NO_COLOR).is_none()
}

/// Number of packages built at once when `--jobs` does not say: BuildKit spreads the work of each over its cores, and
/// waits for registries and disks in between, so that a few more packages than cores keep it busy; several builders take as
/// many times more. What other machines have is not known, so that this one's cores have to do.
pub fn jobs(how: &HowArgs, builders: usize) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let one = (2 * cores).clamp(4, 16);
    how.jobs.map_or((one * builders.max(1)).min(JOBS_MAX), usize::from)
}

/// The most packages that are built at once unasked: each costs this machine a few connections and files.
const JOBS_MAX: usize = 64;

/// `--sbom-scanner`: off at `false`, else the scanner's image, empty for BuildKit's own choice.
pub fn sbom(how: &HowArgs) -> Option<String> {
    Some(how.sbom_scanner.clone()).filter(|scanner| scanner != "false")
}

/// `--source-date-epoch` over `SOURCE_DATE_EPOCH`, else the last change of each package.
pub fn source_date(how: &HowArgs) -> Result<SourceDate, Failure> {
    let parse = |source: &str, text: &str| match (text, text.parse()) {
        ("false", _) => Ok(SourceDate::Now),
        (_, Ok(time_s)) => Ok(SourceDate::At(time_s)),
        (_, Err(_)) => Err(Failure::usage(format!(
            "{source} is {text:?}, which is no number of seconds since 1970"
        ))
        .with_hint("`git log -1 --format=%ct` prints such a number; `false` turns it off")),
    };
    match (&how.source_date_epoch, env::value(env::SOURCE_DATE_EPOCH)) {
        (Some(given), _) => parse("--source-date-epoch", given),
        (None, Some(given)) => parse(env::SOURCE_DATE_EPOCH, &given),
        (None, None) => Ok(SourceDate::LastChange),
    }
}

/// Everything that a build needs to know besides the packages.
pub fn build_options(how: &HowArgs, builder: &BuilderArgs, global: &GlobalArgs) -> Result<BuildOptions, Failure> {
    let credentials = credentials(global)?;
    let mut builders = builders(builder, global)?;
    builders.config.credentials = credentials.clone();
    Ok(BuildOptions {
        jobs: jobs(how, builders.named.count()),
        keep_going: how.keep_going,
        sbom: sbom(how),
        secrets: secrets(how)?,
        ssh: ssh(how)?,
        caches: caches(how)?,
        builders: Arc::new(Builders::new(builders)),
        credentials,
        ignore_cached: how.ignore_cached,
        remote: None,
        precache_images: how.precache_images && !how.ignore_cached,
        docker: how.docker.then(docker_daemon).transpose()?,
        publish: None,
    })
}

/// The client of registries. Sets up TLS, so it is made only when there is something to ask.
pub fn registry(global: &GlobalArgs, jobs: Option<u16>) -> Result<Registry, Failure> {
    Ok(Registry::new(registry_settings(global, jobs)?)?)
}

/// How registries are reached.
pub fn registry_settings(global: &GlobalArgs, jobs: Option<u16>) -> Result<RegistrySettings, Failure> {
    let home = env::value(env::HOME).map(PathBuf::from);
    let own = home.map(|home| home.join(".config/docker/certs.d"));
    Ok(RegistrySettings {
        credentials: Arc::new(credentials(global)?),
        mirrors: mirrors(global)?,
        certificates: global.cert_file.clone(),
        certificate_directories: [PathBuf::from("/etc/docker/certs.d")].into_iter().chain(own).collect(),
        jobs: jobs.map_or(registry::JOBS, usize::from),
    })
}

/// Where images are pulled from.
pub fn remote(registry: &Registry) -> Remote {
    let registry = registry.clone();
    Arc::new(move |reference| Arc::new(registry.repository(reference)))
}

/// The mirrors of `LINUXKIT_MIRROR`, and over them those of `--mirror`.
fn mirrors(global: &GlobalArgs) -> Result<Mirrors, Failure> {
    let variable = env::value(env::MIRROR).unwrap_or_default();
    let given = variable.split([',', ' ']).filter(|mirror| !mirror.is_empty());
    let mirrors = Mirrors::parse(given.chain(global.mirror.iter().map(String::as_str)));
    mirrors.map_err(|error| Failure::usage(error.to_string()))
}

/// What builders are told about registries: the same as lkpkg's own client. No list of registries in use goes with it: it
/// would be another one for every package, and the builder replaced each time.
fn registries(global: &GlobalArgs) -> Result<Registries, Failure> {
    let owned = |(registry, url): (&str, &str)| (registry.to_owned(), url.to_owned());
    Ok(Registries {
        mirrors: mirrors(global)?.iter().map(owned).collect(),
        authorities: global.cert_file.clone(),
        used: Vec::new(),
    })
}

/// Which builders the user named, by the flag and by the environment.
fn named_builders(args: &BuilderArgs) -> Result<NamedBuilders, Failure> {
    let environment = NamedBuilders::parse(&env::value(env::BUILDERS).unwrap_or_default());
    let environment = environment.map_err(|error| Failure::from(error).in_variable(env::BUILDERS))?;
    let flag = NamedBuilders::parse(&args.builders)?;
    Ok(flag.named_by("--builders").over(environment.named_by(env::BUILDERS)))
}

/// Looks whether the Docker contexts among them exist, also those that nothing would be built at this time.
pub fn check_builders(args: &BuilderArgs) -> Result<(), Failure> {
    let named = named_builders(args)?;
    if named == NamedBuilders::default() {
        return Ok(());
    }
    Ok(named.check(&Contexts::read(&docker()))?)
}

/// Where platforms are built.
pub fn builders(args: &BuilderArgs, global: &GlobalArgs) -> Result<BuildersSettings, Failure> {
    Ok(BuildersSettings {
        named: named_builders(args)?,
        buildkit_host: env::value(env::BUILDKIT_HOST),
        docker: docker(),
        local: local_builder(&cache_directory(global)?)?,
        strict_platform: args.strict_platform,
        config: BuilderConfig {
            name: args.builder_name.clone(),
            image: args.builder_image.clone(),
            config: args.builder_config.clone().filter(|path| !path.as_os_str().is_empty()),
            restart: args.builder_restart,
            as_it_is: false,
            registries: registries(global)?,
            home: env::value(env::HOME).map(PathBuf::from),
            wait: Duration::from_secs(global.lock_timeout),
            timeout: Duration::from_secs(args.builder_timeout),
            credentials: dockers_credentials(),
        },
    })
}

/// What the environment says about Docker.
fn docker() -> DockerSettings {
    DockerSettings {
        directory: docker_directory(),
        host: env::value(env::DOCKER_HOST),
        context: env::value(env::DOCKER_CONTEXT),
        tls_verify: env::value(env::DOCKER_TLS_VERIFY).is_some(),
        tls: env::value(env::DOCKER_TLS).is_some(),
        certificates: env::value(env::DOCKER_CERT_PATH).map(PathBuf::from),
    }
}

/// The Docker daemon that the Docker program would use.
fn docker_daemon() -> Result<Daemon, Failure> {
    Ok(Contexts::read(&docker()).current()?)
}

/// Where Docker's configuration is.
fn docker_directory() -> Option<PathBuf> {
    let home = || env::value(env::HOME).map(|home| PathBuf::from(home).join(".docker"));
    env::value(env::DOCKER_CONFIG).map(PathBuf::from).or_else(home)
}

/// The buildkitd that lkpkg starts itself. Root's keeps its state beside the images, so that a cache that is removed takes it
/// along. An ordinary user's has files in it that only the user's namespace can remove: it has a place of its own.
fn local_builder(cache: &Path) -> Result<Local, Failure> {
    let failed = |error| Failure::new(ExitCode::Failed, format!("cannot tell where lkpkg itself is: {error}"));
    let program = std::env::current_exe().map_err(failed)?;
    let cache = std::path::absolute(cache).map_err(failed)?;
    let given = env::value(env::BUILDKITD).map(PathBuf::from);
    let data = match rustix::process::geteuid().is_root() {
        true => None,
        false => user_directory(env::XDG_DATA_HOME, ".local/share"),
    };
    let state = data.map_or(cache.join(LOCAL_STATE), |data| data.join(LOCAL_USER_STATE));
    let mut local = Local::new(program, state).with_programs(given.as_deref(), &env::search_path());
    local.certificates = std::env::var_os(env::CERTIFICATES);
    if rustix::process::geteuid().is_root() {
        return Ok(local);
    }
    if let Some(directory) = user_directory(env::XDG_CONFIG_HOME, ".config") {
        local.ambient_config = directory.join("buildkit/buildkitd.toml");
    }
    if let Some(given) = env::value(env::ROOTLESSKIT) {
        local.rootless.rootlesskit = Some(std::path::absolute(given).map_err(failed)?);
    }
    let network = env::value(env::ROOTLESS_NETWORK).map(|network| network.parse());
    let wrong = |reason: String| Failure::usage(reason).in_variable(env::ROOTLESS_NETWORK);
    local.rootless.network = network.transpose().map_err(wrong)?;
    Ok(local)
}

/// A directory of the user as the XDG Base Directory Specification has it: the value of `variable` when that is absolute, else
/// below the home directory.
fn user_directory(variable: &str, default: &str) -> Option<PathBuf> {
    let given = env::value(variable).map(PathBuf::from);
    let home = || env::value(env::HOME).map(|home| PathBuf::from(home).join(default));
    given.filter(|path| path.is_absolute()).or_else(home)
}

/// Directory below the cache where root's buildkitd keeps its state.
const LOCAL_STATE: &str = "buildkitd";

/// Directory below the user's data where the buildkitd of an ordinary user keeps it.
const LOCAL_USER_STATE: &str = "lkpkg/buildkitd";
