//! A BuildKit that goes away; and a place that never finishes writing.

use super::{BuildError, Package, connect, is_log};
use crate::program::unique;
use crate::servers::{OwnBuildKit, server};
use async_trait::async_trait;
use lkpkg::content::{BlobReader, ContentError, Sink, Source};
use lkpkg::event::CancellationToken;
use lkpkg::oci::{Descriptor, Digest};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[tokio::test]
async fn a_buildkit_that_goes_away_is_an_error_that_says_so() {
    let Some(program) = server("LKPKG_BUILDKITD") else {
        return;
    };
    let mut buildkit = OwnBuildKit::start(&program);
    let endpoint = connect(buildkit.address()).await;
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
    async fn referrers(&self, _: &Digest) -> Result<Vec<Descriptor>, ContentError> {
        Ok(Vec::new())
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
    async fn list_referrer(&self, _: &Digest, _: &Descriptor) -> Result<(), ContentError> {
        Ok(())
    }
}
