//! Images saved into packages: from a remote through a store, read again from the files.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::content::memory::Memory;
use crate::content::{Sink, validate};
use crate::oci::Digest;
use crate::package::{self, Overrides};
use crate::store::ImportOptions;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Read;

/// A package and a store.
struct Room {
    directory: tempfile::TempDir,
    store: Store,
}

impl Room {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("package")).unwrap();
        fs::write(directory.path().join("package/Dockerfile"), "FROM scratch\n").unwrap();
        let store = Store::open(&directory.path().join("store")).unwrap();
        Self { directory, store }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join("package").join(name)
    }

    async fn provide(&self, target: &str, images: &[&str], remote: Option<Remote>) -> Result<(), OrchestratorError> {
        let text = format!("image: x\ndepends:\n  docker-images:\n    {target}\n    list: {images:?}\n");
        fs::write(self.path("build.yml"), text).unwrap();
        let package = package::load(&self.path(""), &Overrides::default()).unwrap();
        let (events, cancel) = (Events::silent(), CancellationToken::new());
        provide(&package, &self.store, remote.as_ref(), &events, &cancel).await
    }

    /// Every file below the package but the package's own, with its content and its time.
    fn files(&self, name: &str) -> BTreeMap<OsString, (Vec<u8>, SystemTime)> {
        let entries = fs::read_dir(self.path(name)).unwrap().map(Result::unwrap);
        let read = |entry: fs::DirEntry| {
            let time = entry.metadata().unwrap().modified().unwrap();
            (entry.file_name(), (fs::read(entry.path()).unwrap(), time))
        };
        entries.map(read).collect()
    }
}

/// A remote that has one repository.
fn remote(memory: &Arc<Memory>) -> Option<Remote> {
    let memory = Arc::clone(memory);
    Some(Arc::new(move |_| Arc::clone(&memory) as Arc<dyn Source>))
}

/// An image for two platforms, the one of this machine among them; and its digest.
async fn image(memory: &Memory, locator: &str, other: &str) -> Digest {
    let root = memory.image_index(&[&Platform::host().architecture, other]);
    memory.set(&format!("{locator}@{}", root.digest), &root).await.unwrap();
    root.digest
}

fn manifest(tar: &[u8]) -> Value {
    let mut archive = tar::Archive::new(tar);
    let mut entries = archive.entries().unwrap().map(Result::unwrap);
    let mut entry = entries.find(|e| e.path_bytes().ends_with(b"manifest.json")).unwrap();
    let mut text = String::new();
    entry.read_to_string(&mut text).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn a_directory_gets_a_file_for_each_image_and_nothing_else() {
    let (room, memory) = (Room::new(), Arc::new(Memory::default()));
    let digest = image(&memory, "docker.io/library/busybox", "s390x").await;
    let busybox = format!("busybox@{digest}");
    fs::create_dir_all(room.path("images/old")).unwrap();
    fs::write(room.path("images/old/file"), "").unwrap();
    let target = "target-dir: images";
    let both = [busybox.as_str(), busybox.as_str()];
    room.provide(target, &both, remote(&memory)).await.unwrap();
    let first = room.files("images");
    let name = OsString::from(format!("busybox@{digest}.tar"));
    assert_eq!(first.keys().collect::<Vec<_>>(), [&name]);
    assert_eq!(first[&name].1, SystemTime::UNIX_EPOCH);
    assert_eq!(
        room.path("images").metadata().unwrap().modified().unwrap(),
        SystemTime::UNIX_EPOCH
    );
    assert!(manifest(&first[&name].0)[0]["RepoTags"].is_null(), "no tag, no name");
    // The store has it now, and the same image gives the same file.
    room.provide(target, &[&busybox], None).await.unwrap();
    assert!(first == room.files("images"));
    // It is an image that a store takes.
    let (other, tar) = (Room::new(), first[&name].0.clone());
    let options = ImportOptions {
        name: Some("x:1".parse().unwrap()),
    };
    let cancel = CancellationToken::new();
    let imported = other
        .store
        .import(io::Cursor::new(tar), &options, &cancel)
        .await
        .unwrap();
    assert!(validate(&other.store, &imported.images[0].1).await.is_empty());
}

#[tokio::test]
async fn a_file_gets_all_images() {
    let (room, memory) = (Room::new(), Arc::new(Memory::default()));
    let tagged = format!("a/b:1@{}", image(&memory, "docker.io/a/b", "s390x").await);
    let other = format!("c.io/d@{}", image(&memory, "c.io/d", "riscv64").await);
    // The digest of one platform's image means that image, whatever this machine is.
    let foreign = memory.image_index(&["mips64le"]);
    let (_, content::Document::Index(index)) = content::read_document(memory.as_ref(), &foreign).await.unwrap() else {
        panic!("an index");
    };
    let foreign = &index.manifests[0];
    memory
        .set(&format!("e.io/f@{}", foreign.digest), foreign)
        .await
        .unwrap();
    let foreign = format!("e.io/f@{}", foreign.digest);
    let images = [tagged.as_str(), &other, &foreign];
    room.provide("target: a/images.tar", &images, remote(&memory))
        .await
        .unwrap();
    let manifest = manifest(&fs::read(room.path("a/images.tar")).unwrap());
    let names: Vec<&Value> = manifest
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["RepoTags"])
        .collect();
    assert_eq!(names[0][0], "docker.io/a/b:1");
    assert!(names.len() == 3 && names[1].is_null() && names[2].is_null());
}

#[tokio::test]
async fn an_image_that_is_nowhere_is_named_and_nothing_is_touched() {
    let (room, memory) = (Room::new(), Arc::new(Memory::default()));
    let index = memory.image_index(&["mips64le"]);
    memory.set(&format!("c.io/d@{}", index.digest), &index).await.unwrap();
    fs::create_dir(room.path("images")).unwrap();
    fs::write(room.path("images/old"), "").unwrap();
    let check = async |image: String, remote: Option<Remote>, part: &str| {
        let error = room.provide("target-dir: images", &[&image], remote).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&image) && text.contains(part), "{text}");
        assert_eq!(room.files("images").len(), 1);
    };
    let nowhere = format!("c.io/d@{}", Digest::of(b""));
    check(nowhere.clone(), None, "not in the cache").await;
    check(nowhere, remote(&memory), "no such image").await;
    let foreign = format!("c.io/d@{}", index.digest);
    check(foreign, remote(&memory), &Platform::host().to_string()).await;
}

#[tokio::test]
async fn a_symbolic_link_in_the_place_of_the_directory_is_replaced_and_not_followed() {
    let (room, memory) = (Room::new(), Arc::new(Memory::default()));
    let image = format!("c.io/d@{}", image(&memory, "c.io/d", "s390x").await);
    fs::create_dir(room.path("mine")).unwrap();
    fs::write(room.path("mine/file"), "").unwrap();
    std::os::unix::fs::symlink("mine", room.path("images")).unwrap();
    room.provide("target-dir: images", &[&image], remote(&memory))
        .await
        .unwrap();
    assert_eq!((room.files("images").len(), room.files("mine").len()), (1, 1));
    assert!(room.path("mine/file").exists());
}
