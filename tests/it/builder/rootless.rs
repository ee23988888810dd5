//! A `buildkitd` of an ordinary user, by the program: its whole life, and what is said where it cannot be had.
//!
//! The user is nobody's: a number, with files of `/etc` that only the user's processes see. Nothing of the machine is changed.

use super::*;
use crate::program::{Run, Running, Workshop, processes, unique};
use crate::servers::{program, skip, until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Command;

/// The user's number, and the group's.
const USER: u32 = 61_234;

/// The first of the user's subordinate IDs.
const FIRST_SUBORDINATE: u32 = 1_000_000_000;

/// Makes the user out of root, in a mount namespace of its own: `$1` is the directory with everything, `$2` what else is done
/// there, the rest the command.
const BECOME: &str = r#"
set -e
bed=$1 first=$2
shift 2
for file in passwd group subuid subgid; do mount --bind "$bed/etc/$file" "/etc/$file"; done
mount --bind "$TOOLS" "$bed/bin"
mount --bind "$PROGRAM" "$bed/lkpkg"
mount --bind "$BASES" "$bed/bases"
mount --bind "$REPOSITORY" "$bed/lkpkg-repository"
eval "$first"
unset TOOLS PROGRAM BASES REPOSITORY
cd "$bed/repository"
exec setpriv --reuid="$USER_ID" --regid="$USER_ID" --clear-groups --inh-caps=-all \
  env --unset=USER_ID --unset=USER_PATH PATH="$USER_PATH" "$@"
"#;

/// The user `ordinary` with an empty home and a repository of packages.
struct Ordinary {
    workshop: Workshop,
    /// Directory of buildkitd, runc and rootlesskit.
    tools: PathBuf,
    bases: String,
    /// What is done in the user's mount namespace first, by root.
    first: String,
    variables: Vec<(&'static str, String)>,
}

impl Ordinary {
    /// None, after a SKIP line, where something is missing that makes such a user.
    fn new() -> Option<Self> {
        let buildkitd = PathBuf::from(server("LKPKG_BUILDKITD")?);
        let bases = server("LKPKG_TEST_BASES")?;
        program("newuidmap")?;
        if !rustix::process::geteuid().is_root() {
            let test = std::thread::current().name().unwrap_or("a test").to_owned();
            skip(&format!(
                "SKIP {test}: only root can become another user; run the tests as root"
            ));
            return None;
        }
        let ordinary = Self {
            workshop: Workshop::new(),
            tools: buildkitd.parent().expect("a directory").to_owned(),
            bases,
            first: String::new(),
            variables: Vec::new(),
        };
        for directory in ["etc", "bin", "bases", "lkpkg-repository"] {
            fs::create_dir(ordinary.path(directory)).expect("a directory");
        }
        fs::write(ordinary.path("lkpkg"), "").expect("a file");
        let home = ordinary.path("home");
        let passwd = format!(
            "root:x:0:0::/root:/bin/sh\nordinary:x:{USER}:{USER}::{}:/bin/sh\n",
            home.display()
        );
        ordinary.etc("passwd", &passwd);
        ordinary.etc("group", &format!("root:x:0:\nordinary:x:{USER}:\n"));
        for file in ["subuid", "subgid"] {
            ordinary.etc(file, &format!("ordinary:{FIRST_SUBORDINATE}:65536\n"));
        }
        Some(ordinary)
    }

    /// The same with base images in the user's cache and the package `p`, whose steps tell who ran them.
    fn with_package(dockerfile: &str) -> Option<Self> {
        let ordinary = Self::new()?;
        let build_yml = "org: test\nimage: p\nnetwork: true\narches: [amd64, arm64]\n";
        ordinary.workshop.package("p", build_yml, dockerfile);
        let bases = ordinary.path("bases").display().to_string();
        ordinary.run(&["cache", "import", &bases]).done();
        Some(ordinary)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.workshop.path().join(name)
    }

    fn etc(&self, name: &str, text: &str) {
        fs::write(self.path("etc").join(name), text).expect("a file");
    }

    /// A command of the user.
    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        // What root has made since is the user's as well.
        for name in ["", "home", "repository"] {
            let path = self.path(name);
            let mut chown = Command::new("chown");
            if name == "repository" {
                chown.arg("-R");
            }
            let status = chown.arg(format!("{USER}:{USER}")).arg(path).status().expect("chown");
            assert!(status.success());
        }
        let mut command = Command::new("/usr/bin/unshare");
        command
            .args(["--mount", "--propagation", "private", "/bin/sh", "-c", BECOME, "sh"])
            .arg(self.workshop.path())
            .arg(&self.first)
            .arg(program)
            .args(arguments);
        command
            .env_clear()
            .env("HOME", self.path("home"))
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("USER_PATH", format!("{}:/usr/bin:/bin", self.path("bin").display()))
            .env(
                "DOCKER_HOST",
                format!("unix://{}", self.path("no-docker.sock").display()),
            )
            .env("LKPKG_OFFLINE", "true")
            .env("USER_ID", USER.to_string())
            .env("TOOLS", &self.tools)
            .env("PROGRAM", env!("CARGO_BIN_EXE_lkpkg"))
            .env("BASES", &self.bases)
            .env("REPOSITORY", env!("CARGO_MANIFEST_DIR"))
            .envs(self.variables.iter().map(|(name, value)| (*name, value)));
        command
    }

    /// lkpkg as the user runs it.
    fn lkpkg(&self, arguments: &[&str]) -> Command {
        self.command(&self.path("lkpkg").display().to_string(), arguments)
    }

    fn run(&self, arguments: &[&str]) -> Run {
        Run::of(self.lkpkg(arguments).output().expect("the program runs"))
    }

    fn build(&self) -> Run {
        self.run(&[
            "build",
            "--sbom-scanner=false",
            "--force",
            "--progress",
            "plain",
            "--platforms",
            "linux/amd64,linux/arm64",
            "p",
        ])
    }

    /// Where its buildkitd keeps its files.
    fn state(&self) -> PathBuf {
        self.path("home/.local/share/lkpkg/buildkitd")
    }

    /// Everything of its buildkitd that runs.
    fn processes(&self) -> Vec<i32> {
        processes(&self.state().display().to_string())
    }

    /// Process ID of RootlessKit.
    fn daemon(&self) -> i32 {
        let text = fs::read_to_string(self.state().join("buildkitd.pid")).expect("a pid file");
        text.trim().parse().expect("a process ID")
    }

    /// Process ID of the supervisor.
    fn supervisor(&self) -> i32 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.daemon())).expect("a process");
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
        parent.expect("a parent").trim().parse().expect("a process ID")
    }

    /// What the daemon wrote since it was started.
    fn log(&self) -> String {
        fs::read_to_string(self.state().join("buildkitd.log")).expect("a log")
    }

    /// The files of the image that were built, by name, for a platform.
    fn file(&self, image: &str, platform: &str, name: &str) -> String {
        let arguments = [
            "cache",
            "export",
            "--format",
            "filesystem",
            "--outfile",
            "-",
            "--platform",
        ];
        let output = self
            .lkpkg(&[&arguments[..], &[platform, image]].concat())
            .output()
            .expect("the program runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut archive = tar::Archive::new(&output.stdout[..]);
        for entry in archive.entries().expect("an archive") {
            let mut entry = entry.expect("an entry");
            if entry.path().expect("a name").as_ref() == Path::new(name) {
                let mut text = format!("{}:", entry.header().uid().expect("an owner"));
                std::io::Read::read_to_string(&mut entry, &mut text).expect("text");
                return text.trim_end().to_owned();
            }
        }
        panic!("no {name} in {image}")
    }

    fn is_gone(&self) -> bool {
        self.processes().is_empty()
    }
}

