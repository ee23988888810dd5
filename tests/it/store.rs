//! The store against the world: other processes, linuxkit's lock, skopeo, kill -9, a full disk, a big image.
//!
//! Some tests run this test program again as a process of its own: [`child_process`] is what it does then.
#![expect(clippy::unwrap_used, reason = "tests")]

use crate::servers::{SmallDisk, server, skopeo};
use lkpkg::content::Sink;
use lkpkg::event::CancellationToken;
use lkpkg::fsx::RecordLock;
use lkpkg::oci::{Descriptor, Hasher, Index, Platform, media_type};
use lkpkg::store::{ExportFormat, ExportOptions, ImportOptions, Store, StoreError};
use serde_json::json;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const NAME: &str = "docker.io/org/x:1";
/// What the child process is to do, and where.
const ROLE: &str = "LKPKG_TEST_STORE_CHILD";
const DIRECTORY: &str = "LKPKG_TEST_STORE_DIRECTORY";
/// Short: what is held in these tests is held until the test lets go.
const WAIT: Duration = Duration::from_millis(300);

/// No test of its own: what this program does when a test starts it again.
#[tokio::test]
async fn child_process() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let directory = std::env::var(DIRECTORY).unwrap();
    let directory = Path::new(&directory);
    if let Some(writer) = role.strip_prefix("write ") {
        write_names(directory, writer, 50).await;
    } else if role == "keep writing" {
        println!("\nready");
        write_names(directory, &std::process::id().to_string(), usize::MAX).await;
    } else if role == "move a big image" {
        move_a_big_image(directory).await;
        println!("\nready");
    } else if role == "hold linuxkit's lock" {
        let _lock = RecordLock::exclusive(&directory.join(".lock"), WAIT).unwrap();
        println!("\nready");
        let _ = std::io::stdin().read(&mut [0]);
    } else {
        let _store = Store::open(directory).unwrap();
        println!("\nready");
        let _ = std::io::stdin().read(&mut [0]);
    }
}

fn start(role: &str, directory: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["store::child_process", "--exact", "--nocapture"])
        .env(ROLE, role)
        .env(DIRECTORY, directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn start_and_wait_until_ready(role: &str, directory: &Path) -> Child {
    let mut child = start(role, directory);
    let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "ready"), "{role}");
    child
}

/// Lets go of what the child holds, and waits for it.
fn release(mut child: Child) {
    drop(child.stdin.take());
    child.wait().unwrap();
}

async fn put(store: &Store, media_type: &str, bytes: Vec<u8>) -> Descriptor {
    let descriptor = Descriptor::of(media_type, &bytes);
    store
        .put(&descriptor, Box::pin(std::io::Cursor::new(bytes)))
        .await
        .unwrap();
    descriptor
}

/// An image whose layer is a tar file with one file of this content.
async fn image(store: &Store, architecture: &str, content: &[u8]) -> Descriptor {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    tar.append_data(&mut header, "file", content).unwrap();
    let layer = put(store, media_type::LAYER, tar.into_inner().unwrap()).await;
    let config = json!({
        "architecture": architecture, "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [layer.digest]},
    });
    let config = put(store, media_type::CONFIG, config.to_string().into_bytes()).await;
    let manifest = json!({
        "schemaVersion": 2, "mediaType": media_type::MANIFEST, "config": config, "layers": [layer],
    });
    put(store, media_type::MANIFEST, manifest.to_string().into_bytes()).await
}

async fn write_names(directory: &Path, writer: &str, count: usize) {
    for number in 0..count {
        // Opened each time, as a program does that is started each time.
        let store = Store::open(directory).unwrap();
        let image = image(&store, "amd64", format!("{writer} {number}").as_bytes()).await;
        let name = format!("docker.io/org/w{writer}:{number}").parse().unwrap();
        store.merge_platforms(&name, &image).await.unwrap();
    }
}

async fn assert_clean(store: &Store) {
    let found = store.verify(&CancellationToken::new()).await.unwrap();
    assert!(found.is_clean(), "{:#?}", found.problems);
}

#[tokio::test]
async fn eight_processes_lose_no_name() {
    let directory = tempfile::tempdir().unwrap();
    let children: Vec<Child> = (0..8).map(|n| start(&format!("write {n}"), directory.path())).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
    }
    let store = Store::open(directory.path()).unwrap();
    // `name:tag` and `name:tag-amd64`.
    assert_eq!(store.view().unwrap().names().len(), 8 * 50 * 2);
    assert_clean(&store).await;
}

