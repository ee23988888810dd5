//! `lkpkg reference`: the reference pages, made from the code. A test keeps docs/reference the same as this.

use crate::cli::args::Cli;
use crate::cli::environment;
use crate::cli::failure::{ExitCode, Failure};
use crate::cli::output;
use clap::Command;
use std::fmt::Write as _;

/// Width of the help texts in the reference, in columns, so that they do not depend on who makes them.
const WIDTH_COLUMNS: usize = 100;

/// Runs the verb.
pub fn run() -> Result<(), Failure> {
    output::data(&page())
}

/// The whole page as Markdown.
pub fn page() -> String {
    let mut page = String::from(
        "# Reference\n\nMade from the program by `lkpkg reference`; do not edit. The package verbs are also understood as \
         `lkpkg pkg VERB`.\n\n## Command line\n",
    );
    let mut definition = Cli::definition().term_width(WIDTH_COLUMNS);
    definition.build();
    command(&definition, "lkpkg", &mut page);
    page.push_str(
        "\n## Environment\n\nA flag goes before the environment, and the environment before the default.\n\n",
    );
    page.push_str("| variable | meaning |\n|---|---|\n");
    for variable in environment::all() {
        let _ = writeln!(page, "| `{}` | {} |", variable.name, variable.meaning);
    }
    page.push_str("\n## Exit codes\n\n| code | meaning |\n|---|---|\n");
    for (code, meaning) in ExitCode::ALL {
        let _ = writeln!(page, "| {} | {meaning} |", code as u8);
    }
    page
}

/// A command's help, and then those below it.
fn command(one: &Command, path: &str, page: &mut String) {
    let help = one
        .clone()
        .color(clap::ColorChoice::Never)
        .render_long_help()
        .to_string();
    let help: String = help.lines().map(|line| format!("{}\n", line.trim_end())).collect();
    let _ = write!(page, "\n### {path}\n\n```text\n{}\n```\n", help.trim_end());
    let is_listed = |below: &&Command| !below.is_hide_set() && below.get_name() != "help" && one.get_name() != "pkg";
    for below in one.get_subcommands().filter(is_listed) {
        command(below, &format!("{path} {}", below.get_name()), page);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_in_docs_is_this_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference/index.md");
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            committed == super::page(),
            "docs/reference/index.md is old: run `lkpkg reference > docs/reference/index.md`"
        );
    }
}
