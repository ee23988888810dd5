//! One SPDX 2.3 document of several: [`SpdxMerge`].
//!
//! The elements of each input are copied as they come, with a prefix before their identifiers, into a spool for each list
//! of the document; no input is held, and none of their lists. Each image becomes a package that contains what its
//! inputs are about.

use super::image::{self, Creation};
use super::spdx::{CreationInfo, Relationship, check_version, each};
use super::transcode::{After, DOCUMENT, Prefix, Transcode};
use super::{AttestError, Sbom, Spool};
use crate::oci::Digest;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Write};

/// The lists of a document that are copied element by element, in the order in which they are written.
const LISTS: [&str; 7] = [
    "externalDocumentRefs",
    "hasExtractedLicensingInfos",
    "annotations",
    "packages",
    "files",
    "snippets",
    RELATIONSHIPS,
];
const PACKAGES: &str = "packages";
const RELATIONSHIPS: &str = "relationships";

/// A list while it grows.
#[derive(Default)]
struct List {
    spool: Spool,
    is_begun: bool,
}

impl List {
    fn push(&mut self, element: &impl serde::Serialize) -> io::Result<()> {
        let comma = self.comma();
        self.spool.write_all(comma.as_bytes())?;
        self.is_begun = true;
        Ok(serde_json::to_writer(&mut self.spool, element)?)
    }

    fn comma(&self) -> &'static str {
        if self.is_begun { ",\n" } else { "" }
    }
}

/// A merged document while it grows.
pub(super) struct SpdxMerge {
    lists: [List; LISTS.len()],
    creation: Creation,
    /// The last image that has its package.
    known: Option<Digest>,
}

impl SpdxMerge {
    pub(super) fn new() -> Self {
        Self {
            lists: std::array::from_fn(|_| List::default()),
            creation: Creation::default(),
            known: None,
        }
    }

    /// One that says it was made at this time, whenever its inputs were.
    pub(super) fn made_at(created: Option<&str>) -> Self {
        let mut merge = Self::new();
        merge.creation.fixed = created.map(str::to_owned);
        merge
    }

    fn list(&mut self, name: &str) -> Option<&mut List> {
        let at = LISTS.iter().position(|list| *list == name)?;
        self.lists.get_mut(at)
    }

    fn push(&mut self, list: &str, element: &impl serde::Serialize) -> io::Result<()> {
        self.list(list).map_or(Ok(()), |list| list.push(element))
    }

    fn relate(&mut self, from: &str, how: &str, to: &str) -> io::Result<()> {
        let relationship = Relationship {
            spdx_element_id: from.to_owned(),
            relationship_type: how.to_owned(),
            related_spdx_element: to.to_owned(),
            comment: None,
        };
        self.push(RELATIONSHIPS, &relationship)
    }

    /// Reads `sbom` into this document. Of one image, all have to come one after the other.
    pub(super) fn feed(mut self, sbom: &Sbom, prefix: Prefix) -> Result<Feed, AttestError> {
        let digest = &sbom.attestation.image;
        let image = image::identifier(digest);
        if self.known.as_ref() != Some(digest) {
            self.known = Some(digest.clone());
            self.push(PACKAGES, &package(sbom, &image))?;
            self.relate(DOCUMENT, "DESCRIBES", &image)?;
        }
        Ok(Feed {
            merge: self,
            prefix,
            image,
        })
    }

