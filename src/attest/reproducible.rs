//! SBoMs with nothing in them that is another in every scan: [`reproducible`].
//!
//! A scanner writes down when it ran, and a random name for what it wrote. The first becomes the time of the build, the
//! second is derived from the image. Everything else stays byte for byte what it was, but for blanks between the tokens.
//! Provenance is left alone: when and where one run took place is what it is for.

use super::find::{IN_TOTO, Predicate};
use super::read::read;
use super::transcode::{Rules, Transcode};
use super::{AttestError, Spool};
use crate::content::{BlobReader, Content, DOCUMENT_BYTES_MAX, Document, read_document};
use crate::oci::{Descriptor, Digest, Hasher, Manifest, annotation};
use bytes::Bytes;
use std::borrow::Cow;
use std::io::{self, Cursor, Read, Write};
use tokio::io::AsyncReadExt as _;
use tokio_util::io::StreamReader;

/// Size of the pieces in which a document is handed over, in bytes.
const PIECE_BYTES: usize = 256 << 10;

/// The index `root` (and everything below it that it changes, which is written to `content`) with its images' SBoMs as if
/// they had been made at `time_s` seconds after 1970. What is no index, or has none, is given back as it is.
pub async fn reproducible(content: &dyn Content, root: &Descriptor, time_s: i64) -> Result<Descriptor, AttestError> {
    let Document::Index(mut index) = read_document(content, root).await?.1 else {
        return Ok(root.clone());
    };
    let mut has_changed = false;
    for entry in &mut index.manifests {
        let Some(image) = entry.attests().and_then(|digest| digest.parse::<Digest>().ok()) else {
            continue;
        };
        let Document::Manifest(manifest) = read_document(content, entry).await?.1 else {
            continue;
        };
        if let Some(changed) = attestations(content, *manifest, &image, time_s).await? {
            entry.digest = changed.digest;
            entry.size = changed.size;
            has_changed = true;
        }
    }
    if !has_changed {
        return Ok(root.clone());
    }
    let (descriptor, bytes) = index.written();
    put(content, &descriptor, bytes).await?;
    Ok(descriptor)
}

/// The attestation manifest of `image` with other SBoMs; None where it has none.
async fn attestations(
    content: &dyn Content,
    mut manifest: Manifest,
    image: &Digest,
    time_s: i64,
) -> Result<Option<Descriptor>, AttestError> {
    let mut renamed = Vec::new();
    for (at, layer) in manifest.layers.iter_mut().enumerate() {
        let kind = layer.annotations.get(annotation::PREDICATE_TYPE);
        if layer.media_type != IN_TOTO || kind.map(|kind| Predicate::of(kind)) != Some(Predicate::Spdx) {
            continue;
        }
        let dated = Dated::new(image, at, time_s);
        let (digest, size) = statement(content, layer, image, dated).await?;
        renamed.push((std::mem::replace(&mut layer.digest, digest.clone()), digest));
        layer.size = size;
    }
    if renamed.is_empty() {
        return Ok(None);
    }
    // BuildKit lists the statements in a configuration once more, as if they were layers of a file system.
    let mut config = Vec::new();
    let reader = content.read(&manifest.config.digest, 0).await?;
    reader.take(DOCUMENT_BYTES_MAX).read_to_end(&mut config).await?;
    let mut config = String::from_utf8_lossy(&config).into_owned();
    for (old, new) in &renamed {
        config = config.replace(old.as_str(), new.as_str());
    }
    let described = Descriptor::of(&manifest.config.media_type, config.as_bytes());
    (manifest.config.digest, manifest.config.size) = (described.digest, described.size);
    put(content, &manifest.config, config.into_bytes()).await?;
    // Nothing in a manifest can fail to be written: its maps have strings as keys.
    let bytes = serde_json::to_vec(&manifest).unwrap_or_default();
    let descriptor = Descriptor::of(&manifest.media_type, &bytes);
    put(content, &descriptor, bytes).await?;
    Ok(Some(descriptor))
}

/// Writes the statement as it should be, and gives its digest and size.
async fn statement(
    content: &dyn Content,
    layer: &Descriptor,
    image: &Digest,
    dated: Dated,
) -> Result<(Digest, u64), AttestError> {
    let work = move |json: super::read::Json| {
        let mut out = Measured::default();
        json.parse(Transcode::new(&mut out, &dated))?;
        Ok(out)
    };
    let made = read(content, layer, image, "in-toto statement", work).await?;
    let descriptor = Descriptor::new(IN_TOTO, made.hasher.finish(), made.size);
    let spool = made.spool.into_reader()?;
    content.put(&descriptor, reader(spool)).await?;
    Ok((descriptor.digest, descriptor.size))
}

async fn put(content: &dyn Content, descriptor: &Descriptor, bytes: Vec<u8>) -> Result<(), AttestError> {
    Ok(content.put(descriptor, Box::pin(Cursor::new(bytes))).await?)
}

