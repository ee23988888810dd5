//! A BuildKit that answers.

use crate::oci::Platform;
use tonic::transport::Channel;

/// The first BuildKit that knows `rewrite-timestamp` is v0.13; those before pass over it without a word.
const REWRITING_MINOR: u64 = 13;

/// A BuildKit that answered its first call. Cloning shares the connection.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// What people call it: `local`, `linuxkit-builder`, `unix:///run/…`.
    pub name: String,
    /// An HTTP/2 connection that speaks `moby.buildkit.v1.Control`. A `buildkitd` of our own stays as long as a clone of it
    /// lives.
    pub channel: Channel,
    /// Platforms that its workers say they can build.
    pub platforms: Vec<Platform>,
    /// BuildKit's version, `v0.26.3`.
    pub version: String,
}

impl Endpoint {
    /// The same with a name that says in which context it is: containers are called alike everywhere.
    pub(super) fn in_context(mut self, context: Option<&str>) -> Self {
        if let Some(context) = context {
            self.name = format!("{} in {context}", self.name);
        }
        self
    }

    /// Whether it can only emulate `platform`.
    pub fn emulates(&self, platform: &Platform) -> bool {
        emulates(&self.platforms, platform)
    }

    /// Whether its exporter rewrites times in layers. One that says no version is believed to be new.
    pub fn rewrites_times(&self) -> bool {
        let mut numbers = self.version.trim_start_matches('v').split('.').map(str::parse::<u64>);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(0)), Some(Ok(minor))) => minor >= REWRITING_MINOR,
            _ => true,
        }
    }

    /// What people read where it builds `platforms`: its name, and those that it emulates.
    pub fn heading(&self, platforms: &[Platform]) -> String {
        let emulated = platforms.iter().filter(|platform| self.emulates(platform));
        let emulated: Vec<String> = emulated.map(Platform::to_string).collect();
        match emulated.is_empty() {
            true => self.name.clone(),
            false => format!("{} ({} emulated)", self.name, emulated.join(",")),
        }
    }
}

/// Whether a BuildKit that builds `all` can only emulate `platform`. BuildKit names its own platform first; what has no machine
/// of its own to run on is emulated, whether an emulator is there or not.
pub fn emulates(all: &[Platform], platform: &Platform) -> bool {
    let Some(own) = all.first() else {
        return false;
    };
    let own = own.architecture.as_str();
    // A processor of 64 bits runs its family's programs of 32 bits.
    let is_family = matches!(
        (own, platform.architecture.as_str()),
        ("amd64", "386") | ("arm64", "arm")
    );
    own != platform.architecture && !is_family
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn old_ones_leave_times_alone() {
        for (version, expected) in [
            ("v0.12.5", false),
            ("0.9", false),
            ("v0.13.0-rc1", true),
            ("v0.26.3", true),
            ("v1.0.0", true),
            ("28.5.2", true),
            ("", true),
        ] {
            let endpoint = Endpoint {
                name: "b".into(),
                channel: tonic::transport::Endpoint::from_static("http://nowhere").connect_lazy(),
                platforms: Vec::new(),
                version: version.into(),
            };
            assert_eq!(endpoint.rewrites_times(), expected, "{version}");
        }
    }

    #[tokio::test]
    async fn what_is_not_of_its_own_machine_is_emulated() {
        let read =
            |texts: &[&str]| -> Vec<Platform> { texts.iter().map(|text| text.parse().expect("a platform")).collect() };
        let check = |builds: &[&str], wanted: &[&str], expected: &str| {
            let endpoint = Endpoint {
                name: "b".into(),
                channel: tonic::transport::Endpoint::from_static("http://nowhere").connect_lazy(),
                platforms: read(builds),
                version: String::new(),
            };
            assert_eq!(endpoint.heading(&read(wanted)), expected);
        };
        let amd64 = ["linux/amd64", "linux/amd64/v2", "linux/arm64", "linux/386"];
        check(&amd64, &["linux/amd64", "linux/386"], "b");
        check(&amd64, &["linux/amd64", "linux/arm64"], "b (linux/arm64 emulated)");
        check(
            &amd64,
            &["linux/arm64", "linux/s390x"],
            "b (linux/arm64,linux/s390x emulated)",
        );
        check(&["linux/arm64", "linux/amd64"], &["linux/arm64", "linux/arm/v7"], "b");
        check(
            &["linux/arm64", "linux/amd64"],
            &["linux/amd64"],
            "b (linux/amd64 emulated)",
        );
        // What says nothing is believed to be right.
        check(&[], &["linux/amd64"], "b");
    }
}