/// Far more than may be in memory, and little enough for a test.
const BIG_BYTES: u64 = 256 << 20;
/// What the issue allows for an image of 1 GiB, in KiB.
const RESIDENT_KIB_MAX: u64 = 64 << 10;

/// Imports an image of [`BIG_BYTES`] and exports it in every format, and looks at how much memory that took.
async fn move_a_big_image(directory: &Path) {
    let path = directory.join("big");
    let mut file = fs::File::create(&path).unwrap();
    let mut tar = tar::Builder::new(&mut file);
    let mut header = tar::Header::new_ustar();
    header.set_size(BIG_BYTES);
    header.set_mode(0o644);
    tar.append_data(&mut header, "zeros", std::io::repeat(0).take(BIG_BYTES))
        .unwrap();
    tar.into_inner().unwrap();
    let store = Store::open(&directory.join("from")).unwrap();
    let (mut hasher, mut size, mut buffer) = (Hasher::default(), 0, vec![0; 1 << 20]);
    let mut file = fs::File::open(&path).unwrap();
    while let count @ 1.. = file.read(&mut buffer).unwrap() {
        hasher.update(&buffer[..count]);
        size += count as u64;
    }
    let layer = Descriptor::new(media_type::LAYER, hasher.finish(), size);
    let reader = tokio::fs::File::open(&path).await.unwrap();
    store.put(&layer, Box::pin(reader)).await.unwrap();
    let config = put(
        &store,
        media_type::CONFIG,
        br#"{"os":"linux","architecture":"amd64"}"#.to_vec(),
    )
    .await;
    let manifest = json!({"schemaVersion": 2, "config": config, "layers": [layer]});
    let manifest = put(&store, media_type::MANIFEST, manifest.to_string().into_bytes()).await;
    store.merge_platforms(&NAME.parse().unwrap(), &manifest).await.unwrap();
    for format in [ExportFormat::Filesystem, ExportFormat::Docker, ExportFormat::Oci] {
        let options = ExportOptions {
            format,
            platform: None,
            name: None,
        };
        let output = fs::File::create(&path).unwrap();
        let cancel = CancellationToken::new();
        let platform = ExportOptions {
            platform: Some(Platform::linux("amd64")),
            ..options
        };
        store
            .export(&NAME.parse().unwrap(), &platform, output, &cancel)
            .await
            .unwrap();
    }
    let other = Store::open(&directory.join("to")).unwrap();
    let input = fs::File::open(&path).unwrap();
    let cancel = CancellationToken::new();
    other.import(input, &ImportOptions::default(), &cancel).await.unwrap();
    assert_clean(&other).await;
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    println!("resident at most: {peak} KiB");
    assert!(peak < RESIDENT_KIB_MAX, "{peak} KiB");
}

#[tokio::test]
async fn a_big_image_passes_through_little_memory() {
    let directory = tempfile::tempdir().unwrap();
    let output = start("move a big image", directory.path()).wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("\nready"), "{text}");
}

#[tokio::test]
async fn killed_at_any_moment_a_writer_leaves_a_valid_store() {
    let directory = tempfile::tempdir().unwrap();
    let mut named = 0;
    for round in 0..25_u64 {
        let mut child = start_and_wait_until_ready("keep writing", directory.path());
        // Any moment will do: these are spread over several writes.
        std::thread::sleep(Duration::from_micros(8_700 * round + 137 * (round % 7)));
        child.kill().unwrap();
        child.wait().unwrap();
        let store = Store::open_within(directory.path(), WAIT).unwrap();
        assert_clean(&store).await;
        let now = store.view().unwrap().names().len();
        assert!(now >= named, "names were lost");
        named = now;
    }
    let store = Store::open(directory.path()).unwrap();
    image(&store, "amd64", b"after").await;
    let found = store.verify(&CancellationToken::new()).await.unwrap();
    assert!(found.leftovers.is_empty(), "the next write removes what the dead left");
    assert!(named > 0, "no child came as far as to write a name");
}

#[tokio::test]
async fn whoever_holds_the_store_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open_within(directory.path(), WAIT).unwrap();
    let image = image(&store, "amd64", b"x").await;
    store.merge_platforms(&NAME.parse().unwrap(), &image).await.unwrap();
    for (role, is_removal) in [("open", true), ("hold linuxkit's lock", false)] {
        let child = start_and_wait_until_ready(role, directory.path());
        let start = Instant::now();
        let error = if is_removal {
            store.remove(&[NAME.to_owned()]).await.unwrap_err()
        } else {
            store
                .merge_platforms(&"org/new:1".parse().unwrap(), &image)
                .await
                .unwrap_err()
        };
        assert!(start.elapsed() >= WAIT);
        assert_eq!(error.exit_code(), 4);
        let text = error.to_string();
        assert!(text.contains(&format!("process {} (", child.id())), "{text}");
        release(child);
    }
    store
        .merge_platforms(&"org/new:1".parse().unwrap(), &image)
        .await
        .unwrap();
    store.remove(&[NAME.to_owned()]).await.unwrap();
}

