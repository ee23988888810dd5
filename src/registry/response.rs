//! What is read from answers: small bodies with a limit, errors, headers, and addresses fit to be shown.

use super::error::RegistryError;
use super::retry::Failed;
use crate::oci::Digest;
use reqwest::header::{CONTENT_TYPE, DATE, RETRY_AFTER};
use reqwest::{Response, Url};
use std::time::{Duration, SystemTime};

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
    #[serde(default)]
    detail: serde_json::Value,
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

/// How long a registry wants to be left alone (RFC 9110, 10.2.3).
pub(super) fn retry_after(response: &Response) -> Option<Duration> {
    let pause = text(response, RETRY_AFTER.as_str())?;
    pause_of(pause, text(response, DATE.as_str()), SystemTime::now())
}

/// `Retry-After`: seconds, or a date. A date is meant by the registry's clock, which `date` tells: ours may be wrong.
fn pause_of(retry_after: &str, date: Option<&str>, now: SystemTime) -> Option<Duration> {
    let retry_after = retry_after.trim();
    if let Ok(seconds) = retry_after.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = httpdate::parse_http_date(retry_after).ok()?;
    let now = date
        .and_then(|date| httpdate::parse_http_date(date).ok())
        .unwrap_or(now);
    // What is over already is no pause.
    Some(until.duration_since(now).unwrap_or_default())
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
    let (url, status, retry_after) = (
        shown(response.url()),
        response.status().as_u16(),
        retry_after(&response),
    );
    let mut text = String::new();
    if with_text {
        let body = bounded(response, ERROR_BODY_LIMIT_BYTES).await.unwrap_or_default();
        if let Some(child) = missing_child(&body) {
            return RegistryError::MissingChild { url, child }.into();
        }
        text = error_text(&body);
    }
    Failed {
        error: RegistryError::Status { url, status, text },
        retry_after,
    }
}

/// Whether a registry says that a manifest points at something that it does not have, and which digest it names.
fn missing_child(body: &[u8]) -> Option<Option<Digest>> {
    let Errors { errors } = serde_json::from_slice(body).ok()?;
    let one = errors.into_iter().find(|one| one.code == "MANIFEST_BLOB_UNKNOWN")?;
    // The specification leaves the shape of `detail` open.
    let (detail, message) = (one.detail.to_string(), one.message);
    let words = [&detail, &message].map(|text| text.split(['"', ' ', ',']).map(str::to_owned).collect::<Vec<_>>());
    Some(words.concat().iter().find_map(|word| word.parse().ok()))
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
    fn a_pause_is_a_number_or_a_date() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").expect("parses");
        let check = |text: &str, date: Option<&str>, wanted: Option<u64>| {
            assert_eq!(
                pause_of(text, date, now),
                wanted.map(Duration::from_secs),
                "{text} {date:?}"
            );
        };
        check("120", None, Some(120));
        check(" 0 ", None, Some(0));
        check("Sun, 06 Nov 1994 08:49:47 GMT", None, Some(10));
        // By the clock of whoever says it, in any of the three forms.
        let theirs = Some("Sun, 06 Nov 1994 08:49:45 GMT");
        check("Sun, 06 Nov 1994 08:49:47 GMT", theirs, Some(2));
        check("Sunday, 06-Nov-94 08:49:47 GMT", theirs, Some(2));
        check("Sun Nov  6 08:49:47 1994", theirs, Some(2));
        check("Sun, 06 Nov 1994 08:49:47 GMT", Some("nonsense"), Some(10));
        // It is over.
        check("Sun, 06 Nov 1994 08:00:00 GMT", None, Some(0));
        for text in ["", "soon", "-1", "1.5", "Sun, 06 Nov 1994"] {
            check(text, None, None);
        }
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
