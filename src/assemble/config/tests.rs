//! Image YAMLs: what they become, where errors point, and that the table of fields, the values and the schema agree.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::fields::ROOT;
use super::*;
use crate::yaml::fields::{Field, Kind};
use serde_json::{Value, json};

fn source(name: &str, text: &str) -> SourceText {
    SourceText {
        name: name.into(),
        text: text.to_owned(),
        directory: Some("/yaml".into()),
    }
}

fn load_all(texts: &[&str]) -> Result<ImageYaml, Vec<String>> {
    let sources: Vec<SourceText> = texts
        .iter()
        .enumerate()
        .map(|(number, text)| source(&format!("{number}.yml"), text))
        .collect();
    let mut package = |directory: &Path| match directory.to_str() {
        Some("/yaml/../pkg/init") => Ok("linuxkit/init:abc".to_owned()),
        other => Err(format!("{} is not a package directory", other.unwrap_or_default())),
    };
    let found = load(&sources, &mut package);
    found.map_err(|problems| {
        let first = |problem: &Diagnostic| problem.to_string().lines().next().unwrap_or_default().to_owned();
        problems.iter().map(first).collect()
    })
}

#[test]
fn names_are_expanded_and_packages_resolved() {
    let yaml = load_all(&[
        "kernel: {image: kernel:6.12, cmdline: console=ttyS0}\ninit: ['@pkg:../pkg/init', a/b:1]\nservices: [{name: x, image: example.org/x:1, pid: host}]",
    ])
    .unwrap();
    assert_eq!(yaml.kernel.image, "docker.io/library/kernel:6.12");
    assert_eq!(yaml.init, ["docker.io/linuxkit/init:abc", "docker.io/a/b:1"]);
    assert_eq!(yaml.services[0].config.pid.as_deref(), Some("host"));
}

#[test]
fn later_files_win_and_lists_grow() {
    let yaml = load_all(&[
        "kernel: {image: k:1, cmdline: a, tar: none}\ninit: [a:1]\nservices: [{name: x, image: x:1}]",
        "kernel: {cmdline: b}\ninit: [b:1]\nservices: [{name: y, image: y:1}]\nvolumes: [{name: v}]",
    ])
    .unwrap();
    assert_eq!(
        (yaml.kernel.image.as_str(), yaml.kernel.cmdline.as_str()),
        ("docker.io/library/k:1", "b")
    );
    assert_eq!(yaml.kernel.tar.as_deref(), Some("none"));
    assert_eq!((yaml.init.len(), yaml.services.len(), yaml.volumes.len()), (2, 2, 1));
}

#[test]
fn all_that_is_wrong_is_said_at_once_and_where() {
    let text = "\
kernel:
  imgae: k:1
init: [Bad Name, '@pkg:../pkg/none']
services:
  - name: a
    image: a:1
    capabilities: [CAP_SYS_ADMIM]
    binds: [novolume:/x, /only]
    uid: nobody
    rlimits: ['nofile,1']
  - name: a
    readonly: perhaps
volumes:
  - {name: V, format: ext4}
  - {name: ro, readonly: true}
onboot:
  - {name: o, image: o:1, binds: ['ro:/x']}
  - {name: o, image: o:1, binds: ['ro:/x:ro'], mounts: [{type: bind, source: ro, destination: /y}]}
files:
  - {path: a, contents: x, source: y}
  - {path: ../b, contents: x}
  - {path: c, mode: 0999}
frobnicate: 1
";
    let problems = load_all(&[text]).unwrap_err();
    let wanted = [
        "0.yml:2:3: `kernel` has no field `imgae`: did you mean `image`?",
        "0.yml:3:8: `init[0]`:",
        "0.yml:3:18: /yaml/../pkg/none is not a package directory",
        "0.yml:7:20: there is no capability `CAP_SYS_ADMIM`: did you mean `CAP_SYS_ADMIN`?",
        "0.yml:8:13: there is no volume `novolume`",
        "0.yml:8:26: `/only` must be SOURCE:DESTINATION",
        "0.yml:9:10: there is no container `nobody`",
        "0.yml:10:15: `nofile,1` must be NAME,SOFT,HARD",
        "0.yml:11:5: `services[1]` has no `image`",
        "0.yml:11:11: there are two services `a`",
        "0.yml:12:15: `services[1].readonly` must be true or false, not `perhaps`",
        "0.yml:14:12: `V` cannot be the name of a volume",
        "0.yml:14:23: `volumes[0].format` must be `filesystem` or `oci`, not `ext4`",
        "0.yml:17:35: the volume `ro` is read-only and is mounted read-write",
        "0.yml:18:57: the volume `ro` is read-only and is mounted read-write",
        "0.yml:20:5: `files[0]` has contents and source",
        "0.yml:21:12: `../b` leads outside of the root",
        "0.yml:22:5: `files[2]` says nothing of what `c` is",
        "0.yml:22:21: the mode `0999` must be octal digits",
        "0.yml:23:1: the image YAML has no field `frobnicate`",
    ];
    for (found, wanted) in problems.iter().zip(wanted) {
        assert!(found.starts_with(wanted), "{found}\n{wanted}");
    }
    assert_eq!(problems.len(), wanted.len(), "{problems:#?}");
}

