//! A BuildKit of the test's own, that it may kill; and a place that never finishes writing.

use super::{BuildError, Package, connect, is_log, unique};
use crate::servers::server;
use async_trait::async_trait;
use lkpkg::content::{BlobReader, ContentError, Sink, Source};
use lkpkg::event::CancellationToken;
use lkpkg::oci::{Descriptor, Digest};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A buildkitd that is killed at the end.
struct OwnBuildKit {
    child: Child,
    directory: tempfile::TempDir,
}

impl OwnBuildKit {
    fn start(program: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path();
        let log = std::fs::File::create(path.join("log")).expect("a log");
        let programs = Path::new(program)
            .parent()
            .expect("in a directory")
            .display()
            .to_string();
        let child = Command::new(program)
            .arg("--root")
            .arg(path.join("root"))
            .args(["--oci-worker-snapshotter=native", "--addr"])
            .arg(format!("unix://{}", path.join("sock").display()))
            .env(
                "PATH",
                format!("{programs}:{}", std::env::var("PATH").unwrap_or_default()),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("buildkitd starts");
        Self { child, directory }
    }

    async fn endpoint(&self) -> lkpkg::builder::Endpoint {
        let socket = self.directory.path().join("sock");
        super::wait_until(|| std::os::unix::net::UnixStream::connect(&socket).is_ok()).await;
        connect(format!("unix://{}", socket.display())).await
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for OwnBuildKit {
    fn drop(&mut self) {
        self.kill();
    }
}

#[tokio::test]
async fn a_buildkit_that_goes_away_is_an_error_that_says_so() {
    let Some(program) = server("LKPKG_BUILDKITD") else {
        return;
    };
    let mut buildkit = OwnBuildKit::start(&program);
    let endpoint = buildkit.endpoint().await;
    let package = Package::new("FROM scratch\nCOPY x /x\n").file("x", &unique());
    let content = Arc::new(Stuck::default());
    let cancel = CancellationToken::new();
    let (outcome, ()) = tokio::join!(
        package.build_until(&endpoint, content.clone(), &cancel, |event| is_log(event, "never")),
        async {
            super::wait_until(|| content.is_writing()).await;
            buildkit.kill();
        }
    );
    let error = outcome.error();
    assert!(
        matches!(error, BuildError::Lost { .. }) && error.is_temporary(),
        "{error:?}"
    );
    assert!(
        error.to_string().contains("was lost during the build") && error.hint().is_some(),
        "{error}"
    );
    assert!(!content.is_writing());
    // A second build on the same endpoint says the same at once.
    let again = tokio::time::timeout(Duration::from_secs(10), package.build(&endpoint, Arc::default())).await;
    let again = again.expect("it does not hang");
    assert!(matches!(again.error(), BuildError::Lost { .. }), "{:?}", again.error());
}

/// Content whose puts read nothing and never end.
#[derive(Default)]
pub struct Stuck(Arc<AtomicBool>);

struct Writing(Arc<AtomicBool>);

impl Drop for Writing {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

impl Stuck {
    pub fn is_writing(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Source for Stuck {
    async fn resolve(&self, _: &str) -> Result<Option<Descriptor>, ContentError> {
        Ok(None)
    }
    async fn size(&self, _: &Digest) -> Result<Option<u64>, ContentError> {
        Ok(None)
    }
    async fn read(&self, digest: &Digest, _: u64) -> Result<BlobReader, ContentError> {
        Err(ContentError::Missing(digest.clone()))
    }
}

#[async_trait]
impl Sink for Stuck {
    async fn has(&self, _: &Descriptor) -> Result<bool, ContentError> {
        Ok(false)
    }
    async fn put(&self, _: &Descriptor, _bytes: BlobReader) -> Result<(), ContentError> {
        self.0.store(true, Ordering::SeqCst);
        let _writing = Writing(self.0.clone());
        std::future::pending().await
    }
    async fn set(&self, _: &str, _: &Descriptor) -> Result<(), ContentError> {
        Ok(())
    }
}
