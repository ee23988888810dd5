//! A configuration as Docker takes files: an archive, to be unpacked at `/`. Pure.

use super::super::configuration::{Configuration, FILE_NAME};
use bytes::Bytes;

/// The archive of a configuration that goes to `directory`, an absolute path. The same bytes for the same configuration.
pub(super) fn archive(configuration: &Configuration, directory: &str) -> std::io::Result<Bytes> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut add = |path: &str, bytes: &[u8], mode: u32| {
        let mut header = tar::Header::new_gnu();
        header.set_mode(mode);
        header.set_size(bytes.len() as u64);
        let path = format!("{directory}/{path}");
        archive.append_data(&mut header, path.trim_start_matches('/'), bytes)
    };
    add(FILE_NAME, configuration.toml(directory).as_bytes(), 0o644)?;
    for (path, file) in configuration.files() {
        add(path, &file.bytes, if file.is_secret { 0o600 } else { 0o644 })?;
    }
    archive.into_inner().map(Bytes::from)
}