#[tokio::test]
async fn a_full_disk_is_said() {
    let Some(disk) = SmallDisk::mount() else { return };
    let (directory, archive) = (disk.path(), tempfile::tempdir().unwrap());
    {
        let store = Store::open(directory).unwrap();
        let small = image(&store, "amd64", b"small").await;
        store.merge_platforms(&NAME.parse().unwrap(), &small).await.unwrap();
        let bytes = vec![7; 3 << 20];
        let descriptor = Descriptor::of("x", &bytes);
        let error = store
            .put(&descriptor, Box::pin(std::io::Cursor::new(bytes)))
            .await
            .unwrap_err();
        assert!(error.to_string().contains("the disk is full"), "{error}");
        // The same by import.
        let other = Store::open(archive.path()).unwrap();
        let big = image(&other, "amd64", &vec![7; 3 << 20]).await;
        other
            .merge_platforms(&"org/big:1".parse().unwrap(), &big)
            .await
            .unwrap();
        let tar = export(&other, "org/big:1", ExportFormat::Oci, None).await;
        let cancel = CancellationToken::new();
        let error = store
            .import(std::io::Cursor::new(tar), &ImportOptions::default(), &cancel)
            .await
            .unwrap_err();
        assert!(matches!(error, StoreError::DiskFull { .. }), "{error}");
        let found = store.verify(&cancel).await.unwrap();
        assert!(found.is_clean() && found.leftovers.is_empty(), "{found:?}");
        assert_eq!(store.view().unwrap().names().len(), 2);
    }
}

async fn export(store: &Store, name: &str, format: ExportFormat, platform: Option<Platform>) -> Vec<u8> {
    let options = ExportOptions {
        format,
        platform,
        name: None,
    };
    let cancel = CancellationToken::new();
    store
        .export(&name.parse().unwrap(), &options, Vec::new(), &cancel)
        .await
        .unwrap()
}

/// A store as linuxkit writes it: its own indentation and order, `.lock`, `ingest`, attestations at the end.
async fn written_by_linuxkit(directory: &Path) {
    fs::create_dir_all(directory.join("ingest")).unwrap();
    fs::write(directory.join(".lock"), b"").unwrap();
    let (amd64, arm64);
    {
        let store = Store::open(directory).unwrap();
        amd64 = image(&store, "amd64", b"for amd64").await;
        arm64 = image(&store, "arm64", b"for arm64").await;
    }
    let entry = |image: &Descriptor, architecture: &str| Descriptor {
        platform: Some(Platform::linux(architecture)),
        ..image.clone()
    };
    let index = Index::of(vec![entry(&arm64, "arm64"), entry(&amd64, "amd64")]);
    let index = serde_json::to_vec(&index).unwrap();
    let root = Descriptor::of(media_type::INDEX, &index);
    fs::write(directory.join("blobs/sha256").join(root.digest.hex()), &index).unwrap();
    let layout = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/store/linuxkit-index.json"));
    let layout = layout
        .unwrap()
        .replace("DIGEST", root.digest.as_str())
        .replace("4711", &root.size.to_string());
    fs::write(directory.join("index.json"), layout).unwrap();
    fs::write(
        directory.join("oci-layout"),
        "{\n    \"imageLayoutVersion\": \"1.0.0\"\n}",
    )
    .unwrap();
}

#[tokio::test]
async fn a_store_of_linuxkit_is_read_and_added_to() {
    let directory = tempfile::tempdir().unwrap();
    written_by_linuxkit(directory.path()).await;
    let store = Store::open(directory.path()).unwrap();
    let name = "docker.io/linuxkit/init:abc";
    let found = store.platforms_of(name).unwrap();
    assert_eq!(found, [Platform::linux("amd64"), Platform::linux("arm64")]);
    let riscv64 = image(&store, "riscv64", b"for riscv64").await;
    store.merge_platforms(&name.parse().unwrap(), &riscv64).await.unwrap();
    assert_eq!(store.platforms_of(name).unwrap().len(), 3);
    assert_clean(&store).await;
    // What we do not know is kept.
    let index = fs::read_to_string(directory.path().join("index.json")).unwrap();
    assert!(index.contains("foreign-annotation"), "{index}");
}

