//! A blob on its way to a registry: looked for, mounted from another repository, or sent; an upload that breaks off goes
//! on where the registry says it stopped.

use super::Repository;
use super::body::{Body, Listener, Meter, Part};
use super::error::RegistryError;
use super::repository::CONTENT_DIGEST;
use super::request::{Access, Ask, next_hop};
use super::response::{shown, text};
use super::retry::Failed;
use crate::content::Source;
use crate::oci::{Descriptor, Digest};
use reqwest::header::{LOCATION, RANGE};
use reqwest::{Method, Response, StatusCode, Url};
use std::sync::Arc;

/// Bytes of a blob.
const OCTETS: &str = "application/octet-stream";
/// Size of a chunk, in bytes, where something on the way does not take a whole blob: proxies often have 100 MB as limit.
const CHUNK_BYTES: u64 = 32 << 20;
/// The smallest chunk that is tried where larger ones are refused; nginx takes 1 MiB where nobody says anything else.
const CHUNK_BYTES_MIN: u64 = 64 << 10;
/// By how much a chunk is smaller than the one that was refused.
const CHUNK_DIVISOR: u64 = 4;
/// In which a registry says what it takes at least at once, but for the last chunk.
const CHUNK_MIN_LENGTH: &str = "oci-chunk-min-length";
/// Uploads that a registry may forget before it fails.
const LOST_MAX: u32 = 4;

/// How a blob came to be in the repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It was there.
    Found,
    /// Another repository of the registry had it.
    Mounted,
    /// It was sent.
    Sent,
}

/// Whether a blob is there already, before anybody was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// Nobody knows: it is asked for.
    Unknown,
    /// It is small and in all likelihood not there: to send it costs less than to ask and then to send it.
    Unlikely,
    /// It is not there, whatever is remembered.
    Missing,
}

/// What is to be there.
pub(super) struct Upload<'a> {
    pub(super) repository: &'a Repository,
    pub(super) source: &'a dyn Source,
    pub(super) descriptor: &'a Descriptor,
    /// Whether the source can be read more than once.
    pub(super) is_repeatable: bool,
    meter: Arc<Meter>,
}

/// What a registry makes of the wish to mount.
enum Mount {
    Done,
    /// It does not mount, and takes an upload instead.
    Opened(Session),
    Refused,
}

/// An upload that a registry has opened.
struct Session {
    location: Url,
    /// What it has.
    offset: u64,
    /// Whether it broke off before.
    is_resumed: bool,
    chunk_min_bytes: u64,
}

impl<'a> Upload<'a> {
    pub(super) fn new(
        repository: &'a Repository,
        source: &'a dyn Source,
        descriptor: &'a Descriptor,
        listener: Option<Listener>,
    ) -> Self {
        Self {
            repository,
            source,
            descriptor,
            is_repeatable: true,
            meter: Arc::new(Meter::new(listener)),
        }
    }

    /// Sees to it that the repository has the blob.
    pub(super) async fn run(&self, presence: Presence) -> Result<Arrival, RegistryError> {
        let Repository { host, name, .. } = self.repository;
        let (digest, places) = (&self.descriptor.digest, &self.repository.registry.inner.places);
        let is_here = || presence != Presence::Missing && places.has(host, name, digest);
        if is_here() {
            return Ok(Arrival::Found);
        }
        // Where it can be mounted, it is not asked for: that is one request as well, and does no harm to what is there.
        let mut is_absent = presence != Presence::Unknown;
        if !is_absent && places.elsewhere(host, name, digest).is_none() {
            if self.repository.has_blob(digest).await? {
                return Ok(Arrival::Found);
            }
            is_absent = true;
        }
        // Whoever sends it to another repository just now: it can be mounted from there then.
        let _turn = places.turn(host, digest).await;
        if is_here() {
            return Ok(Arrival::Found);
        }
        let _permit = self.repository.registry.inner.sending.acquire().await;
        let other = places.elsewhere(host, name, digest);
        let arrival = self.bring(other.as_deref(), is_absent).await?;
        places.add(host, name, digest);
        Ok(arrival)
    }

