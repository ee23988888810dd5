//! Caches that builders share: what the user wrote, in buildx's syntax → [`CacheEntry`] → what BuildKit reads. Pure.
//!
//! A local cache is an image layout on this machine. BuildKit reads and writes it through the session, where it has the name
//! that [`CacheEntry::store`] gives; the caller opens the directory ([`CacheDirectories`]).

use super::BuildError;
use crate::content::Content;
use crate::oci::{Digest, Reference};
use bollard_buildkit_proto::moby::buildkit::v1::CacheOptionsEntry;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// How the session's stores of local caches begin, as BuildKit asks for them.
pub const STORE_PREFIX: &str = "local:";
/// What a local cache is called in its directory when nobody says so; buildx's choice.
const DEFAULT_TAG: &str = "latest";
/// Which image of a local cache is read, instead of the one with the tag.
const DIGEST: &str = "digest";

/// What all caches that are written to somewhere else may be told.
const EXPORT_KEYS: [&str; 7] = [
    "mode",
    "ignore-error",
    "image-manifest",
    "oci-mediatypes",
    "compression",
    "compression-level",
    "force-compression",
];

/// Whether a cache is read from or written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheUse {
    /// `--cache-from`
    From,
    /// `--cache-to`
    To,
}

/// Where a cache is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CacheKind {
    /// An image of its own in a registry; to read from, any image that has a cache inside.
    Registry,
    /// In the image that is built.
    Inline,
    /// A directory on this machine. Last, because BuildKit has to write those last.
    Local,
}

/// One cache that a build reads from or writes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheEntry {
    /// Where it is.
    pub kind: CacheKind,
    /// The image's name, or the directory; empty where there is no place of its own.
    pub place: String,
    /// What it is called in its directory; empty for other kinds.
    pub tag: String,
    /// All else that BuildKit is told.
    attributes: BTreeMap<String, String>,
}

impl CacheEntry {
    /// Reads `type=registry,ref=NAME,…`, `type=local,dest=DIR,…` (or `src=DIR` to read from), `type=inline`, or names of images
    /// alone, `NAME[,NAME…]`. A field may be in double quotes, as in CSV.
    pub fn parse(text: &str, usage: CacheUse) -> Result<Vec<Self>, BuildError> {
        let wrong = |reason: String| BuildError::Cache {
            text: text.to_owned(),
            reason,
        };
        let fields = fields(text).map_err(wrong)?;
        if !text.contains('=') {
            let named = |name: &String| Self::of("registry", [("ref".to_owned(), name.clone())].into(), usage);
            return fields.iter().map(|name| named(name).map_err(wrong)).collect();
        }
        let (mut kind, mut attributes) = (None, BTreeMap::new());
        for field in &fields {
            let (key, value) = field
                .split_once('=')
                .ok_or_else(|| wrong(format!("{field:?} is no KEY=VALUE")))?;
            let key = key.trim().to_lowercase();
            let is_again = match key.as_str() {
                "type" => kind.replace(value.to_owned()).is_some(),
                _ => attributes.insert(key.clone(), value.to_owned()).is_some(),
            };
            if is_again {
                return Err(wrong(format!("{key} is given twice")));
            }
        }
        let kind = kind.ok_or_else(|| wrong("it has no type: there are registry, local and inline".into()))?;
        Ok(vec![Self::of(&kind, attributes, usage).map_err(wrong)?])
    }

