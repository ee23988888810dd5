//! `cache push`, and removing from the cache what registries have.

use super::*;

#[test]
fn an_image_of_the_cache_goes_where_it_is_wanted() {
    let Some(machine) = Machine::new() else { return };
    machine.package("p", "one");
    let built = machine.workshop.build(&["p"]).done();
    let (tag, first) = (machine.tag("p"), digest(&built));
    let to = format!("{}/other/p:1", machine.org);
    let push = ["cache", "push", "--with-arch-tags", "--remote-name", &to, &tag];
    assert_eq!(machine.workshop.run(&push).done(), format!("{to}@{first}\n"));
    assert_eq!(machine.tags("other/p"), ["1", "1-amd64", "1-arm64"]);
    assert_eq!(machine.workshop.run(&["cache", "push", &tag]).done(), built);
    assert_eq!(machine.tags("p").len(), 1);

    // Something else under a name that is taken: it stays, unless that is wanted.
    machine.package("p", "two");
    let second = machine.workshop.build(&["p"]).done();
    let tag = machine.tag("p");
    let push = ["cache", "push", "--remote-name", &to, &tag];
    let kept = machine.workshop.run(&push);
    assert!(kept.stderr.contains("--override"), "{}", kept.stderr);
    assert_eq!(kept.done(), format!("{to}@{first}\n"));
    let replaced = machine.workshop.run(&[&push[..], &["--override"]].concat()).done();
    assert_eq!(digest_of(&standing(&to).0), digest(&replaced));
    assert_eq!(digest(&replaced), digest(&second));
    let none = machine.workshop.run(&["cache", "push", "test/none:1"]);
    none.failed(1, &["the cache has no such image", "cache ls"]);
    let two = machine
        .workshop
        .run(&["cache", "push", "--remote-name", &to, &tag, &tag]);
    two.failed(2, &["--remote-name is the name of one image"]);
}

#[test]
fn what_is_published_can_be_removed() {
    let Some(machine) = Machine::new() else { return };
    machine.package("p", "one");
    machine.package("q", "one");
    machine.push(&["--platforms", "linux/amd64", "p"]).done();
    machine.workshop.build(&["--platforms", "linux/amd64", "q"]).done();
    // The registry has more than the cache.
    machine.other().push(&["--platforms", "linux/arm64", "p"]).done();
    let (p, q) = (machine.tag("p"), machine.tag("q"));
    let removed = machine.workshop.run(&["cache", "rm", "--published-only", &p, &q]);
    assert!(
        removed
            .stderr
            .contains(&format!("{q} stays: its registry does not have it")),
        "{}",
        removed.stderr
    );
    assert_eq!(removed.done(), format!("{p}\n"));
    let cleaned = machine.workshop.run(&["cache", "clean", "--published-only"]).done();
    assert_eq!(cleaned, format!("{p}-amd64\n"));
    let names = machine.workshop.names();
    assert!(
        names.contains(&q) && !names.iter().any(|name| name.contains("/p:")),
        "{names:?}"
    );
    machine.workshop.verify();
    machine.workshop.run(&["cache", "clean"]).done();
    assert!(machine.workshop.names().is_empty());
    let blobs = std::fs::read_dir(machine.workshop.cache().join("blobs/sha256")).unwrap();
    assert_eq!(blobs.count(), 0);
}
