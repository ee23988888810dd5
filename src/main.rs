//! The program: arguments in, exit code out. Signals become cancellation in `cli::runtime`.

fn main() -> std::process::ExitCode {
    lkpkg::cli::run(std::env::args_os())
}