/// A document that may lie in a file, for who reads without blocking.
fn reader(document: impl Read + Send + 'static) -> BlobReader {
    let pieces = futures_util::stream::try_unfold(document, |mut document| async move {
        let read = move || {
            let mut piece = vec![0; PIECE_BYTES];
            let count = document.read(&mut piece)?;
            piece.truncate(count);
            Ok::<_, io::Error>((count > 0).then_some((Bytes::from(piece), document)))
        };
        tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?
    });
    Box::pin(StreamReader::new(Box::pin(pieces)))
}

/// A document while it is made, with its digest.
#[derive(Default)]
struct Measured {
    spool: Spool,
    hasher: Hasher,
    size: u64,
}

impl Write for Measured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.spool.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.spool.flush()
    }
}

/// What stands for the time and the random name.
struct Dated {
    created: String,
    namespace: String,
}

/// Where in a statement a value is.
#[derive(Clone, Copy, Default)]
enum Place {
    #[default]
    Statement,
    Document,
    CreationInfo,
    Namespace,
    Created,
    Elsewhere,
}

impl Dated {
    /// For the SBoM that is number `at` of what is stated about the image.
    fn new(image: &Digest, at: usize, time_s: i64) -> Self {
        let created = prost_types::Timestamp {
            seconds: time_s,
            nanos: 0,
        };
        Self {
            created: created.to_string(),
            // SPDX keeps this place for documents that have none of their own.
            namespace: format!("https://spdx.org/spdxdocs/lkpkg-{}-{at}", image.hex()),
        }
    }
}

impl Rules for Dated {
    type Kind = Place;

    fn kind(&self, object: Place, key: &str) -> Place {
        match (object, key) {
            (Place::Statement, "predicate") => Place::Document,
            (Place::Document, "documentNamespace") => Place::Namespace,
            (Place::Document, "creationInfo") => Place::CreationInfo,
            (Place::CreationInfo, "created") => Place::Created,
            _ => Place::Elsewhere,
        }
    }

    fn text<'a>(&self, kind: Place, text: &'a str) -> Cow<'a, str> {
        match kind {
            Place::Namespace => Cow::Owned(self.namespace.clone()),
            Place::Created => Cow::Owned(self.created.clone()),
            _ => Cow::Borrowed(text),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::attest::fixture::{SPDX, Shelf, spdx, statement};
    use crate::attest::original;

    async fn document(shelf: &Shelf, root: &Descriptor) -> String {
        let sbom = shelf.sboms("a", root).await.unwrap().remove(0);
        let mut text = String::new();
        let mut reader = original(&sbom).await.unwrap().into_reader().unwrap();
        reader.read_to_string(&mut text).unwrap();
        text
    }

    #[tokio::test]
    async fn two_scans_give_the_same_bytes_and_nothing_else_changes() {
        let mut roots = Vec::new();
        for time in ["2026-01-01T00:00:00Z", "2027-01-01T01:02:03.4Z"] {
            let shelf = Shelf::default();
            let image = shelf.manifest("a");
            let mut sbom = spdx(time, &[("x", "1", "MIT")]);
            // Of the same names, elsewhere.
            sbom["packages"][0]["annotations"] = serde_json::json!([{"created": "kept", "documentNamespace": "kept"}]);
            let text = statement(&image.digest, SPDX, &sbom);
            let provenance = shelf.layer(
                "https://slsa.dev/provenance/v1",
                r#"{"predicate":{"creationInfo":{"created":"kept"}}}"#,
            );
            let root = shelf.index(&image, &[provenance, shelf.layer(SPDX, &text)]);
            let changed = reproducible(shelf.0.as_ref(), &root, 1_700_000_000).await.unwrap();
            assert_ne!(changed.digest, root.digest);
            assert_eq!(
                reproducible(shelf.0.as_ref(), &changed, 1_700_000_000).await.unwrap(),
                changed
            );
            let faults = crate::content::validate(shelf.0.as_ref(), &changed).await;
            assert!(faults.is_empty(), "{faults:?}");
            let mut expected = sbom.clone();
            expected["creationInfo"]["created"] = "2023-11-14T22:13:20Z".into();
            expected["documentNamespace"] = format!("https://spdx.org/spdxdocs/lkpkg-{}-1", image.digest.hex()).into();
            let found: serde_json::Value = serde_json::from_str(&document(&shelf, &changed).await).unwrap();
            assert_eq!(found, expected);
            roots.push(changed);
        }
        assert_eq!(roots[0], roots[1]);
    }

    #[tokio::test]
    async fn what_has_no_sbom_stays_as_it_is() {
        let shelf = Shelf::default();
        let image = shelf.manifest("a");
        let provenance = shelf.layer("https://slsa.dev/provenance/v1", "{}");
        for root in [image.clone(), shelf.index(&image, &[provenance])] {
            assert_eq!(reproducible(shelf.0.as_ref(), &root, 1).await.unwrap(), root);
        }
    }
}
