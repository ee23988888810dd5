//! What arrives in a build when BuildKit reads trees through `FileSyncService`. The session here is the least that
//! BuildKit accepts: a health check and file sync.

#![expect(clippy::unwrap_used, reason = "tests")]

use crate::servers::server;
use bollard_buildkit_proto::health::health_server::{Health, HealthServer};
use bollard_buildkit_proto::health::{HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse};
use bollard_buildkit_proto::moby::buildkit::v1::control_client::ControlClient;
use bollard_buildkit_proto::moby::buildkit::v1::{BytesMessage, SolveRequest};
use bollard_buildkit_proto::moby::filesync::v1::file_sync_server::FileSyncServer;
use futures_util::{StreamExt as _, TryStreamExt as _};
use lkpkg::build::filesync::{FileSyncService, Tree};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status};

struct Healthy;

#[async_trait::async_trait]
impl Health for Healthy {
    type WatchStream = futures_util::stream::Pending<Result<HealthCheckResponse, Status>>;

    async fn check(&self, _: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        Ok(Response::new(HealthCheckResponse { status: 1 }))
    }

    async fn list(&self, _: Request<HealthListRequest>) -> Result<Response<HealthListResponse>, Status> {
        Err(Status::unimplemented("list"))
    }

    async fn watch(&self, _: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("watch"))
    }
}

/// A package directory with what is laid over it.
struct Package {
    directory: tempfile::TempDir,
    mounts: Vec<(PathBuf, PathBuf)>,
}

