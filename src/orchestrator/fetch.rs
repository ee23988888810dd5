//! Texts by their address: an image YAML may be named by URL.

use super::OrchestratorError;
use crate::event::CancellationToken;
use crate::registry::reason;
use std::time::Duration;

/// How long a server may take to answer, and to go on: as long as registries have.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The largest YAML that is read, in bytes; far more than anybody writes.
const TEXT_BYTES_MAX: usize = 16 << 20;

/// The text at an address.
pub async fn fetch_text(url: &str, cancel: &CancellationToken) -> Result<String, OrchestratorError> {
    let failed = |reason| OrchestratorError::Fetch {
        url: url.to_owned(),
        reason,
    };
    let fetch = async {
        let client = reqwest::Client::builder()
            .user_agent(concat!("lkpkg/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(TIMEOUT)
            .read_timeout(TIMEOUT)
            .build()?;
        let mut response = client.get(url).send().await?.error_for_status()?;
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > TEXT_BYTES_MAX {
                break;
            }
        }
        Ok::<_, reqwest::Error>(bytes)
    };
    let bytes = cancel
        .run_until_cancelled(fetch)
        .await
        .ok_or(OrchestratorError::Cancelled)?;
    let bytes = bytes.map_err(|error| failed(reason(error)))?;
    if bytes.len() > TEXT_BYTES_MAX {
        return Err(failed(format!("it has more than {TEXT_BYTES_MAX} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| failed("it is not text: it must be UTF-8".to_owned()))
}
