//! Builds on a real BuildKit.

mod cancel;
mod failures;
mod memory;
mod own;
mod registry;
mod results;

use crate::program::unique;
use crate::servers::server;
use lkpkg::build::{
    BuildError, BuildRequest, Built, CachedImage, Failure, FailureKind, SecretFrom, SecretSource, SshSource, build,
};
use lkpkg::builder::Endpoint;
use lkpkg::content::Content;
use lkpkg::event::{CancellationToken, Event, Events};
use lkpkg::oci::credentials::{CredentialSource, Credentials};
use lkpkg::oci::{Descriptor, Digest, Index, Platform, annotation};
use memory::Memory;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// FROM that every RUN here stands on.
const BASE: &str = "FROM busybox:1.37\n";

/// A package directory and what is asked for it.
struct Package {
    directory: TempDir,
    request: BuildRequest,
}

/// What happened.
struct Outcome {
    result: Result<Built, BuildError>,
    events: Vec<Event>,
}

impl Package {
    fn new(dockerfile: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("Dockerfile"), dockerfile).expect("written");
        let request = BuildRequest {
            step: "test/x:1".into(),
            context: directory.path().to_owned(),
            extra_sources: Vec::new(),
            dockerfile: "Dockerfile".into(),
            platforms: vec![Platform::linux("amd64")],
            build_args: BTreeMap::new(),
            labels: BTreeMap::new(),
            has_network: false,
            is_cache_disabled: false,
            sbom: None,
            secrets: Vec::new(),
            ssh: Vec::new(),
            cached_images: Vec::new(),
            cache_from: Vec::new(),
            cache_to: Vec::new(),
            cache_directories: Default::default(),
            credentials: CredentialSource::given(BTreeMap::new()),
            name: "docker.io/test/x:1".into(),
        };
        Self { directory, request }
    }

    fn file(self, name: &str, content: &str) -> Self {
        std::fs::write(self.directory.path().join(name), content).expect("written");
        self
    }

    async fn build(&self, endpoint: &Endpoint, content: Arc<Memory>) -> Outcome {
        self.build_until(endpoint, content, &CancellationToken::new(), |_| false)
            .await
    }

    /// Builds, and cancels at the first event that `is_enough`.
    async fn build_until(
        &self,
        endpoint: &Endpoint,
        content: Arc<dyn Content>,
        cancel: &CancellationToken,
        is_enough: impl Fn(&Event) -> bool,
    ) -> Outcome {
        let (events, mut receiver) = Events::channel();
        let work = async move { build(endpoint, &self.request, content, &events, cancel).await };
        let listen = async {
            let mut seen = Vec::new();
            while let Some(event) = receiver.recv().await {
                if is_enough(&event) {
                    cancel.cancel();
                }
                seen.push(event);
            }
            seen
        };
        let (result, events) = tokio::join!(work, listen);
        Outcome { result, events }
    }
}

impl Outcome {
    fn index(&self) -> &Descriptor {
        match &self.result {
            Ok(built) => &built.index,
            Err(error) => panic!("{error}\n{}", self.log()),
        }
    }

    fn error(&self) -> &BuildError {
        self.result.as_ref().expect_err("the build fails")
    }

    fn failure(&self) -> &Failure {
        match self.error() {
            BuildError::Failed(failure) => failure,
            other => panic!("{other:?}"),
        }
    }

    fn log(&self) -> String {
        let pieces = self.events.iter().filter_map(|event| match event {
            Event::Log { bytes, .. } => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        });
        pieces.collect()
    }
}

async fn connect(address: String) -> Endpoint {
    let endpoint = tonic::transport::Endpoint::from_shared(address.clone()).expect("an address");
    let channel = endpoint.connect().await.expect("BuildKit answers");
    Endpoint {
        name: address,
        channel,
        platforms: Vec::new(),
        version: String::new(),
    }
}

async fn buildkit() -> Option<Endpoint> {
    Some(connect(server("LKPKG_TEST_BUILDKIT")?).await)
}

fn is_log(event: &Event, text: &str) -> bool {
    matches!(event, Event::Log { bytes, .. } if String::from_utf8_lossy(bytes).contains(text))
}

/// Waits until `is_so`; the time it took.
async fn wait_until(is_so: impl Fn() -> bool) -> Duration {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(20), "it does not come true");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    start.elapsed()
}