impl Drop for Ordinary {
    /// A test that fails leaves no daemon behind.
    fn drop(&mut self) {
        if self.state().exists() {
            self.run(&["builder", "rm", "--force", "--builders", "local"]);
        }
        for process in self.processes() {
            kill(process);
        }
    }
}

fn kill(process: i32) {
    let process = Pid::from_raw(process).expect("a process ID");
    let _ = kill_process(process, Signal::KILL);
}

/// What a step of a foreign and a native platform tells, and what it leaves to another user.
fn telling() -> String {
    format!(
        "FROM busybox:1.37\nRUN id -u >/who && uname -m >/machine && echo {} >/mark\n\
         RUN echo x >/theirs && chown 1000:1000 /theirs && cat /etc/resolv.conf >/resolv\nUSER 65534\nRUN id -u\n",
        unique()
    )
}

/// Whether something below belongs to neither the user nor root.
fn has_subordinate(directory: &Path) -> bool {
    let entries = fs::read_dir(directory).expect("a directory").flatten();
    entries.into_iter().any(|entry| {
        let found = entry.path().symlink_metadata().expect("metadata");
        found.uid() >= FIRST_SUBORDINATE || (found.is_dir() && has_subordinate(&entry.path()))
    })
}

#[test]
fn an_ordinary_user_builds_stops_and_removes() {
    let Some(ordinary) = Ordinary::with_package(&telling()) else {
        return;
    };
    let first = ordinary.build();
    let kit = format!("by {} (network: ", ordinary.path("bin/rootlesskit").display());
    for part in [
        "starting ",
        &kit,
        "its state and log are in ",
        "/.local/share/lkpkg/buildkitd",
    ] {
        assert!(first.stderr.contains(part), "{part:?}: {}", first.stderr);
    }
    assert!(first.stderr.contains(" 0 cached"), "{}", first.stderr);
    let line = first.done();
    let image = line.split('@').next().expect("a name");
    for (platform, machine) in [("linux/amd64", "x86_64"), ("linux/arm64", "aarch64")] {
        assert_eq!(ordinary.file(image, platform, "who"), "0:0");
        assert_eq!(ordinary.file(image, platform, "machine"), format!("0:{machine}"));
        assert_eq!(ordinary.file(image, platform, "theirs"), "1000:x");
    }
    // None of it is root's.
    let processes = ordinary.processes();
    assert!(
        processes.len() >= 3,
        "supervisor, RootlessKit and buildkitd: {processes:?}"
    );
    for process in processes {
        assert_eq!(fs::metadata(format!("/proc/{process}")).expect("a process").uid(), USER);
    }
    assert_eq!(
        fs::metadata(ordinary.path("home/.linuxkit/cache"))
            .expect("a cache")
            .uid(),
        USER
    );

    // Again: the same daemon, and all of it from its cache.
    let daemon = ordinary.daemon();
    let second = ordinary.build();
    assert!(!second.stderr.contains("starting "), "{}", second.stderr);
    assert!(!second.stderr.contains(" 0 cached"), "{}", second.stderr);
    assert_eq!((second.done(), ordinary.daemon()), (line.clone(), daemon));

    // Looked after as root's is.
    let verb = |verb: &[&str]| ordinary.run(&[&["builder"], verb, &["--builders", "local"]].concat());
    let seen: Value = serde_json::from_str(&verb(&["ls", "--format", "json"]).done()).expect("JSON");
    assert_eq!(
        (&seen[0]["status"], &seen[0]["kind"]),
        (&"running".into(), &"local".into())
    );
    assert!(verb(&["logs"]).done().contains("running server on"));
    assert!(!verb(&["du"]).done().contains(" 0 B "));
    let ended = verb(&["stop"]);
    assert!(ended.stderr.contains("ending buildkitd"), "{}", ended.stderr);
    ended.done();
    until("all of it has ended", || ordinary.is_gone());
    // Asked once, and not three times, which is to be killed.
    assert!(!ordinary.log().contains("got 3 SIGTERM"), "{}", ordinary.log());
    let third = ordinary.build();
    assert!(
        third.stderr.contains("starting ") && !third.stderr.contains(" 0 cached"),
        "{}",
        third.stderr
    );
    assert_eq!(third.done(), line);

    // Prune is BuildKit's; removing is the user's, in the namespace of the files.
    assert!(has_subordinate(&ordinary.state()), "a file of another user");
    verb(&["prune", "--all"]).done();
    ordinary.build().done();
    assert!(has_subordinate(&ordinary.state()), "a file of another user");
    verb(&["rm"]).done();
    until("all of it has ended", || ordinary.is_gone());
    let left = fs::read_dir(ordinary.state()).expect("a directory").flatten();
    let mut left: Vec<String> = left
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    left.sort();
    assert_eq!(left, ["start.lock", "supervisor.lock"]);
}

