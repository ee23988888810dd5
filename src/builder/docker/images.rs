//! A Docker daemon's own images: loaded from an archive, and named. [`DockerImages`] is the door. Streams; keeps no bytes.

use super::super::BuilderError;
use super::super::context::Daemon;
use super::super::remote::DEFAULT_TIMEOUT;
use super::connect;
use bollard::Docker;
use bollard::query_parameters::{ImportImageOptions, TagImageOptionsBuilder};
use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use std::io;
use std::time::Duration;

/// The daemon answers when it has read the whole archive: this is how long a large image may take on a slow way.
const LOAD_TIMEOUT: Duration = Duration::from_secs(60 * 60);

/// The images of a Docker daemon that answers.
#[derive(Clone)]
pub struct DockerImages(Docker);

impl DockerImages {
    /// Those of this daemon.
    pub async fn connect(daemon: &Daemon) -> Result<Self, BuilderError> {
        let client = connect(daemon, DEFAULT_TIMEOUT).await?;
        Ok(Self(client.with_timeout(LOAD_TIMEOUT)))
    }

    /// Loads `archive`, a tar file as `docker load` takes it, as it comes; `image` is what messages call it. An error of
    /// the stream, or a dropped call, ends the request, and the daemon throws away what it has.
    pub async fn load(
        &self,
        image: &str,
        archive: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    ) -> Result<(), BuilderError> {
        let failed = |source| BuilderError::Docker {
            doing: format!("loading {image} into Docker"),
            source,
        };
        // The daemon begins its answer with "200 OK"; whether all went well stands at the end of it.
        let answer = self.0.import_image_stream(ImportImageOptions::default(), archive, None);
        answer
            .try_for_each(|_| std::future::ready(Ok(())))
            .await
            .map_err(failed)
    }

    /// Lets `repository:tag` name the image that `image` names.
    pub async fn tag(&self, image: &str, repository: &str, tag: &str) -> Result<(), BuilderError> {
        let options = TagImageOptionsBuilder::default().repo(repository).tag(tag).build();
        let result = self.0.tag_image(image, Some(options)).await;
        result.map_err(|source| BuilderError::Docker {
            doing: format!("naming {image} {repository}:{tag} in Docker"),
            source,
        })
    }
}
