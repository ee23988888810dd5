//! From files to what a builder gets.

use super::*;
use crate::builder::Kind;

/// A directory with a configuration and what it names.
struct Files(tempfile::TempDir);

impl Files {
    fn new(files: &[(&str, &str)]) -> Self {
        let here = Self(tempfile::tempdir().expect("a directory"));
        for (name, text) in files {
            here.write(name, text);
        }
        here
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        std::fs::write(path, text).expect("a file");
    }

    fn config(&self) -> BuilderConfig {
        BuilderConfig {
            config: Some(self.path("buildkitd.toml")),
            home: Some(self.path("home")),
            ..BuilderConfig::default()
        }
    }

    fn load(&self) -> Result<Configuration, BuilderError> {
        let config = self.config();
        let loaded = Configuration::load(&config, config.config.as_deref(), Reach::Container)?;
        Ok(loaded.configuration.expect("a configuration"))
    }
}

#[test]
fn nothing_given_is_no_configuration() {
    let loaded = Configuration::load(&BuilderConfig::default(), None, Reach::Container).expect("loads");
    assert!(loaded.configuration.is_none() && loaded.left_out.is_empty());
    let mut config = BuilderConfig::default();
    config.registries.mirrors = vec![("*".into(), "http://localhost:5000".into())];
    let loaded = Configuration::load(&config, None, Reach::Container).expect("loads");
    assert!(loaded.configuration.is_none());
    assert_eq!(loaded.left_out, ["http://localhost:5000"]);
}

#[test]
fn what_is_named_is_taken_along_from_home_beside_and_anywhere() {
    let elsewhere = Files::new(&[("key.pem", "key")]);
    let text = format!(
        "[registry.r]\nca = ['~/ca.pem', 'certs/ca.pem']\n[[registry.r.keypair]]\nkey = '{}'\ncert = 'cert.pem'\n",
        elsewhere.path("key.pem").display()
    );
    let files = Files::new(&[
        ("buildkitd.toml", &text),
        ("home/ca.pem", "home"),
        ("certs/ca.pem", "beside"),
        ("cert.pem", "cert"),
    ]);
    let configuration = files.load().expect("loads");
    let seen: Vec<_> = configuration
        .files()
        .map(|(path, file)| (path, String::from_utf8_lossy(&file.bytes).into_owned(), file.is_secret))
        .collect();
    let expected = |path, text: &str, is_secret| (path, text.to_owned(), is_secret);
    assert_eq!(
        seen,
        [
            expected("certs/r/ca.0.pem", "home", false),
            expected("certs/r/ca.1.pem", "beside", false),
            expected("certs/r/keypair.0.cert.pem", "cert", false),
            expected("certs/r/keypair.0.key.pem", "key", true),
        ]
    );
    let toml = configuration.toml("/etc/buildkit");
    assert!(
        toml.contains("ca = [\"/etc/buildkit/certs/r/ca.0.pem\", \"/etc/buildkit/certs/r/ca.1.pem\"]"),
        "{toml}"
    );
}

#[test]
fn directories_are_taken_along_with_what_is_read_in_them() {
    let files = Files::new(&[
        ("buildkitd.toml", "[registry.r]\ntlsconfigdir = ['certs.d', 'none']\n"),
        ("certs.d/ca.crt", "ca"),
        ("certs.d/client.cert", "cert"),
        ("certs.d/client.key", "key"),
        ("certs.d/readme", "nobody reads it"),
    ]);
    let configuration = files.load().expect("loads");
    let seen: Vec<_> = configuration
        .files()
        .map(|(path, file)| (path, file.is_secret))
        .collect();
    assert_eq!(
        seen,
        [
            ("certs/r/tlsconfigdir.0/ca.crt", false),
            ("certs/r/tlsconfigdir.0/client.cert", false),
            ("certs/r/tlsconfigdir.0/client.key", true),
        ]
    );
    let label = || files.load().expect("loads").label();
    let first = label();
    files.write("certs.d/readme", "still nobody");
    assert_eq!(label(), first);
    files.write("certs.d/ca.crt", "another");
    assert_ne!(label(), first);
}

