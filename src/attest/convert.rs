//! One CycloneDX 1.6 document of one or several SPDX documents: [`CycloneDxMerge`].
//!
//! Packages become components; files are left out, as CycloneDX's own tools do. Components are spooled as they come; what
//! is held is who depends on whom, and what stands for nothing but the scanned directory.

use super::cyclonedx::Written;
use super::image::{self, Creation};
use super::spdx::{CreationInfo, Package, Relationship, check_version, each};
use super::transcode::Prefix;
use super::{AttestError, Sbom, Spool};
use crate::oci::Digest;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{BufRead, BufReader, Write};

/// A converted document while it grows.
pub(super) struct CycloneDxMerge {
    /// A line each: reference, tab, component.
    components: Spool,
    /// References of images → those of what is in them.
    contents: BTreeMap<String, Vec<String>>,
    /// Who needs whom.
    dependencies: BTreeMap<String, BTreeSet<String>>,
    /// Components that nobody gave a version or a name elsewhere.
    nameless: BTreeSet<String>,
    /// What the inputs say that they are about.
    described: BTreeSet<String>,
    creation: Creation,
}

impl CycloneDxMerge {
    pub(super) fn new() -> Self {
        Self {
            components: Spool::default(),
            contents: BTreeMap::new(),
            dependencies: BTreeMap::new(),
            nameless: BTreeSet::new(),
            described: BTreeSet::new(),
            creation: Creation::default(),
        }
    }

    /// Reads `sbom` into this document.
    pub(super) fn feed(self, sbom: &Sbom, prefix: Prefix) -> Feed {
        Feed {
            merge: self,
            prefix,
            image: image::identifier(&sbom.attestation.image),
        }
    }

    fn add(&mut self, package: &Package, prefix: &Prefix, image: &str) -> Result<(), String> {
        let reference = prefix.identifier(&package.id).into_owned();
        let component = Written::of(package, reference.clone(), &prefix.licence(package.licence()));
        if component.version.is_empty() && component.purl.is_empty() {
            self.nameless.insert(reference.clone());
        }
        let text = serde_json::to_string(&component).map_err(|error| error.to_string())?;
        let written = writeln!(self.components, "{reference}\t{text}");
        self.contents.entry(image.to_owned()).or_default().push(reference);
        written.map_err(|error| error.to_string())
    }

    fn relate(&mut self, one: &Relationship, prefix: &Prefix) {
        let renamed = |id: &str| prefix.identifier(id).into_owned();
        self.described.extend(one.described().map(renamed));
        if let Some((from, to)) = one.dependency() {
            self.dependencies.entry(renamed(from)).or_default().insert(renamed(to));
        }
    }

    /// The document.
    pub(super) fn finish(mut self, sboms: &[Sbom]) -> Result<Spool, AttestError> {
        let roots: BTreeSet<String> = self.nameless.intersection(&self.described).cloned().collect();
        let mut images = BTreeMap::new();
        for sbom in sboms {
            let component = Written::of_image(sbom);
            images.entry(component.reference.clone()).or_insert(component);
        }
        let (serial, metadata) = (serial_number(&image::fingerprint(sboms)), self.metadata(&images));
        let mut out = Spool::default();
        write!(
            out,
            "{{\"$schema\":\"http://cyclonedx.org/schema/bom-1.6.schema.json\",\n\"bomFormat\":\"CycloneDX\",\n\
             \"specVersion\":\"1.6\",\n\"serialNumber\":\"{serial}\",\n\"version\":1,\n\"metadata\":{metadata},\n\
             \"components\":[\n"
        )?;
        let mut before = "";
        if images.len() > 1 {
            for component in images.values() {
                out.write_all(before.as_bytes())?;
                serde_json::to_writer(&mut out, component).map_err(std::io::Error::from)?;
                before = ",\n";
            }
        }
        let mut written: BTreeSet<String> = images.keys().cloned().collect();
        for line in BufReader::new(std::mem::take(&mut self.components).into_reader()?).lines() {
            let line = line?;
            let Some((reference, component)) = line.split_once('\t') else {
                continue;
            };
            // A reference must be there only once, whatever the input has.
            if !roots.contains(reference) && written.insert(reference.to_owned()) {
                write!(out, "{before}{component}")?;
                before = ",\n";
            }
        }
        out.write_all(b"\n],\n\"dependencies\":[\n")?;
        before = "";
        let contents = self
            .contents
            .into_iter()
            .map(|(image, all)| (image, all.into_iter().collect()));
        for (reference, needs) in contents.chain(self.dependencies) {
            let needs: BTreeSet<String> = needs;
            if written.contains(&reference) {
                let needs: Vec<_> = needs
                    .iter()
                    .filter(|one| written.contains(*one) && **one != reference)
                    .collect();
                write!(out, "{before}{}", json!({"ref": reference, "dependsOn": needs}))?;
                before = ",\n";
            }
        }
        out.write_all(b"\n]}\n")?;
        Ok(out)
    }

    fn metadata(&self, images: &BTreeMap<String, Written>) -> Value {
        let own = format!("lkpkg-{}", crate::VERSION);
        let others = self
            .creation
            .creators
            .iter()
            .filter_map(|creator| creator.strip_prefix("Tool:"));
        let names: BTreeSet<&str> = others.map(str::trim).chain([own.as_str()]).collect();
        let tool = |text: &&str| match text.rsplit_once('-') {
            Some((name, version)) => json!({"type": "application", "name": name, "version": version}),
            None => json!({"type": "application", "name": text}),
        };
        let tools: Vec<Value> = names.iter().map(tool).collect();
        let mut metadata = json!({"timestamp": self.creation.created(), "tools": {"components": tools}});
        if let (1, Some(only)) = (images.len(), images.values().next()) {
            metadata["component"] = json!(only);
        }
        metadata
    }
}

/// A UUID made of a digest, of the kind for values of one's own making (RFC 9562, version 8).
fn serial_number(digest: &Digest) -> String {
    let hex = digest.hex();
    let (a, b, c, d, e) = (&hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..32]);
    format!("urn:uuid:{a}-{b}-8{c}-8{d}-{e}")
}

/// Reads one document into a converted one, and gives that back.
pub(super) struct Feed {
    merge: CycloneDxMerge,
    prefix: Prefix,
    image: String,
}

impl<'de> DeserializeSeed<'de> for Feed {
    type Value = CycloneDxMerge;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<CycloneDxMerge, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Feed {
    type Value = CycloneDxMerge;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an SPDX document")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<CycloneDxMerge, A::Error> {
        let Self {
            mut merge,
            prefix,
            image,
        } = self;
        let mut version = String::new();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "spdxVersion" => version = map.next_value()?,
                "creationInfo" => merge.creation.add(map.next_value::<CreationInfo>()?),
                "packages" => map.next_value_seed(each(|package: Package| merge.add(&package, &prefix, &image)))?,
                "relationships" => map.next_value_seed(each(|one: Relationship| {
                    merge.relate(&one, &prefix);
                    Ok(())
                }))?,
                "documentDescribes" => map.next_value_seed(each(|id: String| {
                    merge.described.insert(prefix.identifier(&id).into_owned());
                    Ok(())
                }))?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        check_version::<A::Error>(&version)?;
        Ok(merge)
    }
}