impl Package {
    fn new(files: &[(&str, &str)]) -> Self {
        let package = Self {
            directory: tempfile::tempdir().unwrap(),
            mounts: Vec::new(),
        };
        for (path, content) in files {
            let path = package.path(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        package
    }

    fn path(&self, path: &str) -> PathBuf {
        self.directory.path().join("package").join(path)
    }

    /// Builds it without keeping the result. Gives the bytes that went to BuildKit.
    async fn build(&self, address: &str) -> Result<usize, Status> {
        let channel = Endpoint::from_shared(address.to_owned())
            .unwrap()
            .connect()
            .await
            .unwrap();
        let tree = Arc::new(Tree::new(self.path(""), self.mounts.clone()).unwrap());
        let names = ["context", "dockerfile"].map(|name| (name.to_owned(), tree.clone()));
        let mut tasks = JoinSet::new();
        let sent = Arc::new(AtomicUsize::new(0));
        let id = hex::encode(self.directory.path().as_os_str().as_encoded_bytes());
        serve(
            &channel,
            &id,
            FileSyncService::new(BTreeMap::from(names)),
            &sent,
            &mut tasks,
        )
        .await;
        let request = SolveRequest {
            r#ref: format!("{id}{:?}", std::time::Instant::now())
                .replace(|other: char| !other.is_ascii_alphanumeric(), ""),
            session: id,
            frontend: "dockerfile.v0".to_owned(),
            cache: Some(Default::default()),
            ..Default::default()
        };
        let solved = ControlClient::new(channel).solve(request).await;
        tasks.shutdown().await;
        solved.map(|_| sent.load(Ordering::Relaxed))
    }
}

/// Opens a session on which file sync is served.
async fn serve(channel: &Channel, id: &str, files: FileSyncService, sent: &Arc<AtomicUsize>, tasks: &mut JoinSet<()>) {
    let (ours, theirs) = tokio::io::duplex(64 << 10);
    let (read, mut write) = tokio::io::split(theirs);
    let counter = sent.clone();
    let up = tokio_util::io::ReaderStream::new(read).filter_map(move |bytes| {
        let bytes = bytes.ok();
        counter.fetch_add(bytes.as_ref().map_or(0, bytes::Bytes::len), Ordering::Relaxed);
        std::future::ready(bytes.map(|bytes| BytesMessage { data: bytes.to_vec() }))
    });
    let mut request = Request::new(up);
    for (key, value) in [
        ("x-docker-expose-session-uuid", id),
        ("x-docker-expose-session-name", "lkpkg-test"),
        ("x-docker-expose-session-sharedkey", id),
        ("x-docker-expose-session-grpc-method", "/grpc.health.v1.Health/Check"),
        (
            "x-docker-expose-session-grpc-method",
            "/moby.filesync.v1.FileSync/DiffCopy",
        ),
    ] {
        request.metadata_mut().append(key, value.parse().unwrap());
    }
    let down = ControlClient::new(channel.clone())
        .session(request)
        .await
        .unwrap()
        .into_inner();
    let down = down
        .map_ok(|message| std::io::Cursor::new(message.data))
        .map_err(std::io::Error::other);
    tasks.spawn(async move {
        let _: std::io::Result<u64> = tokio::io::copy(&mut tokio_util::io::StreamReader::new(down), &mut write).await;
    });
    let server = Server::builder()
        .http2_max_header_list_size(16 << 20)
        .add_service(HealthServer::new(Healthy))
        .add_service(FileSyncServer::new(files));
    tasks.spawn(async move {
        let connection = futures_util::stream::once(async { Ok::<_, std::io::Error>(ours) });
        let _: Result<(), tonic::transport::Error> = server.serve_with_incoming(connection).await;
    });
}

/// A Dockerfile that fails unless `check`, run in the directory of the copied context, succeeds.
fn dockerfile(check: &str) -> String {
    format!("FROM busybox:1.37\nCOPY . /context\nWORKDIR /context\nRUN --network=none set -ex; {check}\n")
}

/// A name that no build before had, so that no step comes from BuildKit's cache.
fn unique(package: &Package) -> &str {
    package
        .directory
        .path()
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_composed_context_arrives_whole() {
    let Some(address) = server("LKPKG_TEST_BUILDKIT") else {
        return;
    };
    let check = r#"test "$(find . | sort | tr '\n' ' ')" = "$(cat expected)"; test "$(cat src/deep/a)" = extra;
        test "$(cat sub)" = over; test "$(readlink link)" = src/deep; test "$(stat -c %h hard)" = 2; test "$(stat -c '%a %u:%g' tool)" = '4755 0:0';
        test "$(wc -c < big)" = 3000000; test "$(stat -c %a src)" = 755"#
        .replace('\n', " ");
    let expected =
        ". ./Dockerfile ./big ./expected ./hard ./hard2 ./link ./src ./src/deep ./src/deep/a ./sub ./tool ./ünï ";
    let mut package = Package::new(&[
        ("Dockerfile", &dockerfile(&check)),
        ("expected", expected),
        ("sub", "under"),
        ("hard", "h"),
        ("tool", "t"),
        ("ünï", "u"),
        ("../extra/a", "extra"),
        ("../over", "over"),
    ]);
    fs::write(package.path("big"), vec![7; 3_000_000]).unwrap();
    fs::hard_link(package.path("hard"), package.path("hard2")).unwrap();
    symlink("src/deep", package.path("link")).unwrap();
    fs::set_permissions(package.path("tool"), fs::Permissions::from_mode(0o4755)).unwrap();
    package.mounts = vec![
        (package.path("../extra"), Path::new("/src/deep").to_owned()),
        (package.path("../over"), Path::new("sub").to_owned()),
    ];
    let first = package.build(&address).await.unwrap();
    assert!(first > 3_000_000, "{first} bytes");
    // The second build finds all but one small file where the first one left it.
    fs::write(package.path("tool"), unique(&package)).unwrap();
    fs::set_permissions(package.path("tool"), fs::Permissions::from_mode(0o4755)).unwrap();
    let second = package.build(&address).await.unwrap();
    assert!(second < 100_000, "{second} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn dockerignore_is_honoured() {
    let Some(address) = server("LKPKG_TEST_BUILDKIT") else {
        return;
    };
    let check = r#"test "$(find . -type f | sort | tr '\n' ' ')" = './a/keep.o ./b.c ./é/x '; : unique"#;
    let mut package = Package::new(&[
        (
            ".dockerignore",
            "# notes\n**/*.o\n!a/keep.o\nDockerfile\n.dockerignore\nsecret\né/ü\n",
        ),
        ("a/keep.o", "1"),
        ("a/drop.o", "2"),
        ("b.c", "3"),
        ("secret/key", "4"),
        ("é/ü", "5"),
        ("é/x", "6"),
    ]);
    fs::write(
        package.path("Dockerfile"),
        dockerfile(&check.replace("unique", unique(&package))),
    )
    .unwrap();
    package.build(&address).await.unwrap();
    // What is ignored need not even be readable as a name, and long lists fit.
    use std::os::unix::ffi::OsStrExt as _;
    fs::write(package.path("secret").join(std::ffi::OsStr::from_bytes(b"\xff")), "").unwrap();
    let long: String = (0..4000).map(|number| format!("none/{number}\n")).collect();
    fs::write(
        package.path("Dockerfile.dockerignore"),
        format!("{long}**/*.o\n!a/keep.o\nDockerfile*\n.dockerignore\nsecret\né/ü\n"),
    )
    .unwrap();
    package.build(&address).await.unwrap();
    // Extra sources are filtered as well.
    package.mounts = vec![(package.path("secret"), Path::new("a/drop.o").to_owned())];
    package.build(&address).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_sent_is_named_by_the_failed_build() {
    let Some(address) = server("LKPKG_TEST_BUILDKIT") else {
        return;
    };
    use std::os::unix::ffi::OsStrExt as _;
    let package = Package::new(&[]);
    fs::create_dir(package.path("")).unwrap();
    fs::write(
        package.path("Dockerfile"),
        format!("FROM scratch\nCOPY . /{}\n", unique(&package)),
    )
    .unwrap();
    fs::write(package.path("").join(std::ffi::OsStr::from_bytes(b"name\xff")), "").unwrap();
    let status = package.build(&address).await.unwrap_err();
    assert!(
        status.message().contains("not UTF-8") && status.message().contains("name"),
        "{}",
        status.message()
    );
}
