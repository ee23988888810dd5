//! The root file system of images that are made here: what is in it, in which order, with which records.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::assemble::config::SourceText;
use crate::assemble::{Compression, Destination, FormatKind, assemble};
use crate::oci::media_type;
use std::io::Write as _;
use tempfile::TempDir;

/// Images, and a place for what is made of them.
struct Bench {
    blobs: BTreeMap<String, Vec<u8>>,
    images: BTreeMap<String, Image>,
    directory: TempDir,
}

/// An entry of a layer: `path` with a slash at its end is a directory; `path>target` a symbolic link, `path=target` a hard
/// link; what follows a blank is content.
fn layer(entries: &[&str]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for entry in entries {
        let (path, content) = entry.split_once(' ').unwrap_or((entry, ""));
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o755);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_000_000_000);
        header.set_size(content.len() as u64);
        if let Some((path, target)) = path.split_once('>') {
            header.set_entry_type(tar::EntryType::Symlink);
            tar.append_link(&mut header, path, target).unwrap();
        } else if let Some((path, target)) = path.split_once('=') {
            header.set_entry_type(tar::EntryType::Link);
            tar.append_link(&mut header, path, target).unwrap();
        } else {
            if path.ends_with('/') {
                header.set_entry_type(tar::EntryType::Directory);
            }
            if path.ends_with("ping") {
                let capability = [("SCHILY.xattr.security.capability", b"\x01\x00\xff".as_slice())];
                tar.append_pax_extensions(capability).unwrap();
            }
            tar.append_data(&mut header, path, content.as_bytes()).unwrap();
        }
    }
    tar.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// What a tar file holds: path, what it is, and its records.
struct Member {
    path: String,
    kind: tar::EntryType,
    content: Vec<u8>,
    mode: u32,
    records: BTreeMap<String, Vec<u8>>,
}

impl Bench {
    fn new() -> Self {
        Self {
            blobs: BTreeMap::new(),
            images: BTreeMap::new(),
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn image(&mut self, name: &str, config: serde_json::Value, layers: &[Vec<u8>]) {
        let layers = layers.iter().map(|bytes| {
            let descriptor = Descriptor::of(media_type::LAYER, bytes);
            self.blobs.insert(descriptor.digest.to_string(), bytes.clone());
            descriptor
        });
        let image = Image {
            layers: layers.collect(),
            config: serde_json::from_value(config).unwrap(),
        };
        self.images.insert(crate::oci::expand(name), image);
    }

    fn inputs(&self, yaml: &str) -> Inputs {
        let source = SourceText {
            name: "x.yml".into(),
            text: yaml.to_owned(),
            directory: None,
        };
        let yaml = config::load(&[source], &mut |_| Err(String::new()));
        let blobs = self.blobs.clone();
        Inputs {
            yaml: yaml.map_err(|problems| format!("{problems:?}")).unwrap(),
            images: self.images.clone(),
            layouts: BTreeMap::new(),
            open: Arc::new(move |blob| {
                let bytes = blobs.get(blob.digest.as_str()).cloned();
                let bytes = bytes.ok_or_else(|| io::Error::other("no such blob"))?;
                Ok(Box::new(io::Cursor::new(bytes)))
            }),
            scratch: self.directory.path().to_owned(),
            home: None,
            sbom: None,
            decompress_kernel: false,
        }
    }

    fn write(&self, inputs: Inputs, kind: FormatKind) -> Result<Vec<PathBuf>, AssembleError> {
        let base = Destination::Base(self.directory.path().join("out"));
        let format = Format::begin_at(kind, base, Compression::Gzip)?;
        assemble(inputs, vec![format], &CancellationToken::new())
    }

    fn members(&self, yaml: &str) -> Vec<Member> {
        let written = self.write(self.inputs(yaml), FormatKind::Tar).unwrap();
        let bytes = std::fs::read(&written[0]).unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            let records = entry.pax_extensions().unwrap().into_iter().flatten().map(|record| {
                let record = record.unwrap();
                (record.key().unwrap().to_owned(), record.value_bytes().to_vec())
            });
            let records = records.collect();
            if let Some(link) = entry.link_name_bytes() {
                content = link.into_owned();
            }
            Member {
                path: String::from_utf8(entry.path_bytes().into_owned()).unwrap(),
                kind: entry.header().entry_type(),
                mode: entry.header().mode().unwrap(),
                content,
                records,
            }
        });
        entries.collect()
    }
}

