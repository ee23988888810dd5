//! Where credentials come from, for those who have to say why a registry refuses: [`Origin`]. Never what they are.

use super::{Configuration, CredentialError, CredentialSource, Credentials, Place, Text, host};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Where the credentials for one registry come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A list that the user gave.
    Given,
    /// Stored in a configuration: the file, or the variable that holds its text.
    Stored(String),
    /// A helper program.
    Helper {
        /// Its name, `docker-credential-pass`.
        program: String,
        /// The configuration that names it.
        place: String,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given => f.write_str("--registry-creds"),
            Self::Stored(place) => f.write_str(place),
            Self::Helper { program, place } => write!(f, "{program}, which {place} names"),
        }
    }
}

/// A helper program that a configuration names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Helper {
    /// Its name, `docker-credential-pass`.
    pub program: String,
    /// The configuration that names it.
    pub place: String,
    /// The text that it is asked for, for the first registry that it is there for; None when it is there for all.
    pub key: Option<String>,
}

impl CredentialSource {
    /// What [`CredentialSource::lookup`] finds, and where; None where there is nothing. Blocks: helpers are programs.
    pub fn locate(&self, registry: &str) -> Result<Option<(Credentials, Origin)>, CredentialError> {
        let found = self.lookup(registry)?;
        if found == Credentials::Anonymous {
            return Ok(None);
        }
        let registry = host(registry);
        let (directory, text) = match &*self.0 {
            Place::Given(_) => return Ok(Some((found, Origin::Given))),
            Place::Docker { directory, text } => (directory, text),
        };
        if let Some(Text(text)) = text {
            let mut configuration = Configuration::parse(VARIABLE.into(), text)?;
            configuration.forget_helpers();
            if configuration.lookup(registry)? != Credentials::Anonymous {
                return Ok(Some((found, Origin::Stored(VARIABLE.into()))));
            }
        }
        let file = directory.as_deref().map(Configuration::load).transpose()?.flatten();
        let origin = file.map(|configuration| configuration.origin(registry)).transpose()?;
        Ok(origin.map(|origin| (found, origin)))
    }

    /// The registries for which something is given or stored, as hosts, sorted. Those that only a helper for all
    /// registries knows are among them when `docker login` has left their names.
    pub fn registries(&self) -> Result<Vec<String>, CredentialError> {
        let mut found = BTreeSet::new();
        if let Place::Given(credentials) = &*self.0 {
            found.extend(credentials.keys().cloned());
        }
        for configuration in self.configurations()? {
            for list in ["auths", "credHelpers"] {
                let keys = configuration.value.get(list).and_then(Value::as_object);
                let keys = keys.into_iter().flat_map(serde_json::Map::keys);
                found.extend(keys.map(|key| host(key).to_owned()).filter(|host| !host.is_empty()));
            }
        }
        Ok(found.into_iter().collect())
    }

    /// The helper programs that may be asked, sorted, each once.
    pub fn helpers(&self) -> Result<Vec<Helper>, CredentialError> {
        let mut found: BTreeMap<String, Helper> = BTreeMap::new();
        for configuration in self.configurations()? {
            let by_key = configuration.value.get("credHelpers").and_then(Value::as_object);
            let by_key = by_key
                .into_iter()
                .flatten()
                .map(|(key, name)| (Some(key.clone()), name.as_str()));
            let for_all = configuration.value.get("credsStore").and_then(Value::as_str);
            let named = by_key.chain(for_all.map(|name| (None, Some(name))));
            for (key, name) in named.filter_map(|(key, name)| Some((key, name.filter(|name| !name.is_empty())?))) {
                let program = format!("docker-credential-{name}");
                found.entry(program.clone()).or_insert_with(|| Helper {
                    program,
                    place: configuration.place.clone(),
                    key,
                });
            }
        }
        Ok(found.into_values().collect())
    }

    /// The variable's, whose helpers are not run, and then the file's.
    fn configurations(&self) -> Result<Vec<Configuration>, CredentialError> {
        let Place::Docker { directory, text } = &*self.0 else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        if let Some(Text(text)) = text {
            let mut configuration = Configuration::parse(VARIABLE.into(), text)?;
            configuration.forget_helpers();
            found.push(configuration);
        }
        found.extend(directory.as_deref().map(Configuration::load).transpose()?.flatten());
        Ok(found)
    }
}

