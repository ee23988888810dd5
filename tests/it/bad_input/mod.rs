//! Bad input: what the user is told, and the exit code. Nothing is left half done.

#![expect(clippy::unwrap_used, reason = "tests")]

mod archives;
mod builds;
mod packages;
mod stores;

use crate::program::Workshop;

const DOCKERFILE: &str = "FROM scratch\nCOPY . /\n";
const BUILD_YML: &str = "org: test\nimage: p\narches: [amd64]\n";

/// A workshop with a good package `p`.
fn workshop() -> Workshop {
    let workshop = Workshop::new();
    workshop.package("p", BUILD_YML, DOCKERFILE);
    workshop
}