fn find<'a>(members: &'a [Member], path: &str) -> &'a Member {
    let all: Vec<_> = members.iter().filter(|member| member.path == path).collect();
    assert_eq!(all.len(), 1, "{path}");
    all[0]
}

fn text(member: &Member) -> &str {
    std::str::from_utf8(&member.content).unwrap()
}

/// A kernel, two init images, two services of one image, a volume and files.
fn bench() -> Bench {
    let mut bench = Bench::new();
    let modules = layer(&["lib/", "lib/modules/", "lib/modules/x.ko module"]);
    let modules = String::from_utf8(modules).unwrap();
    let kernel = layer(&[
        "kernel vmlinuz",
        "ucode early",
        "System.map x",
        &format!("kernel.tar {modules}"),
    ]);
    bench.image("kernel:1", serde_json::json!({}), &[kernel]);
    let init = layer(&[
        "bin/",
        "bin/init i",
        "bin/sh=bin/init",
        "etc/",
        "etc/hostname h",
        "lib/apk/db/installed P:a",
        "gone g",
    ]);
    bench.image("init:1", serde_json::json!({}), &[gzip(&init), layer(&[".wh.gone"])]);
    let other = layer(&[
        "bin/",
        "bin/ping ping",
        "etc/",
        "etc/resolv.conf x",
        "lib/apk/db/installed P:b",
    ]);
    bench.image(
        "other:1",
        serde_json::json!({}),
        &[zstd::encode_all(other.as_slice(), 1).unwrap()],
    );
    let service = layer(&[
        "usr/",
        "usr/bin/",
        "usr/bin/ping ping",
        "usr/bin/pong=usr/bin/ping",
        "Dockerfile x",
    ]);
    bench.image("service:1", serde_json::json!({"Cmd": ["/usr/bin/ping"]}), &[service]);
    bench
}

const YAML: &str = "
kernel: {image: 'kernel:1', cmdline: console=ttyS0, ucode: ucode}
init: ['init:1', 'other:1']
volumes: [{name: v}, {name: w, image: 'service:1', readonly: true}]
onboot: [{name: first, image: 'service:1', readonly: true}]
services:
  - {name: a, image: 'service:1', binds: ['v:/v', 'w:/w:ro']}
  - {name: b, image: 'service:1', readonly: true, uid: b}
files:
  - {path: etc/x, contents: x, mode: '0644', uid: a}
  - {path: new/deep/file, contents: y}
  - {path: bin/sh, symlink: init}
  - {path: etc, directory: true, mode: '0750'}
  - {path: etc/linuxkit.yml, metadata: yaml}
";

