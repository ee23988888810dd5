//! Docker contexts: a daemon behind a socket, one behind TLS, one behind ssh.

use super::sshd::Sshd;
use super::*;
use crate::program::{Run, Workshop, unique};
use lkpkg::builder::{Contexts, DockerSettings, Tls, Way};
use sha2::{Digest as _, Sha256};
use std::process::Command;

/// A repository with a package, and contexts in its home. Containers that its runs make are removed at the end.
struct Here {
    workshop: Workshop,
    container: String,
    daemons: Vec<(String, Option<PathBuf>)>,
}

impl Here {
    fn new(name: &str, arches: &str) -> Option<Self> {
        let workshop = Workshop::with_bases()?;
        let dockerfile = format!("FROM busybox:1.37\nRUN uname -m >/machine; echo {}\n", unique());
        workshop.package("p", &format!("image: p\narches: [{arches}]\n"), &dockerfile);
        Some(Self {
            workshop,
            container: format!("lkpkg-it-context-{name}-{}", std::process::id()),
            daemons: Vec::new(),
        })
    }

    /// The directory of Docker's files.
    fn docker(&self) -> PathBuf {
        self.workshop.path().join("home/.docker")
    }

    /// Writes a context as `docker context create` does, with the files of `tls` where there are some.
    fn context(&mut self, name: &str, host: &str, skip_verify: bool, tls: &[(&str, PathBuf)]) {
        let digest = hex::encode(Sha256::digest(name));
        let meta = self.docker().join("contexts/meta").join(&digest);
        std::fs::create_dir_all(&meta).expect("a directory");
        let endpoint = serde_json::json!({"Host": host, "SkipTLSVerify": skip_verify});
        let text = serde_json::json!({"Name": name, "Metadata": {}, "Endpoints": {"docker": endpoint}});
        std::fs::write(meta.join("meta.json"), text.to_string()).expect("a file");
        let files = self.docker().join("contexts/tls").join(&digest).join("docker");
        std::fs::create_dir_all(&files).expect("a directory");
        for (file, from) in tls {
            std::fs::copy(from, files.join(file)).expect("a file");
        }
        let certificates = (!tls.is_empty()).then(|| self.file(name, "").parent().expect("a parent").to_owned());
        self.daemons.push((host.to_owned(), certificates));
    }

    /// A file of a context's TLS.
    fn file(&self, context: &str, name: &str) -> PathBuf {
        let digest = hex::encode(Sha256::digest(context));
        self.docker()
            .join("contexts/tls")
            .join(digest)
            .join("docker")
            .join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let all = [
            "build",
            "--sbom-scanner=false",
            "--force",
            "--builder-name",
            &self.container,
        ];
        let mut command = self.workshop.command(&[&all[..], arguments].concat());
        command.env_remove("DOCKER_HOST");
        command
    }

    fn build(&self, arguments: &[&str]) -> Run {
        Run::of(self.command(arguments).output().expect("the program runs"))
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        for (host, certificates) in &self.daemons {
            let docker = |arguments: &[&str]| {
                let mut command = Command::new("docker");
                command.args(["-H", host]).env_remove("DOCKER_CONTEXT");
                if let Some(directory) = certificates {
                    command.arg("--tlsverify").env("DOCKER_CERT_PATH", directory);
                }
                let _ = command.args(arguments).output();
            };
            docker(&["rm", "-fv", &self.container]);
            docker(&["volume", "rm", "-f", &format!("{}-state", self.container)]);
        }
    }
}

/// What Docker calls the files of TLS, in the test bed.
fn certificates() -> Option<Vec<(&'static str, PathBuf)>> {
    let directory = PathBuf::from(server("LKPKG_TEST_CERTIFICATES")?);
    Some(
        ["ca.pem", "cert.pem", "key.pem"]
            .map(|name| (name, directory.join(name)))
            .into(),
    )
}