    fn of(kind: &str, mut attributes: BTreeMap<String, String>, usage: CacheUse) -> Result<Self, String> {
        let (kind, place_key, own): (_, _, &[&str]) = match (kind, usage) {
            ("registry", _) => (CacheKind::Registry, "ref", &["registry.insecure"]),
            ("local", CacheUse::From) => (CacheKind::Local, "src", &["tag", DIGEST]),
            ("local", CacheUse::To) => (CacheKind::Local, "dest", &["tag"]),
            ("inline", CacheUse::To) => (CacheKind::Inline, "", &[]),
            ("inline", CacheUse::From) => {
                return Err(
                    "a cache that is inside of an image is read by the image's name: type=registry,ref=NAME".into(),
                );
            }
            (kind, _) => return Err(format!("unknown type {kind:?}: there are registry, local and inline")),
        };
        let place = match (place_key, attributes.remove(place_key)) {
            ("", _) => String::new(),
            (_, Some(place)) if !place.is_empty() => place,
            (key, _) => return Err(format!("it has no {key}")),
        };
        let shared: &[&str] = match (kind, usage) {
            (CacheKind::Registry | CacheKind::Local, CacheUse::To) => &EXPORT_KEYS,
            _ => &[],
        };
        for (key, value) in &attributes {
            if !own.contains(&key.as_str()) && !shared.contains(&key.as_str()) {
                let mut known: Vec<&str> = [&["type", place_key][..], own, shared].concat();
                known.retain(|key| !key.is_empty());
                return Err(format!("unknown key {key:?}: there are {}", known.join(", ")));
            }
            check(key, value)?;
        }
        let tag = match (kind, attributes.remove("tag")) {
            (CacheKind::Local, tag) => tag.unwrap_or_else(|| DEFAULT_TAG.to_owned()),
            _ => String::new(),
        };
        let entry = Self {
            kind,
            place,
            tag,
            attributes,
        };
        // A template is judged when it is filled in.
        if !entry.place.contains("{{") {
            entry.check_name()?;
        }
        Ok(entry)
    }

    /// The same with place and tag as `fill` makes them of what was written.
    pub fn filled<E: From<BuildError>>(&self, fill: impl Fn(&str) -> Result<String, E>) -> Result<Self, E> {
        let filled = Self {
            place: fill(&self.place)?,
            tag: fill(&self.tag)?,
            ..self.clone()
        };
        filled.check_name().map_err(|reason| BuildError::Cache {
            text: self.place.clone(),
            reason,
        })?;
        Ok(filled)
    }

    fn check_name(&self) -> Result<(), String> {
        match self.kind {
            CacheKind::Registry => {
                let parsed: Result<Reference, _> = self.place.parse();
                parsed.map(drop).map_err(|error| error.to_string())
            }
            CacheKind::Local | CacheKind::Inline => Ok(()),
        }
    }

    /// By which two that are the same are known: what is written to one of them overwrites the other.
    pub fn identity(&self) -> (CacheKind, String, &str) {
        let place = match self.place.parse::<Reference>() {
            Ok(name) if self.kind == CacheKind::Registry => name.store_name(),
            _ => self.place.clone(),
        };
        (self.kind, place, &self.tag)
    }

    /// Whether it says itself which image of its directory is read.
    pub fn has_digest(&self) -> bool {
        self.attributes.contains_key(DIGEST)
    }

    /// Reads this image of the directory.
    pub fn set_digest(&mut self, digest: &Digest) {
        self.attributes.insert(DIGEST.into(), digest.to_string());
    }

    /// Name of a local cache in the session, without `STORE_PREFIX`. It travels in a header, which takes no other letters.
    pub fn store(&self) -> String {
        let escape = |byte: u8| match byte {
            b'%' | 0..=b' ' | 0x7f.. => format!("%{byte:02x}"),
            byte => char::from(byte).to_string(),
        };
        self.place.bytes().map(escape).collect()
    }

    /// As BuildKit takes it.
    pub fn option(&self, usage: CacheUse) -> CacheOptionsEntry {
        let mut attrs: std::collections::HashMap<_, _> = self.attributes.clone().into_iter().collect();
        let (kind, place) = match (self.kind, usage) {
            (CacheKind::Registry, _) => ("registry", Some(("ref", self.place.clone()))),
            (CacheKind::Inline, _) => ("inline", None),
            (CacheKind::Local, CacheUse::From) => ("local", Some(("src", self.store()))),
            (CacheKind::Local, CacheUse::To) => ("local", Some(("dest", self.store()))),
        };
        attrs.extend(place.map(|(key, value)| (key.to_owned(), value)));
        CacheOptionsEntry {
            r#type: kind.to_owned(),
            attrs,
        }
    }
}

