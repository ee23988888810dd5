//! `build --docker`: images of the store into a Docker daemon, as a stream from the one to the other.

use super::OrchestratorError;
use crate::builder::{BuilderError, DockerImages};
use crate::event::{CancellationToken, Events};
use crate::oci::{Platform, Reference};
use crate::store::{ExportFormat, ExportOptions, Store, StoreError};
use bytes::Bytes;
use std::io::{self, Write};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

/// How many chunks, of 1 MiB each, may wait for the daemon: enough that neither side waits for the other's every step.
const CHUNKS_AHEAD: usize = 4;

/// Loads the images of `reference` for `platforms`, each as `name:tag-arch`, and this machine's as `name:tag` too, as in
/// linuxkit.
pub(super) async fn load(
    docker: &DockerImages,
    store: &Store,
    reference: &Reference,
    platforms: &[Platform],
    events: &Events,
    cancel: &CancellationToken,
) -> Result<(), OrchestratorError> {
    for platform in platforms {
        let name = reference.with_architecture(&platform.architecture);
        events.notice(format!("loading {name} into Docker")).await;
        let options = ExportOptions {
            format: ExportFormat::Docker,
            platform: Some(platform.clone()),
            name: Some(name.clone()),
        };
        load_one(docker, store, reference, &options, &name, cancel).await?;
        if platform.matches(&Platform::host()) {
            let tag = reference.tag().unwrap_or("latest");
            docker.tag(&name.to_string(), &reference.locator(), tag).await?;
        }
    }
    Ok(())
}

/// The export writes what the daemon reads. Whichever fails first stops the other, and is what the user hears of.
async fn load_one(
    docker: &DockerImages,
    store: &Store,
    reference: &Reference,
    options: &ExportOptions,
    name: &Reference,
    cancel: &CancellationToken,
) -> Result<(), OrchestratorError> {
    let stop = cancel.child_token();
    let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
    let export = async {
        let pipe = Pipe {
            sender: sender.clone(),
            stop: stop.clone(),
            runtime: Handle::current(),
        };
        // Dropping the pipe is what ends the archive.
        let result = store.export(reference, options, pipe, &stop).await.map(drop);
        if let Err(error) = &result {
            // Without this the daemon would take the part for the whole. It may have hung up already.
            let last = Err(io::Error::other(error.to_string()));
            tokio::select! {
                () = stop.cancelled() => {}
                _ = sender.send(last) => {}
            }
        }
        drop(sender);
        result
    };
    let load = async {
        let archive = futures_util::stream::unfold(receiver, async |mut receiver: mpsc::Receiver<_>| {
            receiver.recv().await.map(|chunk| (chunk, receiver))
        });
        let name = name.to_string();
        let result = tokio::select! {
            biased;
            () = cancel.cancelled() => Err(BuilderError::Cancelled),
            result = docker.load(&name, archive) => result,
        };
        stop.cancel();
        result
    };
    match tokio::join!(load, export) {
        // It ended because the daemon wanted no more.
        (loaded, Ok(()) | Err(StoreError::Output(_) | StoreError::Cancelled)) => Ok(loaded?),
        (_, Err(error)) => Err(error.into()),
    }
}

/// Where a blocking writer hands its bytes to asynchronous readers. Full, it waits until they are read or wanted no more.
struct Pipe {
    sender: mpsc::Sender<io::Result<Bytes>>,
    stop: CancellationToken,
    runtime: Handle,
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let chunk = Bytes::copy_from_slice(bytes);
        let is_sent = self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => false,
                sent = self.sender.send(Ok(chunk)) => sent.is_ok(),
            }
        });
        if is_sent {
            Ok(bytes.len())
        } else {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
