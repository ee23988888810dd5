//! A registry that takes what it is sent, unless a test says that something goes wrong first.

use super::server::{Reply, Request, Server};
use crate::oci::{Descriptor, Digest};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// What it has; shared by the server and the test.
#[derive(Clone, Default)]
pub(super) struct Fake(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    blobs: BTreeMap<String, Vec<u8>>,
    /// By tag and by digest: media type and bytes.
    manifests: BTreeMap<String, (String, Vec<u8>)>,
    /// Uploads that have begun, by number.
    uploads: Vec<Vec<u8>>,
}

const API: &str = "Docker-Distribution-Api-Version: registry/2.0";

impl Fake {
    /// Serves; `fault` is asked first about each request and how many of the same method and kind came before.
    pub(super) async fn serve(
        &self,
        fault: impl Fn(&Request, usize) -> Option<Reply> + Send + Sync + 'static,
    ) -> Server {
        self.serve_cutting(|_| None, fault).await
    }

    pub(super) async fn serve_cutting(
        &self,
        cuts: impl Fn(&Request) -> Option<usize> + Send + Sync + 'static,
        fault: impl Fn(&Request, usize) -> Option<Reply> + Send + Sync + 'static,
    ) -> Server {
        let (fake, seen) = (self.clone(), Mutex::new(BTreeMap::new()));
        Server::cutting(cuts, move |request, _| {
            let number = {
                let mut seen = seen.lock().unwrap();
                let count: &mut usize = seen.entry((request.method.clone(), kind(request))).or_default();
                *count += 1;
                *count - 1
            };
            fault(request, number).unwrap_or_else(|| fake.answer(request))
        })
        .await
    }

    pub(super) fn blob(&self, digest: &Digest) -> Option<Vec<u8>> {
        self.0.lock().unwrap().blobs.get(digest.as_str()).cloned()
    }

    pub(super) fn add_blob(&self, bytes: &[u8]) {
        let digest = Digest::of(bytes).to_string();
        self.0.lock().unwrap().blobs.insert(digest, bytes.to_vec());
    }

    pub(super) fn forget_blob(&self, digest: &Digest) {
        self.0.lock().unwrap().blobs.remove(digest.as_str());
    }

    pub(super) fn forget_manifests(&self) {
        self.0.lock().unwrap().manifests.clear();
    }

    pub(super) fn manifest(&self, object: &str) -> Option<Vec<u8>> {
        let state = self.0.lock().unwrap();
        state.manifests.get(object).map(|(_, bytes)| bytes.clone())
    }

    pub(super) fn set(&self, object: &str, media_type: &str, bytes: &[u8]) -> Descriptor {
        let mut state = self.0.lock().unwrap();
        let descriptor = Descriptor::of(media_type, bytes);
        for object in [object, descriptor.digest.as_str()] {
            let manifest = (media_type.to_owned(), bytes.to_vec());
            state.manifests.insert(object.to_owned(), manifest);
        }
        descriptor
    }

    /// The ordinary answer.
    pub(super) fn answer(&self, request: &Request) -> Reply {
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        let last = path.rsplit('/').next().unwrap();
        match (request.method.as_str(), kind(request)) {
            ("GET" | "HEAD", "manifests") => self.read_manifest(last),
            ("PUT", "manifests") => {
                let descriptor = self.set(last, request.header("content-type").unwrap(), &request.body);
                Reply::status(201).header(&format!("Docker-Content-Digest: {}", descriptor.digest))
            }
            ("GET" | "HEAD", "blobs") => match self.0.lock().unwrap().blobs.get(last) {
                Some(bytes) => Reply::ok(bytes),
                None => Reply::status(404).header(API),
            },
            ("POST", "uploads") => {
                let uploads = &mut self.0.lock().unwrap().uploads;
                uploads.push(Vec::new());
                Self::at(uploads.len() - 1, 0)
            }
            ("GET" | "PATCH" | "PUT", "uploads") => self.upload(request, last.parse().unwrap(), query),
            _ => Reply::status(404).header(API),
        }
    }

    fn read_manifest(&self, object: &str) -> Reply {
        let state = self.0.lock().unwrap();
        let Some((media_type, bytes)) = state.manifests.get(object) else {
            return Reply::status(404).header(API);
        };
        Reply::ok(bytes)
            .header(&format!("Content-Type: {media_type}"))
            .header(&format!("Docker-Content-Digest: {}", Digest::of(bytes)))
    }

    fn upload(&self, request: &Request, number: usize, query: &str) -> Reply {
        let mut state = self.0.lock().unwrap();
        let upload = &mut state.uploads[number];
        let begins = request
            .header("content-range")
            .map(|range| range.split('-').next().unwrap());
        if begins.is_some_and(|begins| begins != upload.len().to_string()) {
            return Reply::status(416);
        }
        upload.extend(&request.body);
        if request.method != "PUT" {
            return Self::at(number, upload.len());
        }
        let digest = Digest::of(upload);
        if !query.contains(&format!("digest=sha256%3A{}", digest.hex())) {
            return Reply::status(400).body(br#"{"errors":[{"code":"DIGEST_INVALID","message":"wrong"}]}"#);
        }
        let bytes = std::mem::take(upload);
        state.blobs.insert(digest.to_string(), bytes);
        Reply::status(201).header(&format!("Docker-Content-Digest: {digest}"))
    }

    fn at(number: usize, length: usize) -> Reply {
        Reply::status(202)
            .header(&format!("Location: /v2/org/x/blobs/uploads/{number}?_state={length}"))
            .header(&format!("Range: 0-{}", length.saturating_sub(1)))
    }
}

/// `manifests`, `blobs`, `uploads` or something else.
pub(super) fn kind(request: &Request) -> &'static str {
    ["uploads", "manifests", "blobs", "referrers"]
        .into_iter()
        .find(|kind| request.path.contains(&format!("/{kind}/")))
        .unwrap_or("other")
}
