//! The label against what linuxkit's Go types give for the same files (tests/data/package/config).

use super::*;
use std::path::Path;

fn label_of(text: &str) -> Result<Option<String>, String> {
    let document = Document::parse(Path::new("build.yml"), text).map_err(|e| e.to_string())?;
    let fields = document
        .fields_value(&document.root, "build.yml", &["image", "config"])
        .map_err(|e| e.to_string())?;
    let config = fields.into_iter().flatten().find(|(key, _)| *key == "config");
    match config {
        Some((_, node)) => label(&document, node).map_err(|e| e.to_string()),
        None => Ok(None),
    }
}

fn golden(name: &str) {
    let file = |extension: &str| {
        let path = format!(
            "{}/tests/data/package/config/{name}.{extension}",
            env!("CARGO_MANIFEST_DIR")
        );
        std::fs::read_to_string(path).expect("is there")
    };
    let expected = file("json");
    assert_eq!(
        label_of(&file("yml")),
        Ok(Some(expected.trim_end_matches('\n').to_owned()))
    );
}

#[test]
fn every_field() {
    golden("everything");
}

#[test]
fn empty_values() {
    golden("empty");
    golden("zeros");
    golden("runtime_null");
}

#[test]
fn text_is_escaped_as_go_does() {
    golden("escapes");
}

#[test]
fn anchors_and_merge_keys() {
    golden("anchors");
}

#[test]
fn numbers_and_flags_in_all_their_forms() {
    golden("numbers");
}

#[test]
fn no_config_is_no_label() {
    assert_eq!(label_of("image: x\nconfig:\n"), Ok(None));
    assert_eq!(label_of("image: x\n"), Ok(None));
}

#[test]
fn wrong_config_is_refused_with_its_place() {
    for (text, start) in [
        (
            "config:\n  bind: [a]",
            "build.yml:2:3: `config` has no field `bind`: did you mean `binds`?\n",
        ),
        (
            "config:\n  binds: a",
            "build.yml:2:10: `config.binds` must be a list, not `a`\n",
        ),
        ("config: [a]", "build.yml:1:9: `config` must be a mapping, not a list\n"),
        (
            "config:\n  binds: [[a]]",
            "build.yml:2:11: `config.binds[0]` must be text, not a list\n",
        ),
        (
            "config:\n  readonly: maybe",
            "build.yml:2:13: `config.readonly` must be true or false, not `maybe`\n",
        ),
        (
            "config:\n  uid: [1]",
            "build.yml:2:8: `config.uid` must be a number or a name, not a list\n",
        ),
        (
            "config:\n  uid: 1.5",
            "build.yml:2:8: `config.uid` must be a number or a name, not `1.5`\n",
        ),
        (
            "config:\n  gid: true",
            "build.yml:2:8: `config.gid` must be a number or a name, not `true`\n",
        ),
        (
            "config:\n  devices: [{path: a, major: x}]",
            "build.yml:2:30: `config.devices[0].major` must be a whole number, not `x`\n",
        ),
        (
            "config:\n  mounts: [{uidMappings: []}]",
            "build.yml:2:13: `config.mounts[0]` has no field `uidMappings`: did you mean `uidmappings`?\n",
        ),
        (
            "config:\n  resources: {blockio: {weight: 65536}}",
            "build.yml:2:33: `config.resources.blockio.weight` must be a number from 0 to 65535\n",
        ),
    ] {
        let error = label_of(text).expect_err(text);
        assert!(error.starts_with(start), "{error}");
    }
}