#[test]
fn only_what_matters_is_a_change() {
    let one = "debug = true\n[registry.r]\nca = ['ca.pem']\nmirrors = ['a', 'b']\n[worker.oci]\ngc = false\n";
    let files = Files::new(&[("buildkitd.toml", one), ("ca.pem", "ca"), ("moved.pem", "ca")]);
    let label = || files.load().expect("loads").label();
    let first = label();
    assert!(first.starts_with("2-"), "{first}");
    let same = "# a comment\n  [worker]\n  oci = { gc = false } # another\n\n[registry]\n\
                r = { mirrors = [ \"a\", 'b' ], ca = [\"moved.pem\"] }\n";
    files.write("buildkitd.toml", &format!("debug   = true\n{same}"));
    assert_eq!(label(), first, "order, blanks, comments and places do not count");
    files.write("buildkitd.toml", &one.replace("'a', 'b'", "'b', 'a'"));
    assert_ne!(label(), first, "the order of mirrors counts");
    files.write("buildkitd.toml", one);
    assert_eq!(label(), first);
    files.write("ca.pem", "another");
    assert_ne!(label(), first, "the files count");
}

#[test]
fn flags_count_as_much_as_the_file() {
    let files = Files::new(&[("buildkitd.toml", ""), ("ca.pem", "ca")]);
    let mut config = files.config();
    let load = |config: &BuilderConfig| {
        let loaded = Configuration::load(config, config.config.as_deref(), Reach::Container).expect("loads");
        loaded.configuration.expect("a configuration")
    };
    let plain = load(&config);
    assert_eq!(plain.certificates(Path::new("/c"), None), None);
    config.registries.authorities = vec![files.path("ca.pem")];
    let trusting = load(&config);
    assert_ne!(plain.label(), trusting.label());
    assert_eq!(trusting.files().next().expect("a file").0, "authorities/0.pem");
    let value = |ambient: Option<&str>| {
        trusting
            .certificates(Path::new("/c"), ambient.map(OsStr::new))
            .expect("a value")
    };
    assert_eq!(value(None), "/etc/ssl/certs:/etc/pki/tls/certs:/c/authorities");
    assert_eq!(value(Some("/mine")), "/mine:/c/authorities");
    // The same, whether it stands in the file or is given.
    config.registries.authorities.clear();
    config.registries.mirrors = vec![("docker.io".into(), "http://m:5000".into())];
    let given = load(&config).label();
    files.write(
        "buildkitd.toml",
        "registry.'docker.io'.mirrors = ['m:5000']\nregistry.'m:5000'.http = true\n",
    );
    config.registries.mirrors.clear();
    assert_eq!(load(&config).label(), given);
}

#[test]
fn what_cannot_be_read_is_named_with_its_key() {
    let check = |files: &[(&str, &str)], words: &[&str]| {
        let files = Files::new(files);
        let error = files.load().err().expect("an error");
        let text = error.to_string();
        assert_eq!(error.kind(), Kind::Input, "{text}");
        for word in words {
            assert!(text.contains(word), "{word} is not in {text}");
        }
    };
    check(&[], &["buildkitd.toml cannot be read", "No such file"]);
    check(&[("buildkitd.toml", "a = [")], &["is not TOML", "line 1"]);
    check(
        &[("buildkitd.toml", "[registry.r]\nca = ['nowhere/ca.pem']")],
        &[
            "registry.\"r\".ca[0] of the builder configuration",
            "nowhere/ca.pem",
            "No such file",
        ],
    );
    check(
        &[("buildkitd.toml", "[[registry.r.keypair]]\nkey = '~/k'\ncert = 'c'")],
        &["registry.\"r\".keypair[0].key", "home/k"],
    );
    check(
        &[("buildkitd.toml", "[registry.r]\nca = 'ca.pem'")],
        &["is wrong at registry.\"r\".ca: it is no list"],
    );
}
