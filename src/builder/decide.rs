//! What is done about the builder's container: wanted × found → [`Decision`]. Pure; the doing is in `docker/`.

/// The container that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its image.
    pub image: String,
    /// Digest of its configuration, if it shall have one.
    pub config: Option<String>,
    /// Whether the user asked for a new container.
    pub restart: bool,
}

/// The container of that name that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Whether our label is on it.
    pub is_ours: bool,
    /// Its image, as written when it was created.
    pub image: String,
    /// Whether it is privileged; BuildKit cannot run containers otherwise.
    pub is_privileged: bool,
    /// Whether it runs.
    pub is_running: bool,
    /// Digest of its configuration, by its label.
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
    /// It must go, but it is not ours, and the user did not ask for it.
    Refuse {
        /// Why it must go.
        reason: String,
    },
}

/// What to do about `found` so that there is what is `wanted`.
pub fn decide(wanted: &Wanted, found: Option<&Found>) -> Decision {
    let Some(found) = found else { return Decision::Create };
    // BuildKit does not promise that one version reads the state of another: a new image begins with an empty volume.
    let is_other_image = found.image != wanted.image;
    let reason = if wanted.restart {
        "a restart was asked for".to_owned()
    } else if is_other_image {
        format!("it runs the image {}, wanted is {}", found.image, wanted.image)
    } else if !found.is_privileged {
        "it is not privileged".to_owned()
    } else if found.config != wanted.config {
        "its configuration is another one".to_owned()
    } else if found.is_running {
        return Decision::Keep;
    } else {
        return Decision::Start;
    };
    if !found.is_ours && !wanted.restart {
        return Decision::Refuse { reason };
    }
    Decision::Replace {
        reason,
        removes_volume: is_other_image,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn right() -> Found {
        Found {
            is_ours: true,
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
        }
    }

    fn replace(reason: &str, removes_volume: bool) -> Decision {
        Decision::Replace {
            reason: reason.into(),
            removes_volume,
        }
    }

    #[test]
    fn every_row() {
        let check = |wanted: Wanted, found: Option<Found>, expected: Decision| {
            assert_eq!(decide(&wanted, found.as_ref()), expected, "{wanted:?} × {found:?}");
        };
        let restart = || Wanted {
            restart: true,
            ..wanted()
        };
        let configured = || Wanted {
            config: Some("c1".into()),
            ..wanted()
        };
        let other_image = || Found {
            image: "b:0".into(),
            ..right()
        };
        let foreign = || Found {
            is_ours: false,
            ..right()
        };
        let image_reason = "it runs the image b:0, wanted is b:1";

        check(wanted(), None, Decision::Create);
        check(restart(), None, Decision::Create);
        check(wanted(), Some(right()), Decision::Keep);
        check(
            wanted(),
            Some(Found {
                is_running: false,
                ..right()
            }),
            Decision::Start,
        );
        check(wanted(), Some(other_image()), replace(image_reason, true));
        check(
            wanted(),
            Some(Found {
                is_running: false,
                ..other_image()
            }),
            replace(image_reason, true),
        );
        check(
            wanted(),
            Some(Found {
                is_privileged: false,
                ..right()
            }),
            replace("it is not privileged", false),
        );
        check(restart(), Some(right()), replace("a restart was asked for", false));
        check(restart(), Some(other_image()), replace("a restart was asked for", true));
        check(
            configured(),
            Some(right()),
            replace("its configuration is another one", false),
        );
        check(
            wanted(),
            Some(Found {
                config: Some("c1".into()),
                ..right()
            }),
            replace("its configuration is another one", false),
        );
        check(
            configured(),
            Some(Found {
                config: Some("c1".into()),
                ..right()
            }),
            Decision::Keep,
        );
        // A container that someone else made serves as long as it is right (linuxkit's own, for example).
        check(wanted(), Some(foreign()), Decision::Keep);
        check(
            wanted(),
            Some(Found {
                is_running: false,
                ..foreign()
            }),
            Decision::Start,
        );
        check(
            wanted(),
            Some(Found {
                is_ours: false,
                ..other_image()
            }),
            Decision::Refuse {
                reason: image_reason.into(),
            },
        );
        check(
            wanted(),
            Some(Found {
                is_privileged: false,
                ..foreign()
            }),
            Decision::Refuse {
                reason: "it is not privileged".into(),
            },
        );
        check(restart(), Some(foreign()), replace("a restart was asked for", false));
    }
}
