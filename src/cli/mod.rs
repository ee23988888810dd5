//! The front door: arguments, environment, settings, rendering, exit codes. Nothing imports it, and only it reads the
//! environment and prints.

mod args;
mod cmd;
mod ended;
mod environment;
mod failure;
pub mod format;
mod output;
pub mod render;
mod runtime;
mod settings;
mod work;

use args::{Cli, PackageVerb, Verb};
use failure::{ExitCode, Failure};
use std::ffi::OsString;

/// Runs lkpkg with these arguments (the first is the program's name) and returns the exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> std::process::ExitCode {
    let cli = match Cli::read(arguments) {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    match dispatch(&cli) {
        Ok(()) => ExitCode::Done.into(),
        Err(failure) => {
            output::tell(&failure.text(settings::use_colour()));
            failure.code.into()
        }
    }
}

/// clap's own words; help and version are no failure.
fn usage(error: &clap::Error) -> std::process::ExitCode {
    // Help into a closed pipe is no failure either.
    let _ = error.print();
    if error.use_stderr() {
        ExitCode::Usage.into()
    } else {
        ExitCode::Done.into()
    }
}

fn dispatch(cli: &Cli) -> Result<(), Failure> {
    let global = &cli.global;
    match &cli.verb {
        Verb::Package(verb) => package(verb, cli),
        Verb::Pkg(pkg) => package(&pkg.verb, cli),
        Verb::Assemble(args) => cmd::assemble::run(args, global),
        Verb::Cache(verb) => cmd::cache::run(verb, global),
        Verb::Doctor(args) => cmd::doctor::run(args, global),
        Verb::Sbom(verb) => cmd::sbom::run(verb, global),
        Verb::Inspect(args) => cmd::inspect::run(args, global),
        Verb::Verify(args) => cmd::verify::run(args, global),
        Verb::Completions { shell } => cmd::completions::run(*shell),
        Verb::Version { format } => cmd::version::run(*format),
        Verb::Reference => cmd::reference::run(),
        Verb::KeepBuildkitd(args) => cmd::keep_buildkitd::run(args),
    }
}

fn package(verb: &PackageVerb, cli: &Cli) -> Result<(), Failure> {
    match verb {
        PackageVerb::Build(args) => cmd::build::run(args, &cli.global),
        PackageVerb::Push(args) => {
            let mut args = args.clone();
            args.publish.push = true;
            cmd::build::run(&args, &cli.global)
        }
        PackageVerb::Manifest(args) => cmd::manifest::run(args, &cli.global),
        PackageVerb::RemoteTag(args) => cmd::remote_tag::run(args, &cli.global),
        PackageVerb::ShowTag(args) => cmd::show_tag::run(args),
        PackageVerb::Plan(args) => cmd::plan::run(args, &cli.global),
        PackageVerb::Builder(verb) => cmd::builder::run(verb, &cli.global),
        PackageVerb::Release(args) => cmd::release::run(args, &cli.global),
    }
}
