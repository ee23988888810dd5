//! Bringing an image from a source to a sink by its name: whole, or for some platforms only.

use super::{ContentError, Copied, Document, Sink, Source, copy, read_document};
use crate::oci::{Descriptor, Index, Platform};
use std::io::Cursor;

/// What [`fetch`] and [`pull`] brought.
#[derive(Clone, Debug, PartialEq)]
pub struct Pulled {
    /// What the name points at, in both places now.
    pub root: Descriptor,
    /// What travelled.
    pub copied: Copied,
    /// Platforms that were wanted and that the image's index does not have.
    pub missing: Vec<Platform>,
}

/// Copies the image `name` (see [`crate::oci::Reference::store_name`]) and lets the sink know it by this name. None
/// when the source does not have it. Where a platform is missing, nothing is copied and the name is not set.
pub async fn pull(
    source: &dyn Source,
    sink: &dyn Sink,
    name: &str,
    platforms: Option<&[Platform]>,
) -> Result<Option<Pulled>, ContentError> {
    let Some(root) = source.resolve(name).await? else {
        return Ok(None);
    };
    let pulled = fetch(source, sink, root, platforms).await?;
    if pulled.missing.is_empty() {
        sink.set(name, &pulled.root).await?;
    }
    Ok(Some(pulled))
}

/// Copies what `root` points at.
///
/// Of an index, only the children for `platforms` are copied, with what attests them and with what has no platform; the
/// index itself stays as it is, so that its digest does (linuxkit keeps images so, too). Where a platform is missing,
/// nothing is copied. A single manifest is copied, for whichever platform it is.
pub async fn fetch(
    source: &dyn Source,
    sink: &dyn Sink,
    root: Descriptor,
    platforms: Option<&[Platform]>,
) -> Result<Pulled, ContentError> {
    let mut pulled = Pulled {
        root,
        copied: Copied::default(),
        missing: Vec::new(),
    };
    let selected = match platforms {
        Some(platforms) => match read_document(source, &pulled.root).await? {
            (bytes, Document::Index(index)) => Some((platforms, bytes, index)),
            (_, Document::Manifest(_)) => None,
        },
        None => None,
    };
    match selected {
        None => pulled.copied = copy(source, sink, &pulled.root).await?,
        Some((platforms, bytes, index)) => {
            let has = |wanted: &Platform| index.manifests.iter().any(|entry| is_for(entry, wanted));
            pulled.missing = platforms.iter().filter(|wanted| !has(wanted)).cloned().collect();
            if !pulled.missing.is_empty() {
                return Ok(pulled);
            }
            for child in select(&index, platforms) {
                pulled.copied = pulled.copied + copy(source, sink, child).await?;
            }
            // Not by `copy`, which would bring the other children.
            if !sink.has(&pulled.root).await? {
                sink.put(&pulled.root, Box::pin(Cursor::new(bytes))).await?;
            }
        }
    }
    Ok(pulled)
}

fn is_for(entry: &Descriptor, wanted: &Platform) -> bool {
    let platform = entry.platform.as_ref();
    platform.is_some_and(|platform| {
        platform.matches(wanted) && (wanted.variant.is_empty() || platform.variant == wanted.variant)
    })
}

/// The children for these platforms, in the order of the index.
fn select<'a>(index: &'a Index, platforms: &[Platform]) -> Vec<&'a Descriptor> {
    let is_wanted = |entry: &Descriptor| platforms.iter().any(|wanted| is_for(entry, wanted));
    let images: Vec<_> = index.manifests.iter().filter(|entry| is_wanted(entry)).collect();
    let is_part = |entry: &Descriptor| match (entry.attests(), &entry.platform) {
        (Some(image), _) => images.iter().any(|known| known.digest.as_str() == image),
        (None, Some(platform)) => platform.is_unknown() || is_wanted(entry),
        (None, None) => true,
    };
    index.manifests.iter().filter(|entry| is_part(entry)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::memory::Memory;
    use super::*;
    use crate::oci::annotation;

    #[tokio::test]
    async fn only_the_platforms_that_are_wanted_travel() {
        let source = Memory::default();
        let root = source.image_index(&["amd64", "arm64", "riscv64"]);
        source.set("r/x:1", &root).await.expect("is set");
        let wanted = [Platform::linux("arm64")];
        let sink = Memory::default();
        let pulled = pull(&source, &sink, "r/x:1", Some(&wanted))
            .await
            .expect("pulls")
            .expect("is there");
        // Manifest, configuration, layer, and the index.
        assert_eq!((pulled.copied.sent, sink.len()), (3, 4));
        assert_eq!(
            sink.resolve("r/x:1").await.expect("resolves").map(|found| found.digest),
            Some(root.digest.clone())
        );
        // More platforms later.
        let pulled = pull(&source, &sink, "r/x:1", None)
            .await
            .expect("pulls")
            .expect("is there");
        assert_eq!((pulled.missing.len(), sink.len()), (0, source.len()));
    }

    #[tokio::test]
    async fn a_missing_platform_is_said_and_nothing_is_named() {
        let source = Memory::default();
        let root = source.image_index(&["amd64"]);
        source.set("r/x:1", &root).await.expect("is set");
        let wanted = [Platform::linux("amd64"), Platform::linux("s390x")];
        let sink = Memory::default();
        let pulled = pull(&source, &sink, "r/x:1", Some(&wanted))
            .await
            .expect("asks")
            .expect("is there");
        assert_eq!((pulled.missing, sink.len()), (vec![Platform::linux("s390x")], 0));
        assert!(sink.resolve("r/x:1").await.expect("resolves").is_none());
        assert!(pull(&source, &sink, "r/y:1", None).await.expect("asks").is_none());
    }

    #[test]
    fn attestations_follow_their_image() {
        let image = |text: &str| {
            let mut entry = Descriptor::of("m", text.as_bytes());
            entry.platform = Some(Platform::linux(text));
            let mut attestation = Descriptor::of("m", format!("about {text}").as_bytes());
            attestation.platform = "unknown/unknown".parse().ok();
            let digest = entry.digest.to_string();
            attestation
                .annotations
                .insert(annotation::REFERENCE_DIGEST.into(), digest);
            [entry, attestation]
        };
        let index = Index::of([image("amd64"), image("arm64")].concat());
        let found = select(&index, &[Platform::linux("arm64")]);
        assert_eq!(found, index.manifests[2..].iter().collect::<Vec<_>>());
    }
}
