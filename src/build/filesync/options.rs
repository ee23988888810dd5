//! Metadata of a gRPC call → which directory BuildKit wants, and what of it.

use super::error::FileSyncError;
use super::filter::WalkOptions;
use tonic::metadata::MetadataMap;

/// A call for files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Call {
    /// Name of the directory; empty when none is given.
    pub directory: String,
    pub options: WalkOptions,
}

/// Reads the metadata of a call.
///
/// # Errors
/// When a value is not UTF-8 or badly escaped.
pub(super) fn parse_call(metadata: &MetadataMap) -> Result<Call, FileSyncError> {
    Ok(Call {
        directory: values(metadata, "dir-name")?.into_iter().next().unwrap_or_default(),
        options: WalkOptions {
            include_patterns: values(metadata, "include-patterns")?,
            exclude_patterns: values(metadata, "exclude-patterns")?,
            follow_paths: values(metadata, "followpaths")?,
        },
    })
}

/// All values of a key, in order. They are escaped as in a URL's query when `<key>-encoded` says so, because gRPC
/// carries ASCII only.
fn values(metadata: &MetadataMap, key: &str) -> Result<Vec<String>, FileSyncError> {
    let is_encoded = metadata
        .get(format!("{key}-encoded"))
        .is_some_and(|value| [&b"1"[..], b"t", b"T", b"true", b"TRUE", b"True"].contains(&value.as_bytes()));
    let text = |bytes: Vec<u8>| {
        String::from_utf8(bytes).map_err(|_| FileSyncError::Protocol(format!("a value of {key} is not UTF-8")))
    };
    metadata
        .get_all(key)
        .iter()
        .map(|value| match is_encoded {
            false => text(value.as_bytes().to_vec()),
            true => text(
                unescape(value.as_bytes())
                    .ok_or_else(|| FileSyncError::Protocol(format!("a value of {key} is badly escaped")))?,
            ),
        })
        .collect()
}

/// `+` → space, `%XX` → byte; None when a `%` has no two hexadecimal digits behind it.
fn unescape(escaped: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: Option<&u8>| {
        char::from(*byte?)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let mut bytes = Vec::with_capacity(escaped.len());
    let mut rest = escaped.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => digit(rest.next())? << 4 | digit(rest.next())?,
            other => *other,
        });
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn repeated_and_escaped_values_are_read() {
        let mut metadata = MetadataMap::new();
        metadata.insert("dir-name", "context".parse().unwrap());
        metadata.append("exclude-patterns", "%C3%A9+%25*".parse().unwrap());
        metadata.append("exclude-patterns", "%21keep".parse().unwrap());
        metadata.insert("exclude-patterns-encoded", "1".parse().unwrap());
        metadata.append("followpaths", "100%25+".parse().unwrap());
        let call = parse_call(&metadata).unwrap();
        assert_eq!(call.directory, "context");
        assert_eq!(call.options.exclude_patterns, ["é %*", "!keep"]);
        assert_eq!(call.options.follow_paths, ["100%25+"]);
        assert!(call.options.include_patterns.is_empty());
    }

    #[test]
    fn bad_escapes_are_errors() {
        let mut metadata = MetadataMap::new();
        metadata.insert("include-patterns-encoded", "true".parse().unwrap());
        for bad in ["%", "%2", "%zz", "%ff"] {
            metadata.insert("include-patterns", bad.parse().unwrap());
            assert!(
                matches!(parse_call(&metadata), Err(FileSyncError::Protocol(_))),
                "{bad}"
            );
        }
    }
}
