//! The files that a `buildkitd.toml` names for its registries: found, and their paths rewritten. Pure; nothing is read.

use toml::{Table, Value};

/// Directory of certificates and keys, below the configuration's.
const CERTIFICATES: &str = "certs/";

/// The key of directories as Docker's certs.d has them.
const DIRECTORY: &str = "tlsconfigdir";

/// How the files end that BuildKit reads in such a directory; the last of them is private.
pub(super) const ENDINGS: [&str; 3] = [".crt", ".cert", KEY_ENDING];
/// How private ones end.
pub(super) const KEY_ENDING: &str = ".key";

/// What is wrong with a document: the key, and why.
pub(super) type Wrong = (String, String);

/// A file, or a directory of files, that a document names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Named {
    /// Where it is named, as `registry."x".ca[0]`.
    pub key: String,
    /// As it is written.
    pub path: String,
    /// Where it goes, relative to the configuration's directory.
    pub target: String,
    /// Whether it is a private key.
    pub is_secret: bool,
    /// Whether it is a directory, of which all certificates and keys are meant.
    pub is_directory: bool,
}

/// The files that `document` names, in their order; their paths become the targets.
///
/// A target says which key names it and nothing of the path: a file that moved is not another configuration.
pub(super) fn take(document: &mut Table) -> Result<Vec<Named>, Wrong> {
    let mut found = Vec::new();
    each(document, &mut |mut named, value| {
        named.path = std::mem::replace(value, named.target.clone());
        found.push(named);
    })?;
    Ok(found)
}

/// Makes the targets in a document that was [taken](take) apart absolute, for a configuration that lies in `directory`.
pub(super) fn place(document: &mut Table, directory: &str) {
    // It was walked through before; there is nothing wrong with it.
    let _ = each(document, &mut |_, value| *value = format!("{directory}/{value}"));
}

/// Visits every path of a file in `document`.
fn each(document: &mut Table, visit: &mut dyn FnMut(Named, &mut String)) -> Result<(), Wrong> {
    for (name, registry) in registries(document)? {
        let (directory, key) = (directory(name), key(name));
        let mut see = |field: String, file: String, value: &mut Value| {
            let key = format!("{key}.{field}");
            let Value::String(text) = value else {
                return Err((key, "it is no path in quotes".to_owned()));
            };
            let is_directory = file.starts_with(DIRECTORY);
            let ending = if is_directory { "" } else { ".pem" };
            let named = Named {
                key,
                path: String::new(),
                target: format!("{CERTIFICATES}{directory}/{file}{ending}"),
                is_secret: file.ends_with(".key"),
                is_directory,
            };
            visit(named, text);
            Ok(())
        };
        for (number, path) in list(registry, &key, DIRECTORY)?.iter_mut().enumerate() {
            see(format!("{DIRECTORY}[{number}]"), format!("{DIRECTORY}.{number}"), path)?;
        }
        for (number, authority) in list(registry, &key, "ca")?.iter_mut().enumerate() {
            see(format!("ca[{number}]"), format!("ca.{number}"), authority)?;
        }
        for (number, pair) in list(registry, &key, "keypair")?.iter_mut().enumerate() {
            for part in ["key", "cert"] {
                let field = format!("keypair[{number}].{part}");
                match pair.get_mut(part) {
                    Some(value) => see(field, format!("keypair.{number}.{part}"), value)?,
                    None => {
                        return Err((
                            format!("{key}.{field}"),
                            "it is missing: a keypair has key and cert".to_owned(),
                        ));
                    }
                }
            }
        }
    }
    Ok(())
}

/// The registries of `document` by name.
pub(super) fn registries(document: &mut Table) -> Result<Vec<(&str, &mut Table)>, Wrong> {
    let all = match document.get_mut("registry") {
        None => return Ok(Vec::new()),
        Some(Value::Table(all)) => all,
        Some(_) => return Err(("registry".to_owned(), "it is no table".to_owned())),
    };
    let named = all.iter_mut().map(|(name, value)| match value {
        Value::Table(table) => Ok((name.as_str(), table)),
        _ => Err((key(name), "it is no table".to_owned())),
    });
    named.collect()
}

/// The entries of a field that is a list; none where there is no such field.
pub(super) fn list<'a>(registry: &'a mut Table, key: &str, field: &str) -> Result<&'a mut [Value], Wrong> {
    match registry.get_mut(field) {
        None => Ok(&mut []),
        Some(Value::Array(entries)) => Ok(entries),
        Some(_) => Err((format!("{key}.{field}"), "it is no list".to_owned())),
    }
}

/// A registry as it is written in a key.
pub(super) fn key(registry: &str) -> String {
    format!("registry.{registry:?}")
}

