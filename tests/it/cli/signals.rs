//! Runs that are ended by signals.

use super::*;
use crate::program::processes;
use crate::servers::{PATIENCE, until};
use rustix::process::Signal;
use std::time::{Duration, Instant};

/// The longest that a cancelled build may go on, as the README promises.
const CANCELLED_WITHIN: Duration = Duration::from_secs(2);

/// A package whose RUN says `begun` and then sleeps. The text that names its process.
fn sleeper(workshop: &Workshop) -> String {
    let nanoseconds = unique();
    let sleep = format!("sleep 5{}", &nanoseconds[nanoseconds.len() - 9..]);
    workshop.package(
        "p",
        BUILD_YML,
        &format!("FROM busybox:1.37\nRUN echo begun && {sleep}\n"),
    );
    sleep
}

const BUILD: [&str; 4] = ["build", "--sbom-scanner=false", "p", "--progress=plain"];

#[test]
fn a_signal_ends_a_build_and_its_run_step() {
    let Some(workshop) = Workshop::with_buildkit() else {
        return;
    };
    for signal in [Signal::INT, Signal::TERM] {
        let sleep = sleeper(&workshop);
        let running = Running::start(&mut workshop.command(&BUILD));
        running.until_said(" begun\n");
        assert!(!processes(&sleep).is_empty());
        running.signal(signal);
        let (run, took) = running.end();
        let run = run.failed(130, &["cancelling; once more to stop at once", "error: cancelled"]);
        assert!(took < CANCELLED_WITHIN, "{took:?}: {}", run.stderr);
        until("the RUN step is gone", || processes(&sleep).is_empty());
        workshop.verify();
        assert_eq!(workshop.names(), ["docker.io/library/busybox:1.37"]);
    }
}

#[test]
fn a_second_signal_ends_at_once() {
    let Some(workshop) = Workshop::with_buildkit() else {
        return;
    };
    let sleep = sleeper(&workshop);
    let running = Running::start(&mut workshop.command(&BUILD));
    running.until_said(" begun\n");
    running.signal(Signal::INT);
    running.until_said("cancelling");
    running.signal(Signal::INT);
    let (run, _) = running.end();
    assert_eq!(run.code, 130, "{}", run.stderr);
    until("the RUN step is gone", || processes(&sleep).is_empty());
    workshop.verify();
}

#[test]
fn a_signal_ends_the_waiting_for_a_lock() {
    let Some(workshop) = Workshop::with_bases() else { return };
    let lock = workshop.cache().join(".lkpkg.index.lock");
    let lock = lkpkg::fsx::FileLock::exclusive(&lock, Duration::ZERO).unwrap();
    let running = Running::start(&mut workshop.command(&["cache", "rm", "busybox:1.37"]));
    // SIGINT is bit 1 of the signals that a process handles.
    until("it listens to signals", || running.caught_signals() & 0b10 != 0);
    running.signal(Signal::INT);
    let (run, took) = running.end();
    run.failed(130, &["error: cancelled"]);
    assert!(took < CANCELLED_WITHIN, "{took:?}");
    drop(lock);
    assert_eq!(workshop.names(), ["docker.io/library/busybox:1.37"]);
}

#[test]
fn killed_while_writing_it_leaves_a_cache_that_is_right() {
    let Some(workshop) = Workshop::with_buildkit() else {
        return;
    };
    let dockerfile = format!(
        "FROM busybox:1.37\nRUN echo {} && for n in 1 2 3 4; do dd if=/dev/urandom of=/$n bs=1M count=8; done\n",
        unique()
    );
    workshop.package("p", BUILD_YML, &dockerfile);
    let blobs = workshop.cache().join("blobs/sha256");
    let is_writing = || {
        let names = std::fs::read_dir(&blobs).unwrap().flatten();
        names
            .into_iter()
            .any(|entry| lkpkg::fsx::is_temporary(&entry.file_name().to_string_lossy()))
    };
    let running = Running::start(&mut workshop.command(&BUILD));
    let begin = Instant::now();
    while !is_writing() {
        assert!(begin.elapsed() < PATIENCE, "it never writes: {}", running.said());
        std::thread::yield_now();
    }
    running.signal(Signal::KILL);
    assert_eq!(running.end().0.code, -1);
    let verified = workshop.run(&["cache", "verify"]);
    assert!(verified.stderr.contains("1 name,"), "{verified:?}");
    verified.done();
    // The next one goes on where it was, and takes away what was left.
    workshop.build(&["p"]).done();
    workshop.verify();
}

/// A registry that takes the connection and says nothing.
#[test]
fn a_push_that_waits_for_its_registry_can_be_interrupted() {
    let Some(workshop) = Workshop::with_bases() else { return };
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let to = format!("{}/x:1", silent.local_addr().unwrap());
    let mut command = workshop.command(&["cache", "push", "--remote-name", &to, "busybox:1.37"]);
    let push = Running::start(&mut command);
    push.until_said("pushing to");
    let _connection = silent.accept().unwrap();
    push.signal(Signal::INT);
    let (run, took) = push.end();
    run.failed(130, &["cancelled"]);
    assert!(took < CANCELLED_WITHIN, "{took:?}");
    workshop.verify();
}
