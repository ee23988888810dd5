//! Every environment variable that lkpkg reads, and what it means. Only `cli` reads them; the reference is made from here.

/// An environment variable.
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// What it does; one sentence.
    pub meaning: &'static str,
}

macro_rules! variables {
    ($($constant:ident = $name:literal: $meaning:literal;)*) => {
        $(#[doc = $meaning] pub const $constant: &str = $name;)*
        /// All that are read by a name of their own, in the order of the reference.
        const NAMED: &[Variable] = &[$(Variable { name: $name, meaning: $meaning }),*];
    };
}

variables! {
    CACHE = "LINUXKIT_CACHE": "Directory of the local cache; `--cache` goes first.";
    ORGANISATION = "LINUXKIT_PKG_ORG": "Organisation of all packages; `--org` goes first.";
    MIRROR = "LINUXKIT_MIRROR": "Mirrors for what lkpkg and the builders that it runs pull (`[REGISTRY=]URL`, separated by blanks or commas); `--mirror` goes first.";
    OFFLINE = "LKPKG_OFFLINE": "`true`: registries are not asked what they have before something is built; `--offline` goes first.";
    BUILDERS = "LINUXKIT_BUILDERS": "Which builder builds which platform (`linux/arm64=WHERE,…`); `--builders` goes first, platform by platform.";
    BUILDER_NAME = "LINUXKIT_BUILDER_NAME": "Name of the builder container; `--builder-name` goes first.";
    BUILDER_IMAGE = "LINUXKIT_BUILDER_IMAGE": "Image of the builder container; `--builder-image` goes first.";
    BUILDER_CONFIG = "LINUXKIT_BUILDER_CONFIG": "A buildkitd.toml for the builder; `--builder-config` goes first.";
    BUILDKIT_HOST = "BUILDKIT_HOST": "Address of a running BuildKit (`unix://…`, `tcp://…`, `ssh://…` and others), as for buildctl; used where no builder is named.";
    BUILDKITD = "LKPKG_BUILDKITD": "The buildkitd program that lkpkg starts itself where there is no Docker daemon; otherwise it is looked for on `PATH`.";
    ROOTLESSKIT = "LKPKG_ROOTLESSKIT": "The rootlesskit program by which an ordinary user's buildkitd is started; otherwise it is looked for beside buildkitd and on `PATH`.";
    ROOTLESS_NETWORK = "LKPKG_ROOTLESS_NETWORK": "Network of an ordinary user's buildkitd: `slirp4netns`, `pasta`, or `host` for the machine's; otherwise the first of these that can be had.";
    XDG_DATA_HOME = "XDG_DATA_HOME": "An ordinary user's buildkitd keeps its state in `lkpkg/buildkitd` below it; `~/.local/share` where it is not set.";
    XDG_CONFIG_HOME = "XDG_CONFIG_HOME": "An ordinary user's buildkitd reads `buildkit/buildkitd.toml` below it; `~/.config` where it is not set.";
    SOURCE_DATE_EPOCH = "SOURCE_DATE_EPOCH": "Time of the build in seconds since 1970 (reproducible-builds.org); `--source-date-epoch` goes first.";
    PROGRESS = "BUILDKIT_PROGRESS": "Kind of progress output (`auto`, `tty`, `plain`, `rawjson`, `quiet`), as for buildx; `--progress` goes first.";
    DOCKER_HOST = "DOCKER_HOST": "Address of the Docker daemon; goes before contexts.";
    DOCKER_CONTEXT = "DOCKER_CONTEXT": "Docker context whose daemon is used; goes before the one in Docker's `config.json`.";
    DOCKER_TLS_VERIFY = "DOCKER_TLS_VERIFY": "TLS to `DOCKER_HOST`, when set to anything; its certificate is checked.";
    DOCKER_TLS = "DOCKER_TLS": "The same, and its certificate is not checked.";
    DOCKER_CERT_PATH = "DOCKER_CERT_PATH": "Directory of `ca.pem`, `cert.pem` and `key.pem` for `DOCKER_HOST` with TLS.";
    DOCKER_CONFIG = "DOCKER_CONFIG": "Directory of Docker's `config.json`, where credentials, credential helpers and contexts are configured.";
    DOCKER_AUTH_CONFIG = "DOCKER_AUTH_CONFIG": "The text of a Docker `config.json`, used for credentials before the file.";
    CERTIFICATES = "SSL_CERT_DIR": "Directories of trusted authorities for a buildkitd that lkpkg starts itself; those of `--cert-file` are added.";
    NO_COLOR = "NO_COLOR": "No colours, when set to anything (no-color.org).";
    USER = "USER": "The organisation that `--dev` sets.";
    HOME = "HOME": "Where the cache and Docker's configuration are by default.";
}

/// Variables that are not asked for by a constant of their own.
const OTHERS: &[Variable] = &[
    Variable {
        name: "http_proxy, https_proxy, ftp_proxy, no_proxy, all_proxy",
        meaning: "Passed on to the build as build args; in small letters and in capitals.",
    },
    Variable {
        name: "SSH_AUTH_SOCK",
        meaning: "Socket of the ssh agent that `--ssh default` forwards.",
    },
    Variable {
        name: "PATH",
        meaning: "Where `buildkitd`, `runc`, `rootlesskit`, `newuidmap`, `newgidmap`, `slirp4netns`, `pasta`, `ssh`, `kubectl` and credential helpers are looked for.",
    },
];

/// All of them, in the order of the reference.
pub fn all() -> impl Iterator<Item = &'static Variable> {
    NAMED.iter().chain(OTHERS)
}

/// Proxy variables, each known in capitals and in small letters (BuildKit's predefined build args).
pub const PROXIES: [&str; 5] = ["http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy"];

/// Where programs are looked for.
pub fn search_path() -> std::ffi::OsString {
    std::env::var_os("PATH").unwrap_or_default()
}

/// The value of a variable; an empty one counts as absent.
pub fn value(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
