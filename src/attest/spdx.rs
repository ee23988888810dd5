//! SPDX 2 documents, as far as they are looked into: packages, relationships, who made them and when.

use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::marker::PhantomData;

/// A package. What is not there is empty.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Package {
    #[serde(rename = "SPDXID")]
    pub(super) id: String,
    pub(super) name: String,
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) version_info: String,
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) license_declared: String,
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) license_concluded: String,
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) supplier: String,
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) originator: String,
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) copyright_text: String,
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) description: String,
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) homepage: String,
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) primary_package_purpose: String,
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) checksums: Vec<Checksum>,
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) external_refs: Vec<ExternalRef>,
}

/// A hash of a package.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Checksum {
    pub(super) algorithm: String,
    pub(super) checksum_value: String,
}

/// A package's name elsewhere.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ExternalRef {
    pub(super) reference_type: String,
    pub(super) reference_locator: String,
}

/// How two elements relate.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Relationship {
    pub(super) spdx_element_id: String,
    pub(super) relationship_type: String,
    pub(super) related_spdx_element: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) comment: Option<String>,
}

/// Who made a document, and when.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct CreationInfo {
    pub(super) created: String,
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) creators: Vec<String>,
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) license_list_version: String,
}

/// Go writes what is empty as `null`.
pub(super) fn null_is_empty<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Package {
    /// What is declared, else what was concluded; empty where neither is known.
    pub(super) fn licence(&self) -> &str {
        [&self.license_declared, &self.license_concluded]
            .into_iter()
            .map(|text| stated(text))
            .find(|text| !text.is_empty())
            .unwrap_or_default()
    }

    /// Its name elsewhere, of this kind.
    pub(super) fn external(&self, kind: &str) -> &str {
        let found = self.external_refs.iter().find(|one| one.reference_type == kind);
        found.map_or("", |found| &found.reference_locator)
    }
}

impl Relationship {
    /// The element that the document says it is about.
    pub(super) fn described(&self) -> Option<&str> {
        use super::transcode::DOCUMENT;
        match self.relationship_type.as_str() {
            "DESCRIBES" if self.spdx_element_id == DOCUMENT => Some(&self.related_spdx_element),
            "DESCRIBED_BY" if self.related_spdx_element == DOCUMENT => Some(&self.spdx_element_id),
            _ => None,
        }
    }

    /// Who needs whom.
    pub(super) fn dependency(&self) -> Option<(&str, &str)> {
        match self.relationship_type.as_str() {
            "DEPENDS_ON" => Some((&self.spdx_element_id, &self.related_spdx_element)),
            "DEPENDENCY_OF" | "RUNTIME_DEPENDENCY_OF" => Some((&self.related_spdx_element, &self.spdx_element_id)),
            _ => None,
        }
    }
}

/// The text, unless it says that nothing is known.
pub(super) fn stated(text: &str) -> &str {
    match text {
        "NOASSERTION" | "NONE" => "",
        text => text,
    }
}

/// Refuses what is no SPDX 2 document; version 3 is another format altogether.
pub(super) fn check_version<E: Error>(version: &str) -> Result<(), E> {
    match version.strip_prefix("SPDX-2.") {
        Some(_) => Ok(()),
        None => Err(E::custom(format_args!(
            "its version is {version:?}, and versions 2 are read"
        ))),
    }
}

/// Reads a list, which may be `null`, and gives each of its elements to a function that may refuse it.
pub(super) struct Each<T, F>(F, PhantomData<T>);

/// [`Each`] of elements of type `T`.
pub(super) fn each<T, F: FnMut(T) -> Result<(), String>>(function: F) -> Each<T, F> {
    Each(function, PhantomData)
}

impl<'de, T: Deserialize<'de>, F: FnMut(T) -> Result<(), String>> DeserializeSeed<'de> for Each<T, F> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Deserialize<'de>, F: FnMut(T) -> Result<(), String>> Visitor<'de> for Each<T, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        while let Some(element) = seq.next_element()? {
            (self.0)(element).map_err(A::Error::custom)?;
        }
        Ok(())
    }
}
