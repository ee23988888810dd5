//! What a daemon's refusal means, where that decides what is done next. Docker says it by the status; podman answers 500 to most,
//! and says it in words.

use bollard::errors::Error;

/// The container, image, volume or exec is not there (any more).
pub(super) fn is_gone(error: &Error) -> bool {
    is(error, 404, "no such container") || is(error, 404, "no such exec session")
}

/// The name belongs to another container, or what is asked for is under way.
pub(super) fn is_taken(error: &Error) -> bool {
    is(error, 409, "already in use")
}

/// It is as it shall be.
pub(super) fn is_running(error: &Error) -> bool {
    matches!(error, Error::DockerResponseServerError { status_code: 304, .. })
}

/// The container is just changing its state: in a moment the answer is another one.
pub(super) fn is_passing(error: &Error) -> bool {
    // "stopped" is a state of podman's alone, which bollard cannot read.
    matches!(error, Error::JsonDataError { .. }) || is(error, 409, "container state improper")
}

fn is(error: &Error, status: u16, words: &str) -> bool {
    match error {
        Error::DockerResponseServerError { status_code, message } => {
            *status_code == status || (*status_code == 500 && message.contains(words))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_says_it_by_the_status_and_podman_in_words() {
        let check = |status_code: u16, message: &str, expected: [bool; 3]| {
            let error = Error::DockerResponseServerError {
                status_code,
                message: message.into(),
            };
            let found = [is_gone(&error), is_taken(&error), is_passing(&error)];
            assert_eq!(found, expected, "{status_code} {message}");
        };
        check(404, "No such container: b", [true, false, false]);
        check(
            500,
            "container 61 does not exist in database: no such container",
            [true, false, false],
        );
        check(
            409,
            "Conflict. The container name \"/b\" is already in use",
            [false, true, true],
        );
        check(
            500,
            "creating container storage: that name is already in use",
            [false, true, false],
        );
        check(
            500,
            "it has active exec sessions: container state improper",
            [false, false, true],
        );
        check(500, "no space left on device", [false; 3]);
        check(400, "no such container", [false; 3]);
    }
}
