//! What is read from answers: small bodies with a limit, errors, headers, and addresses fit to be shown.

use super::error::RegistryError;
use super::retry::Failed;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Response, Url};
use std::time::Duration;

/// How much of an error's body is read.
const ERROR_BODY_LIMIT_BYTES: usize = 16 << 10;
/// How much of an error's text is shown.
const ERROR_TEXT_MAX_CHARS: usize = 400;

/// The errors of a registry (OCI distribution specification, "Error Codes").
#[derive(serde::Deserialize)]
struct Errors {
    errors: Vec<OneError>,
}

#[derive(serde::Deserialize)]
struct OneError {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// A header as text.
pub(super) fn text<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

/// The media type without its parameters; empty when there is none.
pub(super) fn media_type(response: &Response) -> &str {
    let stated = text(response, CONTENT_TYPE.as_str()).unwrap_or_default();
    stated.split(';').next().unwrap_or_default().trim()
}

/// Retry-After in seconds (RFC 9110, 10.2.3); a date is not worth its parser, the ordinary pause will do.
pub(super) fn seconds(response: &Response) -> Option<Duration> {
    let value = text(response, RETRY_AFTER.as_str())?;
    value.trim().parse().ok().map(Duration::from_secs)
}

/// The whole body of a small answer; one that is larger than the limit is an error.
pub(super) async fn bounded(mut response: Response, limit_bytes: usize) -> Result<Vec<u8>, RegistryError> {
    let url = shown(response.url());
    let too_large = || RegistryError::TooLarge {
        url: url.clone(),
        limit_bytes: limit_bytes as u64,
    };
    if response
        .content_length()
        .is_some_and(|length| length > limit_bytes as u64)
    {
        return Err(too_large());
    }
    let mut body = Vec::new();
    loop {
        let piece = response.chunk().await;
        let Some(piece) = piece.map_err(|error| RegistryError::unanswered(response.url(), error))? else {
            return Ok(body);
        };
        if body.len() + piece.len() > limit_bytes {
            return Err(too_large());
        }
        body.extend_from_slice(&piece);
    }
}

/// The failure that an answer is.
pub(super) async fn failure(response: Response, with_text: bool) -> Failed {
    let (url, status, retry_after) = (shown(response.url()), response.status().as_u16(), seconds(&response));
    let text = match with_text {
        true => error_text(&bounded(response, ERROR_BODY_LIMIT_BYTES).await.unwrap_or_default()),
        false => String::new(),
    };
    Failed {
        error: RegistryError::Status { url, status, text },
        retry_after,
    }
}

/// What a registry says is wrong, on one line. Web pages say nothing.
fn error_text(body: &[u8]) -> String {
    let text = match serde_json::from_slice::<Errors>(body) {
        Ok(Errors { errors }) => {
            let each = errors.iter().map(|one| format!("{} {}", one.code, one.message));
            each.collect::<Vec<_>>().join("; ")
        }
        Err(_) => String::from_utf8_lossy(body).trim().to_owned(),
    };
    // A header that is repeated is a secret that is repeated.
    if text.starts_with('<') || text.contains("Bearer ") || text.contains("Basic ") {
        return String::new();
    }
    let one_line = text.replace(char::is_control, " ");
    one_line.trim().chars().take(ERROR_TEXT_MAX_CHARS).collect()
}

/// An address fit to be shown: storage addresses carry signatures behind the question mark, some a user and a password.
pub(super) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // Only addresses that cannot have them refuse.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shown_without_secrets() {
        let url = Url::parse("https://me:pw@s3.example/x/y?X-Signature=abc#f").expect("parses");
        assert_eq!(shown(&url), "https://s3.example/x/y");
    }

    #[test]
    fn errors_are_one_line() {
        let check = |body: &str, wanted: &str| assert_eq!(error_text(body.as_bytes()), wanted);
        check(
            r#"{"errors":[{"code":"DENIED","message":"not\nyours","detail":{}}]}"#,
            "DENIED not yours",
        );
        check("out of cheese\n", "out of cheese");
        check("<html>", "");
        check("you sent Authorization: Basic czNjcmV0", "");
        check("", "");
        assert_eq!(error_text(&[b'x'; 5000]).len(), ERROR_TEXT_MAX_CHARS);
    }
}
