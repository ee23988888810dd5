//! Which builder a platform is built at: [`Facts`] × platform → [`Where`]. Pure; the facts are gathered by the caller.
//!
//! The order is `--builders` over `LINUXKIT_BUILDERS`, then `BUILDKIT_HOST`, then a Docker daemon that answers, then a
//! `buildkitd` of our own.

use super::{Address, BuilderError, Local, Where};
use crate::oci::Platform;
use std::collections::BTreeMap;

/// `--builders` and `LINUXKIT_BUILDERS`: which builder for which platform.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Builders {
    by_platform: BTreeMap<(String, String), Address>,
    for_others: Option<Address>,
}

impl Builders {
    /// Reads `linux/arm64=unix:///…,linux/amd64=local`. An entry without a platform is for all platforms that have none
    /// of their own. The last entry for a platform counts. An empty text is an empty map.
    pub fn parse(text: &str) -> Result<Self, BuilderError> {
        let mut builders = Self::default();
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let bad = |reason: String| BuilderError::BadAddress {
                text: entry.into(),
                reason,
            };
            match entry.split_once('=') {
                // An equals sign may also be part of an address.
                Some((platform, address)) if !platform.contains("://") => {
                    let platform: Platform = platform.parse().map_err(|error| bad(format!("{error}")))?;
                    builders.by_platform.insert(key(&platform), address.trim().parse()?);
                }
                _ => builders.for_others = Some(entry.parse()?),
            }
        }
        Ok(builders)
    }

    /// These, and for platforms that they do not name, those of `fallback` (the flag over the environment).
    pub fn over(self, fallback: Self) -> Self {
        // An entry for all platforms stands above everything that the fallback says.
        if self.for_others.is_some() {
            return self;
        }
        let mut by_platform = fallback.by_platform;
        by_platform.extend(self.by_platform);
        Self {
            by_platform,
            for_others: fallback.for_others,
        }
    }

    /// The builder named for `platform`. The variant of the platform does not count.
    pub fn named_for(&self, platform: &Platform) -> Option<&Address> {
        self.by_platform.get(&key(platform)).or(self.for_others.as_ref())
    }

    /// Whether a Docker daemon has to be looked for before [`choose`] can answer for `platforms`.
    pub fn needs_docker(&self, buildkit_host: Option<&str>, platforms: &[Platform]) -> bool {
        platforms.iter().any(|platform| match self.named_for(platform) {
            Some(address) => *address == Address::DockerContainer,
            None => buildkit_host.is_none(),
        })
    }
}

fn key(platform: &Platform) -> (String, String) {
    (platform.os.clone(), platform.architecture.clone())
}

/// What is known about a Docker daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DockerFact {
    /// Where it is, or would be.
    pub address: String,
    /// None when it answers, else why not ([`super::docker_answers`] says it).
    pub silent_because: Option<String>,
}

/// What [`choose`] decides on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The builders that the user named by platform.
    pub builders: Builders,
    /// `BUILDKIT_HOST`, when set.
    pub buildkit_host: Option<String>,
    /// The Docker daemon; only looked at when [`Builders::needs_docker`] says so.
    pub docker: DockerFact,
    /// A `buildkitd` of our own, with the programs that were found.
    pub local: Local,
    /// Effective user ID.
    pub uid: u32,
}

/// Where `platform` is built. The error names what was looked for, and the ways to get a builder.
pub fn choose(facts: &Facts, platform: &Platform) -> Result<Where, BuilderError> {
    if let Some(address) = facts.builders.named_for(platform) {
        return place(facts, address);
    }
    if let Some(host) = &facts.buildkit_host {
        return place(facts, &host.parse()?);
    }
    let Some(silence) = &facts.docker.silent_because else {
        return Ok(Where::DockerContainer {
            docker: facts.docker.address.clone(),
        });
    };
    let no_local = match &facts.local.buildkitd {
        Some(_) if facts.uid == 0 => return Ok(Where::Local(facts.local.clone())),
        Some(path) => format!("buildkitd at {} needs root, this is user {}", path.display(), facts.uid),
        None => "buildkitd was not found on PATH".to_owned(),
    };
    let why = format!(
        "no Docker daemon answers at {} ({silence}), and {no_local}",
        facts.docker.address
    );
    Err(BuilderError::NoBuilder {
        platform: platform.to_string(),
        why,
    })
}

