//! Builders: which would be chosen for each platform, whether they answer, and whether they can run what they build.

use super::super::{Builders, BuildersSettings};
use super::{Area, Finding};
use crate::builder::{self, BuilderError, Missing, Standing, Where};
use crate::oci::Platform;
use std::collections::BTreeMap;
use std::path::Path;

/// Where the kernel lists the emulators that it starts by itself (binfmt_misc).
const EMULATORS: &str = "/proc/sys/fs/binfmt_misc";

/// Where platforms are built, and how it looks there.
pub(super) struct Facts {
    platforms: Vec<(Platform, Result<Where, BuilderError>)>,
    places: BTreeMap<Where, Place>,
    /// Architectures for which this machine has an emulator.
    emulated: Vec<String>,
}

struct Place {
    standing: Result<Standing, BuilderError>,
    /// Version of the Docker daemon, where there is one.
    docker: Option<String>,
}

/// Finds the builders and asks them.
pub(super) async fn gather(builders: Builders, platforms: Vec<Platform>, settings: &BuildersSettings) -> Facts {
    let chosen = builders.places(&platforms).await;
    let mut wheres: Vec<Where> = chosen.iter().flatten().flatten().cloned().collect();
    wheres.sort();
    wheres.dedup();
    let look = async |place: Where| {
        let standing = builder::look(&place, &settings.config).await;
        let docker = match &place {
            Where::DockerContainer { docker } | Where::InContainer { docker, .. } | Where::Embedded { docker } => {
                builder::docker_version(docker, settings.config.timeout).await.ok()
            }
            Where::Address(_) | Where::Local(_) => None,
        };
        (place, Place { standing, docker })
    };
    Facts {
        platforms: platforms.into_iter().zip(chosen).flat_map(each).collect(),
        places: futures_util::future::join_all(wheres.into_iter().map(look))
            .await
            .into_iter()
            .collect(),
        emulated: emulated(Path::new(EMULATORS)),
    }
}

/// A platform with each of its places: every builder of a pool has to be able to build it.
fn each(
    (platform, chosen): (Platform, Result<Vec<Where>, BuilderError>),
) -> Vec<(Platform, Result<Where, BuilderError>)> {
    match chosen {
        Ok(places) => places.into_iter().map(|place| (platform.clone(), Ok(place))).collect(),
        Err(error) => vec![(platform, Err(error))],
    }
}

/// Architectures for which qemu is registered and switched on, as GOARCH names.
fn emulated(directory: &Path) -> Vec<String> {
    let names = [
        ("amd64", "x86_64"),
        ("arm64", "aarch64"),
        ("riscv64", "riscv64"),
        ("s390x", "s390x"),
    ];
    let is_on = |machine: &str| {
        let text = std::fs::read_to_string(directory.join(format!("qemu-{machine}")));
        text.is_ok_and(|text| text.starts_with("enabled"))
    };
    let found = names.into_iter().filter(|(_, machine)| is_on(machine));
    found.map(|(architecture, _)| architecture.to_owned()).collect()
}

/// What that means: a line for each builder, and one for each platform or those of which the same holds.
pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let mut findings: Vec<Finding> = facts
        .places
        .iter()
        .flat_map(|(place, found)| of_place(place, found))
        .collect();
    // What a user lacks for a builder is the same for every platform.
    if let Some(missing) = facts.platforms.iter().find_map(|(_, chosen)| match chosen {
        Err(BuilderError::NoBuilder { missing, .. }) if !missing.is_empty() => Some(missing),
        _ => None,
    }) {
        findings.extend(lacking("local", missing));
    }
    for (platform, chosen) in &facts.platforms {
        let subject = platform.to_string();
        let found = match chosen {
            Err(error) => nobody(&subject, error),
            Ok(place) => match facts.places.get(place).map(|found| &found.standing) {
                Some(Ok(standing)) => of_platform(platform, place, standing, &facts.emulated),
                _ => Finding::failed(
                    Area::Platform,
                    &subject,
                    format!("its builder is {}, see there", name(place)),
                )
                .with_hint("mend the builder, or name another with --builders"),
            },
        };
        // What is said of several platforms is said once.
        let is_same = |one: &&mut Finding| {
            let said = |one: &Finding| (one.area, one.verdict, one.finding.clone());
            said(one) == said(&found)
        };
        match findings.iter_mut().find(is_same) {
            Some(known) => known.subject = format!("{},{subject}", known.subject),
            None => findings.push(found),
        }
    }
    findings
}

