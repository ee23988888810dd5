//! Bad input: what the user is told, and the exit code.

use crate::program::Workshop;

const DOCKERFILE: &str = "FROM scratch\nCOPY . /\n";

#[test]
fn a_directory_without_build_yml() {
    let workshop = Workshop::new();
    workshop.write("p/Dockerfile", DOCKERFILE);
    workshop.run(&["show-tag", "p"]).failed(2, &["build.yml", "p"]);
    workshop.run(&["show-tag", "nowhere"]).failed(2, &["nowhere"]);
}

#[test]
fn an_unknown_field_is_shown_where_it_stands() {
    let workshop = Workshop::new();
    workshop.package("p", "image: p\nnetwrok: true\n", DOCKERFILE);
    workshop
        .run(&["show-tag", "p"])
        .failed(2, &["p/build.yml:2:1", "netwrok", "network"]);
}