    /// The document.
    pub(super) fn finish(self, sboms: &[Sbom]) -> Result<Spool, AttestError> {
        let mut creators = self.creation.creators.clone();
        creators.insert(format!("Tool: lkpkg-{}", crate::VERSION));
        let mut creation = json!({"created": self.creation.created(), "creators": creators});
        if let Some((_, version)) = &self.creation.licence_list {
            creation["licenseListVersion"] = version.as_str().into();
        }
        let head: [(&str, Value); 6] = [
            ("spdxVersion", "SPDX-2.3".into()),
            ("dataLicense", "CC0-1.0".into()),
            ("SPDXID", DOCUMENT.into()),
            ("name", image::title(sboms).into()),
            ("documentNamespace", namespace(sboms).into()),
            ("creationInfo", creation),
        ];
        let mut out = Spool::default();
        for (at, (key, value)) in head.iter().enumerate() {
            let before = if at == 0 { "{" } else { ",\n" };
            write!(out, "{before}\"{key}\":{value}")?;
        }
        for (name, list) in LISTS.iter().zip(self.lists) {
            if list.is_begun {
                write!(out, ",\n\"{name}\":[\n")?;
                list.spool.copy_to(&mut out)?;
                out.write_all(b"\n]")?;
            }
        }
        out.write_all(b"}\n")?;
        Ok(out)
    }
}

/// A namespace that no other document has, and that the same inputs always have.
fn namespace(sboms: &[Sbom]) -> String {
    // SPDX keeps this place for documents that have none of their own.
    format!("https://spdx.org/spdxdocs/lkpkg-{}", image::fingerprint(sboms).hex())
}

/// The package that stands for an image.
fn package(sbom: &Sbom, identifier: &str) -> Value {
    let digest = &sbom.attestation.image;
    json!({
        "SPDXID": identifier,
        "name": sbom.name.store_name(),
        "versionInfo": digest,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "primaryPackagePurpose": "CONTAINER",
        "checksums": [{"algorithm": "SHA256", "checksumValue": digest.hex()}],
        "externalRefs": [{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": image::purl(sbom),
        }],
    })
}

/// Reads one document into a merged one, and gives that back.
pub(super) struct Feed {
    merge: SpdxMerge,
    prefix: Prefix,
    image: String,
}

impl<'de> DeserializeSeed<'de> for Feed {
    type Value = SpdxMerge;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<SpdxMerge, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Feed {
    type Value = SpdxMerge;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an SPDX document")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SpdxMerge, A::Error> {
        let Self {
            mut merge,
            prefix,
            image,
        } = self;
        let (mut stated, mut listed, mut version) = (BTreeSet::new(), BTreeSet::new(), String::new());
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "spdxVersion" => version = map.next_value()?,
                "creationInfo" => merge.creation.add(map.next_value::<CreationInfo>()?),
                "documentDescribes" => map.next_value_seed(each(|id: String| {
                    listed.insert(prefix.identifier(&id).into_owned());
                    Ok(())
                }))?,
                RELATIONSHIPS => map.next_value_seed(each(|mut one: Relationship| {
                    one.spdx_element_id = prefix.identifier(&one.spdx_element_id).into_owned();
                    one.related_spdx_element = prefix.identifier(&one.related_spdx_element).into_owned();
                    stated.extend(one.described().map(str::to_owned));
                    merge.push(RELATIONSHIPS, &one).map_err(|error| error.to_string())
                }))?,
                name => match merge.list(name) {
                    Some(list) => map.next_value_seed(Copy { list, prefix: &prefix })?,
                    None => drop(map.next_value::<IgnoredAny>()?),
                },
            }
        }
        check_version::<A::Error>(&version)?;
        // The older way to say it becomes the one that all know.
        for id in listed.difference(&stated) {
            merge.relate(DOCUMENT, "DESCRIBES", id).map_err(A::Error::custom)?;
        }
        for id in stated.union(&listed) {
            merge.relate(&image, "CONTAINS", id).map_err(A::Error::custom)?;
        }
        Ok(merge)
    }
}

/// Copies a list, which may be `null`, into one that grows.
struct Copy<'a> {
    list: &'a mut List,
    prefix: &'a Prefix,
}

impl<'de> DeserializeSeed<'de> for Copy<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Copy<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        loop {
            let before = self.list.comma();
            let next = Transcode::new(&mut self.list.spool, self.prefix);
            if seq.next_element_seed(After { before, next })?.is_none() {
                return Ok(());
            }
            self.list.is_begun = true;
        }
    }
}