/// What BuildKit's own client exports, with provenance: the index is not at the top, names are containerd's.
#[tokio::test]
async fn an_archive_of_buildkit_is_imported() {
    let Some(address) = server("LKPKG_TEST_BUILDKIT") else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let archive = directory.path().join("out.tar");
    fs::write(directory.path().join("Dockerfile"), "FROM scratch\nCOPY Dockerfile /\n").unwrap();
    // buildctl stands beside buildkitd.
    let buildctl = std::env::var_os("LKPKG_BUILDKITD")
        .map(|path| Path::new(&path).with_file_name("buildctl"))
        .unwrap_or_else(|| "buildctl".into());
    let local = |name: &str| format!("{name}={}", directory.path().display());
    let status = Command::new(buildctl)
        .args(["--addr", &address, "build", "--frontend", "dockerfile.v0"])
        .args([
            "--opt",
            "platform=linux/amd64,linux/arm64",
            "--opt",
            "attest:provenance=mode=min",
        ])
        .args(["--local", &local("context"), "--local", &local("dockerfile")])
        .args(["--output", &format!("type=oci,name={NAME},dest={}", archive.display())])
        .stderr(Stdio::null())
        .status();
    assert!(status.unwrap().success());
    let store = Store::open(&directory.path().join("store")).unwrap();
    let cancel = CancellationToken::new();
    let input = fs::File::open(&archive).unwrap();
    let imported = store.import(input, &ImportOptions::default(), &cancel).await.unwrap();
    assert_eq!(imported.images[0].0, NAME);
    let merged = store
        .merge_platforms(&"org/merged:1".parse().unwrap(), &imported.images[0].1)
        .await
        .unwrap();
    let platforms = [Platform::linux("amd64"), Platform::linux("arm64")];
    assert_eq!(store.platforms_of("docker.io/org/merged:1").unwrap(), platforms);
    let (_, document) = lkpkg::content::read_document(&store, &merged).await.unwrap();
    assert_eq!(document.children().len(), 4, "two images, and what is attested of each");
    assert_clean(&store).await;
}

#[tokio::test]
async fn skopeo_reads_what_we_write_and_we_read_what_it_writes() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let store = Store::open(&directory.path().join("store")).unwrap();
    let name = NAME.parse().unwrap();
    for architecture in ["amd64", "arm64"] {
        let image = image(&store, architecture, architecture.as_bytes()).await;
        store.merge_platforms(&name, &image).await.unwrap();
    }
    let place = format!("oci:{}:{NAME}", path("store"));
    let Some(raw) = skopeo(&["inspect", "--raw", &place]) else {
        return;
    };
    let index: Index = serde_json::from_str(&raw).unwrap();
    assert_eq!(index.manifests.len(), 2);
    skopeo(&["inspect", "--override-arch", "arm64", &place]).unwrap();
    skopeo(&[
        "copy",
        "--all",
        "--preserve-digests",
        &place,
        &format!("oci:{}:{NAME}", path("copy")),
    ])
    .unwrap();
    // Its layout, its archive, and our exports through it.
    let cancel = CancellationToken::new();
    let other = Store::open(&directory.path().join("other")).unwrap();
    let copy = directory.path().join("copy");
    other
        .import_directory(&copy, &ImportOptions::default(), &cancel)
        .await
        .unwrap();
    let root = |store: &Store| store.resolve_name(NAME).unwrap().unwrap().digest;
    assert_eq!(root(&other), root(&store));
    skopeo(&[
        "copy",
        "--all",
        "--preserve-digests",
        &place,
        &format!("oci-archive:{}:{NAME}", path("archive.tar")),
    ])
    .unwrap();
    let archive = fs::File::open(path("archive.tar")).unwrap();
    let third = Store::open(&directory.path().join("third")).unwrap();
    third.import(archive, &ImportOptions::default(), &cancel).await.unwrap();
    assert_eq!(root(&third), root(&store));
    fs::write(path("oci.tar"), export(&store, NAME, ExportFormat::Oci, None).await).unwrap();
    skopeo(&[
        "inspect",
        "--override-arch",
        "arm64",
        &format!("oci-archive:{}", path("oci.tar")),
    ])
    .unwrap();
    let amd64 = Some(Platform::linux("amd64"));
    fs::write(
        path("docker.tar"),
        export(&store, NAME, ExportFormat::Docker, amd64).await,
    )
    .unwrap();
    let text = skopeo(&["inspect", &format!("docker-archive:{}", path("docker.tar"))]).unwrap();
    assert!(text.contains("\"amd64\""), "{text}");
    assert_clean(&third).await;
}
