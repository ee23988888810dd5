//! What lkpkg was told about registries, for BuildKit: merged into its configuration. Pure.
//!
//! BuildKit has a mirror for a registry by its name, and none for all of them. A mirror for all is therefore given to Docker
//! Hub and to every registry that has a name here.

use super::Reach;
use super::named::{Wrong, key, list, registries};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use toml::{Table, Value};

/// Docker Hub, as BuildKit's configuration calls it.
const DOCKER_HUB: &str = "docker.io";

/// Stands for every registry that has no mirror of its own.
const ALL: &str = "*";

/// What lkpkg was told about registries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registries {
    /// A registry, or `*` for all that are not named, and the URL of its mirror, `http://…` or `https://…`.
    pub mirrors: Vec<(String, String)>,
    /// PEM files of authorities that are trusted for every registry, besides the system's.
    pub authorities: Vec<PathBuf>,
    /// Registries that a mirror for all is meant for, besides Docker Hub and those that are named otherwise.
    pub used: Vec<String>,
}

/// A mirror as BuildKit has it: where, and whether without TLS.
#[derive(Clone, Copy)]
struct Mirror<'a> {
    /// `host[:port][/path]`.
    place: &'a str,
    is_plain: bool,
}

impl<'a> Mirror<'a> {
    fn of(url: &'a str) -> Self {
        let (scheme, place) = url.split_once("://").unwrap_or(("https", url));
        Self {
            place: place.trim_end_matches('/'),
            is_plain: scheme == "http",
        }
    }

    fn host(self) -> &'a str {
        self.place.split('/').next().unwrap_or_default()
    }

    /// Whether only this machine reaches it.
    fn is_loopback(self) -> bool {
        let host = self.host();
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        let address = name.trim_start_matches('[').trim_end_matches(']');
        name == "localhost" || address.parse().is_ok_and(|address: IpAddr| address.is_loopback())
    }
}

/// Merges `given` into `document`. What the document says of a host stays; its own mirrors come after those given here.
/// Answers the mirrors that were left out because a BuildKit at `reach` would look for them in the wrong place.
pub(super) fn merge(document: &mut Table, given: &Registries, reach: Reach) -> Result<Vec<String>, Wrong> {
    let mut left_out = Vec::new();
    let mut mirrors = Vec::new();
    for (registry, url) in &given.mirrors {
        let mirror = Mirror::of(url);
        if reach == Reach::Container && mirror.is_loopback() {
            left_out.push(url.clone());
        } else {
            mirrors.push((registry.as_str(), mirror));
        }
    }
    let others = without_mirror(document, given, &mirrors)?;
    for (registry, mirror) in &mirrors {
        match *registry {
            ALL => {
                for other in others.iter().filter(|other| *other != mirror.host()) {
                    add(document, other, *mirror)?;
                }
            }
            registry => add(document, registry, *mirror)?,
        }
    }
    Ok(left_out)
}