#[test]
fn an_ordinary_users_daemon_starts_once_and_survives_every_end() {
    let Some(ordinary) = Ordinary::with_package(&telling()) else {
        return;
    };
    let mut commands: Vec<Command> = (0..5)
        .map(|_| ordinary.lkpkg(&["builder", "start", "--builders", "local"]))
        .collect();
    let started: Vec<_> = commands
        .iter_mut()
        .map(|command| command.spawn().expect("starts"))
        .collect();
    for mut child in started {
        assert!(child.wait().expect("ends").success());
    }
    assert_eq!(
        ordinary.log().matches("running server on").count(),
        1,
        "{}",
        ordinary.log()
    );

    // RootlessKit is killed: all within it ends, and so does the supervisor.
    let (daemon, supervisor) = (ordinary.daemon(), ordinary.supervisor());
    kill(daemon);
    until("all of it has ended", || ordinary.is_gone());
    ordinary.build().done();
    assert_ne!((ordinary.daemon(), ordinary.supervisor()), (daemon, supervisor));

    // The supervisor is killed: the next one ends what it left.
    let daemon = ordinary.daemon();
    kill(ordinary.supervisor());
    ordinary.build().done();
    assert_ne!(ordinary.daemon(), daemon);
    until("the orphan has ended", || !ordinary.processes().contains(&daemon));

    // lkpkg is killed in the middle of a step: the daemon stays, is nobody's, and can be stopped.
    let mark = format!("{}", 100_000 + std::process::id());
    let slow = format!("FROM busybox:1.37\nRUN sleep {mark}\n");
    ordinary.workshop.write("p/Dockerfile", &slow);
    let running = Running::start(&mut ordinary.lkpkg(&["build", "--sbom-scanner=false", "--force", "p"]));
    let sleeping = || !processes(&format!("sleep {mark}")).is_empty();
    until("a step runs", sleeping);
    // The command has become lkpkg by then.
    running.signal(Signal::KILL);
    running.end();
    let stopped = ordinary.run(&["builder", "stop", "--force", "--builders", "local"]);
    stopped.done();
    until("all of it has ended", || ordinary.is_gone() && !sleeping());
}

