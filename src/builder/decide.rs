//! What is done about the builder's container: wanted × found → [`Decision`]. Pure; the doing is in `docker/`.

use crate::oci::Reference;

/// The container that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its image.
    pub image: String,
    /// Label of its configuration, if it shall have one.
    pub config: Option<String>,
    /// Whether the user asked for a new container.
    pub restart: bool,
    /// Whether it is taken as it is.
    pub as_it_is: bool,
}

/// Who made a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Maker {
    /// lkpkg: our label is on it.
    Lkpkg,
    /// linuxkit. It has no label, so how it is configured is not known.
    Linuxkit,
    /// Someone else; what it is, for the user.
    Other(String),
}

/// The container of that name that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Who made it.
    pub maker: Maker,
    /// Its image, as written when it was created.
    pub image: String,
    /// Whether it is privileged; BuildKit cannot run containers otherwise.
    pub is_privileged: bool,
    /// Whether it runs.
    pub is_running: bool,
    /// Label of its configuration.
    pub config: Option<String>,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is right and runs.
    Keep,
    /// It is right and stopped.
    Start,
    /// There is none.
    Create,
    /// It must go, and a new one be created.
    Replace {
        /// Why, for the user.
        reason: String,
        /// Whether the state volume goes as well.
        removes_volume: bool,
    },
    /// It belongs to someone else, and the user did not ask to replace it.
    Refuse {
        /// What it is.
        what: String,
    },
}

/// What to do about `found` so that there is what is `wanted`. The first row that fits counts.
pub fn decide(wanted: &Wanted, found: Option<&Found>) -> Decision {
    let Some(found) = found else { return Decision::Create };
    // BuildKit does not promise that one version reads the state of another: a new image begins with an empty volume. The
    // volume of our name has nothing to do with the container of someone else.
    let is_other_image = !is_same_image(&found.image, &wanted.image) && !matches!(found.maker, Maker::Other(_));
    let reason = if wanted.restart && !wanted.as_it_is {
        "a restart was asked for".to_owned()
    } else if let Maker::Other(what) = &found.maker {
        return Decision::Refuse { what: what.clone() };
    } else if wanted.as_it_is {
        return if found.is_running {
            Decision::Keep
        } else {
            Decision::Start
        };
    } else if is_other_image {
        format!("it runs the image {}, wanted is {}", found.image, wanted.image)
    } else if !found.is_privileged {
        "it is not privileged".to_owned()
    } else if let Some(drift) = drift(wanted.config.as_deref(), found) {
        drift.to_owned()
    } else if found.is_running {
        return Decision::Keep;
    } else {
        return Decision::Start;
    };
    Decision::Replace {
        reason,
        removes_volume: is_other_image,
    }
}

/// Whether two names are the same image's, however much of it is written: podman writes all of it.
pub fn is_same_image(one: &str, other: &str) -> bool {
    let familiar = |name: &str| name.parse::<Reference>().ok().map(|image| image.familiar());
    one == other || familiar(one).is_some_and(|one| familiar(other) == Some(one))
}

