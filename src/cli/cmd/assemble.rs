//! `lkpkg assemble`: image YAMLs → files. What was written is named on standard output, a line each.

use crate::assemble::config::{self, SourceText};
use crate::assemble::{Compression, Destination, Format, FormatKind};
use crate::cli::args::GlobalArgs;
use crate::cli::args::assemble::{AssembleArgs, InitrdCompression};
use crate::cli::failure::{ExitCode, Failure};
use crate::cli::{environment as env, output, runtime, settings, work};
use crate::event::CancellationToken;
use crate::oci::{KNOWN_ARCHITECTURES, Platform};
use crate::orchestrator::{self, AssembleOptions, OrchestratorError};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// What the output of a YAML without a name is called, as in linuxkit.
const NAMELESS: &str = "moby";

/// Runs the verb.
pub fn run(args: &AssembleArgs, global: &GlobalArgs) -> Result<(), Failure> {
    if args.schema {
        return output::json(&config::schema());
    }
    runtime::block_on(async |cancel| work(args, global, &cancel).await)
}

async fn work(args: &AssembleArgs, global: &GlobalArgs, cancel: &CancellationToken) -> Result<(), Failure> {
    let (kinds, platform) = (kinds(args)?, platform(args)?);
    let registry = settings::registry(global, None)?;
    let mut sources = Vec::new();
    for file in &args.files {
        sources.push(work::unless(cancel, source(file, cancel)).await?);
    }
    let yaml = orchestrator::describe(&sources)?;
    if args.dry_run {
        return output::data(&config::yaml(&yaml));
    }
    let options = AssembleOptions {
        platform,
        pull: args.pull,
        sbom: sbom(args)?,
        sbom_created: args.sbom_current_time.then(now),
        decompress_kernel: args.decompress_kernel,
        home: env::value(env::HOME).map(PathBuf::from),
    };
    let formats = kinds
        .into_iter()
        .map(|kind| begin(kind, args))
        .collect::<Result<Vec<_>, _>>()?;
    let store = settings::open_store(global)?;
    let remote = settings::remote(&registry);
    let how = settings::render_options(args.progress, global);
    let written = work::rendered(how, cancel, async |events| {
        orchestrator::assemble(yaml, &options, formats, &store, &remote, events, cancel).await
    });
    let lines = written.await?.into_iter().map(|path| format!("{}\n", path.display()));
    output::data(&lines.collect::<String>())
}

/// The formats that are wanted. What cannot be is said before anything is read.
fn kinds(args: &AssembleArgs) -> Result<Vec<FormatKind>, Failure> {
    let usual = if args.output.is_some() {
        FormatKind::Tar
    } else {
        FormatKind::KernelInitrd
    };
    let find = |name: &String| FormatKind::find(name.trim()).map_err(OrchestratorError::from);
    let mut kinds = args.format.iter().map(find).collect::<Result<Vec<_>, _>>()?;
    kinds.sort_unstable();
    kinds.dedup();
    if kinds.is_empty() {
        kinds.push(usual);
    }
    if args.output.is_some() {
        let wrong = |text: &str| Err(Failure::usage(text));
        match kinds.as_slice() {
            _ if args.name.is_some() || args.dir.is_some() => {
                return wrong("-o names the file: leave --name and --dir away");
            }
            [kind] if kind.is_stream() => {}
            [kind] => {
                return wrong(&format!(
                    "-o is for tar and docker; {} is several files: use --name and --dir",
                    kind.name()
                ));
            }
            _ => return wrong("-o is for one format; use --name and --dir for several"),
        }
    }
    Ok(kinds)
}

fn platform(args: &AssembleArgs) -> Result<Platform, Failure> {
    match (&args.arch, &args.platform) {
        (Some(arch), _) if KNOWN_ARCHITECTURES.contains(&arch.as_str()) => Ok(Platform::linux(arch)),
        (Some(arch), _) => {
            let known = KNOWN_ARCHITECTURES.join(", ");
            Err(Failure::usage(format!("--arch {arch}: known are {known}")))
        }
        (None, Some(platform)) => platform
            .parse()
            .map_err(|error| Failure::usage(format!("--platform: {error}"))),
        (None, None) => Ok(Platform::host()),
    }
}

fn sbom(args: &AssembleArgs) -> Result<Option<String>, Failure> {
    if args.no_sbom {
        return Ok(None);
    }
    let path = crate::layers::normalize(args.sbom_output.as_bytes()).and_then(|path| String::from_utf8(path).ok());
    match path.filter(|path| !path.is_empty()) {
        Some(path) => Ok(Some(path)),
        None => Err(Failure::usage(format!(
            "--sbom-output {}: no path in the root",
            args.sbom_output
        ))),
    }
}

fn now() -> String {
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let stamp = crate::identity::utc(i64::try_from(seconds).unwrap_or_default());
    let (date, time) = stamp.split_at(stamp.len() - 6);
    let (day, month) = (&date[date.len() - 2..], &date[date.len() - 4..date.len() - 2]);
    let year = &date[..date.len() - 4];
    format!("{year}-{month}-{day}T{}:{}:{}Z", &time[..2], &time[2..4], &time[4..])
}

fn begin(kind: FormatKind, args: &AssembleArgs) -> Result<Format, Failure> {
    let destination = match args.output.as_deref() {
        Some(path) if path == Path::new("-") => Destination::Stream(Box::new(std::io::stdout())),
        Some(path) => Destination::File(path.to_owned()),
        None => Destination::Base(args.dir.clone().unwrap_or_default().join(name(args))),
    };
    let compression = match args.initrd_compression {
        InitrdCompression::Gzip => Compression::Gzip,
        InitrdCompression::Zstd => Compression::Zstd,
        InitrdCompression::None => Compression::None,
    };
    Format::begin_at(kind, destination, compression).map_err(|error| OrchestratorError::from(error).into())
}

fn name(args: &AssembleArgs) -> String {
    let last = args.files.last().map(String::as_str).filter(|last| *last != "-");
    let stem = last.and_then(|last| Path::new(last).file_stem());
    let stem = stem.map_or_else(|| NAMELESS.into(), |stem| stem.to_string_lossy());
    args.name.clone().unwrap_or_else(|| stem.into_owned())
}

async fn source(file: &str, cancel: &CancellationToken) -> Result<SourceText, Failure> {
    let text = |name: &str, text| SourceText {
        name: name.into(),
        text,
        directory: None,
    };
    if file.starts_with("http://") || file.starts_with("https://") {
        return Ok(text(file, orchestrator::fetch_text(file, cancel).await?));
    }
    let mut read = String::new();
    let done = match file {
        "-" => std::io::stdin().read_to_string(&mut read).map(drop),
        file => std::fs::read_to_string(file).map(|found| read = found),
    };
    if let Err(error) = done {
        let code = if error.kind() == std::io::ErrorKind::NotFound {
            ExitCode::Usage
        } else {
            ExitCode::Failed
        };
        return Err(Failure::new(code, format!("cannot read {file}: {error}")));
    }
    Ok(match file {
        "-" => text("<stdin>", read),
        file => SourceText {
            directory: Some(Path::new(file).parent().unwrap_or(Path::new("")).to_owned()),
            ..text(file, read)
        },
    })
}