#[test]
fn two_daemons_build_a_platform_each() {
    let (Some(one), Some(two)) = (server("LKPKG_TEST_DOCKER"), server("LKPKG_TEST_DOCKER_REMOTE")) else {
        return;
    };
    let (Some(mut here), Some(tls)) = (Here::new("two", "amd64, arm64"), certificates()) else {
        return;
    };
    here.context("one", &one, false, &[]);
    here.context("two", &two, false, &tls);
    let run = here.build(&["--builders", "linux/amd64=one,linux/arm64=two", "p"]);
    let (name, said) = (&here.container, run.stderr.clone());
    let heading = format!("{name} in one,{name} in two (linux/arm64 emulated)");
    assert!(said.contains(&heading), "{said}");
    assert_eq!(
        said.matches(&format!("creating the container {name}")).count(),
        2,
        "{said}"
    );
    let image = run.done();
    let image = image.split('@').next().expect("a name");
    for (platform, machine) in [("linux/amd64", "x86_64"), ("linux/arm64", "aarch64")] {
        let arguments = [
            "cache",
            "export",
            "--format=filesystem",
            "--platform",
            platform,
            "--outfile=-",
            image,
        ];
        let output = here.workshop.command(&arguments).output().expect("the program runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains(machine), "{platform}");
    }
}

#[test]
fn the_daemon_is_the_one_that_docker_would_use() {
    let (Some(address), Some(mut here)) = (server("LKPKG_TEST_DOCKER"), Here::new("which", "amd64")) else {
        return;
    };
    for name in ["in-variable", "in-file", "linuxkit-linux-amd64"] {
        here.context(name, &address, false, &[]);
    }
    let in_context = |run: Run, context: &str| {
        let heading = format!("on {} in {context}", here.container);
        assert!(run.stderr.contains(&heading), "{}", run.stderr);
        run.done();
    };
    // A context for the platform goes before the current one.
    in_context(here.build(&["p"]), "linuxkit-linux-amd64");
    in_context(here.build(&["--builders", "in-file", "p"]), "in-file");
    let remove = here.docker().join("contexts/meta");
    std::fs::remove_dir_all(remove.join(hex::encode(Sha256::digest("linuxkit-linux-amd64")))).expect("removed");
    let config = r#"{"currentContext": "in-file"}"#;
    std::fs::write(here.docker().join("config.json"), config).expect("a file");
    in_context(here.build(&["p"]), "in-file");
    let run = here.command(&["p"]).env("DOCKER_CONTEXT", "in-variable").output();
    in_context(Run::of(run.expect("the program runs")), "in-variable");
    let mut command = here.command(&["p"]);
    command
        .env("DOCKER_CONTEXT", "in-variable")
        .env("DOCKER_HOST", &address);
    let run = Run::of(command.output().expect("the program runs"));
    assert!(
        run.stderr.contains(&format!("on {}\n", here.container)),
        "{}",
        run.stderr
    );
    run.done();
}

#[test]
fn a_daemon_behind_ssh_is_reached_with_the_users_ssh() {
    let (Some(sshd), Some(mut here)) = (Sshd::start(), Here::new("ssh", "amd64")) else {
        return;
    };
    here.daemons
        .push((server("LKPKG_TEST_DOCKER").expect("sshd has it"), None));
    // A name that only ssh's configuration knows.
    here.context("far", "ssh://builder.example", false, &[]);
    let name = here.container.clone();
    let build = |context: &str| {
        let arguments = ["--builder-name", &name, "--builders", context, "p"];
        sshd.build(&here.workshop, |_| {}, &arguments)
    };
    let run = build("far");
    assert!(run.stderr.contains(&format!("on {name} in far")), "{}", run.stderr);
    run.done();
    std::fs::write(sshd.key(), "").expect("a file");
    build("far").failed(
        3,
        &["ssh://builder.example (context far)", "ssh says: ", "Permission denied"],
    );
}

#[test]
fn bad_contexts_are_told_before_anything_is_begun() {
    let (Some(address), Some(mut here)) = (server("LKPKG_TEST_DOCKER_REMOTE"), Here::new("bad", "amd64")) else {
        return;
    };
    let Some(tls) = certificates() else { return };
    here.context("right", &address, false, &tls);
    let build = |here: &Here, context: &str| here.build(&["--builder-timeout=5", "--builders", context, "p"]);
    let read_from = here.docker().join("contexts/meta").display().to_string();
    let words = ["\"wrong\", which --builders names", "default, right", &read_from];
    build(&here, "wrong").failed(2, &words);
    // Also for a platform that is not built, and where nothing would be: before anything is read.
    let text = "linux/s390x=docker-container://x?context=wrong";
    for arguments in [&["build", "none"][..], &["plan", "none"]] {
        let run = here.workshop.command(arguments).env("LINUXKIT_BUILDERS", text).output();
        let words = ["\"wrong\", which LINUXKIT_BUILDERS names", "default, right", &read_from];
        Run::of(run.expect("the program runs")).failed(2, &words);
    }
    let run = here
        .workshop
        .command(&["plan", "p", "--builders", "right"])
        .env("LINUXKIT_BUILDERS", "wrong")
        .output();
    Run::of(run.expect("the program runs")).done();
    let run = here.command(&["p"]).env("DOCKER_CONTEXT", "gone").output();
    Run::of(run.expect("the program runs")).failed(2, &["\"gone\", which DOCKER_CONTEXT names", "default, right"]);

    here.context("broken", &address, false, &tls);
    std::fs::write(here.file("broken", "ca.pem"), "no certificate").expect("a file");
    build(&here, "broken").failed(
        2,
        &[
            &here.file("broken", "ca.pem").display().to_string(),
            "no certificate in it",
        ],
    );
    here.context("keyless", &address, false, &tls);
    std::fs::remove_file(here.file("keyless", "key.pem")).expect("a file");
    build(&here, "keyless").failed(2, &[&here.file("keyless", "cert.pem").display().to_string(), "no key"]);
    here.context("crossed", &address, false, &tls);
    let other = here.docker().join("other");
    make_certificate(&other);
    std::fs::copy(other.join("key.pem"), here.file("crossed", "key.pem")).expect("a file");
    build(&here, "crossed").failed(2, &[&here.file("crossed", "key.pem").display().to_string()]);

    // The files are right, but not for this server.
    let ca = [("ca.pem", other.join("cert.pem")), tls[1].clone(), tls[2].clone()];
    here.context("stranger", &address, false, &ca);
    let words = [
        "its certificate is not signed by an authority in",
        "ca.pem",
        "context stranger",
    ];
    build(&here, "stranger").failed(3, &words);
    let client = [
        tls[0].clone(),
        ("cert.pem", other.join("cert.pem")),
        ("key.pem", other.join("key.pem")),
    ];
    here.context("impostor", &address, false, &client);
    build(&here, "impostor").failed(3, &["it does not accept the certificate", "cert.pem"]);
    here.context("nameless", &address, false, &tls[..1]);
    build(&here, "nameless").failed(3, &["wants to see a certificate of ours"]);
    here.context("plain", &address, false, &[]);
    build(&here, "plain").failed(3, &["HTTP request to an HTTPS server"]);
    // Whom it trusts is not asked where it shall not be.
    here.context("trusting", &address, true, &ca[1..]);
    build(&here, "trusting").done();
}

/// Makes `cert.pem` and `key.pem` of a certificate that nobody trusts.
fn make_certificate(directory: &Path) {
    std::fs::create_dir_all(directory).expect("a directory");
    let line = "req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=other -keyout key.pem -out cert.pem";
    let made = Command::new("openssl")
        .current_dir(directory)
        .args(line.split(' '))
        .output();
    assert!(made.expect("openssl runs").status.success());
}

#[test]
fn a_daemon_that_is_silent_is_waited_for_with_a_limit() {
    let Some(mut here) = Here::new("silent", "amd64") else {
        return;
    };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("tcp://{}", listener.local_addr().expect("an address"));
    here.context("silent", &address, false, &[]);
    here.daemons.clear();
    let run = here.build(&["--builder-timeout=1", "--builders=silent", "p"]);
    run.failed(
        3,
        &[
            &address,
            "context silent",
            "did not answer within 1 s",
            "--builder-timeout",
        ],
    );
    drop(listener);
    let run = here.build(&["--builders=silent", "p"]);
    run.failed(3, &[&address, "refused"]);
}

#[test]
fn docker_itself_writes_what_is_read() {
    let (Some(mut here), Some(docker)) = (Here::new("docker", "amd64"), crate::servers::program("docker")) else {
        return;
    };
    let Some(tls) = certificates() else { return };
    here.daemons.clear();
    let [ca, cert, key] = [0, 1, 2].map(|at| tls[at].1.display().to_string());
    let endpoint = format!("host=tcp://127.0.0.1:2376,ca={ca},cert={cert},key={key}");
    let mut command = Command::new(docker);
    command.env("HOME", here.workshop.path().join("home"));
    command.args(["context", "create", "made", "--docker", &endpoint]);
    let made = command.output().expect("docker runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let contexts = Contexts::read(&DockerSettings {
        directory: Some(here.docker()),
        ..DockerSettings::default()
    });
    let daemon = contexts.named("made").expect("a daemon");
    let Way::Tcp(tcp) = daemon.way else {
        panic!("{daemon:?}")
    };
    let file = |name: &str| Some(here.file("made", name));
    let expected = Tls {
        ca: file("ca.pem"),
        cert: file("cert.pem"),
        key: file("key.pem"),
        ..Tls::default()
    };
    assert_eq!(
        (tcp.host.as_str(), tcp.port, tcp.tls),
        ("127.0.0.1", 2376, Some(expected))
    );
}
