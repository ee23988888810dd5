//! `lkpkg cache export`: an image into a file that appears only when it is whole, or to standard output.

use crate::cli::args::{ExportArgs, ExportFormat};
use crate::cli::failure::{ExitCode, Failure};
use crate::event::CancellationToken;
use crate::fsx::beside;
use crate::oci::{Platform, Reference};
use crate::store::{self, ExportOptions, Store};
use std::path::Path;

/// Runs the verb.
pub async fn run(store: &Store, args: &ExportArgs, cancel: &CancellationToken) -> Result<(), Failure> {
    let bad = |error: &dyn std::fmt::Display| Failure::usage(error.to_string());
    let image: Reference = args.image.parse().map_err(|error| bad(&error))?;
    let options = ExportOptions {
        format: match args.format {
            ExportFormat::Oci => store::ExportFormat::Oci,
            ExportFormat::Docker => store::ExportFormat::Docker,
            ExportFormat::Filesystem => store::ExportFormat::Filesystem,
        },
        platform: platform(args)?,
        name: args
            .name
            .as_ref()
            .map(|name| name.parse())
            .transpose()
            .map_err(|error| bad(&error))?,
    };
    if args.outfile == Path::new("-") {
        store.export(&image, &options, std::io::stdout(), cancel).await?;
        return Ok(());
    }
    let failed = |error: std::io::Error| {
        let error = reason(&error);
        Failure::new(
            ExitCode::Failed,
            format!("cannot write {}: {error}", args.outfile.display()),
        )
    };
    if args.outfile.exists() && !args.outfile.is_file() {
        // A pipe or a device has no place beside it to write to first.
        let file = std::fs::File::options()
            .write(true)
            .open(&args.outfile)
            .map_err(failed)?;
        store.export(&image, &options, file, cancel).await?;
        return Ok(());
    }
    let file = beside(&args.outfile).map_err(failed)?;
    let file = store.export(&image, &options, file, cancel).await?;
    // Nothing bears its final name before it is on the disk.
    file.as_file().sync_all().map_err(failed)?;
    file.persist(&args.outfile).map_err(|error| failed(error.error))?;
    Ok(())
}

/// What the system says, without the temporary file's name, which helps nobody.
pub fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" at path ").next().unwrap_or_default().to_owned()
}

/// As in linuxkit, this machine's platform when none is given.
fn platform(args: &ExportArgs) -> Result<Option<Platform>, Failure> {
    match args.platform.as_deref() {
        None => Ok(Some(Platform::host())),
        Some("all") if args.format == ExportFormat::Oci => Ok(None),
        Some("all") => Err(Failure::usage("--platform all is for --format oci only")),
        Some(text) => text
            .parse()
            .map(Some)
            .map_err(|error| Failure::usage(format!("--platform: {error}"))),
    }
}