#[test]
fn everything_is_where_it_belongs() {
    let members = bench().members(YAML);
    let paths: Vec<&str> = members.iter().map(|member| member.path.as_str()).collect();
    // Nothing twice, and nothing before its directory.
    for (number, path) in paths.iter().enumerate() {
        assert!(!paths[..number].contains(path), "{path} twice");
        if let Some((parent, _)) = path.trim_end_matches('/').rsplit_once('/') {
            assert!(
                paths[..number].contains(&format!("{parent}/").as_str()),
                "{path} before {parent}"
            );
        }
    }
    assert_eq!(&paths[..4], ["boot/", "boot/cmdline", "boot/kernel", "boot/ucode.cpio"]);
    assert_eq!(text(find(&members, "boot/cmdline")), "console=ttyS0");
    assert_eq!(text(find(&members, "lib/modules/x.ko")), "module");
    for gone in [
        "gone",
        "etc/hostname",
        "kernel",
        "System.map",
        "containers/services/a/lower/Dockerfile",
    ] {
        assert!(!paths.contains(&gone), "{gone}");
    }
    assert_eq!(text(find(&members, "etc/resolv.conf")), "/run/resolvconf/resolv.conf");
    assert_eq!(text(find(&members, "etc/mtab")), "/proc/mounts");
    assert_eq!(text(find(&members, "lib/apk/db/installed")), "P:a\n\nP:b\n\n");
    // A file of the section takes a hard link's place, and the other name keeps the content.
    assert_eq!(find(&members, "bin/sh").kind, tar::EntryType::Symlink);
    assert_eq!(text(find(&members, "bin/init")), "i");
    assert_eq!(
        (find(&members, "etc/").mode, find(&members, "new/deep/").mode),
        (0o750, 0o700)
    );
    let records = |path: &str, key: &str| {
        let value = find(&members, path).records.get(key).cloned().unwrap_or_default();
        String::from_utf8_lossy(&value).into_owned()
    };
    for (path, source, location) in [
        ("boot/kernel", "docker.io/library/kernel:1", "kernel"),
        ("lib/modules/x.ko", "docker.io/library/kernel:1", "kernel"),
        ("bin/init", "docker.io/library/init:1", "init[0]"),
        ("bin/ping", "docker.io/library/other:1", "init[1]"),
        ("lib/apk/db/installed", "LINUXKIT.apkinit", "init"),
        ("containers/volumes/v/merged/", "linuxkit.volumes", "volume[0]"),
        (
            "containers/onboot/000-first/rootfs/usr/bin/pong",
            "docker.io/library/service:1",
            "onboot[0]",
        ),
        (
            "containers/services/b/config.json",
            "docker.io/library/service:1",
            "services[1]",
        ),
        ("etc/x", "linuxkit.files", "files[0]"),
    ] {
        assert_eq!(
            (records(path, "LINUXKIT.source"), records(path, "LINUXKIT.location")),
            (source.into(), location.into())
        );
    }
    let capability = "SCHILY.xattr.security.capability";
    assert_eq!(find(&members, "bin/ping").records[capability], b"\x01\x00\xff");
    // Hard links name the file where it is in the root.
    let pong = find(&members, "containers/onboot/000-first/rootfs/usr/bin/pong");
    assert_eq!(text(pong), "containers/onboot/000-first/rootfs/usr/bin/ping");
}

#[test]
fn an_image_that_is_used_twice_is_stored_once() {
    let members = bench().members(YAML);
    let json = |path: &str| -> serde_json::Value { serde_json::from_slice(&find(&members, path).content).unwrap() };
    let stored = "/containers/onboot/000-first/rootfs";
    let runtime = |service: &str| json(&format!("containers/{service}/runtime.json"))["mounts"].clone();
    assert_eq!(
        runtime("onboot/000-first"),
        serde_json::json!([{"destination": stored, "source": stored, "options": ["bind"]}])
    );
    assert_eq!(
        runtime("services/b"),
        serde_json::json!([{"destination": "/containers/services/b/rootfs", "source": stored, "options": ["bind"]}])
    );
    let base = "/containers/services/a";
    assert_eq!(
        runtime("services/a"),
        serde_json::json!([
            {"destination": format!("{base}/tmp"), "type": "tmpfs", "source": "tmpfs"},
            {"destination": format!("{base}/tmp"), "options": ["remount", "private"]},
            {"destination": format!("{base}/rootfs"), "type": "overlay", "source": "overlay", "options": [
                format!("lowerdir={stored}"), format!("upperdir={base}/tmp/upper"), format!("workdir={base}/tmp/work")]},
        ])
    );
    assert!(
        !members
            .iter()
            .any(|member| member.path.starts_with("containers/services/b/rootfs/")
                && member.path != "containers/services/b/rootfs/")
    );
    let config = json("containers/services/b/config.json");
    assert_eq!(
        (&config["process"]["user"]["uid"], &config["root"]["readonly"]),
        (&102.into(), &true.into())
    );
}

