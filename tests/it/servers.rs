//! Where tests find their servers. A missing one is said aloud: CI counts a SKIP as a failure.

use std::io::Write;

/// The value of `variable`, or None after a SKIP line that names it.
///
/// The line goes to stderr and, since a test runner hides what a passing test prints, to the file that
/// `LKPKG_TEST_SKIPS` names.
pub fn server(variable: &str) -> Option<String> {
    let value = std::env::var(variable).ok().filter(|value| !value.is_empty());
    if value.is_none() {
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        skip(&format!(
            "SKIP {test}: {variable} is not set; scripts/test starts the servers"
        ));
    }
    value
}

fn skip(line: &str) {
    eprintln!("{line}");
    let Some(path) = std::env::var_os("LKPKG_TEST_SKIPS").filter(|path| !path.is_empty()) else {
        return;
    };
    // One write of a short line to a file opened for appending: tests that skip at once do not mix.
    std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()))
        .expect("the file named by LKPKG_TEST_SKIPS can be written");
}

/// The path of a program on PATH, or None after a SKIP line that names it.
pub fn program(name: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|file| file.is_file());
    if found.is_none() {
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        eprintln!("SKIP {test}: {name} is not on PATH");
    }
    found
}
