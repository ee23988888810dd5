//! A BuildKit that is only dialled: over TCP with TLS, ssh, kubectl, in a container, inside of a Docker daemon.

use super::contained::Contained;
use super::sshd::Sshd;
use super::*;
use crate::program::{Run, Workshop, unique};
use crate::servers::OwnBuildKit;
use std::os::unix::fs::PermissionsExt;

/// A repository with a package for two platforms.
fn workshop() -> Option<Workshop> {
    let workshop = Workshop::with_bases()?;
    let dockerfile = format!("FROM busybox:1.37\nRUN uname -m; echo {} >/mark\n", unique());
    workshop.package("p", "image: p\narches: [amd64, arm64]\n", &dockerfile);
    Some(workshop)
}

fn build(workshop: &Workshop, builder: &str, arguments: &[&str]) -> Run {
    workshop.build(
        &[
            &["--force", "--builder-timeout=10", "--builders", builder],
            arguments,
            &["p"],
        ]
        .concat(),
    )
}

/// A port of this machine that nobody has.
fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").to_string()
}

#[test]
fn over_tcp_with_certificates_on_both_sides() {
    let (Some(program), Some(tls)) = (server("LKPKG_BUILDKITD"), server("LKPKG_TEST_CERTIFICATES")) else {
        return;
    };
    let Some(workshop) = workshop() else { return };
    let address = free_address();
    let file = |name: &str| format!("{tls}/{name}");
    let (ca, cert, key) = (file("ca.pem"), file("server-cert.pem"), file("server-key.pem"));
    let listen = format!("tcp://{address}");
    let mut arguments = vec!["--addr", &listen, "--tlscacert", &ca];
    arguments.extend(["--tlscert", &cert, "--tlskey", &key]);
    let _own = OwnBuildKit::start_with(&program, &arguments);
    let right = format!("{listen}?ca={ca}&cert={}&key={}", file("cert.pem"), file("key.pem"));
    let run = build(&workshop, &right, &[]);
    assert!(run.stderr.contains(&format!("on {listen}")), "{}", run.stderr);
    run.done();
    // As for buildctl.
    workshop
        .run_with("BUILDKIT_HOST", &right, &["build", "--sbom-scanner=false", "p"])
        .done();

    let with = |cert: &str, key: &str| format!("{listen}?ca={ca}&cert={cert}&key={key}");
    let run = build(&workshop, &format!("{listen}?ca={ca}"), &[]);
    run.failed(3, &[&listen, "wants to see a certificate of ours"]);
    // A certificate for a server is none for a client.
    let run = build(&workshop, &with(&cert, &key), &[]);
    run.failed(3, &["does not accept the certificate", &cert]);
    let run = build(&workshop, &with(&file("cert.pem"), &file("nothing.pem")), &[]);
    run.failed(2, &["nothing.pem cannot be used", "No such file"]);
    // Nobody has heard of that authority.
    let run = build(
        &workshop,
        &format!("{listen}?cert={}&key={}", file("cert.pem"), file("key.pem")),
        &[],
    );
    run.failed(3, &["not signed by an authority that this machine trusts"]);
    let other_name = format!("{right}&servername=other.example");
    build(&workshop, &other_name, &[]).failed(3, &["its certificate is not for other.example"]);
    build(&workshop, &listen, &[]).failed(3, &["no BuildKit answers at", &listen]);
}

#[test]
fn an_address_where_nobody_answers_is_named_in_time() {
    let workshop = Workshop::new();
    workshop.package("p", "image: p\narches: [amd64]\n", "FROM scratch\nCOPY . /\n");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("tcp://{}", listener.local_addr().expect("an address"));
    let arguments = ["--builder-timeout=1", "--builders", &address, "p"];
    let words = [&address, "did not answer within 1 s", "--builder-timeout"];
    workshop.build(&arguments).failed(3, &words);
    let secure = format!("{address}?servername=x.example");
    let arguments = ["--builder-timeout=1", "--builders", &secure, "p"];
    workshop
        .build(&arguments)
        .failed(3, &["could not be reached within 1 s"]);
    drop(listener);
    workshop
        .build(&["--builders", &address, "p"])
        .failed(3, &[&address, "refused"]);
    workshop
        .build(&["--builders", "tcp://no-such-host.invalid:1", "p"])
        .failed(3, &["tcp://no-such-host.invalid:1"]);
}

#[test]
fn over_ssh() {
    let (Some(sshd), Some(workshop)) = (Sshd::start(), workshop()) else {
        return;
    };
    let run = |address: &str| sshd.build(&workshop, |_| {}, &["--builders", address, "p"]);
    run("ssh://builder.example").done();
    let user = std::env::var("USER").unwrap_or_else(|_| "root".into());
    let socket = server("LKPKG_TEST_BUILDKIT").expect("sshd has it");
    let address = format!("ssh://{user}@127.0.0.1:{}", sshd.port);
    run(&address).done();
    run(&format!("{address}{}", socket.trim_start_matches("unix://"))).done();
    run(&format!("{address}/no/such.sock")).failed(3, &["ssh says: ", "/no/such.sock"]);
    run("ssh://no-such-host.invalid").failed(3, &["ssh://no-such-host.invalid", "ssh says: ", "no-such-host.invalid"]);
    std::fs::write(sshd.key(), "").expect("a file");
    run(&address).failed(3, &["ssh says: ", "Permission denied"]);
}

