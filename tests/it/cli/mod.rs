//! The program from end to end, on a real BuildKit.

#![expect(clippy::unwrap_used, reason = "tests")]

mod builders;
mod doctor;
mod flags;
mod help;
mod how;
mod images;
mod order;
mod output;
mod parallel;
mod publish;
mod pull;
mod release;
mod signals;

use crate::program::{Run, Running, Workshop, digest, unique};
use std::collections::BTreeMap;
use std::io::Read;

const BUILD_YML: &str = "org: test\nimage: p\narches: [amd64]\n";

/// The small files of an image's file system, by name.
fn files(workshop: &Workshop, image: &str, platform: &str) -> BTreeMap<String, String> {
    let arguments = [
        "cache",
        "export",
        "--format",
        "filesystem",
        "--platform",
        platform,
        "--outfile",
        "-",
        image,
    ];
    let output = workshop.command(&arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut archive = tar::Archive::new(&output.stdout[..]);
    let mut files = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        let mut bytes = Vec::new();
        if entry.size() < 4096 {
            entry.read_to_end(&mut bytes).unwrap();
        }
        files.insert(name, String::from_utf8_lossy(&bytes).trim_end().to_owned());
    }
    files
}

/// Builds the package `p`, made of this, for amd64, and gives the files of its image.
#[track_caller]
fn built(workshop: &Workshop, build_yml: &str, dockerfile: &str, arguments: &[&str]) -> BTreeMap<String, String> {
    workshop.package("p", &format!("{BUILD_YML}{build_yml}"), dockerfile);
    let line = workshop.build(&[arguments, &["p"]].concat()).done();
    files(workshop, line.split('@').next().unwrap(), "linux/amd64")
}