#[test]
fn an_ordinary_users_builds_go_without_a_sandbox_where_proc_cannot_be_mounted() {
    let mark = format!("{}", 100_000 + std::process::id());
    let Some(mut ordinary) = Ordinary::with_package(&telling()) else {
        return;
    };
    // As Docker hides parts of it from its containers.
    ordinary.first = "mount --bind /dev/null /proc/keys".into();
    let run = ordinary.build();
    assert!(run.stderr.contains("; no sandbox for processes)"), "{}", run.stderr);
    run.done();
    assert!(ordinary.log().contains("process-mode:no-sandbox"), "{}", ordinary.log());
    // Without the kernel's help all that a step leaves is ended as well, of whichever user.
    let slow = format!("FROM busybox:1.37\nUSER 65534\nRUN sleep {mark}\n");
    ordinary.workshop.write("p/Dockerfile", &slow);
    let running = Running::start(&mut ordinary.lkpkg(&["build", "--sbom-scanner=false", "--force", "p"]));
    let sleeping = || !processes(&format!("sleep {mark}")).is_empty();
    until("a step runs", sleeping);
    kill(ordinary.daemon());
    until("all of it has ended", || ordinary.is_gone() && !sleeping());
    running.end();
}

#[test]
fn an_ordinary_users_network_is_their_own_where_it_can_be() {
    let Some(mut ordinary) = Ordinary::with_package(&telling()) else {
        return;
    };
    if program("slirp4netns").is_none() {
        return;
    }
    // Everybody's, as udev makes it; not so in every virtual machine.
    ordinary.first =
        "mknod -m 666 \"$bed/tun\" c 10 200 2>/dev/null || true; mount --bind \"$bed/tun\" /dev/net/tun".into();
    let mirror = format!("docker.io=http://127.0.0.1:{}", 9);
    let arguments = ["--mirror", &mirror, "build", "--sbom-scanner=false", "--force", "p"];
    let run = ordinary.run(&arguments);
    for part in [
        "(network: slirp4netns)",
        "which buildkitd cannot reach from its own network",
    ] {
        assert!(run.stderr.contains(part), "{part:?}: {}", run.stderr);
    }
    let line = run.done();
    let image = line.split('@').next().expect("a name");
    assert!(ordinary.file(image, "linux/amd64", "resolv").contains("10.0.2.3"));
    // Another one, asked for, is another daemon; and then it is right.
    ordinary.variables.push(("LKPKG_ROOTLESS_NETWORK", "host".into()));
    let run = ordinary.build();
    assert!(
        run.stderr
            .contains("restarting buildkitd: its network is slirp4netns, wanted is host"),
        "{}",
        run.stderr
    );
    run.done();
    let daemon = ordinary.daemon();
    ordinary.variables.clear();
    ordinary.build().done();
    assert_eq!(ordinary.daemon(), daemon, "none is asked for: it stays");
    ordinary.variables.push(("LKPKG_ROOTLESS_NETWORK", "bridge".into()));
    ordinary
        .build()
        .failed(2, &["LKPKG_ROOTLESS_NETWORK: \"bridge\" is no network"]);
}

