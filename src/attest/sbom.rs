//! SBoMs that were found, and what can be had of them: [`packages`], [`original`], [`merged`].

use super::convert::CycloneDxMerge;
use super::find::{Attestation, Predicate};
use super::image;
use super::merge::SpdxMerge;
use super::packages::{CycloneDxPackages, Package, SpdxPackages};
use super::read::{Json, parse_reader, parse_slice, read};
use super::span::Copying;
use super::statement::{open, open_raw};
use super::{AttestError, Spool};
use crate::content::Source;
use crate::oci::{Platform, Reference};
use serde::de::IgnoredAny;
use std::io::Write as _;
use std::marker::PhantomData;
use std::sync::Arc;

/// An SBoM of an image, not read yet.
#[derive(Clone)]
pub struct Sbom {
    /// How the image was called.
    pub name: Reference,
    /// What it runs on.
    pub platform: Option<Platform>,
    /// Where it is read from.
    pub source: Arc<dyn Source>,
    /// What it is.
    pub attestation: Attestation,
}

/// A kind of document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DocumentFormat {
    /// SPDX 2.3.
    Spdx,
    /// CycloneDX 1.6.
    CycloneDx,
}

impl Sbom {
    /// The SBoMs among what was found about an image: its SPDX documents, or, where it has none, its CycloneDX documents,
    /// which say the same once more.
    pub fn among(found: &[Attestation]) -> Result<Vec<&Attestation>, Vec<String>> {
        for kind in [Predicate::Spdx, Predicate::CycloneDx] {
            let all: Vec<_> = found.iter().filter(|one| one.kind() == kind).collect();
            if !all.is_empty() {
                return Ok(all);
            }
        }
        Err(found.iter().map(|one| one.predicate.clone()).collect())
    }

    fn refuse_cyclonedx(&self) -> Result<(), AttestError> {
        match self.attestation.kind() {
            Predicate::CycloneDx => Err(AttestError::CycloneDxOnly {
                digest: self.attestation.content.digest.clone(),
                image: self.attestation.image.clone(),
            }),
            _ => Ok(()),
        }
    }
}

/// The packages that are in any of these, sorted, each once.
pub async fn packages(sboms: &[Sbom]) -> Result<Vec<Package>, AttestError> {
    let mut all = Vec::new();
    for sbom in sboms {
        all.extend(match sbom.attestation.kind() {
            Predicate::CycloneDx => open(sbom, CycloneDxPackages).await?,
            _ => open(sbom, SpdxPackages).await?,
        });
    }
    all.sort();
    all.dedup();
    Ok(all)
}

/// The document as it is, byte for byte, with a newline at its end.
pub async fn original(sbom: &Sbom) -> Result<Spool, AttestError> {
    let attestation = &sbom.attestation;
    let mut copy = match attestation.is_bare {
        true => {
            let (source, image) = (sbom.source.as_ref(), &attestation.image);
            read(source, &attestation.content, image, "document", copy_whole).await?
        }
        false => {
            open_raw(sbom, |json, around| {
                Ok(match json {
                    Json::Held(bytes) => {
                        let mut copying = Copying::predicate(bytes.as_slice());
                        std::io::copy(&mut copying, &mut std::io::sink()).map_err(serde_json::Error::io)?;
                        (parse_slice(&bytes, around)?, copying.into_copy())
                    }
                    Json::Streamed(pieces) => {
                        let mut copying = Copying::predicate(pieces);
                        (parse_reader(&mut copying, around)?, copying.into_copy())
                    }
                })
            })
            .await?
        }
    };
    copy.write_all(b"\n")?;
    Ok(copy)
}

fn copy_whole(json: Json) -> Result<Spool, serde_json::Error> {
    let any = PhantomData::<IgnoredAny>;
    match json {
        Json::Held(bytes) => {
            parse_slice(&bytes, any)?;
            let mut copy = Spool::default();
            copy.write_all(&bytes).map_err(serde_json::Error::io)?;
            Ok(copy)
        }
        Json::Streamed(pieces) => {
            let mut copying = Copying::whole(pieces);
            parse_reader(&mut copying, any)?;
            Ok(copying.into_copy())
        }
    }
}

/// [`merged`] as SPDX, made at this time.
pub async fn merged_spdx(sboms: Vec<Sbom>, created: Option<&str>) -> Result<Spool, AttestError> {
    let sboms = in_order(sboms);
    sboms.iter().try_for_each(Sbom::refuse_cyclonedx)?;
    merge_spdx(SpdxMerge::made_at(created), &sboms).await
}

async fn merge_spdx(mut merge: SpdxMerge, sboms: &[Sbom]) -> Result<Spool, AttestError> {
    for (sbom, prefix) in sboms.iter().zip(image::prefixes(sboms)) {
        merge = open(sbom, merge.feed(sbom, prefix)?).await?;
    }
    merge.finish(sboms)
}

/// In the order of their digests, each once.
fn in_order(mut sboms: Vec<Sbom>) -> Vec<Sbom> {
    sboms.sort_by_cached_key(|sbom| {
        let attestation = &sbom.attestation;
        let digests = (attestation.image.clone(), attestation.content.digest.clone());
        (digests, sbom.name.clone())
    });
    sboms.dedup_by(|a, b| {
        (&a.attestation.image, &a.attestation.content.digest) == (&b.attestation.image, &b.attestation.content.digest)
    });
    sboms
}

/// One document of all of these, which are SPDX documents. The same SBoMs give the same bytes, in whatever order they
/// come and however often: identifiers and namespace are made of digests, and the time is that of the newest.
pub async fn merged(sboms: Vec<Sbom>, format: DocumentFormat) -> Result<Spool, AttestError> {
    let sboms = in_order(sboms);
    sboms.iter().try_for_each(Sbom::refuse_cyclonedx)?;
    match format {
        DocumentFormat::Spdx => merge_spdx(SpdxMerge::new(), &sboms).await,
        DocumentFormat::CycloneDx => {
            let mut merge = CycloneDxMerge::new();
            for (sbom, prefix) in sboms.iter().zip(image::prefixes(&sboms)) {
                merge = open(sbom, merge.feed(sbom, prefix)).await?;
            }
            merge.finish(&sboms)
        }
    }
}
