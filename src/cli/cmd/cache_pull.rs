//! `lkpkg cache pull`: images from their registries into the cache, one line each: name and digest.

use crate::cli::args::{GlobalArgs, PullArgs};
use crate::cli::failure::{ExitCode, Failure};
use crate::cli::{output, settings};
use crate::content::{self, Sink as _};
use crate::oci::{Platform, Reference};
use crate::orchestrator::Remote;
use crate::store::Store;

/// Runs the verb.
pub async fn run(store: &Store, args: &PullArgs, global: &GlobalArgs) -> Result<(), Failure> {
    let parse = |image: &String| image.parse().map_err(|error| Failure::usage(format!("{error}")));
    let images: Vec<Reference> = args.images.iter().map(parse).collect::<Result<_, _>>()?;
    let platforms = settings::platforms("--platforms", &args.platforms)?;
    let remote = settings::remote(settings::dockers_credentials(), global)?;
    for image in &images {
        output::tell(&format!("pulling {image}"));
        let line = pull(store, image, &platforms, &remote).await?;
        output::data(&format!("{line}\n"))?;
    }
    Ok(())
}

/// Pulls one image, for all its platforms when none is named, and answers its name with its digest.
async fn pull(store: &Store, image: &Reference, platforms: &[Platform], remote: &Remote) -> Result<String, Failure> {
    let name = image.pinned_name();
    let wanted = Some(platforms).filter(|platforms| !platforms.is_empty());
    let missing = |reason: &str| Failure::new(ExitCode::Missing, format!("cannot pull {image}: {reason}"));
    let pulled = content::pull(remote(image).as_ref(), store, &name, wanted).await?;
    let pulled = pulled.ok_or_else(|| missing("its registry has no such image"))?;
    if !pulled.missing.is_empty() {
        let platforms: Vec<String> = pulled.missing.iter().map(Platform::to_string).collect();
        return Err(missing(&format!("there is none for {}", platforms.join(", "))));
    }
    if image.digest().is_some() {
        return Ok(name);
    }
    name_platforms(store, image, &name).await?;
    Ok(format!("{name}@{}", pulled.root.digest))
}

/// As linuxkit does, each platform's image gets a name of its own, `name:tag-arch`.
async fn name_platforms(store: &Store, image: &Reference, name: &str) -> Result<(), Failure> {
    for platform in store.platforms_of(name)? {
        if let Some(manifest) = store.find_manifest(name, &platform)? {
            let own = image.with_architecture(&platform.architecture).store_name();
            store.set(&own, &manifest).await?;
        }
    }
    Ok(())
}
