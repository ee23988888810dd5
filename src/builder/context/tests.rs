//! Docker's files and variables, in the Docker program's order.

use super::*;
use crate::builder::{Kind, Tcp, Way};

/// Writes a context as the Docker program does.
pub(in crate::builder) fn write_context(directory: &Path, name: &str, host: &str) {
    let text = format!(
        r#"{{"Name":{name:?},"Metadata":{{}},"Endpoints":{{"docker":{{"Host":{host:?},"SkipTLSVerify":false}}}}}}"#
    );
    write_meta(directory, name, &text);
}

fn write_meta(directory: &Path, name: &str, text: &str) {
    let path = files::meta(directory, &digest(name));
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
    std::fs::write(path, text).expect("a file");
}

fn digest(name: &str) -> String {
    hex::encode(Sha256::digest(name))
}

fn write_tls(directory: &Path, name: &str, files: &[&str]) -> PathBuf {
    let tls = directory.join("contexts/tls").join(digest(name)).join("docker");
    std::fs::create_dir_all(&tls).expect("a directory");
    for file in files {
        std::fs::write(tls.join(file), "").expect("a file");
    }
    tls
}

#[test]
fn the_order_is_the_docker_programs() {
    let directory = tempfile::tempdir().expect("a directory");
    for name in ["in-file", "in-variable"] {
        write_context(directory.path(), name, &format!("unix:///{name}"));
    }
    let write = |text: &str| std::fs::write(directory.path().join("config.json"), text).expect("a file");
    let check = |host: &str, context: &str, expected: &str| {
        let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let contexts = Contexts::read(&DockerSettings {
            directory: Some(directory.path().to_owned()),
            host: given(host),
            context: given(context),
            ..DockerSettings::default()
        });
        assert_eq!(contexts.current().expect("a daemon").to_string(), expected);
    };
    check("", "", DEFAULT_HOST);
    check("", "in-variable", "unix:///in-variable (context in-variable)");
    write(r#"{"auths": {}, "currentContext": "in-file"}"#);
    check("", "", "unix:///in-file (context in-file)");
    check("", "in-variable", "unix:///in-variable (context in-variable)");
    check("", "default", DEFAULT_HOST);
    check("unix:///h", "in-variable", "unix:///h");
    check("unix:///h", "default", "unix:///h");
    write(r#"{"currentContext": "default"}"#);
    check("", "", DEFAULT_HOST);
}

#[test]
fn a_context_that_is_not_there_or_broken_is_an_error_that_says_where() {
    let directory = tempfile::tempdir().expect("a directory");
    let settings = || DockerSettings {
        directory: Some(directory.path().to_owned()),
        ..DockerSettings::default()
    };
    let check = |settings: DockerSettings, parts: &[&str]| {
        let error = Contexts::read(&settings).current().expect_err("no daemon");
        assert_eq!(error.kind(), Kind::Input, "{error}");
        for part in parts {
            assert!(error.to_string().contains(part), "{part} is not in {error}");
        }
    };
    let named = |name: &str| DockerSettings {
        context: Some(name.to_owned()),
        ..settings()
    };
    write_context(directory.path(), "there", "unix:///there");
    check(
        named("nowhere"),
        &["\"nowhere\"", "DOCKER_CONTEXT names", "there are default, there"],
    );
    write_meta(directory.path(), "broken", "{");
    check(named("broken"), &["meta.json", "EOF"]);
    check(named("nowhere"), &["there are default, there"]);
    write_meta(
        directory.path(),
        "kube",
        r#"{"Name":"kube","Endpoints":{"kubernetes":{}}}"#,
    );
    check(named("kube"), &["meta.json", "names no Docker daemon"]);
    write_context(directory.path(), "pipe", "npipe:////./pipe/docker_engine");
    check(named("pipe"), &["meta.json", "npipe:", "are supported"]);
    std::fs::write(directory.path().join("config.json"), r#"{"currentContext": "gone"}"#).expect("a file");
    check(settings(), &["\"gone\"", "currentContext in ", "config.json names"]);
    std::fs::write(directory.path().join("config.json"), "no JSON").expect("a file");
    check(settings(), &["config.json"]);
    // It is not read where it does not count.
    Contexts::read(&named("there")).current().expect("a daemon");
}

#[test]
fn ways_are_read() {
    let directory = tempfile::tempdir().expect("a directory");
    let way = |name: &str| {
        let contexts = Contexts::read(&DockerSettings {
            directory: Some(directory.path().to_owned()),
            ..DockerSettings::default()
        });
        contexts.named(name).expect("a daemon").way
    };
    let tcp = |port: u16, tls: Option<Tls>| {
        Way::Tcp(Tcp {
            host: "h".into(),
            port,
            tls,
        })
    };
    write_context(directory.path(), "plain", "tcp://h:1");
    assert_eq!(way("plain"), tcp(1, None));
    write_context(directory.path(), "port", "tcp://h");
    assert_eq!(way("port"), tcp(PLAIN_PORT, None));
    let files = write_tls(directory.path(), "port", &["ca.pem", "cert.pem", "key.pem"]);
    let file = |name: &str| Some(files.join(name));
    let tls = Tls {
        ca: file("ca.pem"),
        cert: file("cert.pem"),
        key: file("key.pem"),
        ..Tls::default()
    };
    assert_eq!(way("port"), tcp(2376, Some(tls)));
    write_meta(
        directory.path(),
        "skip",
        r#"{"Name":"skip","Endpoints":{"docker":{"Host":"tcp://h:1","SkipTLSVerify":true}}}"#,
    );
    let skip = Tls {
        skip_verify: true,
        ..Tls::default()
    };
    assert_eq!(way("skip"), tcp(1, Some(skip)));
    let line = |name: &str| match way(name) {
        Way::Program(line) => line.join(" "),
        other => panic!("{other:?}"),
    };
    write_context(directory.path(), "ssh", "ssh://u@h:22");
    assert!(line("ssh").ends_with(" -l u -p 22 -- h docker system dial-stdio"));
    write_context(directory.path(), "socket", "ssh://h/run/d.sock");
    assert!(line("socket").ends_with(" -- h docker --host unix:///run/d.sock system dial-stdio"));
}

/// Where daemons listen when a context's address has no port.
const PLAIN_PORT: u16 = 2375;

#[test]
fn the_variables_for_tls_are_about_the_host() {
    let directory = tempfile::tempdir().expect("a directory");
    let check = |tls: bool, tls_verify: bool, expected: Option<Tls>| {
        let contexts = Contexts::read(&DockerSettings {
            host: Some("tcp://h:1".into()),
            certificates: Some(directory.path().to_owned()),
            tls,
            tls_verify,
            ..DockerSettings::default()
        });
        match contexts.current().expect("a daemon").way {
            Way::Tcp(tcp) => assert_eq!(tcp.tls, expected),
            other => panic!("{other:?}"),
        }
    };
    check(false, false, None);
    let any = Tls {
        skip_verify: true,
        ..Tls::default()
    };
    check(true, false, Some(any));
    // An authority that is not there is missed when it is dialled.
    let ca = Some(directory.path().join("ca.pem"));
    let checked = Tls { ca, ..Tls::default() };
    check(false, true, Some(checked.clone()));
    check(true, true, Some(checked));
}
