//! What is in an SBoM, for people and for comparing: [`Package`].

use super::cyclonedx::Component;
use super::spdx::{self, Relationship, each, stated};
use serde::Serialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use std::collections::BTreeSet;
use std::fmt;

/// A package that is in an image. What is not known is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Of which kind it is: the type of its package URL, `deb` say.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its licence: an SPDX expression, mostly.
    pub licence: String,
    /// Its package URL.
    pub purl: String,
}

impl Package {
    fn of(name: &str, version: &str, licence: &str, purl: &str) -> Self {
        let kind = purl.strip_prefix("pkg:").and_then(|rest| rest.split_once('/'));
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            kind: kind.map_or(String::new(), |(kind, _)| kind.to_owned()),
            licence: licence.to_owned(),
            purl: purl.to_owned(),
        }
    }

    pub(super) fn of_component(component: &Component) -> Self {
        let name = match component.group.as_str() {
            "" => component.name.clone(),
            group => format!("{group}/{}", component.name),
        };
        Self::of(&name, &component.version, &component.licence(), &component.purl)
    }
}

/// Reads the packages of an SPDX document, without what stands for the scanned directory itself: the document says that
/// it is about it, and nobody gave it a version.
pub(super) struct SpdxPackages;

impl<'de> DeserializeSeed<'de> for SpdxPackages {
    type Value = Vec<Package>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for SpdxPackages {
    type Value = Vec<Package>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an SPDX document")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut found, mut described, mut version) = (Vec::new(), BTreeSet::new(), String::new());
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "spdxVersion" => version = map.next_value()?,
                "packages" => map.next_value_seed(each(|package: spdx::Package| {
                    let purl = package.external("purl");
                    let version = stated(&package.version_info);
                    let listed = Package::of(&package.name, version, package.licence(), purl);
                    found.push((package.id, listed));
                    Ok(())
                }))?,
                "relationships" => map.next_value_seed(each(|relationship: Relationship| {
                    described.extend(relationship.described().map(str::to_owned));
                    Ok(())
                }))?,
                "documentDescribes" => map.next_value_seed(each(|id: String| {
                    described.insert(id);
                    Ok(())
                }))?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        spdx::check_version::<A::Error>(&version)?;
        let is_root = |id: &str, package: &Package| {
            described.contains(id) && package.version.is_empty() && package.purl.is_empty()
        };
        found.retain(|(id, package)| !is_root(id, package));
        Ok(found.into_iter().map(|(_, package)| package).collect())
    }
}

/// Reads the packages of a CycloneDX document; files are none.
pub(super) struct CycloneDxPackages;

impl<'de> DeserializeSeed<'de> for CycloneDxPackages {
    type Value = Vec<Package>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for CycloneDxPackages {
    type Value = Vec<Package>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a CycloneDX document")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut found, mut format) = (Vec::new(), String::new());
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "bomFormat" => format = map.next_value()?,
                "components" => map.next_value_seed(each(|component: Component| {
                    component.each(&mut |one| {
                        if one.kind != "file" {
                            found.push(Package::of_component(one));
                        }
                    });
                    Ok(())
                }))?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        match format.as_str() {
            "CycloneDX" => Ok(found),
            _ => Err(A::Error::custom(format_args!("its bomFormat is {format:?}"))),
        }
    }
}