/// There is no cluster here: a kubectl that runs in place of `exec` what it shall run in the pod, and refuses everything that
/// the real one would refuse.
#[test]
fn in_a_pod_of_kubernetes() {
    let (Some(buildkit), Some(workshop)) = (server("LKPKG_TEST_BUILDKIT"), workshop()) else {
        return;
    };
    let script = "#!/bin/sh\n\
        test \"$*\" = '--context=k --namespace=n exec -i --container=c pod-0 -- buildctl dial-stdio' || {\n\
        echo \"Error from server (NotFound): $*\" >&2; exit 1; }\n\
        while [ \"$1\" != -- ]; do shift; done; shift; exec \"$@\"\n";
    let bin = workshop.path().join("bin");
    std::fs::create_dir(&bin).expect("a directory");
    std::fs::write(bin.join("kubectl"), script).expect("a file");
    std::fs::set_permissions(bin.join("kubectl"), std::fs::Permissions::from_mode(0o755)).expect("a program");
    let search = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    let run = |address: &str| {
        let mut command = workshop.command(&["build", "--sbom-scanner=false", "--force", "--builders", address, "p"]);
        // What buildctl in the pod would find without being told.
        command.env("PATH", &search).env("BUILDKIT_HOST", &buildkit);
        Run::of(command.output().expect("the program runs"))
    };
    run("kube-pod://pod-0?namespace=n&container=c&context=k").done();
    let words = ["kube-pod://other", "kubectl says: Error from server (NotFound)"];
    run("kube-pod://other").failed(3, &words);
}

#[tokio::test]
async fn in_a_container_of_someone_else() {
    let (Some(here), Some(workshop)) = (Contained::new("theirs"), workshop()) else {
        return;
    };
    here.endpoint().await.expect("an endpoint");
    let (name, id) = (here.config.name.clone(), here.id().await);
    let Where::DockerContainer { docker } = &here.place else {
        unreachable!("it is in a Docker daemon")
    };
    let run = |address: &str| {
        let mut command = workshop.command(&["build", "--sbom-scanner=false", "--force", "--builders", address, "p"]);
        command.env("DOCKER_HOST", &docker.address);
        Run::of(command.output().expect("the program runs"))
    };
    let address = format!("docker-container://{name}");
    let done = run(&address);
    assert!(done.stderr.contains(&format!("on {address}")), "{}", done.stderr);
    done.done();
    assert_eq!(here.id().await, id);
    run("docker-container://nobody").failed(3, &["docker-container://nobody", "No such container"]);
    run("docker-container://x?context=gone").failed(2, &["\"gone\""]);
    here.end().await;
}

#[test]
fn inside_of_a_docker_daemon() {
    let (Some(docker), Some(workshop)) = (server("LKPKG_TEST_DOCKER"), workshop()) else {
        return;
    };
    let scanner = server("LKPKG_TEST_SCANNER").expect("the test bed has it");
    let run = |docker: &str, arguments: &[&str]| {
        let all = [&["build", "--force", "--builders=docker://"], arguments, &["p"]].concat();
        let mut command = workshop.command(&all);
        command.env("DOCKER_HOST", docker);
        Run::of(command.output().expect("the program runs"))
    };
    let done = run(&docker, &["--sbom-scanner", &scanner]);
    assert!(
        done.stderr.contains("on docker:// (linux/arm64 emulated)"),
        "{}",
        done.stderr
    );
    done.done();
    workshop.verify();

    // The other daemon has the store of images that Docker had before.
    let (Some(remote), Some(tls)) = (server("LKPKG_TEST_DOCKER_REMOTE"), server("LKPKG_TEST_CERTIFICATES")) else {
        return;
    };
    let mut command = workshop.command(&["build", "--force", "--builders=docker://", "p"]);
    command
        .env("DOCKER_HOST", &remote)
        .env("DOCKER_TLS_VERIFY", "1")
        .env("DOCKER_CERT_PATH", tls);
    let refused = Run::of(command.output().expect("the program runs"));
    refused.failed(
        3,
        &[&remote, "no containerd image store", "\"containerd-snapshotter\": true"],
    );
    run("unix:///nowhere.sock", &[]).failed(3, &["unix:///nowhere.sock"]);
}

#[test]
fn emulation_is_said_and_can_be_refused() {
    let (Some(buildkit), Some(workshop)) = (server("LKPKG_TEST_BUILDKIT"), workshop()) else {
        return;
    };
    let run = build(&workshop, &buildkit, &[]);
    assert!(run.stderr.contains("(linux/arm64 emulated)"), "{}", run.stderr);
    run.done();
    let run = build(&workshop, &buildkit, &["--platforms=linux/amd64", "--strict-platform"]);
    assert!(!run.stderr.contains("emulated"), "{}", run.stderr);
    run.done();
    let words = ["no builder for linux/arm64", "--strict-platform", "is linux/amd64"];
    build(&workshop, &buildkit, &["--strict-platform"]).failed(3, &words);
}