fn name(place: &Where) -> String {
    match place {
        Where::Address(dialled) => dialled.to_string(),
        Where::DockerContainer { docker } => format!("docker-container at {docker}"),
        Where::InContainer { name, docker } => format!("docker-container {name} at {docker}"),
        Where::Embedded { docker } => format!("docker at {docker}"),
        Where::Local(_) => "local".to_owned(),
    }
}

fn of_place(place: &Where, found: &Place) -> Vec<Finding> {
    let subject = name(place);
    let daemon = match found.docker.as_deref() {
        Some(version) if !version.is_empty() => format!("; Docker is {version}"),
        _ => String::new(),
    };
    vec![match &found.standing {
        Ok(Standing::Running { version, .. }) => {
            Finding::ok(Area::Builder, subject, format!("BuildKit {version} answers{daemon}"))
        }
        Ok(Standing::Coming { what, .. }) => Finding::ok(Area::Builder, subject, format!("{what}{daemon}")),
        Err(BuilderError::Rootless { missing, .. }) => return lacking(&subject, missing),
        Err(error) => Finding::failed(Area::Builder, subject, error.to_string()).with_hint(hint(error)),
    }]
}

/// One line for each thing that an ordinary user lacks.
fn lacking(subject: &str, missing: &[Missing]) -> Vec<Finding> {
    let line = |one: &Missing| Finding::failed(Area::Builder, subject, &one.what).with_hint(&one.remedy);
    missing.iter().map(line).collect()
}

fn nobody(platform: &str, error: &BuilderError) -> Finding {
    let text = match error {
        BuilderError::NoBuilder { why, .. } => why.clone(),
        error => error.to_string(),
    };
    Finding::failed(Area::Platform, platform, text).with_hint(hint(error))
}

fn hint(error: &BuilderError) -> &'static str {
    match error {
        BuilderError::NoDocker { .. } => {
            "start the Docker daemon, or say where it is with DOCKER_HOST or a Docker context"
        }
        BuilderError::UnknownContext { .. } => "docker context create NAME --docker host=… makes one",
        BuilderError::Unreachable { .. } => {
            "start BuildKit there, or name another builder with --builders, LINUXKIT_BUILDERS or BUILDKIT_HOST"
        }
        BuilderError::NoRunc { .. } => "install runc, or put buildkit-runc beside buildkitd",
        BuilderError::Foreign { .. } => "--builder-restart replaces it, --builder-name chooses another name",
        BuilderError::BadConfig { .. } => "correct --builder-config",
        BuilderError::BadAddress { .. } => "correct --builders, LINUXKIT_BUILDERS or BUILDKIT_HOST",
        _ => {
            "start a Docker daemon; or name a BuildKit that runs with BUILDKIT_HOST or --builders; or have \
             buildkitd and runc on PATH, and as an ordinary user rootlesskit, newuidmap and newgidmap"
        }
    }
}

