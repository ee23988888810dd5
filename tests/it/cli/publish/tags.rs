//! `manifest` and `remote-tag`.

use super::*;

#[test]
fn an_index_is_made_of_the_tags_of_architectures() {
    let Some(machine) = Machine::new() else { return };
    machine.package("p", "one");
    let none = machine.workshop.run(&["pkg", "manifest", "p"]);
    none.failed(1, &["cannot make an index", "-amd64", "hint"]);
    // As two machines leave them that do not know of each other.
    machine.workshop.build(&["p"]).done();
    let tag = machine.tag("p");
    for end in ["amd64", "arm64"] {
        let scratch = format!("{}/scratch:{end}", machine.org);
        let name = format!("{tag}-{end}");
        let push = ["cache", "push", "--remote-name", &scratch, &name];
        machine.workshop.run(&push).done();
        let index = standing(&scratch).1;
        let image = format!(
            "{}/scratch@{}",
            machine.org,
            index["manifests"][0]["digest"].as_str().unwrap()
        );
        machine.workshop.run(&["pkg", "remote-tag", &image, &name]).done();
    }
    assert_eq!(machine.tags("p").len(), 2);
    let lines = machine.workshop.run(&["index", "--release", "v1", "p"]).done();
    let (text, index) = standing(&tag);
    assert_eq!(architectures(&index), ["amd64", "arm64"]);
    assert_eq!(index["mediaType"], "application/vnd.oci.image.index.v1+json");
    let digest = digest_of(&text);
    assert_eq!(lines, format!("{tag}@{digest}\n{}/p:v1@{digest}\n", machine.org));
    assert_eq!(standing(&format!("{}/p:v1", machine.org)).0, text);
    // It is the one that a push makes.
    assert_eq!(machine.push(&["p"]).done(), format!("{tag}@{digest}\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_gets_another_name_there_and_elsewhere() {
    let Some(machine) = Machine::new() else { return };
    let Some(bed) = Bed::start().await else { return };
    machine.package("p", "one");
    machine.push(&["p"]).done();
    let tag = machine.tag("p");
    let (text, index) = standing(&tag);
    let digest = digest_of(&text);
    let names = [
        format!("{}/p:other", machine.org),
        format!("{}/q:1", machine.org),
        format!("{}/copied/p:1", bed.plain()),
    ];
    for to in &names {
        let tagged = machine.workshop.run(&["remote-tag", &tag, to]);
        assert_eq!(tagged.done(), format!("{to}@{digest}\n"));
        assert_eq!(standing(to).0, text);
        let layers = skopeo(&["inspect", "--tls-verify=false", &format!("docker://{to}")]).unwrap();
        assert!(layers.contains("sha256:"), "{layers}");
    }
    // By digest, over something else.
    let image = format!(
        "{}/p@{}",
        machine.org,
        index["manifests"][1]["digest"].as_str().unwrap()
    );
    machine.workshop.run(&["remote-tag", &image, &names[0]]).done();
    assert_eq!(
        digest_of(&standing(&names[0]).0),
        index["manifests"][1]["digest"].as_str().unwrap()
    );
    let gone = format!("{}/p:gone", machine.org);
    let refused = machine.workshop.run(&["remote-tag", &gone, &names[0]]);
    refused.failed(3, &["cannot pull", "no such image"]);
    let refused = machine.workshop.run(&["remote-tag", &tag, &image]);
    refused.failed(2, &["has a digest"]);
}
