//! A blob on its way: a stream that goes on where it broke off.

use super::Registry;
use super::error::{RegistryError, chain};
use super::request::Ask;
use bytes::Bytes;
use futures_util::Stream;
use reqwest::{Method, Response, StatusCode};
use std::io;

/// How often a broken download is taken up again before it fails.
const RESUMES: u32 = 5;

/// A download that has begun.
pub(super) struct Download {
    registry: Registry,
    host: String,
    repository: String,
    path: String,
    /// The next byte that is wanted.
    offset: u64,
    response: Response,
    resumes_left: u32,
}

impl Download {
    /// Begins at `offset`. None when the blob is not there.
    pub(super) async fn begin(
        registry: &Registry,
        host: &str,
        repository: &str,
        path: String,
        offset: u64,
    ) -> Result<Option<Self>, RegistryError> {
        let Some(response) = get(registry, host, repository, &path, offset).await? else {
            return Ok(None);
        };
        Ok(Some(Self {
            registry: registry.clone(),
            host: host.to_owned(),
            repository: repository.to_owned(),
            path,
            offset,
            response,
            resumes_left: RESUMES,
        }))
    }

    /// The bytes, in pieces as they come.
    pub(super) fn stream(self) -> impl Stream<Item = io::Result<Bytes>> + Send {
        futures_util::stream::try_unfold(self, |mut download| async move {
            let piece = download.next().await.map_err(io::Error::other)?;
            Ok(piece.map(|piece| (piece, download)))
        })
    }

    async fn next(&mut self) -> Result<Option<Bytes>, RegistryError> {
        loop {
            match self.response.chunk().await {
                Ok(piece) => {
                    self.offset += piece.as_ref().map_or(0, |piece| piece.len() as u64);
                    return Ok(piece);
                }
                Err(error) if self.resumes_left == 0 => {
                    return Err(RegistryError::Unreachable {
                        url: self.path.clone(),
                        reason: chain(&error),
                    });
                }
                Err(_) => self.resume().await?,
            }
        }
    }

    async fn resume(&mut self) -> Result<(), RegistryError> {
        self.resumes_left -= 1;
        let gone = || RegistryError::Unreachable {
            url: self.path.clone(),
            reason: "it is gone".to_owned(),
        };
        let again = get(&self.registry, &self.host, &self.repository, &self.path, self.offset).await?;
        self.response = again.ok_or_else(gone)?;
        Ok(())
    }
}

/// An answer that begins at `offset`; what a registry without ranges sends before it is read and dropped.
async fn get(
    registry: &Registry,
    host: &str,
    repository: &str,
    path: &str,
    offset: u64,
) -> Result<Option<Response>, RegistryError> {
    let ask = Ask {
        method: Method::GET,
        registry: host,
        repository,
        path: path.to_owned(),
        accept: "",
        offset,
    };
    let Some(response) = registry.ask(&ask).await? else {
        return Ok(None);
    };
    if offset > 0 && response.status() != StatusCode::PARTIAL_CONTENT {
        let url = response.url().path().to_owned();
        return Err(RegistryError::Unreachable {
            url,
            reason: "it broke off, and cannot be taken up in the middle".into(),
        });
    }
    Ok(Some(response))
}
