//! `lkpkg assemble` as a user runs it, with real images in the cache.
#![expect(clippy::unwrap_used, reason = "tests")]

use crate::program::Workshop;
use crate::servers::server;
use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;

const BUSYBOX: &str = "busybox:1.37";

const YAML: &str = "
init: ['busybox:1.37']
onboot:
  - {name: first, image: 'busybox:1.37', command: [/bin/true], readonly: true}
services:
  - {name: web, image: 'busybox:1.37', capabilities: [CAP_NET_BIND_SERVICE], binds: ['data:/data']}
volumes: [{name: data}]
files:
  - {path: etc/motd, contents: hello, mode: '0644'}
  - {path: etc/linuxkit.yml, metadata: yaml}
";

/// Contents by path.
fn members(tar: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut archive = tar::Archive::new(tar);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_string_lossy().into_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        (path, content)
    });
    entries.collect()
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn an_image_is_assembled_from_the_cache_alone() {
    let Some(workshop) = Workshop::with_bases() else { return };
    workshop.write("machine.yml", YAML);
    fs::create_dir(workshop.repository().join("out")).unwrap();
    // A mirror that leads nowhere: nobody asks it.
    let assemble = [
        "assemble",
        "--mirror",
        "http://127.0.0.1:1",
        "--dir",
        "out",
        "--format",
        "tar,kernel+initrd",
        "machine.yml",
    ];
    let written = workshop.run(&assemble).done();
    assert_eq!(written, "out/machine.tar\nout/machine-initrd.img\n");
    let out = workshop.repository().join("out");
    let read = || ["machine.tar", "machine-initrd.img"].map(|name| fs::read(out.join(name)).unwrap());
    let first = read();
    workshop.run(&assemble).done();
    assert!(first == read(), "the same bytes twice");
    assert_eq!(names(&out), ["machine-initrd.img", "machine.tar"]);
    let members = members(&first[0]);
    assert_eq!(members["etc/motd"], b"hello");
    assert!(members.contains_key("bin/busybox"), "{:?}", members.keys());
    let config: serde_json::Value = serde_json::from_slice(&members["containers/services/web/config.json"]).unwrap();
    assert_eq!(
        config["process"]["capabilities"]["bounding"],
        serde_json::json!(["CAP_NET_BIND_SERVICE"])
    );
    let sbom: serde_json::Value = serde_json::from_slice(&members["sbom.spdx.json"]).unwrap();
    assert_eq!(sbom["spdxVersion"], "SPDX-2.3");
    // What the image says of itself describes it again.
    workshop.write("again.yml", std::str::from_utf8(&members["etc/linuxkit.yml"]).unwrap());
    workshop
        .run(&["assemble", "--no-sbom", "-o", "again.tar", "again.yml"])
        .done();
    let again = self::members(&fs::read(workshop.repository().join("again.tar")).unwrap());
    assert!(!again.contains_key("sbom.spdx.json"));
    assert_eq!(
        again["containers/services/web/config.json"],
        members["containers/services/web/config.json"]
    );
}

#[test]
fn mistakes_are_named_all_at_once_and_nothing_is_written() {
    let Some(workshop) = Workshop::with_bases() else { return };
    workshop.write(
        "bad.yml",
        "init: ['busybox:1.37']\nservies: []\nservices:\n  - {name: a, image: x, capabilities: [CAP_X]}\n",
    );
    workshop.run(&["assemble", "bad.yml"]).failed(
        2,
        &[
            "bad.yml:2:1: the image YAML has no field `servies`: did you mean `services`?",
            "bad.yml:4:40: there is no capability `CAP_X`",
        ],
    );
    workshop.write("none.yml", &YAML.replace(BUSYBOX, "registry.invalid/none:1"));
    workshop
        .run(&["assemble", "none.yml"])
        .failed(3, &["registry.invalid/none:1", "init[0]"]);
    workshop.write("kernel.yml", "kernel: {image: 'busybox:1.37'}");
    workshop
        .run(&["assemble", "kernel.yml"])
        .failed(2, &["kernel: the image docker.io/library/busybox:1.37 has no kernel"]);
    workshop.write("good.yml", YAML);
    for (arguments, words) in [
        (
            ["--format", "raw-efi", "--quiet"],
            "the format raw-efi is not built yet; there are tar, docker",
        ),
        (["--format", "ext4", "--quiet"], "there is no format ext4"),
        (["--arch", "mips", "--quiet"], "known are amd64"),
        (["-o", "x", "--format=kernel+initrd"], "-o is for tar and docker"),
    ] {
        let arguments: Vec<&str> = ["assemble"].into_iter().chain(arguments).chain(["good.yml"]).collect();
        workshop.run(&arguments).failed(2, &[words]);
    }
    workshop
        .run(&["build", "good.yml"])
        .failed(2, &["lkpkg assemble good.yml"]);
    let left = names(&workshop.repository());
    assert!(
        left.iter().all(|name| name.ends_with(".yml") || name == ".git"),
        "{left:?}"
    );
}

