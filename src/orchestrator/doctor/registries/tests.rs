//! Facts of registries × what they mean.

use super::*;

fn denied_by(is_anonymous: bool) -> RegistryError {
    RegistryError::Denied {
        registry: "r".into(),
        repository: String::new(),
        is_anonymous,
    }
}

fn unreachable() -> RegistryError {
    RegistryError::Unreachable {
        url: "https://r/v2/".into(),
        is_connected: false,
        reason: "connection refused".into(),
    }
}

fn untrusted() -> RegistryError {
    RegistryError::Untrusted {
        url: "https://r/v2/".into(),
        reason: "unknown issuer".into(),
    }
}

fn greeting(wants_credentials: bool) -> Greeting {
    Greeting {
        is_tls: true,
        wants_credentials,
    }
}

fn fact(greeting: Result<Greeting, RegistryError>, user: Option<&str>) -> Fact {
    Fact {
        registry: "r".into(),
        is_needed: true,
        credentials: Ok(user.map(|user| Shown {
            what: format!("the password of {user}"),
            origin: "/c.json".into(),
        })),
        greeting,
        images: Vec::new(),
    }
}

fn image(want: Want, read: Option<Result<bool, RegistryError>>, write: Option<Result<bool, RegistryError>>) -> Image {
    Image {
        reference: "r.x/a/b:1".parse().expect("a name"),
        want,
        read,
        write,
    }
}

#[track_caller]
fn check(fact: &Fact, expected: &[(Verdict, &str, &str)]) {
    let found = judge(fact, &[]);
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (found, (verdict, finding, hint)) in found.iter().zip(expected) {
        assert_eq!(found.verdict, *verdict, "{found:?}");
        assert!(found.finding.contains(finding), "{finding:?}: {found:?}");
        assert!(found.hint.contains(hint), "{hint:?}: {found:?}");
        assert!(!found.is_failed() || !found.hint.is_empty(), "no hint: {found:?}");
    }
}

#[test]
fn what_a_registry_says_at_its_door() {
    let ok = Verdict::Ok;
    check(
        &fact(Ok(greeting(true)), Some("me")),
        &[(ok, "accepts the password of me from /c.json", "")],
    );
    check(
        &fact(Ok(greeting(false)), Some("me")),
        &[(ok, "asks for no credentials; there is the password", "")],
    );
    check(
        &fact(Ok(greeting(false)), None),
        &[(ok, "answers with TLS; no credentials are known", "")],
    );
    let failed = Verdict::Failed;
    check(
        &fact(Err(denied_by(false)), Some("me")),
        &[(failed, "refuses the password of me", "docker login r")],
    );
    check(
        &fact(Err(denied_by(true)), None),
        &[(failed, "wants credentials", "--registry-creds r=USER")],
    );
    check(
        &fact(Err(unreachable()), None),
        &[(failed, "connection refused", "check the name")],
    );
    check(&fact(Err(untrusted()), None), &[(failed, "not trusted", "--cert-file")]);
    let unneeded = Fact {
        is_needed: false,
        ..fact(Err(unreachable()), None)
    };
    check(&unneeded, &[(Verdict::Warning, "connection refused", "")]);
    // A build that only looks there goes on without an answer.
    let refused = Fact {
        is_needed: false,
        ..fact(Err(denied_by(false)), Some("me"))
    };
    check(
        &refused,
        &[(Verdict::Warning, "refuses the password of me", "docker login r")],
    );
    let helperless = Fact {
        credentials: Err("cannot run docker-credential-x".into()),
        ..fact(Ok(greeting(false)), None)
    };
    check(
        &helperless,
        &[(failed, "cannot run docker-credential-x", "docker login r")],
    );
}

#[test]
fn what_may_be_done_with_images() {
    let own = Want {
        is_own: true,
        ..Want::default()
    };
    let read = Want {
        is_read: true,
        ..Want::default()
    };
    let pushed = Want { is_pushed: true, ..own };
    let one = |want, read, write, verdict: Verdict, finding: &str, hint: &str| {
        let fact = Fact {
            images: vec![image(want, read, write)],
            ..fact(Ok(greeting(false)), None)
        };
        check(&fact, &[(Verdict::Ok, "answers", ""), (verdict, finding, hint)]);
    };
    one(read, Some(Ok(true)), None, Verdict::Ok, "can be read", "");
    one(
        read,
        Some(Ok(false)),
        None,
        Verdict::Failed,
        "has no such image",
        "Dockerfile",
    );
    one(own, Some(Ok(false)), None, Verdict::Ok, "is not there yet", "");
    one(
        read,
        Some(Err(denied_by(true))),
        None,
        Verdict::Failed,
        "may not be read",
        "log in to r",
    );
    one(
        own,
        Some(Err(denied_by(true))),
        None,
        Verdict::Warning,
        "no such repository yet",
        "log in to r",
    );
    one(pushed, None, Some(Ok(true)), Verdict::Ok, "may be pushed to", "");
    one(pushed, None, Some(Ok(false)), Verdict::Ok, "forgets the empty one", "");
    let denied = Some(Err(denied_by(false)));
    one(
        pushed,
        None,
        denied,
        Verdict::Failed,
        "its credentials do not allow it",
        "who may push",
    );
}

#[test]
fn a_registry_that_lets_nobody_in_may_still_give_what_is_public() {
    let read = Want {
        is_read: true,
        ..Want::default()
    };
    let public = Fact {
        images: vec![image(read, Some(Ok(true)), None)],
        ..fact(Err(denied_by(true)), None)
    };
    check(
        &public,
        &[(Verdict::Ok, "answers;", ""), (Verdict::Ok, "can be read", "")],
    );
    // What cannot be reached is said once.
    let gone = Fact {
        images: vec![image(read, Some(Err(unreachable())), None)],
        ..fact(Err(unreachable()), None)
    };
    check(&gone, &[(Verdict::Failed, "connection refused", "check")]);
}