/// How the configuration that a container has differs from the one that is wanted.
fn drift(wanted: Option<&str>, found: &Found) -> Option<&'static str> {
    let version = |label: &str| label.split('-').next().map(str::to_owned);
    match (wanted, found.config.as_deref()) {
        // As linuxkit does: where no configuration is asked for, none is judged.
        (None, None) => None,
        (Some(_), None) if found.maker == Maker::Linuxkit => {
            Some("linuxkit made it, and how it is configured is not known")
        }
        (Some(_), None) => Some("it has no configuration, and one is wanted"),
        (None, Some(_)) => Some("it has a configuration, and none is wanted"),
        (Some(wanted), Some(found)) if wanted == found => None,
        (Some(wanted), Some(found)) if version(wanted) != version(found) => {
            Some("another version of lkpkg wrote down its configuration")
        }
        (Some(_), Some(_)) => Some("its configuration changed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABEL: &str = "2-aa";

    fn right() -> Found {
        Found {
            maker: Maker::Lkpkg,
            image: "b:1".into(),
            is_privileged: true,
            is_running: true,
            config: None,
        }
    }

    fn wanted() -> Wanted {
        Wanted {
            image: "b:1".into(),
            config: None,
            restart: false,
            as_it_is: false,
        }
    }

    /// What is checked: the container that is there, made different from a right one.
    fn found(change: impl Fn(&mut Found)) -> Option<Found> {
        let mut found = right();
        change(&mut found);
        Some(found)
    }

    #[track_caller]
    fn check(wanted: &Wanted, found: Option<Found>, expected: &Decision) {
        assert_eq!(decide(wanted, found.as_ref()), *expected, "{wanted:?} × {found:?}");
        // Whether it runs matters only where it stays.
        let stopped = found.map(|found| Found {
            is_running: false,
            ..found
        });
        let expected = match expected {
            Decision::Keep => &Decision::Start,
            other => other,
        };
        assert_eq!(decide(wanted, stopped.as_ref()), *expected, "{wanted:?} × {stopped:?}");
    }

    #[track_caller]
    fn replaced(wanted: &Wanted, found: Option<Found>, reason: &str, removes_volume: bool) {
        let reason = reason.to_owned();
        check(wanted, found, &Decision::Replace { reason, removes_volume });
    }

    #[test]
    fn every_row_of_our_own() {
        let restart = Wanted {
            restart: true,
            ..wanted()
        };
        let configured = Wanted {
            config: Some(LABEL.into()),
            ..wanted()
        };
        let config = |label: &str| found(|found| found.config = Some(label.into()));
        let image = || found(|found| found.image = "b:0".into());
        check(&wanted(), None, &Decision::Create);
        check(&restart, None, &Decision::Create);
        check(&wanted(), Some(right()), &Decision::Keep);
        check(&configured, config(LABEL), &Decision::Keep);
        check(
            &Wanted {
                image: "docker.io/library/b:1".into(),
                ..wanted()
            },
            Some(right()),
            &Decision::Keep,
        );
        replaced(&restart, Some(right()), "a restart was asked for", false);
        replaced(&restart, image(), "a restart was asked for", true);
        replaced(&wanted(), image(), "it runs the image b:0, wanted is b:1", true);
        replaced(
            &wanted(),
            found(|found| (found.image, found.is_privileged) = ("b:0".into(), false)),
            "it runs the image b:0, wanted is b:1",
            true,
        );
        replaced(
            &wanted(),
            found(|found| found.is_privileged = false),
            "it is not privileged",
            false,
        );
        replaced(
            &configured,
            found(|found| found.is_privileged = false),
            "it is not privileged",
            false,
        );
        replaced(&configured, config("2-bb"), "its configuration changed", false);
        replaced(
            &configured,
            Some(right()),
            "it has no configuration, and one is wanted",
            false,
        );
        replaced(
            &wanted(),
            config(LABEL),
            "it has a configuration, and none is wanted",
            false,
        );
        for label in ["aa", "1-aa", "3-aa"] {
            let reason = "another version of lkpkg wrote down its configuration";
            replaced(&configured, config(label), reason, false);
        }
    }

    #[test]
    fn what_is_taken_as_it_is_is_judged_by_nothing() {
        let wanted = Wanted {
            config: Some(LABEL.into()),
            restart: true,
            as_it_is: true,
            ..wanted()
        };
        for maker in [Maker::Lkpkg, Maker::Linuxkit] {
            check(
                &wanted,
                found(|found| {
                    (found.image, found.is_privileged) = ("b:0".into(), false);
                    found.maker = maker.clone();
                }),
                &Decision::Keep,
            );
        }
        let what = "it is a web server".to_owned();
        let others = found(|found| found.maker = Maker::Other(what.clone()));
        check(&wanted, others, &Decision::Refuse { what: what.clone() });
    }

    #[test]
    fn images_are_the_same_by_their_full_name() {
        let check = |one: &str, other: &str, expected: bool| {
            assert_eq!(is_same_image(one, other), expected, "{one} {other}");
            assert_eq!(is_same_image(other, one), expected, "{other} {one}");
        };
        check("moby/buildkit:v1", "docker.io/moby/buildkit:v1", true);
        check("moby/buildkit", "moby/buildkit:latest", true);
        check("localhost/b:1", "localhost/b:1", true);
        check("no such NAME", "no such NAME", true);
        check("no such NAME", "another NAME", false);
        check("moby/buildkit:v1", "moby/buildkit:v2", false);
        check("moby/buildkit:v1", "ghcr.io/moby/buildkit:v1", false);
    }

    #[test]
    fn every_row_of_linuxkits() {
        let linuxkits = |change: fn(&mut Found)| {
            found(|found| {
                found.maker = Maker::Linuxkit;
                change(found);
            })
        };
        let configured = Wanted {
            config: Some(LABEL.into()),
            ..wanted()
        };
        let restart = Wanted {
            restart: true,
            ..wanted()
        };
        check(&wanted(), linuxkits(|_| {}), &Decision::Keep);
        replaced(
            &wanted(),
            linuxkits(|found| found.image = "b:0".into()),
            "it runs the image b:0, wanted is b:1",
            true,
        );
        replaced(
            &wanted(),
            linuxkits(|found| found.is_privileged = false),
            "it is not privileged",
            false,
        );
        replaced(
            &configured,
            linuxkits(|_| {}),
            "linuxkit made it, and how it is configured is not known",
            false,
        );
        replaced(&restart, linuxkits(|_| {}), "a restart was asked for", false);
    }

    #[test]
    fn every_row_of_someone_elses() {
        let others = |image: &str, is_privileged: bool| {
            found(|found| {
                found.maker = Maker::Other("it is a web server".into());
                (found.image, found.is_privileged) = (image.into(), is_privileged);
            })
        };
        let restart = Wanted {
            restart: true,
            ..wanted()
        };
        let refused = Decision::Refuse {
            what: "it is a web server".into(),
        };
        // Not even one that would do is taken.
        for (image, is_privileged) in [("b:1", true), ("b:1", false), ("b:0", true)] {
            check(&wanted(), others(image, is_privileged), &refused);
            replaced(&restart, others(image, is_privileged), "a restart was asked for", false);
        }
    }
}