#[test]
fn packages_are_named_by_their_directory() {
    let workshop = Workshop::new();
    workshop.package("pkgs/p", "image: p\norg: example\n", "FROM scratch\n");
    workshop.write("yamls/m.yml", "init: ['@pkg:../pkgs/p']");
    workshop.write("yamls/more.yml", "onboot: [{name: x, image: y}]");
    let tag = workshop.run(&["show-tag", "pkgs/p"]).done();
    let yaml = workshop
        .run(&["assemble", "--dry-run", "yamls/m.yml", "yamls/more.yml"])
        .done();
    assert_eq!(
        yaml,
        format!("init:\n- docker.io/{tag}onboot:\n- name: x\n  image: docker.io/library/y\n")
    );
    workshop.write("yamls/wrong.yml", "init: ['@pkg:nowhere']");
    workshop
        .run(&["assemble", "--dry-run", "yamls/wrong.yml"])
        .failed(2, &["wrong.yml:1:8", "nowhere"]);
}

/// Says for a schema and documents, which are JSON and so YAML too, which the schema takes.
const VALIDATE: &str = "
import json, sys, jsonschema
schema = json.load(open(sys.argv[1]))
jsonschema.Draft7Validator.check_schema(schema)
validator = jsonschema.Draft7Validator(schema)
for path in sys.argv[2:]:
    print(validator.is_valid(json.load(open(path))))
";

#[test]
fn the_schema_takes_what_is_read_and_nothing_else() {
    let Some(python) = server("LKPKG_TEST_VALIDATORS") else {
        return;
    };
    let workshop = Workshop::new();
    let schema = workshop.run(&["assemble", "--schema"]).done();
    workshop.write("schema.json", &schema);
    let container = serde_json::json!({"name": "a", "image": "x", "capabilities.add": ["all"], "uid": "a", "readonly": true,
        "mounts": [{"type": "tmpfs", "destination": "/t", "options": ["ro"]}], "runtime": {"bindNS": {"net": "/n"}},
        "resources": {"memory": {"limit": 5, "kernelTCP": 6}}, "devices": [{"path": "all", "type": "b"}]});
    let examples = [
        (
            serde_json::json!({"services": [container], "trust": {"org": ["x"]}}),
            true,
        ),
        (
            serde_json::json!({"kernel": {"image": "k", "cmdline": "c"}, "init": ["a:1"]}),
            true,
        ),
        (
            serde_json::json!({"volumes": [{"name": "v", "image": "x", "format": "oci", "platforms": ["linux/amd64"]}]}),
            true,
        ),
        (
            serde_json::json!({"files": [{"path": "x", "contents": "y", "mode": "0644", "gid": 5}]}),
            true,
        ),
        (serde_json::json!({"service": []}), false),
        (
            serde_json::json!({"services": [{"name": "a", "image": "x", "capability": []}]}),
            false,
        ),
        (serde_json::json!({"services": [{"image": "x"}]}), false),
        (serde_json::json!({"volumes": [{"name": "v", "format": "ext4"}]}), false),
        (serde_json::json!({"init": "a"}), false),
    ];
    let mut paths = Vec::new();
    for (number, (example, is_right)) in examples.iter().enumerate() {
        let name = format!("{number}.yml");
        workshop.write(&name, &example.to_string());
        let run = workshop.run(&["assemble", "--dry-run", &name]);
        assert_eq!(run.code == 0, *is_right, "{example}: {}", run.stderr);
        paths.push(workshop.repository().join(name));
    }
    let output = std::process::Command::new(python)
        .args(["-c", VALIDATE])
        .arg(workshop.repository().join("schema.json"))
        .args(paths)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let wanted: Vec<&str> = examples
        .iter()
        .map(|(_, is_right)| if *is_right { "True" } else { "False" })
        .collect();
    assert_eq!(
        said.lines().collect::<Vec<_>>(),
        wanted,
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn an_address_that_cannot_be_read_is_named_with_the_cause() {
    let workshop = Workshop::new();
    let run = workshop.run(&["assemble", "http://127.0.0.1:1/x.yml"]);
    run.failed(3, &["cannot read http://127.0.0.1:1/x.yml: Connection refused"]);
}