/// Registries that a mirror for all is for: those with a name that have no mirror given, and are no mirror themselves.
fn without_mirror(
    document: &mut Table,
    given: &Registries,
    mirrors: &[(&str, Mirror<'_>)],
) -> Result<BTreeSet<String>, Wrong> {
    let mut known = BTreeSet::from([DOCKER_HUB.to_owned()]);
    known.extend(given.used.iter().cloned());
    let mut hosts = BTreeSet::new();
    for (name, registry) in registries(document)? {
        known.insert(name.to_owned());
        let own = list(registry, &key(name), "mirrors")?
            .iter()
            .filter_map(|entry| entry.as_str());
        hosts.extend(own.map(|place| Mirror::of(place).host().to_owned()));
    }
    let is_given = |name: &String| given.mirrors.iter().any(|(registry, _)| registry == name);
    let is_host = |name: &String| hosts.contains(name) || mirrors.iter().any(|(_, mirror)| mirror.host() == name);
    known.retain(|name| !is_given(name) && !is_host(name));
    Ok(known)
}

fn add(document: &mut Table, registry: &str, mirror: Mirror<'_>) -> Result<(), Wrong> {
    let table = entry(document, registry)?;
    let own = list(table, &key(registry), "mirrors")?.to_vec();
    let place = Value::from(mirror.place);
    let others = own.into_iter().filter(|other| *other != place);
    let all = [place.clone()].into_iter().chain(others).collect();
    table.insert("mirrors".to_owned(), Value::Array(all));
    // On the loopback BuildKit takes plain HTTP for granted.
    if mirror.is_plain || mirror.is_loopback() {
        let host = entry(document, mirror.host())?;
        host.entry("http").or_insert(Value::Boolean(mirror.is_plain));
    }
    Ok(())
}

/// The table of a registry, made where there is none.
fn entry<'a>(document: &'a mut Table, registry: &str) -> Result<&'a mut Table, Wrong> {
    let all = document.entry("registry").or_insert_with(|| Table::new().into());
    let no_table = |key: String| (key, "it is no table".to_owned());
    let all = all.as_table_mut().ok_or_else(|| no_table("registry".to_owned()))?;
    let one = all.entry(registry).or_insert_with(|| Table::new().into());
    one.as_table_mut().ok_or_else(|| no_table(key(registry)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_in(reach: Reach, mirrors: &[(&str, &str)], used: &[&str], before: &str, after: &str, left_out: &[&str]) {
        let mut document: Table = before.parse().expect(before);
        let given = Registries {
            mirrors: mirrors.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect(),
            used: used.iter().map(|name| name.to_string()).collect(),
            ..Registries::default()
        };
        let left = merge(&mut document, &given, reach).expect("merges");
        assert_eq!(document, after.parse::<Table>().expect(after), "\n{document}");
        assert_eq!(left, left_out);
    }

    #[track_caller]
    fn check(mirrors: &[(&str, &str)], before: &str, after: &str) {
        check_in(Reach::Container, mirrors, &[], before, after, &[]);
    }

    #[test]
    fn a_mirror_is_written_as_buildkit_has_it() {
        check(&[], "", "");
        check(
            &[("docker.io", "https://m")],
            "",
            "registry.'docker.io'.mirrors = ['m']",
        );
        check(
            &[("ghcr.io", "http://10.0.0.1:5000/")],
            "",
            "registry.'ghcr.io'.mirrors = ['10.0.0.1:5000']\nregistry.'10.0.0.1:5000'.http = true",
        );
        check(
            &[("ghcr.io", "http://m:5000/a/path")],
            "",
            "registry.'ghcr.io'.mirrors = ['m:5000/a/path']\nregistry.'m:5000'.http = true",
        );
    }

    #[test]
    fn a_mirror_for_all_is_for_those_that_have_a_name() {
        check(&[("*", "https://m")], "", "registry.'docker.io'.mirrors = ['m']");
        check(
            &[("docker.io", "https://d"), ("*", "https://m")],
            "[registry.'ghcr.io']\n[registry.m]\nca = ['x']\n[registry.o]\nmirrors = ['p']\n[registry.p]\nhttp = true",
            "registry.'docker.io'.mirrors = ['d']\nregistry.'ghcr.io'.mirrors = ['m']\nregistry.m.ca = ['x']\n\
             registry.o.mirrors = ['m', 'p']\nregistry.p.http = true",
        );
        check_in(
            Reach::Container,
            &[("*", "https://m")],
            &["quay.io", "m"],
            "",
            "registry.'docker.io'.mirrors = ['m']\nregistry.'quay.io'.mirrors = ['m']",
            &[],
        );
    }

    #[test]
    fn what_the_file_says_stays() {
        check(
            &[("docker.io", "http://m")],
            "debug = true\n[registry.'docker.io']\nmirrors = ['other', 'm']\n[registry.m]\nhttp = false",
            "debug = true\nregistry.'docker.io'.mirrors = ['m', 'other']\nregistry.m.http = false",
        );
    }

    #[test]
    fn a_mirror_on_the_loopback_is_for_this_machine_only() {
        for host in ["127.0.0.1:5000", "localhost", "localhost:1", "[::1]:5000", "127.1.2.3"] {
            let (plain, tls) = (format!("http://{host}"), format!("https://{host}"));
            check_in(Reach::Container, &[("*", &plain)], &[], "", "", &[&plain]);
            let written =
                |http: bool| format!("registry.'docker.io'.mirrors = ['{host}']\nregistry.'{host}'.http = {http}");
            check_in(Reach::Machine, &[("*", &plain)], &[], "", &written(true), &[]);
            check_in(Reach::Machine, &[("*", &tls)], &[], "", &written(false), &[]);
        }
        // A registry may be called so, as long as its mirror is elsewhere.
        check(
            &[("127.0.0.1:5000", "http://10.0.0.1:5000")],
            "",
            "registry.'127.0.0.1:5000'.mirrors = ['10.0.0.1:5000']\nregistry.'10.0.0.1:5000'.http = true",
        );
    }

    #[test]
    fn what_is_no_table_is_named() {
        let given = Registries {
            mirrors: vec![("docker.io".into(), "http://m".into())],
            ..Registries::default()
        };
        for (text, key) in [
            ("registry = 1", "registry"),
            ("[registry]\n'docker.io' = 1", "registry.\"docker.io\""),
            ("[registry]\nm = 1", "registry.\"m\""),
            (
                "[registry.'docker.io']\nmirrors = 'm'",
                "registry.\"docker.io\".mirrors",
            ),
        ] {
            let mut document: Table = text.parse().expect(text);
            let wrong = merge(&mut document, &given, Reach::Container).expect_err(text);
            assert_eq!(wrong.0, key);
        }
    }
}
