//! What sort of failure a text of BuildKit's is, and what to do about it.
//!
//! BuildKit has no codes for these; the texts are those of v0.26 and of the registries' and runc's code in it.

/// What sort of failure it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailureKind {
    /// A program of a RUN step failed.
    Run,
    /// A RUN step's program is for another machine, and no emulator is registered.
    Emulation,
    /// The Dockerfile itself is wrong.
    Dockerfile,
    /// A file that COPY or ADD names is not in the context.
    FileNotFound,
    /// An image that FROM (or COPY --from) names is not there, or not for the platform.
    ImageNotFound,
    /// A registry refuses the credentials, or wants some.
    Unauthorized,
    /// A registry cannot be reached.
    RegistryUnreachable,
    /// A secret that RUN needs was not given.
    SecretMissing,
    /// An SSH agent that RUN needs was not given.
    SshMissing,
    /// Something else.
    #[default]
    Other,
}

/// Texts of which one must be in the (lower-case) message. A layer that cannot be fetched fails in the middle of a COPY,
/// so what registries say comes before what COPY says.
const MARKS: [(FailureKind, &[&str]); 6] = [
    (
        FailureKind::Dockerfile,
        &[
            "dockerfile parse error",
            "failed to process",
            "failed to parse stage name",
            "invalid reference format",
        ],
    ),
    (FailureKind::SshMissing, &["unset ssh forward key", "no ssh handler"]),
    (
        FailureKind::Unauthorized,
        &[
            "401 unauthorized",
            "403 forbidden",
            "authorization failed",
            "insufficient_scope",
            "pull access denied",
            "failed to fetch oauth token",
            "failed to authorize",
            "missing username or secret",
            "supported auth scheme",
        ],
    ),
    (
        FailureKind::RegistryUnreachable,
        &[
            "dial tcp",
            "i/o timeout",
            "tls handshake timeout",
            "connection reset",
            "x509:",
            "gave http response to https",
            "502 bad gateway",
            "503 service unavailable",
            "504 gateway timeout",
            "429 too many requests",
        ],
    ),
    (FailureKind::FileNotFound, &["failed to calculate checksum of ref"]),
    (
        FailureKind::ImageNotFound,
        &["failed to resolve source metadata", "no match for platform"],
    ),
];
/// What a program for another machine makes the kernel, a shell or runc say.
const FOREIGN: &str = "exec format error";

/// Whether the output of a RUN step says that its program is for another machine.
pub(super) fn is_foreign_program(said: &str) -> bool {
    said.to_lowercase().contains(FOREIGN)
}

impl FailureKind {
    /// Tells by BuildKit's text, and by whether a program ran.
    pub(super) fn of(message: &str, exit_code: Option<u32>) -> Self {
        let text = message.to_lowercase();
        if text.contains(FOREIGN) {
            return Self::Emulation;
        }
        if exit_code.is_some() || text.contains("did not complete successfully") {
            return Self::Run;
        }
        if text.starts_with("secret ") && text.ends_with("not found") {
            return Self::SecretMissing;
        }
        let is_there = |(_, marks): &&(Self, &[&str])| marks.iter().any(|mark| text.contains(mark));
        MARKS.iter().find(is_there).map_or(Self::Other, |(kind, _)| *kind)
    }

    /// The text without what says nothing to a user.
    pub(super) fn shorten(self, message: &str) -> &str {
        match self {
            // "…: failed to calculate checksum of ref oex19…::txn72…: "/missing": not found"
            Self::FileNotFound => message.rfind(": \"").map_or(message, |at| &message[at + 2..]),
            _ => message,
        }
    }

    /// Whether the same build may succeed when it is tried again.
    pub fn is_temporary(self) -> bool {
        self == Self::RegistryUnreachable
    }

    /// What the user can do next; `message` is BuildKit's text.
    pub(super) fn hint(self, message: &str) -> Option<String> {
        let image = image_in(message).map(|image| format!(" ({image})")).unwrap_or_default();
        Some(match self {
            Self::Emulation => "the step's program is for another architecture; register emulators on the machine where \
                BuildKit runs (install qemu-user-static, or run `docker run --privileged --rm tonistiigi/binfmt --install all`), \
                or build that platform on a machine of its own"
                .into(),
            Self::ImageNotFound => format!("check the image's name and tag{image}, and whether it has the platforms that are built"),
            Self::Unauthorized => format!(
                "the registry wants other credentials{image}: log in to it (`docker login`), or give --registry-creds; \
                a repository that does not exist is often refused in the same words"
            ),
            Self::RegistryUnreachable => format!(
                "the machine where BuildKit runs cannot reach the registry{image}: check its network, proxies and mirrors, \
                or put the image into the cache first (--precache-images)"
            ),
            Self::FileNotFound => "check that the file is in the package directory or among its extra-sources, and that no \
                line of .dockerignore takes it out"
                .into(),
            Self::SecretMissing => {
                let id = message.strip_prefix("secret ").and_then(|rest| rest.split(':').next());
                let id = id.unwrap_or("ID");
                format!("give the secret with --secret id={id},src=FILE or --secret id={id},env=VARIABLE")
            }
            Self::SshMissing => "give the agent with --ssh default".into(),
            Self::Run | Self::Dockerfile | Self::Other => return None,
        })
    }
}

/// The image that a text is about.
fn image_in(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("failed to resolve source metadata for ")?;
    rest.split(": ").next().filter(|image| !image.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_told_apart() {
        use FailureKind::*;
        for (text, exit_code, kind) in [
            (
                "process \"/bin/sh -c x\" did not complete successfully: exit code: 1",
                Some(1),
                Run,
            ),
            ("exec /bin/sh: exec format error", Some(255), Emulation),
            (
                "dockerfile parse error on line 1: unknown instruction: FORM",
                None,
                Dockerfile,
            ),
            (
                "busybox:nope: failed to resolve source metadata for docker.io/library/busybox:nope: docker.io/library/busybox:nope: not found",
                None,
                ImageNotFound,
            ),
            (
                "r/x: failed to resolve source metadata for r/x:1: failed to authorize: failed to fetch oauth token: 401 Unauthorized",
                None,
                Unauthorized,
            ),
            (
                "r/x: failed to resolve source metadata for r/x:1: failed to do request: Head \"https://r/v2/\": dial tcp: lookup r: no such host",
                None,
                RegistryUnreachable,
            ),
            (
                "failed to calculate checksum of ref 1::2: \"/missing\": not found",
                None,
                FileNotFound,
            ),
            ("secret token: not found", None, SecretMissing),
            ("unset ssh forward key default", None, SshMissing),
            ("something else", None, Other),
        ] {
            assert_eq!(FailureKind::of(text, exit_code), kind, "{text}");
        }
    }

    #[test]
    fn what_says_nothing_is_left_out() {
        let text = "failed to compute cache key: failed to calculate checksum of ref a::b: \"/missing\": not found";
        assert_eq!(FailureKind::FileNotFound.shorten(text), "\"/missing\": not found");
        assert_eq!(FailureKind::FileNotFound.shorten("other"), "other");
        assert_eq!(FailureKind::Run.shorten(text), text);
    }

    #[test]
    fn hints_name_the_image() {
        let text = "x: failed to resolve source metadata for docker.io/library/x:1: docker.io/library/x:1: not found";
        let hint = FailureKind::of(text, None).hint(text).expect("there is one");
        assert!(hint.contains("(docker.io/library/x:1)"), "{hint}");
    }
}
