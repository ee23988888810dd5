//! Secrets that RUN can mount: what the user wrote → [`SecretSource`] → bytes, read when BuildKit asks.

use super::BuildError;
use std::fmt;
use std::path::PathBuf;

/// The most that BuildKit takes for a secret (its `MaxSecretSize`).
const SECRET_MAX_BYTES: u64 = 500 * 1024;

/// One secret, by the `id` that RUN mounts.
#[derive(Clone, Debug)]
pub struct SecretSource {
    /// Its name in `RUN --mount=type=secret,id=…`.
    pub id: String,
    /// Where its bytes are.
    pub from: SecretFrom,
}

/// Where the bytes of a secret are.
#[derive(Clone)]
pub enum SecretFrom {
    /// In a file, which is read when BuildKit asks.
    File(PathBuf),
    /// Here; they came from an environment variable.
    Bytes(Vec<u8>),
}

impl fmt::Debug for SecretFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "File({})", path.display()),
            Self::Bytes(_) => f.write_str("Bytes(…)"),
        }
    }
}

impl SecretSource {
    /// Reads `id=ID[,type=file|env][,src=FILE|,env=VARIABLE]`, as BuildKit's own clients do; `environment` gives the
    /// value of a variable. With neither file nor variable, the variable named like the id is taken when it is set,
    /// else the file of that name.
    pub fn parse(text: &str, environment: &dyn Fn(&str) -> Option<String>) -> Result<Self, BuildError> {
        let error = |id: &str, reason: String| BuildError::Secret {
            id: id.to_owned(),
            reason,
        };
        let (mut id, mut file, mut variable, mut is_variable) = (String::new(), None, None, None);
        for field in text.split(',') {
            let unexpected = || {
                error(
                    text,
                    format!("{field:?} is none of id=, src=, env=, type=file, type=env"),
                )
            };
            let (key, value) = field.split_once('=').ok_or_else(unexpected)?;
            match (key.trim().to_lowercase().as_str(), value) {
                ("id", value) => id = value.to_owned(),
                ("src" | "source", value) => file = Some(value.to_owned()),
                ("env", value) => variable = Some(value.to_owned()),
                ("type", "file") => is_variable = Some(false),
                ("type", "env") => is_variable = Some(true),
                _ => return Err(unexpected()),
            }
        }
        if id.is_empty() {
            return Err(error(text, "it has no id".into()));
        }
        if is_variable == Some(true) && variable.is_none() {
            variable = file.take();
        }
        if variable.is_none() && file.is_none() {
            let is_set = is_variable != Some(false) && environment(&id).is_some();
            *(if is_set { &mut variable } else { &mut file }) = Some(id.clone());
        }
        let from = match (file, variable) {
            (Some(file), _) => SecretFrom::File(file.into()),
            (None, name) => {
                let name = name.unwrap_or_default();
                let value = environment(&name);
                SecretFrom::Bytes(
                    value
                        .ok_or_else(|| error(&id, format!("the variable {name} is not set")))?
                        .into_bytes(),
                )
            }
        };
        Ok(Self { id, from })
    }

    /// Its bytes.
    pub(super) async fn read(&self) -> Result<Vec<u8>, BuildError> {
        let error = |reason: String| BuildError::Secret {
            id: self.id.clone(),
            reason,
        };
        match &self.from {
            SecretFrom::Bytes(bytes) => {
                check_size(bytes.len() as u64).map_err(error)?;
                Ok(bytes.clone())
            }
            SecretFrom::File(path) => {
                let failed = |e: std::io::Error| error(format!("{}: {e}", path.display()));
                check_size(tokio::fs::metadata(path).await.map_err(failed)?.len()).map_err(error)?;
                tokio::fs::read(path).await.map_err(failed)
            }
        }
    }
}

fn check_size(size: u64) -> Result<(), String> {
    if size <= SECRET_MAX_BYTES {
        return Ok(());
    }
    Err(format!(
        "it has {size} bytes, and BuildKit takes {SECRET_MAX_BYTES} at most"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let environment = |name: &str| (name == "TOKEN").then(|| "value".to_owned());
        let found = match SecretSource::parse(text, &environment) {
            Ok(SecretSource {
                id,
                from: SecretFrom::File(path),
            }) => format!("{id} file {}", path.display()),
            Ok(SecretSource {
                id,
                from: SecretFrom::Bytes(bytes),
            }) => {
                format!("{id} bytes {}", String::from_utf8_lossy(&bytes))
            }
            Err(error) => error.to_string(),
        };
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn texts_are_read_as_buildkits_clients_read_them() {
        check("id=a,src=/x", "a file /x");
        check("id=a,source=x,type=file", "a file x");
        check("id=a,env=TOKEN", "a bytes value");
        check("type=env,id=a,src=TOKEN", "a bytes value");
        check("id=TOKEN", "TOKEN bytes value");
        check("id=TOKEN,type=file", "TOKEN file TOKEN");
        check("id=other", "other file other");
        check(
            "id=a,env=MISSING",
            "the secret a cannot be used: the variable MISSING is not set",
        );
        check("src=/x", "the secret src=/x cannot be used: it has no id");
        check(
            "id=a,mode=1",
            "the secret id=a,mode=1 cannot be used: \"mode=1\" is none of id=, src=, env=, type=file, type=env",
        );
    }

    #[test]
    fn debug_shows_no_secret() {
        let source = SecretSource {
            id: "a".into(),
            from: SecretFrom::Bytes(b"hidden".to_vec()),
        };
        assert_eq!(format!("{source:?}"), "SecretSource { id: \"a\", from: Bytes(…) }");
    }
}
