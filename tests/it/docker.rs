//! Images that leave for Docker: `build --docker`, and `depends.docker-images`, which `docker load` must understand.
//!
//! The `docker` program is the independent witness.
#![expect(clippy::unwrap_used, reason = "tests")]

use crate::program::{Run, Workshop};
use crate::servers::server;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};

/// A daemon, and a BuildKit to build with.
struct Servers {
    docker: String,
    buildkit: String,
}

impl Servers {
    fn find() -> Option<Self> {
        Some(Self {
            docker: server("LKPKG_TEST_DOCKER")?,
            buildkit: server("LKPKG_TEST_BUILDKIT")?,
        })
    }

    fn docker(&self, arguments: &[&str]) -> Run {
        let mut command = Command::new("docker");
        Run::of(
            command
                .env("DOCKER_HOST", &self.docker)
                .args(arguments)
                .output()
                .unwrap(),
        )
    }

    fn command(&self, workshop: &Workshop, arguments: &[&str]) -> Command {
        let mut command = workshop.command(arguments);
        command
            .env("DOCKER_HOST", &self.docker)
            .env("BUILDKIT_HOST", &self.buildkit);
        command
    }

    fn run(&self, workshop: &Workshop, arguments: &[&str]) -> Run {
        Run::of(self.command(workshop, arguments).output().unwrap())
    }
}

/// The organisation of these tests' images, of one process only: others use the same daemon.
fn organisation(test: &str) -> String {
    format!("lkpkg-it-{test}-{}", std::process::id())
}

/// Removes the images of an organisation from the daemon, also when a test fails.
struct Removal<'a>(&'a Servers, String);

impl Removal<'_> {
    fn list(&self) -> Run {
        let filter = format!("reference={}/*", self.1);
        self.0
            .docker(&["images", "--filter", &filter, "--format", "{{.Repository}}:{{.Tag}}"])
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.list().done().lines().map(str::to_owned).collect();
        names.sort();
        names
    }
}

impl Drop for Removal<'_> {
    fn drop(&mut self) {
        for name in self.list().stdout.lines() {
            self.0.docker(&["rmi", "-f", name]);
        }
    }
}

const BUILD: [&str; 4] = ["build", "--docker", "--sbom-scanner=false", "x"];

#[test]
fn docker_has_every_platform_under_its_name_and_runs_the_hosts() {
    let Some(servers) = Servers::find() else { return };
    let organisation = organisation("load");
    let images = Removal(&servers, organisation.clone());
    let workshop = Workshop::new();
    let build_yml = format!("image: x\norg: {organisation}\narches: [amd64, arm64]\n");
    workshop.write("x/greeting", "hello from the image");
    workshop.package("x", &build_yml, "FROM busybox:1.37\nCOPY greeting /\n");
    let tag = workshop.run(&["show-tag", "x"]).done().trim().to_owned();
    // Built, and then found: both are loaded.
    for _ in 0..2 {
        servers.run(&workshop, &BUILD).done();
        assert_eq!(
            images.names(),
            [tag.clone(), format!("{tag}-amd64"), format!("{tag}-arm64")]
        );
        for name in images.names() {
            let architecture = ["image", "inspect", "--format", "{{.Architecture}}", &name];
            let wanted = if name.ends_with("-arm64") { "arm64" } else { "amd64" };
            assert_eq!(servers.docker(&architecture).done().trim(), wanted, "{name}");
        }
        let greeting = ["run", "--rm", "--network=none", &tag, "cat", "/greeting"];
        assert_eq!(servers.docker(&greeting).done(), "hello from the image");
        drop(Removal(&servers, organisation.clone()));
    }
}

#[test]
fn a_daemon_that_is_not_there_is_missed_before_anything_is_built() {
    let workshop = Workshop::new();
    workshop.package("x", "image: x\n", "FROM busybox:1.37\n");
    let run = workshop.run_with("BUILDKIT_HOST", "unix:///no-buildkit", &BUILD);
    run.failed(
        3,
        &["no Docker daemon answers at unix://", "no-docker.sock", "DOCKER_HOST"],
    );
}

/// A daemon that answers what it is asked first, and then `load` to whoever loads an image.
fn false_daemon(path: &Path, load: &'static str) {
    let listener = UnixListener::bind(path).unwrap();
    // Ends with the test program; it owns nothing.
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = BufReader::new(connection.unwrap());
            let mut request = String::new();
            while connection.read_line(&mut request).unwrap() > 2 {}
            if request.is_empty() {
                // Only looked whether somebody is there.
            } else if !request.contains("/images/load") {
                let body = r#"{"ApiVersion":"1.47","MinAPIVersion":"1.24"}"#;
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nApi-Version: 1.47\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
                connection.get_mut().write_all(answer.as_bytes()).unwrap();
            } else if load.is_empty() {
                // Reads nothing: the program has to stop by itself.
                std::thread::park();
            } else {
                connection.get_mut().write_all(load.as_bytes()).unwrap();
                let _ = connection.read(&mut [0]);
            }
        }
    });
}

/// Builds a package with an image larger than what is sent ahead, so that somebody has to read it.
fn large_package(servers: &Servers, workshop: &Workshop, organisation: &str) {
    let mut bytes = vec![0; 24 << 20];
    std::fs::File::open("/dev/urandom")
        .unwrap()
        .read_exact(&mut bytes)
        .unwrap();
    workshop.write("x/Dockerfile", "");
    std::fs::write(workshop.repository().join("x/large"), bytes).unwrap();
    let build_yml = format!("image: x\norg: {organisation}\narches: [amd64]\n");
    workshop.package("x", &build_yml, "FROM scratch\nCOPY large /\n");
    servers.run(workshop, &["build", "--sbom-scanner=false", "x"]).done();
}

