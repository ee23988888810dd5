//! A blob on its way: a stream that goes on where it broke off.

use super::Repository;
use super::error::RegistryError;
use super::request::Ask;
use super::response::{shown, text};
use bytes::Bytes;
use futures_util::Stream;
use reqwest::header::CONTENT_RANGE;
use reqwest::{Method, Response, StatusCode};
use std::io;

/// How often a broken download is taken up again before it fails, where it makes no way in between.
const RESUMES: u32 = 5;
/// As much as must come between two breaks for them to be counted anew.
const PROGRESS_BYTES: u64 = 1 << 20;

/// A download that has begun.
pub(super) struct Download {
    repository: Repository,
    path: String,
    /// The next byte that is wanted.
    offset: u64,
    /// Bytes that come before it: not every registry knows ranges.
    skip: u64,
    response: Response,
    resumes: u32,
    resumed_at: u64,
}

impl Download {
    /// Begins at `offset`. None when the blob is not there.
    pub(super) async fn begin(
        repository: &Repository,
        path: String,
        offset: u64,
    ) -> Result<Option<Self>, RegistryError> {
        let Some((response, skip)) = get(repository, &path, offset).await? else {
            return Ok(None);
        };
        Ok(Some(Self {
            repository: repository.clone(),
            path,
            offset,
            skip,
            response,
            resumes: 0,
            resumed_at: offset,
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
                Ok(None) => return Ok(None),
                Ok(Some(mut piece)) => {
                    let dropped = self.skip.min(piece.len() as u64);
                    self.skip -= dropped;
                    let piece = piece.split_off(dropped as usize);
                    self.offset += piece.len() as u64;
                    if !piece.is_empty() {
                        return Ok(Some(piece));
                    }
                }
                Err(error) => {
                    let broken = RegistryError::unanswered(self.response.url(), error);
                    self.resume(broken).await?;
                }
            }
        }
    }

    async fn resume(&mut self, broken: RegistryError) -> Result<(), RegistryError> {
        if self.offset - self.resumed_at >= PROGRESS_BYTES {
            self.resumes = 0;
        }
        if self.resumes == RESUMES {
            return Err(broken);
        }
        self.resumes += 1;
        self.resumed_at = self.offset;
        tokio::time::sleep(self.repository.registry.inner.retries.pause(self.resumes)).await;
        let again = get(&self.repository, &self.path, self.offset).await?;
        // Gone in the middle: what broke says more than that it is missing.
        (self.response, self.skip) = again.ok_or(broken)?;
        Ok(())
    }
}

/// An answer, and how many of its bytes come before `offset`.
async fn get(repository: &Repository, path: &str, offset: u64) -> Result<Option<(Response, u64)>, RegistryError> {
    let ask = Ask {
        offset,
        ..repository.ask(Method::GET, path.to_owned(), "")
    };
    let answer = match repository.registry.ask(&ask).await {
        // Not every registry knows this kind of a range either: to the end, wherever that is.
        Err(RegistryError::Status { status: 416, .. }) if offset > 0 => {
            repository.registry.ask(&Ask { offset: 0, ..ask }).await?
        }
        answer => answer?,
    };
    let Some(response) = answer else {
        return Ok(None);
    };
    let begins = match response.status() {
        StatusCode::PARTIAL_CONTENT => text(&response, CONTENT_RANGE.as_str()).and_then(first_byte),
        _ => Some(0),
    };
    match begins {
        Some(begins) if begins <= offset => Ok(Some((response, offset - begins))),
        _ => Err(RegistryError::Status {
            url: shown(response.url()),
            status: response.status().as_u16(),
            text: format!("another part than was asked for, which begins at byte {offset}"),
        }),
    }
}

/// `bytes 10-99/100` (RFC 9110, 14.4).
fn first_byte(range: &str) -> Option<u64> {
    range.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}