#[test]
fn the_same_input_gives_the_same_bytes_in_every_format() {
    let bench = bench();
    for kind in FormatKind::ALL {
        let read = || -> Vec<Vec<u8>> {
            let written = bench.write(bench.inputs(YAML), kind).unwrap();
            written.iter().map(|path| std::fs::read(path).unwrap()).collect()
        };
        assert!(read() == read(), "{}", kind.name());
    }
    // Nothing but the files themselves is left.
    let names = std::fs::read_dir(bench.directory.path()).unwrap();
    let mut names: Vec<_> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let wanted = [
        "out-cmdline",
        "out-initrd.img",
        "out-initrd.tar",
        "out-kernel",
        "out.docker",
        "out.tar",
    ];
    assert_eq!(names, wanted);
}

#[test]
fn an_initial_ram_disk_is_what_the_kernel_reads() {
    let bench = bench();
    bench.write(bench.inputs(YAML), FormatKind::KernelInitrd).unwrap();
    let read = |name: &str| std::fs::read(bench.directory.path().join(name)).unwrap();
    assert_eq!(
        (read("out-kernel"), read("out-cmdline")),
        (b"vmlinuz".to_vec(), b"console=ttyS0".to_vec())
    );
    let disk = read("out-initrd.img");
    let archive = disk.strip_prefix(b"early").expect("microcode comes first");
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(archive).read_to_end(&mut plain).unwrap();
    let entries = cpio(&plain);
    assert!(!entries.iter().any(|(name, ..)| name.starts_with("boot/")));
    let file = |name: &str| entries.iter().find(|(own, ..)| own == name).unwrap();
    let base = "containers/onboot/000-first/rootfs/usr/bin";
    let (ping, pong) = (file(&format!("{base}/ping")), file(&format!("{base}/pong")));
    assert_eq!((ping.1, ping.2, ping.3.as_slice()), (pong.1, 2, b"ping".as_slice()));
    assert_eq!((pong.2, pong.3.len()), (2, 0));
    assert_eq!(file("bin/sh").3, b"init");
    assert_eq!(file("bin/init").2, 1);
}

/// Name, inode, links and content of each entry.
fn cpio(mut bytes: &[u8]) -> Vec<(String, u32, u32, Vec<u8>)> {
    let mut all = Vec::new();
    loop {
        assert!(bytes.starts_with(b"070701"));
        let field =
            |at: usize| u32::from_str_radix(std::str::from_utf8(&bytes[6 + 8 * at..14 + 8 * at]).unwrap(), 16).unwrap();
        let (inode, links, size, name_size) = (field(0), field(4), field(6) as usize, field(11) as usize);
        let name = String::from_utf8(bytes[110..110 + name_size - 1].to_vec()).unwrap();
        let begin = (110 + name_size).next_multiple_of(4);
        if name == "TRAILER!!!" {
            return all;
        }
        all.push((name, inode, links, bytes[begin..begin + size].to_vec()));
        bytes = &bytes[(begin + size).next_multiple_of(4)..];
    }
}