/// The name under which the configuration that came as text is known.
const VARIABLE: &str = "DOCKER_AUTH_CONFIG";

impl Configuration {
    /// Where it has the credentials from that it gives for a registry: a helper for this registry goes first, then what is
    /// stored, then the helper for all.
    fn origin(&self, registry: &str) -> Result<Origin, CredentialError> {
        let key = self.key(registry);
        let is_own = self.value.get("credHelpers").and_then(|helpers| helpers.get(key));
        let mut stored = Self::parse(self.place.clone(), &self.value.to_string())?;
        stored.forget_helpers();
        let is_stored = is_own.is_none() && stored.lookup(registry)? != Credentials::Anonymous;
        let place = self.place.clone();
        Ok(match self.helper(key).filter(|_| !is_stored) {
            Some(program) => Origin::Helper { program, place },
            None => Origin::Stored(place),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;

    fn auth() -> String {
        let encoded = base64::engine::general_purpose::STANDARD.encode("me:s3cret");
        format!(r#"{{"auth":"{encoded}"}}"#)
    }

    #[test]
    fn the_place_is_told_and_never_the_secret() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("config.json");
        let text = format!(
            r#"{{"auths":{{"a":{},"b":{{}}}},"credHelpers":{{"c":"x","d":"x"}}}}"#,
            auth()
        );
        std::fs::write(&file, text).expect("a file");
        let variable = format!(r#"{{"auths":{{"v":{}}}}}"#, auth());
        let source = CredentialSource::docker_with_text(Some(directory.path().to_owned()), Some(variable));
        let check = |registry: &str, expected: Option<Origin>| {
            let found = source.locate(registry).expect(registry);
            assert!(!format!("{found:?}").contains("s3cret"), "{found:?}");
            assert_eq!(found.map(|(_, origin)| origin), expected, "{registry}");
        };
        check("a", Some(Origin::Stored(file.display().to_string())));
        check("b", None);
        check("v", Some(Origin::Stored("DOCKER_AUTH_CONFIG".into())));
        check("w", None);
        assert_eq!(source.registries().expect("a list"), ["a", "b", "c", "d", "v"]);
        let helper = Helper {
            program: "docker-credential-x".into(),
            place: file.display().to_string(),
            key: Some("c".into()),
        };
        assert_eq!(source.helpers().expect("a list"), [helper]);
        let given = CredentialSource::given(BTreeMap::from([(
            "g".to_owned(),
            Credentials::RegistryToken("s3cret".into()),
        )]));
        assert_eq!(
            given.locate("g").expect("found").map(|found| found.1),
            Some(Origin::Given)
        );
        assert_eq!(given.registries().expect("a list"), ["g"]);
        assert!(given.helpers().expect("a list").is_empty());
    }

    #[test]
    fn a_helper_goes_before_what_is_stored_when_it_is_for_this_registry() {
        let check = |text: &str, registry: &str, helper: Option<&str>| {
            let configuration = Configuration::parse("p".into(), text).expect(text);
            let expected = match helper {
                Some(name) => Origin::Helper {
                    program: format!("docker-credential-{name}"),
                    place: "p".into(),
                },
                None => Origin::Stored("p".into()),
            };
            assert_eq!(configuration.origin(registry).expect(text), expected, "{text}");
        };
        let stored = auth();
        check(&format!(r#"{{"auths":{{"r":{stored}}},"credsStore":"s"}}"#), "r", None);
        check(r#"{"auths":{"r":{}},"credsStore":"s"}"#, "r", Some("s"));
        check(
            &format!(r#"{{"auths":{{"r":{stored}}},"credHelpers":{{"r":"h"}}}}"#),
            "r",
            Some("h"),
        );
        check(
            r#"{"credHelpers":{"https://index.docker.io/v1/":"h"}}"#,
            "docker.io",
            Some("h"),
        );
    }
}
