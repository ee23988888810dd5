//! Containers: defaults, what goes before what, and what they look like as JSON.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use serde_json::{Value, json};

fn converted(yaml: Value, image: Value) -> (Value, Value) {
    let yaml = serde_json::from_value(yaml).unwrap();
    let image = serde_json::from_value(image).unwrap();
    let ids = BTreeMap::from([("redis".to_owned(), 101)]);
    let (spec, runtime) = convert(&yaml, &image, &ids).unwrap();
    (
        serde_json::to_value(spec).unwrap(),
        serde_json::to_value(runtime).unwrap(),
    )
}

#[test]
fn what_nobody_says_is_as_linuxkit_has_it() {
    let (spec, runtime) = converted(json!({}), json!({"Entrypoint": ["/e"], "Cmd": ["c"], "Env": ["A=1"]}));
    assert_eq!(spec["process"]["args"], json!(["/e", "c"]));
    assert_eq!(spec["process"]["cwd"], "/");
    assert_eq!(spec["root"], json!({"path": "rootfs"}));
    assert_eq!(
        spec["linux"],
        json!({"resources": {}, "namespaces": [{"type": "pid"}, {"type": "mount"}]})
    );
    let mounts: Vec<_> = spec["mounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|mount| &mount["destination"])
        .collect();
    assert_eq!(mounts, ["/dev", "/dev/pts", "/proc", "/sys", "/sys/fs/cgroup"]);
    assert_eq!(spec["process"]["capabilities"], json!({}));
    assert_eq!(
        runtime,
        json!({"cgroups": [], "mounts": [], "mkdir": [], "interfaces": [], "namespace": "",
            "bindNS": {"cgroup": "", "ipc": "", "mnt": "", "net": "", "pid": "", "user": "", "uts": ""}})
    );
}

#[test]
fn the_yaml_goes_before_the_label_and_the_label_before_the_image() {
    let label = json!({"capabilities": ["CAP_CHOWN"], "binds": ["/a:/a"], "net": "new", "readonly": true, "uid": "redis",
        "command": ["/label"], "env": ["B=2"], "runtime": {"mkdir": ["/l"], "bindNS": {"net": "/l"}},
        "devices": [{"path": "all", "type": "b"}, {"path": "/dev/x", "type": "c", "major": 5, "minor": 1, "mode": "0666"}]});
    let image = json!({"Cmd": ["/image"], "Env": ["C=3"], "WorkingDir": "/w", "Labels": {LABEL: label.to_string()}});
    let (spec, runtime) = converted(
        json!({"capabilities.add": ["CAP_KILL", "CAP_CHOWN"], "binds.add": ["vol:/v:ro"], "env": [], "cwd": "",
            "runtime": {"mkdir": ["/y"]}, "rlimits": ["nofile, 100, unlimited"]}),
        image,
    );
    let process = &spec["process"];
    assert_eq!(process["args"], json!(["/label"]));
    assert_eq!(process.get("env"), None);
    assert_eq!((&process["cwd"], &process["user"]["uid"]), (&json!("/w"), &json!(101)));
    assert_eq!(process["capabilities"]["effective"], json!(["CAP_CHOWN", "CAP_KILL"]));
    assert_eq!(
        process["rlimits"],
        json!([{"type": "RLIMIT_NOFILE", "soft": 100, "hard": u64::MAX}])
    );
    assert_eq!(spec["root"]["readonly"], true);
    let bound = |destination: &str| {
        let mounts = spec["mounts"].as_array().unwrap();
        mounts.iter().find(|mount| mount["destination"] == destination).cloned()
    };
    assert_eq!(bound("/a").unwrap()["options"], json!(["rw", "rbind", "rshared"]));
    let volume = bound("/v").unwrap();
    assert_eq!(volume["source"], "/containers/volumes/vol/merged");
    assert_eq!(volume["options"], json!(["ro", "rbind"]));
    assert!(
        bound("/dev").unwrap()["options"]
            .as_array()
            .unwrap()
            .contains(&json!("ro"))
    );
    assert_eq!(spec["linux"]["namespaces"][0], json!({"type": "network"}));
    assert_eq!(
        spec["linux"]["resources"]["devices"],
        json!([{"allow": true, "type": "b", "access": "rwm"},
            {"allow": true, "type": "c", "major": 5, "minor": 1, "access": "rwm"}])
    );
    assert_eq!(spec["linux"]["devices"][0]["fileMode"], 0o666);
    assert_eq!(
        (&runtime["mkdir"], &runtime["bindNS"]["net"]),
        (&json!(["/y"]), &json!("/l"))
    );
}

#[test]
fn a_label_that_makes_no_sense_is_named() {
    let convert = |label: &str| {
        let image = serde_json::from_value(json!({"Labels": {LABEL: label}})).unwrap();
        convert(&ContainerConfig::default(), &image, &BTreeMap::new()).unwrap_err()
    };
    assert_eq!(
        convert("{\"bind\": []}"),
        "its label org.mobyproject.config: the label has no field `bind`: did you mean `binds`?"
    );
    assert_eq!(
        convert("{\"capabilities\": [\"CAP_X\"]}"),
        "there is no capability `CAP_X`"
    );
}

#[test]
fn all_and_none_are_words() {
    let (spec, _) = converted(json!({"capabilities": ["all"], "ambient": ["none"]}), json!({}));
    let sets = &spec["process"]["capabilities"];
    assert_eq!(sets["effective"].as_array().unwrap().len(), 41);
    assert_eq!(sets["bounding"][0], "CAP_AUDIT_CONTROL");
    assert_eq!(sets.get("ambient"), None);
}

#[test]
fn json_is_as_go_writes_it() {
    let text = String::from_utf8(spec::json(&json!({"a": "<&>", "b": [], "c": {}}))).unwrap();
    assert_eq!(
        text,
        "{\n    \"a\": \"\\u003c\\u0026\\u003e\",\n    \"b\": [],\n    \"c\": {}\n}"
    );
}

#[test]
fn every_container_has_a_user_of_its_own() {
    let named = |name: &str| config::Container {
        name: name.to_owned(),
        ..config::Container::default()
    };
    let yaml = ImageYaml {
        onboot: vec![named("a")],
        onshutdown: vec![named("b")],
        services: vec![named("c")],
        ..ImageYaml::default()
    };
    let wanted = [("a", 100), ("b", 101), ("c", 102)].map(|(name, id)| (name.to_owned(), id));
    assert_eq!(ids(&yaml), BTreeMap::from(wanted));
}