fn of_platform(platform: &Platform, place: &Where, standing: &Standing, emulated: &[String]) -> Finding {
    let (subject, name) = (platform.to_string(), name(place));
    let (own, others, is_known): (Option<Platform>, bool, bool) = match standing {
        Standing::Running { platforms, .. } => {
            let is_listed = platforms.iter().any(|one| one.matches(platform));
            (platforms.first().cloned(), is_listed, true)
        }
        Standing::Coming { .. } => {
            let is_here = !matches!(place, Where::DockerContainer { docker } if docker.is_remote());
            let has_emulator = emulated.contains(&platform.architecture);
            (is_here.then(Platform::host), has_emulator, is_here)
        }
    };
    if own.is_some_and(|own| own.matches(platform)) {
        return Finding::ok(Area::Platform, subject, format!("native on {name}"));
    }
    if !is_known {
        let text = format!("whether {name} runs it is known when the builder is there");
        return Finding::warning(Area::Platform, subject, text);
    }
    match others {
        true => Finding::ok(Area::Platform, subject, format!("emulated on {name}")),
        false => Finding::failed(
            Area::Platform,
            subject,
            format!("{name} cannot run it: there is no emulator, so that RUN steps end with \"exec format error\""),
        )
        .with_hint(
            "register an emulator there (Debian: apt-get install qemu-user-static), name a builder for it with --builders, \
             or leave it out with --skip-platforms",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    const SOCKET: &str = "unix:///run/b.sock";

    fn running(platforms: &[&str]) -> Standing {
        Standing::Running {
            version: "v0.26.3".into(),
            platforms: platforms.iter().map(|text| text.parse().expect(text)).collect(),
        }
    }

    #[test]
    fn platforms_are_native_emulated_or_missing() {
        let foreign = foreign();
        let check = |platform: &Platform, docker: &str, standing: Standing, emulated: &[&str], verdict, part: &str| {
            let place = Where::DockerContainer {
                docker: docker.parse().expect(docker),
            };
            let emulated: Vec<String> = emulated.iter().map(|one| (*one).to_owned()).collect();
            let found = of_platform(platform, &place, &standing, &emulated);
            assert!(found.verdict == verdict && found.finding.contains(part), "{found:?}");
        };
        let arm = Platform::linux("arm64");
        let here = "unix:///d.sock";
        check(
            &arm,
            here,
            running(&["linux/arm64", "linux/amd64"]),
            &[],
            Verdict::Ok,
            "native",
        );
        check(
            &arm,
            here,
            running(&["linux/amd64", "linux/arm64"]),
            &[],
            Verdict::Ok,
            "emulated",
        );
        // What this machine can run says nothing of a builder that has answered.
        check(
            &arm,
            here,
            running(&["linux/amd64"]),
            &["arm64"],
            Verdict::Failed,
            "no emulator",
        );
        let coming = || Standing::Coming {
            is_there: false,
            what: "it will be created".into(),
        };
        check(&Platform::host(), here, coming(), &[], Verdict::Ok, "native");
        check(
            &foreign,
            here,
            coming(),
            &[&foreign.architecture],
            Verdict::Ok,
            "emulated",
        );
        check(&foreign, here, coming(), &[], Verdict::Failed, "no emulator");
        check(
            &foreign,
            "tcp://far:2375",
            coming(),
            &[&foreign.architecture],
            Verdict::Warning,
            "is known when",
        );
    }

    /// A platform that this machine is not.
    fn foreign() -> Platform {
        match Platform::host().architecture.as_str() {
            "s390x" => Platform::linux("riscv64"),
            _ => Platform::linux("s390x"),
        }
    }

    #[test]
    fn every_builder_and_every_platform_has_a_line() {
        let address = Where::Address(SOCKET.parse().expect(SOCKET));
        let silent = Where::Address("unix:///gone".parse().expect("an address"));
        let place = |standing| Place { standing, docker: None };
        let gone = BuilderError::Unreachable {
            address: "unix:///gone".into(),
            reason: "no such file".into(),
        };
        let none = BuilderError::NoBuilder {
            platform: "linux/s390x".into(),
            why: "no Docker daemon answers".into(),
            missing: vec![Missing {
                what: "rootlesskit is not there".into(),
                remedy: "install it".into(),
            }],
        };
        let facts = Facts {
            platforms: vec![
                (Platform::linux("amd64"), Ok(address.clone())),
                (Platform::linux("arm64"), Ok(silent.clone())),
                (Platform::linux("s390x"), Err(none)),
            ],
            places: BTreeMap::from([
                (address, place(Ok(running(&["linux/amd64"])))),
                (silent, place(Err(gone))),
            ]),
            emulated: Vec::new(),
        };
        let found = judge(&facts);
        let lines: Vec<_> = found
            .iter()
            .map(|one| (one.area, one.subject.as_str(), one.verdict, one.hint.is_empty()))
            .collect();
        assert_eq!(
            lines,
            [
                (Area::Builder, "unix:///gone", Verdict::Failed, false),
                (Area::Builder, SOCKET, Verdict::Ok, true),
                (Area::Builder, "local", Verdict::Failed, false),
                (Area::Platform, "linux/amd64", Verdict::Ok, true),
                (Area::Platform, "linux/arm64", Verdict::Failed, false),
                (Area::Platform, "linux/s390x", Verdict::Failed, false),
            ]
        );
        assert!(found.iter().all(|one| !one.finding.contains('\n')), "{found:?}");
    }

    #[test]
    fn emulators_are_those_that_are_switched_on() {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("qemu-aarch64"), "enabled\ninterpreter /q\n").expect("a file");
        std::fs::write(directory.path().join("qemu-s390x"), "disabled\ninterpreter /q\n").expect("a file");
        assert_eq!(emulated(directory.path()), ["arm64"]);
        assert!(emulated(Path::new("/nowhere")).is_empty());
    }
}