#[test]
fn what_is_wrong_with_an_image_is_said_and_nothing_is_left() {
    let check = |yaml: &str, layers: &[Vec<u8>], wanted: &str| {
        let mut bench = bench();
        bench.image("bad:1", serde_json::json!({}), layers);
        let error = bench.write(bench.inputs(yaml), FormatKind::Tar).unwrap_err();
        assert!(error.to_string().contains(wanted), "{error}");
        assert_eq!(
            std::fs::read_dir(bench.directory.path()).unwrap().count(),
            0,
            "{wanted}"
        );
    };
    let kernel = "kernel: {image: 'bad:1'}";
    check(
        kernel,
        &[layer(&["x x"])],
        "kernel: the image docker.io/library/bad:1 has no kernel",
    );
    check(kernel, &[layer(&["kernel x"])], "has no file kernel.tar");
    check(
        "kernel: {image: 'bad:1', tar: none, ucode: u}",
        &[layer(&["kernel x"])],
        "has no microcode",
    );
    check(
        kernel,
        &[layer(&[
            "kernel x",
            "kernel.tar no tar at all, though it is long enough to look like a header of one",
        ])],
        "kernel.tar that cannot be unpacked",
    );
    check(
        "init: ['bad:1']",
        &[layer(&["a=nothing"])],
        "has a hard link a to nothing, which is not there",
    );
    check(
        "init: ['bad:1']",
        &[layer(&["a>b", "b>a"]), layer(&["a/x x"])],
        "too many symbolic links",
    );
    check(
        "init: ['bad:1']",
        &[b"\x1f\x8b\x08 not gzip".to_vec()],
        "cannot unpack the image",
    );
    let mut outside = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.as_old_mut().name[..5].copy_from_slice(b"../up");
    header.set_size(0);
    header.set_cksum();
    outside.append(&header, io::empty()).unwrap();
    check(
        "services: [{name: x, image: 'bad:1'}]",
        &[outside.into_inner().unwrap()],
        "leads outside",
    );
    check(
        "init: ['none:1']",
        &[],
        "init[0]: the image docker.io/library/none:1 is not there",
    );
    check(
        "files: [{path: x, source: /nowhere/at/all}]",
        &[],
        "files[0]: cannot read /nowhere/at/all",
    );
}

#[test]
fn files_below_a_link_are_where_it_leads() {
    let mut bench = Bench::new();
    bench.image(
        "usr:1",
        serde_json::json!({}),
        &[layer(&["usr/", "usr/lib/", "usr/lib/old o", "lib>usr/lib"])],
    );
    let modules = String::from_utf8(layer(&["lib/", "lib/modules/x m"])).unwrap();
    bench.image(
        "k:1",
        serde_json::json!({}),
        &[layer(&["kernel k", &format!("kernel.tar {modules}")])],
    );
    let members = bench.members(
        "kernel: {image: 'k:1'}\ninit: ['usr:1']\nfiles: [{path: lib/new, contents: n}, {path: lib/old, contents: x}]",
    );
    assert_eq!(find(&members, "lib").kind, tar::EntryType::Symlink);
    assert_eq!(text(find(&members, "usr/lib/modules/x")), "m");
    assert_eq!(
        (text(find(&members, "usr/lib/new")), text(find(&members, "usr/lib/old"))),
        ("n", "x")
    );
    assert!(!members.iter().any(|member| member.path.starts_with("lib/")));
}

#[test]
fn an_optional_source_may_be_missing() {
    let members =
        Bench::new().members("files: [{path: x, source: /nowhere/at/all, optional: true}, {path: y, contents: y}]");
    assert_eq!(
        members.iter().map(|member| member.path.as_str()).collect::<Vec<_>>(),
        ["y"]
    );
}

#[test]
fn many_files_and_layers_go_through_few_places() {
    let mut bench = Bench::new();
    let names: Vec<String> = (0..3000)
        .map(|number| format!("d{}/f{number} content of {number}", number % 7))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let layers: Vec<Vec<u8>> = names.chunks(100).map(layer).collect();
    bench.image("many:1", serde_json::json!({}), &layers);
    let members = bench.members("services: [{name: a, image: 'many:1'}]\ninit: ['many:1']");
    let files = members
        .iter()
        .filter(|member| text(member).starts_with("content of "))
        .count();
    assert_eq!(files, 2 * 3000);
}