#[test]
fn what_an_ordinary_user_lacks_is_named_at_once() {
    let Some(mut ordinary) = Ordinary::new() else { return };
    ordinary
        .workshop
        .package("p", "org: test\nimage: p\n", "FROM scratch\nCOPY . /\n");
    // A machine with a buildkitd and nothing else, and a kernel that allows nothing.
    for file in ["subuid", "subgid"] {
        ordinary.etc(file, "somebody:100000:65536\n");
    }
    ordinary.etc("0", "0\n");
    ordinary.first = "mount --bind \"$bed/etc/0\" /proc/sys/user/max_user_namespaces".into();
    let programs = ordinary.path("programs");
    fs::create_dir(&programs).expect("a directory");
    fs::copy(ordinary.tools.join("buildkitd"), programs.join("buildkitd")).expect("a copy");
    ordinary.variables.push(("USER_PATH", programs.display().to_string()));
    let expected = [
        (
            "rootlesskit is neither beside buildkitd nor on PATH",
            "apt-get install rootlesskit",
        ),
        ("newuidmap and newgidmap are not on PATH", "apt-get install uidmap"),
        (
            "/etc/subuid and /etc/subgid has no range for the user ordinary",
            "usermod --add-subuids 165536-231071 --add-subgids 165536-231071 ordinary",
        ),
        (
            "user namespaces are switched off (user.max_user_namespaces is 0)",
            "sysctl -w user.max_user_namespaces=",
        ),
    ];
    let words: Vec<&str> = expected.iter().flat_map(|(what, remedy)| [*what, *remedy]).collect();
    ordinary.run(&["build", "--builders", "local", "p"]).failed(3, &words);
    // Nobody said where: that Docker is silent is said as well.
    let run = ordinary.run(&["build", "p"]).failed(3, &words);
    run.failed(3, &["no Docker daemon answers at unix://", "three ways"]);
    for arguments in [&["doctor"][..], &["doctor", "--builders", "local"]] {
        let run = ordinary.run(arguments);
        for (what, remedy) in expected {
            let mut lines = run.stdout.lines().skip_while(|line| !line.contains(what));
            let (line, hint) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
            assert!(line.starts_with("failed  builder local: "), "{what}: {}", run.stdout);
            assert!(
                hint.starts_with("hint ") && hint.contains(remedy),
                "{remedy}: {}",
                run.stdout
            );
        }
        run.failed(3, &[]);
    }
    assert!(!ordinary.state().exists(), "nothing is made");

    // What cannot be seen beforehand is said by RootlessKit.
    let Some(mut ordinary) = Ordinary::new() else { return };
    ordinary
        .workshop
        .package("p", "org: test\nimage: p\n", "FROM scratch\nCOPY . /\n");
    ordinary.first = "install -m 4755 /bin/false \"$bed/false\"; mount --bind \"$bed/false\" /usr/bin/newuidmap".into();
    let run = ordinary.run(&["build", "--builders", "local", "p"]);
    run.failed(
        3,
        &["rootlesskit cannot make its namespaces: ", "newuidmap", "--privileged"],
    );
}

#[test]
fn the_quickstart_tells_an_ordinary_user_what_root_has_to_do() {
    let Some(mut ordinary) = Ordinary::new() else { return };
    ordinary.etc("subuid", "somebody:100000:65536\n");
    ordinary.etc("subgid", "");
    // A machine without what an ordinary user's buildkitd needs.
    let path = ordinary.path("path");
    fs::create_dir(&path).expect("a directory");
    for directory in ["/usr/bin", "/bin"] {
        for entry in fs::read_dir(directory).expect("a directory").flatten() {
            let name = entry.file_name();
            if !["newuidmap", "slirp4netns", "sudo"]
                .iter()
                .any(|absent| name == *absent)
            {
                let _ = std::os::unix::fs::symlink(entry.path(), path.join(name));
            }
        }
    }
    ordinary.variables.push(("USER_PATH", path.display().to_string()));
    let script = ordinary.path("lkpkg-repository/scripts/quickstart");
    let run = Run::of(
        ordinary
            .command(&script.display().to_string(), &[])
            .output()
            .expect("runs"),
    );
    run.failed(
        1,
        &[
            "you are ordinary, and there is no sudo. Once, as root:",
            "apt-get install --no-install-recommends",
            " uidmap slirp4netns",
            "usermod --add-subuids 165536-231071 --add-subgids 165536-231071 ordinary",
        ],
    );
}
