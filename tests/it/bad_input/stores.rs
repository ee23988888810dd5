//! Caches that are locked, damaged, full, or of another time.

use super::*;
use crate::program::unique;
use crate::servers::SmallDisk;
use lkpkg::fsx::FileLock;
use std::fs;
use std::time::Duration;

#[test]
fn a_locked_cache_is_waited_for_with_a_limit() {
    let workshop = workshop();
    workshop.run(&["cache", "ls"]).done();
    let lock = FileLock::exclusive(&workshop.cache().join(".lkpkg.lock"), Duration::ZERO).unwrap();
    let holder = format!("is held by process {} (", std::process::id());
    for arguments in [&["cache", "ls"][..], &["build", "p"], &["plan", "p"]] {
        let run = workshop.run(&[&["--lock-timeout", "0"], arguments].concat());
        run.failed(
            4,
            &[
                "the cache is locked: ",
                ".lkpkg.lock",
                &holder,
                "waited 0 s",
                "--lock-timeout",
            ],
        );
    }
    // Whoever waits is told for whom, and goes on when the lock is free.
    let running = crate::program::Running::start(&mut workshop.command(&["cache", "ls"]));
    running.until_said(&format!("waiting at most 30 s for process {}", std::process::id()));
    drop(lock);
    running.end().0.done();
    // A tag needs no cache.
    let _lock = FileLock::exclusive(&workshop.cache().join(".lkpkg.lock"), Duration::ZERO).unwrap();
    workshop.run(&["show-tag", "p"]).done();
}

#[test]
fn a_cache_of_a_newer_version_is_left_alone() {
    let workshop = workshop();
    workshop.run(&["cache", "ls"]).done();
    let file = workshop.cache().join("oci-layout");
    for (text, word) in [
        (
            r#"{"imageLayoutVersion":"2.0.0"}"#,
            "has image layout version 2.0.0, only 1.0.0 is known",
        ),
        ("{", "oci-layout is damaged"),
    ] {
        fs::write(&file, text).unwrap();
        for arguments in [&["cache", "ls"][..], &["cache", "verify"], &["build", "p"]] {
            workshop.run(arguments).failed(4, &[word]);
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
    }
}

#[test]
fn a_place_where_no_cache_can_be() {
    let workshop = workshop();
    for (place, reason) in [("/dev/null/x", "Not a directory"), ("/proc/x", "No such file")] {
        workshop
            .run(&["cache", "ls", "--cache", place])
            .failed(1, &["cannot create ", place, reason, "LINUXKIT_CACHE"]);
    }
    let mut command = workshop.command(&["cache", "ls"]);
    let run = command
        .env_remove("LINUXKIT_CACHE")
        .env_remove("HOME")
        .output()
        .unwrap();
    crate::program::Run::of(run).failed(2, &["HOME is not set", "--cache DIR"]);
}

#[test]
fn damage_is_found_and_named() {
    let Some(workshop) = Workshop::with_bases() else { return };
    workshop.verify();
    let directory = workshop.cache().join("blobs/sha256");
    let blobs = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let biggest = blobs.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    let good = fs::read(&biggest).unwrap();
    let mut bad = good.clone();
    bad[1000] ^= 1;
    let hex = biggest.file_name().unwrap().to_str().unwrap();
    for (content, word) in [(Some(&bad[..]), hex), (Some(&good[1..]), hex), (None, hex)] {
        match content {
            Some(bytes) => fs::write(&biggest, bytes).unwrap(),
            None => fs::remove_file(&biggest).unwrap(),
        }
        let run = workshop.run(&["cache", "verify"]);
        let run = run.failed(4, &["is damaged: 1 problem", "lkpkg cache rm"]);
        assert!(
            run.stdout.contains(word) && run.stdout.contains("busybox:1.37"),
            "{run:?}"
        );
    }
    fs::write(&biggest, good).unwrap();
    workshop.verify();
    fs::write(workshop.cache().join("index.json"), "{\"sch").unwrap();
    for arguments in [&["cache", "ls"][..], &["cache", "rm", "busybox:1.37"]] {
        workshop
            .run(arguments)
            .failed(4, &["index.json is damaged", "lkpkg cache verify"]);
    }
    let run = workshop
        .run(&["cache", "verify"])
        .failed(4, &["is damaged: 1 problem", "move it away"]);
    assert!(run.stdout.contains("index.json: "), "{run:?}");
}

#[test]
fn a_full_disk_leaves_nothing_half_written() {
    let Some(workshop) = Workshop::with_buildkit() else {
        return;
    };
    let Some(disk) = SmallDisk::mount() else { return };
    let cache = disk.path().join("cache");
    let cache = cache.to_str().unwrap();
    let verify = || {
        let text = workshop
            .run(&["cache", "verify", "--cache", cache, "--format", "json"])
            .done();
        let found: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(found["leftovers"], serde_json::json!([]), "{text}");
        assert_eq!(found["images"], 0, "{text}");
    };
    let file = workshop.path().join("bases.tar");
    let file = file.to_str().unwrap();
    let export = [
        "cache",
        "export",
        "busybox:1.37",
        "--platform",
        "all",
        "--outfile",
        file,
    ];
    workshop.run(&export).done();
    workshop
        .run(&["cache", "import", "--cache", cache, file])
        .failed(1, &["the disk is full", "lkpkg cache rm"]);
    verify();
    // Bytes that cannot be made smaller.
    let mut state = 88_172_645_463_325_252_u64;
    let mut noise = unique().into_bytes();
    while noise.len() < 4 << 20 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        noise.extend(state.to_le_bytes());
    }
    workshop.write("p/build.yml", BUILD_YML);
    workshop.write("p/Dockerfile", DOCKERFILE);
    fs::write(workshop.repository().join("p/noise"), noise).unwrap();
    workshop.commit();
    workshop
        .build(&["--cache", cache, "p"])
        .failed(1, &["test/p:", "the disk is full", "lkpkg cache rm"]);
    verify();
    // An export to a full disk is no file either.
    let target = disk.path().join("out.tar");
    let export = ["cache", "export", "busybox:1.37", "--platform", "all", "--outfile"];
    workshop
        .run(&[&export[..], &[target.to_str().unwrap()]].concat())
        .failed(1, &["No space left on device"]);
    assert_eq!(fs::read_dir(disk.path()).unwrap().count(), 1, "only the cache is there");
}