/// The place of an address that the user named.
fn place(facts: &Facts, address: &Address) -> Result<Where, BuilderError> {
    match (address, &facts.docker.silent_because) {
        (Address::Unix(path), _) => Ok(Where::Address(format!("unix://{}", path.display()))),
        (Address::Local, _) => Ok(Where::Local(facts.local.clone())),
        (Address::DockerContainer, None) => Ok(Where::DockerContainer {
            docker: facts.docker.address.clone(),
        }),
        (Address::DockerContainer, Some(reason)) => Err(BuilderError::NoDocker {
            address: facts.docker.address.clone(),
            reason: reason.clone(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builder::Kind;

    const DOCKER: &str = "unix:///var/run/docker.sock";

    fn facts(builders: &str, host: Option<&str>, has_docker: bool, has_buildkitd: bool, uid: u32) -> Facts {
        let silent_because = (!has_docker).then(|| "no such socket".to_owned());
        let local = Local {
            buildkitd: has_buildkitd.then(|| "/usr/bin/buildkitd".into()),
            ..Local::new("/lkpkg", "/state")
        };
        Facts {
            builders: Builders::parse(builders).expect(builders),
            buildkit_host: host.map(str::to_owned),
            docker: DockerFact {
                address: DOCKER.into(),
                silent_because,
            },
            local,
            uid,
        }
    }

    #[test]
    fn the_first_that_is_there_is_taken() {
        let check = |facts: Facts, platform: &str, expected: &str| {
            let place = choose(&facts, &platform.parse().expect(platform)).expect(expected);
            let name = match place {
                Where::Address(address) => address,
                Where::DockerContainer { docker } => format!("docker-container at {docker}"),
                Where::Local(_) => "local".into(),
            };
            assert_eq!(name, expected, "{facts:?}");
        };
        let docker = format!("docker-container at {DOCKER}");
        let map = "linux/arm64=unix:///arm,linux/amd64=local";
        check(
            facts(map, Some("unix:///host"), true, true, 0),
            "linux/arm64",
            "unix:///arm",
        );
        check(
            facts(map, Some("unix:///host"), true, true, 0),
            "linux/arm64/v8",
            "unix:///arm",
        );
        check(facts(map, Some("unix:///host"), true, true, 0), "linux/amd64", "local");
        check(
            facts(map, Some("unix:///host"), true, true, 0),
            "linux/riscv64",
            "unix:///host",
        );
        check(facts(map, None, true, true, 0), "linux/riscv64", &docker);
        check(
            facts("unix:///all,linux/amd64=docker-container", None, true, true, 0),
            "linux/riscv64",
            "unix:///all",
        );
        check(
            facts("unix:///all,linux/amd64=docker-container", None, true, true, 0),
            "linux/amd64",
            &docker,
        );
        check(facts("", Some("local"), true, true, 0), "linux/amd64", "local");
        check(
            facts("", Some("unix:///host"), false, false, 1000),
            "linux/amd64",
            "unix:///host",
        );
        check(facts("", None, true, true, 0), "linux/amd64", &docker);
        check(facts("", None, true, false, 1000), "linux/amd64", &docker);
        check(facts("", None, false, true, 0), "linux/amd64", "local");
    }

    #[test]
    fn what_is_missing_is_named() {
        let check = |facts: Facts, kind: Kind, parts: &[&str]| {
            let error = choose(&facts, &Platform::linux("amd64")).expect_err("no builder");
            let text = error.to_string();
            assert_eq!(error.kind(), kind, "{text}");
            parts
                .iter()
                .for_each(|part| assert!(text.contains(part), "{part} is not in {text}"));
        };
        check(
            facts("", None, false, false, 0),
            Kind::Missing,
            &[
                "linux/amd64",
                DOCKER,
                "no such socket",
                "buildkitd was not found",
                "three ways",
            ],
        );
        check(
            facts("", None, false, true, 1000),
            Kind::Missing,
            &["needs root, this is user 1000", "three ways"],
        );
        check(
            facts("docker-container", None, false, true, 0),
            Kind::Missing,
            &["no Docker daemon answers", DOCKER],
        );
        check(
            facts("", Some("tcp://a:1"), true, true, 0),
            Kind::Input,
            &["tcp://", "supported are"],
        );
    }

    #[test]
    fn a_map_that_cannot_be_read_is_refused() {
        for text in [
            "linux=local",
            "linux/amd64=",
            "linux/amd64=ctx",
            "linux/amd64=tcp://a",
            "=local",
            "ctx",
        ] {
            let error = Builders::parse(text).expect_err(text);
            assert_eq!(error.kind(), Kind::Input, "{text}: {error}");
        }
        assert_eq!(Builders::parse(" ,").expect("empty"), Builders::default());
    }

    #[test]
    fn the_flag_stands_over_the_environment() {
        let check = |flag: &str, environment: &str, expected: &str| {
            let [flag, environment, expected] =
                [flag, environment, expected].map(|text| Builders::parse(text).expect(text));
            assert_eq!(flag.over(environment), expected);
        };
        check(
            "linux/amd64=local",
            "linux/amd64=unix:///e,linux/arm64=unix:///e",
            "linux/amd64=local,linux/arm64=unix:///e",
        );
        check("linux/amd64=local", "unix:///e", "linux/amd64=local,unix:///e");
        check("unix:///f", "linux/amd64=unix:///e", "unix:///f");
        check("", "local", "local");
    }

    #[test]
    fn docker_is_asked_only_when_it_matters() {
        let check = |builders: &str, host: Option<&str>, expected: bool| {
            let builders = Builders::parse(builders).expect(builders);
            let platforms = [Platform::linux("amd64"), Platform::linux("arm64")];
            assert_eq!(
                builders.needs_docker(host, &platforms),
                expected,
                "{builders:?} {host:?}"
            );
        };
        check("", None, true);
        check("", Some("unix:///h"), false);
        check("local", None, false);
        check("linux/amd64=local", None, true);
        check("linux/amd64=local", Some("unix:///h"), false);
        check("linux/amd64=docker-container", Some("unix:///h"), true);
    }
}