/// The caches to read from, as the frontend takes them.
pub fn imports(entries: &[CacheEntry]) -> String {
    let one = |entry: &CacheEntry| {
        let option = entry.option(CacheUse::From);
        let attributes: BTreeMap<_, _> = option.attrs.into_iter().collect();
        serde_json::json!({ "Type": option.r#type, "Attrs": attributes })
    };
    serde_json::Value::Array(entries.iter().map(one).collect()).to_string()
}

/// The fields of a line of CSV.
fn fields(text: &str) -> Result<Vec<String>, String> {
    let (mut fields, mut rest) = (Vec::new(), Some(text));
    while let Some(line) = rest {
        let Some(quoted) = line.strip_prefix('"') else {
            let (field, after) = line
                .split_once(',')
                .map_or((line, None), |(field, after)| (field, Some(after)));
            fields.push(field.to_owned());
            rest = after;
            continue;
        };
        let (mut field, mut after) = (String::new(), quoted);
        loop {
            let (part, behind) = after.split_once('"').ok_or("a double quote has no second one")?;
            field.push_str(part);
            after = behind;
            match behind.strip_prefix('"') {
                Some(behind) => {
                    field.push('"');
                    after = behind;
                }
                None => break,
            }
        }
        fields.push(field);
        rest = match after.strip_prefix(',') {
            Some(after) => Some(after),
            None if after.is_empty() => None,
            None => return Err("a field goes on behind its double quotes".into()),
        };
    }
    match fields.iter().any(String::is_empty) {
        true => Err("a field is empty".into()),
        false => Ok(fields),
    }
}

/// BuildKit passes over values that it does not understand, or says so at the end of the build.
fn check(key: &str, value: &str) -> Result<(), String> {
    let one_of = |known: &[&str]| match known.contains(&value) {
        true => Ok(()),
        false => Err(format!("{key}={value:?} is none of {}", known.join(", "))),
    };
    match key {
        "mode" => one_of(&["min", "max"]),
        "compression" => one_of(&["uncompressed", "gzip", "estargz", "zstd"]),
        "compression-level" => value
            .parse::<i32>()
            .map(drop)
            .map_err(|_| format!("{key}={value:?} is no whole number")),
        "ignore-error" | "image-manifest" | "oci-mediatypes" | "force-compression" | "registry.insecure" => {
            one_of(&["true", "false", "1", "0"])
        }
        DIGEST => value.parse::<Digest>().map(drop).map_err(|error| error.to_string()),
        _ => Ok(()),
    }
}

/// The directories of local caches, open, by [`CacheEntry::store`].
#[derive(Clone, Default)]
pub struct CacheDirectories(BTreeMap<String, Arc<dyn Content>>);

impl CacheDirectories {
    /// Adds the directory of `entry`.
    pub fn insert(&mut self, entry: &CacheEntry, content: Arc<dyn Content>) {
        self.0.insert(entry.store(), content);
    }

    /// The directory by the name that it has in the session.
    pub fn get(&self, store: &str) -> Option<&Arc<dyn Content>> {
        self.0.get(store)
    }
}

impl fmt::Debug for CacheDirectories {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What BuildKit is told, one entry a text.
    fn read(text: &str, usage: CacheUse) -> Result<Vec<String>, String> {
        let entries = CacheEntry::parse(text, usage).map_err(|error| error.to_string())?;
        let shown = |entry: &CacheEntry| {
            let option = entry.option(usage);
            let attributes: BTreeMap<_, _> = option.attrs.into_iter().collect();
            let attributes = attributes.iter().map(|(key, value)| format!(",{key}={value}"));
            format!("{}{}", option.r#type, attributes.collect::<String>())
        };
        Ok(entries.iter().map(shown).collect())
    }

    #[test]
    fn what_buildx_understands_is_understood() {
        let check = |text: &str, usage: CacheUse, expected: &[&str]| {
            assert_eq!(read(text, usage).expect(text), expected, "{text}");
        };
        check("r.example/c", CacheUse::From, &["registry,ref=r.example/c"]);
        check("r.example/c:1", CacheUse::To, &["registry,ref=r.example/c:1"]);
        check("a/b,c/d", CacheUse::From, &["registry,ref=a/b", "registry,ref=c/d"]);
        check(
            "type=registry,ref=a/b,mode=max,compression=zstd,compression-level=3,registry.insecure=true,ignore-error=true",
            CacheUse::To,
            &[
                "registry,compression=zstd,compression-level=3,ignore-error=true,mode=max,ref=a/b,registry.insecure=true",
            ],
        );
        check("ref=a/b,Type=registry", CacheUse::From, &["registry,ref=a/b"]);
        check("type=inline", CacheUse::To, &["inline"]);
        check("type=local,dest=/c,tag=x", CacheUse::To, &["local,dest=/c"]);
        check(
            "type=local,\"src=/a,b \"\"c\"\"\"",
            CacheUse::From,
            &["local,src=/a,b%20\"c\""],
        );
        check("type=local,src=/ä%", CacheUse::From, &["local,src=/%c3%a4%25"]);
        let digest = Digest::of(b"").to_string();
        let text = format!("type=local,src=/c,digest={digest}");
        check(&text, CacheUse::From, &[&format!("local,digest={digest},src=/c")]);
        check(
            "type=registry,ref=a/{{.Name}}",
            CacheUse::To,
            &["registry,ref=a/{{.Name}}"],
        );
        let entry = |text: &str| CacheEntry::parse(text, CacheUse::From).expect(text).remove(0);
        assert_eq!(entry("type=local,src=/c").tag, "latest");
        assert_eq!(entry("a/b").identity(), entry("docker.io/a/b:latest").identity());
        assert_ne!(
            entry("type=local,src=/c,tag=a").identity(),
            entry("type=local,src=/c,tag=b").identity()
        );
    }

    #[test]
    fn what_is_not_understood_is_said() {
        let check = |text: &str, usage: CacheUse, reason: &str| {
            let error = read(text, usage).expect_err(text);
            assert_eq!(error, format!("the cache {text:?} cannot be used: {reason}"));
        };
        let types = "there are registry, local and inline";
        check("type=gha", CacheUse::To, &format!("unknown type \"gha\": {types}"));
        check("ref=a/b", CacheUse::To, &format!("it has no type: {types}"));
        check("type=registry", CacheUse::From, "it has no ref");
        check("type=local,dest=", CacheUse::To, "it has no dest");
        check("type=local,src=/a,src=/b", CacheUse::From, "src is given twice");
        check("type=local,x", CacheUse::From, "\"x\" is no KEY=VALUE");
        check("", CacheUse::From, "a field is empty");
        check("a,,b", CacheUse::From, "a field is empty");
        check("\"a", CacheUse::From, "a double quote has no second one");
        check("\"a\"b", CacheUse::From, "a field goes on behind its double quotes");
        check(
            "type=local,src=/a,mode=max",
            CacheUse::From,
            "unknown key \"mode\": there are type, src, tag, digest",
        );
        check("type=inline,ref=a", CacheUse::To, "unknown key \"ref\": there are type");
        check(
            "type=inline",
            CacheUse::From,
            "a cache that is inside of an image is read by the image's name: type=registry,ref=NAME",
        );
        check(
            "type=registry,ref=a,mode=all",
            CacheUse::To,
            "mode=\"all\" is none of min, max",
        );
        check(
            "type=registry,ref=a,compression-level=x",
            CacheUse::To,
            "compression-level=\"x\" is no whole number",
        );
        check(
            "type=registry,ref=a,ignore-error=yes",
            CacheUse::To,
            "ignore-error=\"yes\" is none of true, false, 1, 0",
        );
        assert!(read("a/B", CacheUse::From).is_err());
        assert!(read("type=local,src=/a,digest=x", CacheUse::From).is_err());
    }

    #[test]
    fn the_frontend_gets_the_same_text_each_time() {
        let entries = CacheEntry::parse("type=registry,ref=a/b,registry.insecure=true", CacheUse::From);
        assert_eq!(
            imports(&entries.expect("entries")),
            r#"[{"Attrs":{"ref":"a/b","registry.insecure":"true"},"Type":"registry"}]"#
        );
    }
}