/// A directory's name for a registry: itself, with everything escaped that is more than a name.
fn directory(registry: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_:[]".contains(c);
    let escape = |(place, c): (usize, char)| match c {
        // Not at the beginning: `..` is another directory.
        '.' if place > 0 => c.to_string(),
        c if is_plain(c) => c.to_string(),
        c => c.to_string().bytes().map(|byte| format!("%{byte:02x}")).collect(),
    };
    registry.char_indices().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> Table {
        text.parse().expect(text)
    }

    #[test]
    fn every_file_is_named_with_its_key() {
        let mut document = document(
            "[registry.\"a:1\"]\nca = ['x/ca.pem', '/y/ca.pem']\n[[registry.'a:1'.keypair]]\nkey = '~/k'\ncert = 'c'\n\
             [registry.b]\nkeypair = [{ cert = 'c2', key = 'k2' }]\n[worker.oci]\nca = ['not this']\n",
        );
        let found = take(&mut document).expect("names");
        let seen: Vec<_> = found
            .iter()
            .map(|one| (one.key.as_str(), one.path.as_str(), one.target.as_str(), one.is_secret))
            .collect();
        assert_eq!(
            seen,
            [
                ("registry.\"a:1\".ca[0]", "x/ca.pem", "certs/a:1/ca.0.pem", false),
                ("registry.\"a:1\".ca[1]", "/y/ca.pem", "certs/a:1/ca.1.pem", false),
                (
                    "registry.\"a:1\".keypair[0].key",
                    "~/k",
                    "certs/a:1/keypair.0.key.pem",
                    true
                ),
                (
                    "registry.\"a:1\".keypair[0].cert",
                    "c",
                    "certs/a:1/keypair.0.cert.pem",
                    false
                ),
                ("registry.\"b\".keypair[0].key", "k2", "certs/b/keypair.0.key.pem", true),
                (
                    "registry.\"b\".keypair[0].cert",
                    "c2",
                    "certs/b/keypair.0.cert.pem",
                    false
                ),
            ]
        );
        place(&mut document, "/etc/buildkit");
        let text = document.to_string();
        assert!(text.contains("\"/etc/buildkit/certs/b/keypair.0.key.pem\""), "{text}");
        assert!(text.contains("\"not this\""), "{text}");
        for named in found {
            assert!(
                text.contains(&named.target) && !text.contains(&format!("\"{}\"", named.path)),
                "{text}"
            );
        }
    }

    #[test]
    fn directories_are_named_too() {
        let mut document = document("[registry.a]\ntlsconfigdir = ['/etc/certs.d/a', 'b']\n");
        let found = take(&mut document).expect("names");
        let seen: Vec<_> = found
            .iter()
            .map(|one| (one.key.as_str(), one.target.as_str(), one.is_directory))
            .collect();
        assert_eq!(
            seen,
            [
                ("registry.\"a\".tlsconfigdir[0]", "certs/a/tlsconfigdir.0", true),
                ("registry.\"a\".tlsconfigdir[1]", "certs/a/tlsconfigdir.1", true),
            ]
        );
        place(&mut document, "/etc/buildkit");
        let text = document.to_string();
        assert!(text.contains("\"/etc/buildkit/certs/a/tlsconfigdir.1\""), "{text}");
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let check = |text: &str, key: &str, reason: &str| {
            let wrong = take(&mut document(text)).expect_err(text);
            assert_eq!((wrong.0.as_str(), wrong.1.as_str()), (key, reason));
        };
        check("registry = 1", "registry", "it is no table");
        check("[registry]\na = 1", "registry.\"a\"", "it is no table");
        check("[registry.a]\nca = 'x'", "registry.\"a\".ca", "it is no list");
        check(
            "[registry.a]\nca = [1]",
            "registry.\"a\".ca[0]",
            "it is no path in quotes",
        );
        check(
            "[registry.a.keypair]\nkey = 'x'",
            "registry.\"a\".keypair",
            "it is no list",
        );
        check(
            "[[registry.a.keypair]]\nkey = 'x'",
            "registry.\"a\".keypair[0].cert",
            "it is missing: a keypair has key and cert",
        );
    }

    #[test]
    fn no_registry_leaves_its_directory() {
        let check = |registry: &str, expected: &str| assert_eq!(directory(registry), expected);
        check("127.0.0.1:5000", "127.0.0.1:5000");
        check("[::1]:5000", "[::1]:5000");
        check("..", "%2e.");
        check("../../x", "%2e.%2f..%2fx");
        check("a b", "a%20b");
        check("a%20b", "a%2520b");
    }
}