    async fn bring(&self, other: Option<&str>, is_absent: bool) -> Result<Arrival, RegistryError> {
        let mounted = match other {
            Some(other) => self.mount(other).await?,
            None => Mount::Refused,
        };
        let mut session = match mounted {
            Mount::Done => return Ok(Arrival::Mounted),
            _ if !is_absent && self.repository.has_blob(&self.descriptor.digest).await? => return Ok(Arrival::Found),
            Mount::Opened(session) => session,
            Mount::Refused => self.begin_anew().await?,
        };
        let mut attempts = self.repository.registry.inner.retries.begin();
        let (mut lost, mut moved, mut confirmed, mut chunk) = (0, 0, 0, None);
        loop {
            let Err(failed) = self.send(&mut session, chunk).await else {
                return Ok(Arrival::Sent);
            };
            let status = match failed.error {
                RegistryError::Status { status, .. } => status,
                _ => 0,
            };
            if !self.is_repeatable {
                return Err(failed.error);
            }
            if self.meter.moved() > moved {
                attempts.moved(session.offset > confirmed);
                (moved, confirmed) = (self.meter.moved(), confirmed.max(session.offset));
            }
            match status {
                413 => {
                    let refused = chunk.unwrap_or(self.descriptor.size - session.offset);
                    let Some(smaller) = smaller_chunk(refused, session.chunk_min_bytes) else {
                        return Err(failed.error);
                    };
                    chunk = Some(smaller);
                }
                // The upload is unknown, or is not where we think, or was put together wrongly.
                404 | 416 if lost < LOST_MAX => lost += 1,
                400 if session.is_resumed && lost < LOST_MAX => lost = LOST_MAX,
                _ => attempts.failed(failed).await?,
            }
            session = match status {
                400 | 404 | 413 => self.begin_anew().await?,
                _ => self.resume(session).await?,
            };
        }
    }

    fn ask(&self, method: Method, path: String, at: Option<Url>) -> Ask<'_> {
        Ask {
            at,
            access: Access::Push,
            ..Ask::new(method, &self.repository.host, &self.repository.name, path)
        }
    }

    /// Mounts it from another repository.
    async fn mount(&self, other: &str) -> Result<Mount, RegistryError> {
        let path = format!("blobs/uploads/?mount={}&from={other}", self.descriptor.digest);
        let ask = Ask {
            access: Access::Mount(other),
            ..self.ask(Method::POST, path, None)
        };
        match self.repository.registry.tell(&ask).await {
            Ok(response) if response.status() == StatusCode::CREATED => {
                self.check(&response)?;
                Ok(Mount::Done)
            }
            Ok(response) => Session::opened(&response).map(Mount::Opened),
            // What may not be read there can still be sent.
            Err(error) if !error.is_temporary() => Ok(Mount::Refused),
            Err(error) => Err(error),
        }
    }

    async fn begin_anew(&self) -> Result<Session, RegistryError> {
        let ask = self.ask(Method::POST, "blobs/uploads/".to_owned(), None);
        Session::opened(&self.repository.registry.tell(&ask).await?)
    }

    /// Where the registry says that it stopped; a new upload where it does not say.
    async fn resume(&self, session: Session) -> Result<Session, RegistryError> {
        let ask = self.ask(Method::GET, String::new(), Some(session.location.clone()));
        let known = match self.repository.registry.ask(&ask).await {
            Ok(Some(response)) => session.at(&response),
            _ => None,
        };
        match known.filter(|known| known.offset <= self.descriptor.size) {
            Some(known) => Ok(known),
            None => self.begin_anew().await,
        }
    }

    /// Sends what is missing: in one request where it can be, which every registry knows.
    async fn send(&self, session: &mut Session, chunk: Option<u64>) -> Result<(), Failed> {
        let size = self.descriptor.size;
        if session.offset == 0 && chunk.is_none() {
            return self.close(session, self.part(0, size)).await;
        }
        let chunk = chunk.unwrap_or(u64::MAX);
        while session.offset < size {
            let length = chunk.min(size - session.offset);
            let ask = Ask {
                body: self.part(session.offset, length),
                content_type: OCTETS,
                part_at: Some(session.offset),
                ..self.ask(Method::PATCH, String::new(), Some(session.location.clone()))
            };
            let response = self.repository.registry.tell_once(&ask).await?;
            let sent = session.offset + length;
            session.location = Session::next(&response)?;
            session.offset = held(&response).filter(|held| *held <= sent).unwrap_or(sent);
        }
        self.close(session, Body::Empty).await
    }

    /// The last request of an upload, with what is still missing.
    async fn close(&self, session: &Session, body: Body<'_>) -> Result<(), Failed> {
        let mut at = session.location.clone();
        at.query_pairs_mut()
            .append_pair("digest", self.descriptor.digest.as_str());
        let ask = Ask {
            body,
            content_type: OCTETS,
            ..self.ask(Method::PUT, String::new(), Some(at))
        };
        let response = self.repository.registry.tell_once(&ask).await?;
        Ok(self.check(&response)?)
    }

    fn part(&self, offset: u64, length_bytes: u64) -> Body<'_> {
        if length_bytes == 0 {
            return Body::Empty;
        }
        Body::Part(Part {
            source: self.source,
            digest: &self.descriptor.digest,
            offset,
            length_bytes,
            meter: Arc::clone(&self.meter),
        })
    }

    /// Whether the registry has what was meant.
    fn check(&self, response: &Response) -> Result<(), RegistryError> {
        is_created(response)?;
        same(response, &self.descriptor.digest)
    }
}

