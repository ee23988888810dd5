//! `lkpkg cache ls|rm|clean|import|du|verify`; exporting, pulling and pushing have files of their own.

use super::{cache_export, cache_pull, cache_push};
use crate::cli::args::{CacheVerb, Format, GlobalArgs};
use crate::cli::failure::{ExitCode, Failure};
use crate::cli::format::{self, Align, Table};
use crate::cli::work::unless;
use crate::cli::{output, runtime, settings};
use crate::event::CancellationToken;
use crate::oci::Reference;
use crate::orchestrator;
use crate::store::{DiskUsage, ImportOptions, Problem, Removal, Store, StoredImage, Verification};
use std::fmt::Write as _;
use std::path::Path;

/// Runs the verb.
pub fn run(verb: &CacheVerb, global: &GlobalArgs) -> Result<(), Failure> {
    let store = settings::open_store(global)?;
    runtime::block_on(async |cancel| match verb {
        CacheVerb::Ls { format } => unless(&cancel, list(&store, *format)).await,
        CacheVerb::Rm { images, published_only } => {
            let names = images
                .iter()
                .map(|image| full_name(image))
                .collect::<Result<Vec<_>, _>>()?;
            unless(&cancel, remove(&store, names, *published_only, global)).await
        }
        CacheVerb::Clean { published_only: true } => {
            let names = store.view()?.names().into_iter().map(str::to_owned).collect();
            unless(&cancel, remove(&store, names, true, global)).await
        }
        CacheVerb::Clean { published_only: false } => unless(&cancel, clear(&store)).await,
        CacheVerb::Export(args) => cache_export::run(&store, args, &cancel).await,
        CacheVerb::Import { file, name } => import(&store, file, name.as_deref(), &cancel).await,
        CacheVerb::Pull(args) => cache_pull::run(&store, args, global, &cancel).await,
        CacheVerb::Push(args) => cache_push::run(&store, args, global, &cancel).await,
        CacheVerb::Du { format } => unless(&cancel, disk_usage(&store, *format)).await,
        CacheVerb::Verify { format } => verify(&store, *format, &cancel).await,
    })
}

async fn list(store: &Store, how: Format) -> Result<(), Failure> {
    let images = store.list().await?;
    if how == Format::Json {
        return output::json(&images);
    }
    let mut table = Table::new(&[
        ("NAME", Align::Left),
        ("DIGEST", Align::Left),
        ("PLATFORMS", Align::Left),
        ("SIZE", Align::Right),
    ]);
    for image in &images {
        let name = if image.name.is_empty() { "<none>" } else { &image.name };
        table.row([
            name.to_owned(),
            image.digest.to_string(),
            platforms(image),
            format::size(image.size),
        ]);
    }
    output::data(&table.render())
}

/// The platforms of an image; those that are not wholly here in parentheses.
fn platforms(image: &StoredImage) -> String {
    let show = |platform: &crate::oci::Platform| {
        if image.complete.contains(platform) {
            platform.to_string()
        } else {
            format!("({platform})")
        }
    };
    image.platforms.iter().map(show).collect::<Vec<_>>().join(",")
}

async fn remove(
    store: &Store,
    mut names: Vec<String>,
    is_published_only: bool,
    global: &GlobalArgs,
) -> Result<(), Failure> {
    if is_published_only {
        let registry = settings::registry(global, None)?;
        let asked = orchestrator::unpublished(&names, store, &registry).await?;
        names.clear();
        for (name, reason) in asked {
            match reason {
                None => names.push(name),
                Some(reason) => output::tell(&format!("{name} stays: {reason}")),
            }
        }
    }
    told(&store.remove(&names).await?)
}

async fn clear(store: &Store) -> Result<(), Failure> {
    told(&store.clear().await?)
}

/// Says what was removed.
fn told(removal: &Removal) -> Result<(), Failure> {
    let mut text = String::new();
    for name in &removal.names {
        let _ = writeln!(text, "{name}");
    }
    output::tell(&format!(
        "removed {} and freed {}",
        format::count(removal.names.len(), "name"),
        format::size(removal.freed)
    ));
    if !removal.kept_by.is_empty() {
        output::tell(&format!("still needed by {}", removal.kept_by.join(", ")));
    }
    output::data(&text)
}

/// The name under which the store knows an image.
fn full_name(image: &str) -> Result<String, Failure> {
    let reference: Reference = image.parse().map_err(|error| Failure::usage(format!("{error}")))?;
    Ok(reference.store_name())
}

async fn import(store: &Store, file: &Path, name: Option<&str>, cancel: &CancellationToken) -> Result<(), Failure> {
    let name = name.map(str::parse).transpose();
    let options = ImportOptions {
        name: name.map_err(|error| Failure::usage(format!("--name: {error}")))?,
    };
    let imported = if file == Path::new("-") {
        store.import(std::io::stdin(), &options, cancel).await?
    } else if file.is_dir() {
        store.import_directory(file, &options, cancel).await?
    } else {
        let opened = std::fs::File::open(file);
        let opened = opened.map_err(|error| Failure::usage(format!("cannot read {}: {error}", file.display())))?;
        store.import(opened, &options, cancel).await?
    };
    let mut text = String::new();
    for (name, descriptor) in &imported.images {
        let _ = writeln!(text, "{name}@{}", descriptor.digest);
    }
    output::tell(&format!(
        "{} written, {}",
        format::count(imported.written, "blob"),
        format::size(imported.written_bytes)
    ));
    output::data(&text)
}

async fn disk_usage(store: &Store, how: Format) -> Result<(), Failure> {
    let usage: DiskUsage = store.disk_usage().await?;
    if how == Format::Json {
        return output::json(&usage);
    }
    let mut table = Table::new(&[("NAME", Align::Left), ("TOTAL", Align::Right), ("UNIQUE", Align::Right)]);
    for image in &usage.images {
        let name = if image.name.is_empty() { "<none>" } else { &image.name };
        table.row([name.to_owned(), format::size(image.total), format::size(image.unique)]);
    }
    table.row(["all blobs".to_owned(), format::size(usage.total), String::new()]);
    table.row([
        "needed by no name".to_owned(),
        format::size(usage.unreferenced),
        String::new(),
    ]);
    output::data(&table.render())
}

async fn verify(store: &Store, how: Format, cancel: &CancellationToken) -> Result<(), Failure> {
    let found: Verification = store.verify(cancel).await?;
    match how {
        Format::Json => output::json(&found)?,
        Format::Text => {
            let text: String = found.problems.iter().map(|problem| format!("{problem}\n")).collect();
            output::data(&text)?;
            output::tell(&format!(
                "{}, {}, {}: {}",
                format::count(found.images, "name"),
                format::count(found.blobs, "blob"),
                format::size(found.bytes),
                format::count(found.problems.len(), "problem")
            ));
        }
    }
    if found.is_clean() {
        return Ok(());
    }
    let message = format!(
        "the cache {} is damaged: {}",
        store.directory().display(),
        format::count(found.problems.len(), "problem")
    );
    let is_index = |problem: &Problem| problem.path.ends_with("index.json");
    Err(
        Failure::new(ExitCode::Store, message).with_hint(match found.problems.iter().any(is_index) {
            true => {
                "without its index.json a cache cannot be mended: move it away, and build or import the images again"
            }
            false => "remove the images that need what is wrong (lkpkg cache rm) and build or import them again",
        }),
    )
}
