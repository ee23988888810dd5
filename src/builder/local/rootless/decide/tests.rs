//! Every row: what is there, and what follows.

use super::*;

/// A machine on which nothing is missing, with both networks.
fn fit() -> Facts {
    let ranges = Ranges::parse("me:100000:65536\n", "me", 1000);
    Facts {
        is_linux: true,
        user: "me".into(),
        buildkitd: Program::At("/b/buildkitd".into()),
        has_runc: true,
        rootlesskit: Program::At("/b/rootlesskit".into()),
        newuidmap: Helper::Fit,
        newgidmap: Helper::Fit,
        slirp4netns: Some("/b/slirp4netns".into()),
        pasta: Some("/b/pasta".into()),
        network: None,
        has_tun: true,
        subuid: ranges,
        subgid: ranges,
        max_user_namespaces: Some(1000),
        userns_clone: None,
        is_confined: false,
        has_no_new_privileges: false,
    }
}

/// What is missing after a change, a part of each entry's text and of its remedy.
#[track_caller]
fn check_missing(change: impl Fn(&mut Facts), expected: &[(&str, &str)]) {
    let mut facts = fit();
    change(&mut facts);
    let found = decide(&facts).expect_err("something is missing");
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (one, (what, remedy)) in found.iter().zip(expected) {
        assert!(one.what.contains(what), "{what:?} is not in {one:?}");
        assert!(one.remedy.contains(remedy), "{remedy:?} is not in {one:?}");
    }
}

#[test]
fn each_thing_that_is_missing_is_named_with_its_remedy() {
    check_missing(
        |facts| facts.buildkitd = Program::NotFound,
        &[("no buildkitd on PATH", "LKPKG_BUILDKITD")],
    );
    check_missing(
        |facts| facts.buildkitd = Program::NotAt("/x".into()),
        &[("no buildkitd at /x", "correct LKPKG_BUILDKITD")],
    );
    check_missing(|facts| facts.has_runc = false, &[("runc", "apt-get install runc")]);
    check_missing(
        |facts| facts.rootlesskit = Program::NotFound,
        &[(
            "rootlesskit is neither beside buildkitd nor on PATH",
            "apt-get install rootlesskit",
        )],
    );
    check_missing(
        |facts| facts.rootlesskit = Program::NotAt("/x".into()),
        &[("no rootlesskit at /x", "correct LKPKG_ROOTLESSKIT")],
    );
    check_missing(
        |facts| facts.newuidmap = Helper::NotFound,
        &[("newuidmap is not on PATH", "apt-get install uidmap")],
    );
    check_missing(
        |facts| facts.newgidmap = Helper::Powerless("/x/newgidmap".into()),
        &[("/x/newgidmap is neither setuid", "chmod u+s /x/newgidmap")],
    );
    check_missing(
        |facts| facts.max_user_namespaces = Some(0),
        &[(
            "user.max_user_namespaces is 0",
            "sysctl -w user.max_user_namespaces=28633",
        )],
    );
    check_missing(
        |facts| facts.userns_clone = Some(0),
        &[(
            "kernel.unprivileged_userns_clone is 0",
            "sysctl -w kernel.unprivileged_userns_clone=1",
        )],
    );
    check_missing(
        |facts| facts.is_confined = true,
        &[(
            "/b/rootlesskit has none",
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        )],
    );
    check_missing(
        |facts| facts.has_no_new_privileges = true,
        &[("no_new_privs", "allowPrivilegeEscalation")],
    );
    check_missing(|facts| facts.is_linux = false, &[("Linux only", "--builders")]);
}

#[test]
fn all_that_is_missing_is_named_at_once() {
    check_missing(
        |facts| {
            facts.buildkitd = Program::NotFound;
            facts.has_runc = false;
            facts.rootlesskit = Program::NotFound;
            facts.newuidmap = Helper::NotFound;
            facts.newgidmap = Helper::NotFound;
            facts.subuid = Ranges::parse("", "me", 1000);
            facts.subgid = Ranges::parse("", "me", 1000);
            facts.max_user_namespaces = Some(0);
            facts.userns_clone = Some(0);
            facts.is_confined = true;
            facts.has_no_new_privileges = true;
            facts.network = Some(Network::Slirp4netns);
            facts.slirp4netns = None;
            facts.has_tun = false;
        },
        &[
            ("buildkitd", ""),
            ("runc", ""),
            ("rootlesskit", ""),
            ("newuidmap and newgidmap are not on PATH", "uidmap"),
            ("/etc/subuid and /etc/subgid", ""),
            ("max_user_namespaces", ""),
            ("unprivileged_userns_clone", ""),
            ("AppArmor", ""),
            ("no_new_privs", ""),
            ("asks for slirp4netns, which is not on PATH", ""),
            ("/dev/net/tun", ""),
        ],
    );
}

#[test]
fn a_range_is_proposed_that_nobody_has() {
    let check = |subuid: &str, subgid: &str, what: &str, remedy: &str| {
        check_missing(
            |facts| {
                facts.subuid = Ranges::parse(subuid, "me", 1000);
                facts.subgid = Ranges::parse(subgid, "me", 1000);
            },
            &[(what, remedy)],
        );
    };
    check(
        "",
        "",
        "/etc/subuid and /etc/subgid has no range for the user me",
        "usermod --add-subuids 100000-165535 --add-subgids 100000-165535 me",
    );
    check(
        "you:100000:65536\n",
        "me:100000:65536\nyou:165536:65536\n",
        "/etc/subuid has no range",
        "usermod --add-subuids 231072-296607 me",
    );
    check(
        "1000:100000:65536\n",
        "# me:1:1\nmeme:5:5\n1001:1:1\nme:x:1\n",
        "/etc/subgid has no range",
        "usermod --add-subgids 165536-231071 me",
    );
}

#[test]
fn ranges_count_by_name_by_number_and_where_no_file_has_them() {
    let check = |subuid| {
        let facts = Facts { subuid, ..fit() };
        assert!(decide(&facts).is_ok(), "{facts:?}");
    };
    check(Ranges::parse("1000:5:1\n", "me", 1000));
    check(Ranges::parse("me:5:1", "me", 1000));
    check(Ranges::Elsewhere);
}

#[test]
fn the_best_manner_stands_first() {
    use Network::{Host, Pasta, Slirp4netns};
    let check = |change: &dyn Fn(&mut Facts), expected: &[Network]| {
        let mut facts = fit();
        change(&mut facts);
        let manners = decide(&facts).expect("manners");
        let found: Vec<(Network, bool)> = manners.iter().map(|one| (one.network, one.has_sandbox)).collect();
        let expected: Vec<(Network, bool)> = expected.iter().flat_map(|one| [(*one, true), (*one, false)]).collect();
        assert_eq!(found, expected);
        for manner in manners {
            let program = (manner.network != Host).then(|| format!("/b/{}", manner.network).into());
            assert_eq!(
                (manner.network_program, manner.rootlesskit),
                (program, "/b/rootlesskit".into())
            );
        }
    };
    check(&|_| {}, &[Slirp4netns, Pasta, Host]);
    check(&|facts| facts.slirp4netns = None, &[Pasta, Host]);
    check(&|facts| facts.pasta = None, &[Slirp4netns, Host]);
    check(&|facts| facts.has_tun = false, &[Host]);
    check(&|facts| facts.network = Some(Host), &[Host]);
    check(&|facts| facts.network = Some(Pasta), &[Pasta]);
}
