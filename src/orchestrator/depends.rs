//! `depends.docker-images`: images that are laid into the package directory before it is built.

use super::OrchestratorError;
use crate::content::{self, Source};
use crate::event::{CancellationToken, Events};
use crate::fsx::{self, FileError, StagedFile};
use crate::oci::{Descriptor, Platform, Reference};
use crate::package::{DockerImagesTarget, Package};
use crate::store::Store;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

/// Where images come from that the store does not hold: the repository that a reference speaks of.
pub type Remote = Arc<dyn Fn(&Reference) -> Arc<dyn Source> + Send + Sync>;

/// An image to be saved: the manifest of one platform, and how build.yml calls it.
type Image = (Descriptor, Reference);

/// Saves the images of the package's `depends.docker-images` where build.yml wants them, as `docker save` would.
///
/// Of a multi-arch image it is this machine's platform, as in linuxkit, whatever is built: one directory serves all
/// platforms. What the store does not hold is pulled into it from `remote`. The same images give the same files.
pub(super) async fn provide(
    package: &Package,
    store: &Store,
    remote: Option<&Remote>,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<(), OrchestratorError> {
    let Some(depends) = &package.depends else {
        return Ok(());
    };
    let (mut images, mut seen) = (Vec::new(), BTreeSet::new());
    for text in &depends.images {
        // They were checked when build.yml was read.
        let reference: Reference = text.parse().map_err(|error| unavailable(text, &error))?;
        if seen.insert(reference.clone()) {
            let manifest = tokio::select! {
                biased;
                () = cancel.cancelled() => return Err(OrchestratorError::Cancelled),
                found = find(&reference, store, remote, events) => found?,
            };
            images.push((manifest, reference));
        }
    }
    match &depends.target {
        DockerImagesTarget::File(path) => {
            make_directory(path.parent().unwrap_or(&package.directory))?;
            save(images, path, store, events, cancel).await
        }
        DockerImagesTarget::Directory(path) => {
            // Filled first and tidied up afterwards: whoever builds the same package at this moment misses no file.
            if fs::symlink_metadata(path).is_ok_and(|found| !found.is_dir()) {
                remove(path, false)?;
            }
            make_directory(path)?;
            let mut names = BTreeSet::new();
            for image in images {
                let name = file_name(&image.1);
                save(vec![image], &path.join(&name), store, events, cancel).await?;
                names.insert(OsString::from(name));
            }
            Ok(tidy(path, &names)?)
        }
    }
}

/// The image, from the store, or from the remote through the store.
async fn find(
    reference: &Reference,
    store: &Store,
    remote: Option<&Remote>,
    events: &Events,
) -> Result<Descriptor, OrchestratorError> {
    let platform = Platform::host();
    if let Some(manifest) = store.find_image(reference, &platform)? {
        return Ok(manifest);
    }
    let Some(remote) = remote else {
        return Err(unavailable(
            reference,
            &format!("it is not in the cache for {platform}"),
        ));
    };
    events.notice(format!("pulling {reference}")).await;
    let (source, name) = (remote(reference), reference.pinned_name());
    let platforms = [platform.clone()];
    let pulled = content::pull(source.as_ref(), store, &name, Some(&platforms)).await;
    let pulled = pulled.map_err(|error| unavailable(reference, &error))?;
    if pulled.is_none() {
        return Err(unavailable(reference, &"there is no such image"));
    }
    let manifest = store.find_image(reference, &platform)?;
    manifest.ok_or_else(|| unavailable(reference, &format!("there is none for {platform}")))
}

fn unavailable(image: &dyn std::fmt::Display, reason: &dyn std::fmt::Display) -> OrchestratorError {
    OrchestratorError::Image {
        image: image.to_string(),
        named_by: "depends.docker-images".to_owned(),
        reason: reason.to_string(),
    }
}

/// `busybox@sha256:….tar`, as linuxkit calls it.
fn file_name(reference: &Reference) -> String {
    let pinned = reference.pinned_name();
    format!("{}.tar", pinned.rsplit('/').next().unwrap_or(&pinned))
}

/// Writes an archive for `docker load`. An image has a name in it when build.yml gives it a tag.
async fn save(
    images: Vec<Image>,
    path: &Path,
    store: &Store,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<(), OrchestratorError> {
    let names: Vec<String> = images.iter().map(|(_, reference)| reference.to_string()).collect();
    let text = format!("saving {} into {}", names.join(", "), path.display());
    events.notice(text).await;
    let named = images
        .into_iter()
        .map(|(manifest, reference)| (manifest, reference.tag().is_some().then_some(reference)));
    let file = StagedFile::new(path)?;
    store.export_images(named.collect(), file, cancel).await?.commit()?;
    Ok(())
}

/// Makes the directory, and removes what dead processes left in it.
fn make_directory(path: &Path) -> Result<(), FileError> {
    fs::create_dir_all(path).map_err(|e| FileError::io("create directory", path, e))?;
    fsx::sweep(path).map(drop)
}

/// Removes everything but the files of these names, and gives the directory a time that does not change.
fn tidy(directory: &Path, names: &BTreeSet<OsString>) -> Result<(), FileError> {
    let failed = |e| FileError::io("empty", directory, e);
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        // What is temporary is in the making by somebody else.
        if names.contains(&name) || name.to_str().is_some_and(fsx::is_temporary) {
            continue;
        }
        remove(&entry.path(), entry.file_type().map_err(failed)?.is_dir())?;
    }
    let opened = fs::File::open(directory).and_then(|directory| directory.set_modified(SystemTime::UNIX_EPOCH));
    opened.map_err(failed)
}

/// Removes what somebody else may have removed already.
fn remove(path: &Path, is_directory: bool) -> Result<(), FileError> {
    let result = if is_directory {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(FileError::io("remove", path, error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