#[test]
fn packages_need_a_file() {
    let mut stdin = source("<stdin>", "init: ['@pkg:x']");
    stdin.directory = None;
    let problems = load(&[stdin], &mut |_| Ok(String::new())).unwrap_err();
    assert!(
        problems[0].message.contains("which only a YAML in a file can do"),
        "{}",
        problems[0]
    );
}

/// A value for everything that a field may hold.
fn example(kind: Kind) -> Value {
    match kind {
        Kind::Text => "text".into(),
        Kind::Choice(known) => known[0].into(),
        Kind::Flag => true.into(),
        Kind::Number(..) => 7.into(),
        Kind::Id => 9.into(),
        Kind::List(item) => json!([example(*item)]),
        Kind::Map(item) => json!({"key": example(*item)}),
        Kind::Struct(fields) | Kind::Embedded(fields) => examples(fields),
    }
}

fn examples(fields: &[Field]) -> Value {
    let mut all = serde_json::Map::new();
    for field in fields {
        match field.kind {
            Kind::Embedded(inner) => {
                let Value::Object(inner) = examples(inner) else {
                    unreachable!()
                };
                all.extend(inner);
            }
            kind => drop(all.insert(field.json.to_owned(), example(kind))),
        }
    }
    Value::Object(all)
}

#[test]
fn every_field_of_the_table_is_read_and_written() {
    let mut wanted = examples(ROOT);
    wanted.as_object_mut().unwrap().remove("trust");
    let yaml: ImageYaml = serde_json::from_value(wanted.clone()).unwrap();
    assert_eq!(serde_json::to_value(&yaml).unwrap(), wanted);
    // As YAML it is read again as the same.
    let text = super::yaml(&yaml);
    let path = Path::new("x.yml");
    let document = Document::parse(path, &text).unwrap();
    let read = read::read(&document);
    assert!(read.problems.is_empty(), "{}\n{text}", read.problems[0]);
    assert_eq!(read.json, wanted, "{text}");
}

#[test]
fn what_is_written_is_read_again() {
    let text = "init: [a:1]\nfiles: [{path: /etc/x, contents: \"a: b\\n# c\\n\", mode: \"0644\"}, {path: y, symlink: \"true\"}]\nonboot: [{name: n, image: i:1, command: [sh, -c, 'echo \"x\"', '5', '~', ''], env: []}]";
    let yaml = load_all(&[text]).unwrap();
    assert_eq!(
        load_all(&[&super::yaml(&yaml)]).unwrap(),
        yaml,
        "{}",
        super::yaml(&yaml)
    );
}

#[test]
fn the_schema_knows_every_field_and_no_other() {
    let schema = schema();
    assert_eq!(schema["additionalProperties"], false);
    let service = &schema["properties"]["services"]["items"];
    assert_eq!(service["required"], json!(["name", "image"]));
    for field in ["capabilities.add", "binds.add", "runtime", "noNewPrivileges"] {
        assert!(service["properties"][field].is_object(), "{field}");
    }
    assert_eq!(
        schema["properties"]["volumes"]["items"]["properties"]["format"]["enum"],
        json!(["filesystem", "oci"])
    );
}