impl Session {
    fn opened(response: &Response) -> Result<Self, RegistryError> {
        let chunk_min = text(response, CHUNK_MIN_LENGTH).and_then(|text| text.parse().ok());
        Ok(Self {
            location: Self::next(response)?,
            offset: 0,
            is_resumed: false,
            chunk_min_bytes: chunk_min.unwrap_or_default(),
        })
    }

    /// Where the next request goes.
    fn next(response: &Response) -> Result<Url, RegistryError> {
        match text(response, LOCATION.as_str()) {
            Some(location) => next_hop(response.url(), location),
            None => Err(unexpected(response, "no address for the upload")),
        }
    }

    /// The same upload as an answer to "where did it stop?" says.
    fn at(self, response: &Response) -> Option<Self> {
        let offset = held(response)?;
        let location = match text(response, LOCATION.as_str()) {
            Some(location) => next_hop(response.url(), location).ok()?,
            None => self.location,
        };
        Some(Self {
            location,
            offset,
            is_resumed: true,
            ..self
        })
    }
}

/// The chunk to be tried after a body of so many bytes was refused as too large; None where a smaller one makes no sense.
fn smaller_chunk(refused_bytes: u64, least_bytes: u64) -> Option<u64> {
    let smaller = (refused_bytes / CHUNK_DIVISOR).clamp(CHUNK_BYTES_MIN, CHUNK_BYTES);
    Some(smaller.max(least_bytes)).filter(|smaller| *smaller < refused_bytes)
}

/// `Range: 0-99`: the first 100 bytes are there. Registries say `0-0` where nothing is.
fn held(response: &Response) -> Option<u64> {
    let range = text(response, RANGE.as_str())?;
    let last: u64 = range.trim_start_matches("bytes=").strip_prefix("0-")?.parse().ok()?;
    Some(if last == 0 { 0 } else { last + 1 })
}

/// The digest that an answer states, if it does, must be the one that was sent.
pub(super) fn same(response: &Response, expected: &Digest) -> Result<(), RegistryError> {
    let stated = text(response, CONTENT_DIGEST).filter(|stated| *stated != expected.as_str());
    stated.map_or(Ok(()), |stated| {
        Err(RegistryError::Mismatch {
            url: shown(response.url()),
            expected: expected.clone(),
            found: stated.chars().take(expected.as_str().len()).collect(),
        })
    })
}

/// An answer that only a registry gives to what was written.
pub(super) fn is_created(response: &Response) -> Result<(), RegistryError> {
    match response.status() {
        StatusCode::CREATED | StatusCode::ACCEPTED | StatusCode::NO_CONTENT => Ok(()),
        _ => Err(unexpected(
            response,
            "which is not what a registry says when it has taken something",
        )),
    }
}

fn unexpected(response: &Response, text: &str) -> RegistryError {
    RegistryError::Status {
        url: shown(response.url()),
        status: response.status().as_u16(),
        text: text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_get_smaller_and_end() {
        let chunks = |size: u64, least: u64| {
            let mut all = Vec::new();
            let mut refused = size;
            while let Some(smaller) = smaller_chunk(refused, least) {
                all.push(smaller);
                refused = smaller;
            }
            all
        };
        let (kib, mib) = (1 << 10, 1 << 20);
        let wanted = [32 * mib, 8 * mib, 2 * mib, 512 * kib, 128 * kib, 64 * kib];
        assert_eq!(chunks(1 << 30, 0), wanted);
        assert_eq!(chunks(200_000, 0), [64 * kib]);
        assert_eq!(chunks(64 * kib, 0), [0; 0]);
        // A registry that takes nothing smaller.
        assert_eq!(chunks(1 << 30, 5 * mib), [32 * mib, 8 * mib, 5 * mib]);
        assert_eq!(chunks(1 << 30, 100 * mib), [100 * mib]);
        assert_eq!(chunks(3 * mib, 5 * mib), [0; 0]);
    }
}