#[test]
fn what_the_daemon_says_against_an_image_is_shown() {
    let Some(servers) = Servers::find() else { return };
    let workshop = Workshop::new();
    large_package(&servers, &workshop, "o");
    let check = |name: &str, answer: &'static str, words: &[&str]| {
        let path = workshop.path().join(name);
        false_daemon(&path, answer);
        let address = format!("unix://{}", path.display());
        workshop.run_with("DOCKER_HOST", &address, &BUILD).failed(1, words);
    };
    check(
        "in-the-answer",
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n\
         {\"errorDetail\":{\"message\":\"no space left on device\"},\"error\":\"no space left on device\"}\r\n",
        &["loading docker.io/o/x:", "into Docker", "no space left on device"],
    );
    check(
        "by-its-status",
        "HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\nContent-Length: 33\r\nConnection: close\r\n\r\n\
         {\"message\":\"unpacking it failed\"}",
        &["into Docker", "unpacking it failed"],
    );
}

#[test]
fn an_image_that_is_damaged_in_the_cache_does_not_reach_docker() {
    let Some(servers) = Servers::find() else { return };
    let organisation = organisation("damaged");
    let images = Removal(&servers, organisation.clone());
    let workshop = Workshop::new();
    large_package(&servers, &workshop, &organisation);
    let blobs = workshop.cache().join("blobs/sha256");
    let sizes = std::fs::read_dir(blobs).unwrap().map(|entry| entry.unwrap().path());
    let layer = sizes.max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    let mut bytes = std::fs::read(&layer).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(layer, bytes).unwrap();
    servers.run(&workshop, &BUILD).failed(4, &["the bytes are sha256:"]);
    assert_eq!(images.names(), Vec::<String>::new());
}

#[test]
fn a_load_is_cancelled_at_once() {
    let Some(servers) = Servers::find() else { return };
    let workshop = Workshop::new();
    large_package(&servers, &workshop, "o");
    let path = workshop.path().join("silent");
    false_daemon(&path, "");
    let mut command = workshop.command(&BUILD);
    command.env("DOCKER_HOST", format!("unix://{}", path.display()));
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("into Docker")));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn images_of_depends_are_in_the_build_and_docker_loads_them() {
    let (Some(servers), Some(bases)) = (Servers::find(), server("LKPKG_TEST_BASES")) else {
        return;
    };
    let organisation = organisation("depends");
    let images = Removal(&servers, organisation.clone());
    let workshop = Workshop::new();
    let digest = base_digest(&bases);
    import(&workshop, &bases);
    let depends = |target: &str| {
        format!(
            "image: x\narches: [amd64, arm64]\ndepends:\n  docker-images:\n    {target}\n    list: ['{organisation}/busybox:1.37@{digest}']\n"
        )
    };
    workshop.write(".gitignore", "images\nimages.tar\n");
    let file = format!("busybox@{digest}.tar");
    let dockerfile =
        |path: &str| format!("FROM busybox:1.37\nCOPY {path} /image.tar\nRUN tar tf /image.tar | grep manifest.json\n");
    workshop.package(
        "x",
        &depends("target-dir: images"),
        &dockerfile(&format!("images/{file}")),
    );
    let build = ["build", "--sbom-scanner=false", "--force", "x"];
    servers.run(&workshop, &build).done();
    let tar = workshop.repository().join("x/images").join(&file);
    let first = (
        std::fs::read(&tar).unwrap(),
        tar.metadata().unwrap().modified().unwrap(),
    );
    // Not dirty, and BuildKit's cache knows it again.
    assert!(!workshop.run(&["show-tag", "x"]).done().contains("dirty"));
    let again = servers.run(&workshop, &build);
    assert!(again.stderr.contains("CACHED"), "{}", again.stderr);
    assert!(
        first
            == (
                std::fs::read(&tar).unwrap(),
                tar.metadata().unwrap().modified().unwrap()
            )
    );
    servers.docker(&["load", "--input", tar.to_str().unwrap()]).done();
    assert_eq!(images.names(), [format!("{organisation}/busybox:1.37")]);
    // All in one file.
    workshop.package("x", &depends("target: images.tar"), &dockerfile("images.tar"));
    servers.run(&workshop, &build).done();
    assert!(workshop.repository().join("x/images.tar").is_file());
}

#[test]
fn an_image_of_depends_that_is_nowhere_is_named_with_what_to_do() {
    let workshop = Workshop::new();
    let nowhere = format!("nowhere.invalid/x@sha256:{}", "0".repeat(64));
    let build_yml = format!("image: x\ndepends:\n  docker-images:\n    target: images.tar\n    list: ['{nowhere}']\n");
    workshop.package("x", &build_yml, "FROM scratch\n");
    let run = workshop.run_with("BUILDKIT_HOST", "unix:///no-buildkit", &["build", "x"]);
    run.failed(3, &[&nowhere, "depends.docker-images", "cache import"]);
}

fn base_digest(bases: &str) -> String {
    let index = std::fs::read(Path::new(bases).join("index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
    index["manifests"][0]["digest"].as_str().unwrap().to_owned()
}

/// Puts the base images into the cache.
fn import(workshop: &Workshop, bases: &str) {
    let archive = workshop.path().join("bases.tar");
    let mut tar = tar::Builder::new(std::fs::File::create(&archive).unwrap());
    tar.append_dir_all(".", bases).unwrap();
    tar.into_inner().unwrap();
    workshop.run(&["cache", "import", archive.to_str().unwrap()]).done();
}
