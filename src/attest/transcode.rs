//! Copies JSON from a parser to a writer, token by token, with texts changed on the way: [`Transcode`]. What becomes of a
//! text is said by [`Rules`]; those of [`Prefix`] make SPDX's identifiers unique.

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::io::Write;

/// What becomes of texts.
pub(super) trait Rules {
    /// What a value is. The default is that of a whole document.
    type Kind: Copy + Default;
    /// What the value of a key is, in an object that is something itself.
    fn kind(&self, object: Self::Kind, key: &str) -> Self::Kind;
    /// What stands for a text.
    fn text<'a>(&self, kind: Self::Kind, text: &'a str) -> Cow<'a, str>;
}

/// What all identifiers of a document get in front of them, so that those of two documents differ.
#[derive(Clone, Debug)]
pub(super) struct Prefix(pub(super) String);

/// The identifier of the document itself, which stays as it is: a merged document has one as well.
pub(super) const DOCUMENT: &str = "SPDXRef-DOCUMENT";
/// What identifiers begin with: of elements, of other documents, of licences.
const KINDS: [&str; 3] = ["SPDXRef-", "DocumentRef-", "LicenseRef-"];

impl Prefix {
    /// An identifier; everything else (`NONE`, say) stays as it is. Of an element of another document, which is not
    /// merged, the document's part gets the prefix only.
    pub(super) fn identifier<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let kind = KINDS.iter().find_map(|kind| Some((*kind, text.strip_prefix(kind)?)));
        match kind {
            Some((kind, rest)) if text != DOCUMENT => Cow::Owned(format!("{kind}{}{rest}", self.0)),
            _ => Cow::Borrowed(text),
        }
    }

    /// A licence expression, in which identifiers stand between others.
    pub(super) fn licence<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if !KINDS.iter().any(|kind| text.contains(kind)) {
            return Cow::Borrowed(text);
        }
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ':' | '+');
        let mut renamed = String::new();
        for word in text.split_inclusive(|c| !is_part(c)) {
            renamed.push_str(&self.identifier(word));
        }
        Cow::Owned(renamed)
    }
}

impl Rules for Prefix {
    type Kind = Kind;

    fn kind(&self, _: Kind, key: &str) -> Kind {
        Kind::of(key)
    }

    fn text<'a>(&self, kind: Kind, text: &'a str) -> Cow<'a, str> {
        match kind {
            Kind::Plain => Cow::Borrowed(text),
            Kind::Identifier => self.identifier(text),
            Kind::Licence => self.licence(text),
        }
    }
}

/// What a string is.
#[derive(Clone, Copy, Default)]
pub(super) enum Kind {
    #[default]
    Plain,
    Identifier,
    Licence,
}

impl Kind {
    fn of(key: &str) -> Self {
        match key {
            "SPDXID" | "spdxElementId" | "relatedSpdxElement" | "hasFiles" | "fileDependencies" | "snippetFromFile"
            | "reference" | "externalDocumentId" | "licenseId" => Self::Identifier,
            "licenseConcluded"
            | "licenseDeclared"
            | "licenseInfoFromFiles"
            | "licenseInfoInFiles"
            | "licenseInfoInSnippets" => Self::Licence,
            _ => Self::Plain,
        }
    }
}

/// Writes something before a value, where there is one.
pub(super) struct After<'a, W, R: Rules> {
    pub(super) before: &'static str,
    pub(super) next: Transcode<'a, W, R>,
}

impl<'de, W: Write, R: Rules> DeserializeSeed<'de> for After<'_, W, R> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let written = self.next.out.write_all(self.before.as_bytes());
        written.map_err(D::Error::custom)?;
        self.next.deserialize(deserializer)
    }
}

/// Reads one value and writes it.
pub(super) struct Transcode<'a, W, R: Rules> {
    out: &'a mut W,
    rules: &'a R,
    kind: R::Kind,
}

impl<'a, W: Write, R: Rules> Transcode<'a, W, R> {
    pub(super) fn new(out: &'a mut W, rules: &'a R) -> Self {
        Self {
            out,
            rules,
            kind: R::Kind::default(),
        }
    }

    fn value<E: Error>(self, value: impl serde::Serialize) -> Result<(), E> {
        serde_json::to_writer(self.out, &value).map_err(E::custom)
    }
}

impl<'de, W: Write, R: Rules> DeserializeSeed<'de> for Transcode<'_, W, R> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, W: Write, R: Rules> Visitor<'de> for Transcode<'_, W, R> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.value(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.value(value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.value(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.value(value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.value(value)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        let text = self.rules.text(self.kind, text);
        self.value(text)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let mut before = "[";
        loop {
            let next = Transcode {
                out: &mut *self.out,
                rules: self.rules,
                kind: self.kind,
            };
            if seq.next_element_seed(After { before, next })?.is_none() {
                break;
            }
            before = ",";
        }
        let end = if before == "[" { "[]" } else { "]" };
        self.out.write_all(end.as_bytes()).map_err(A::Error::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut before = "{";
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            self.out.write_all(before.as_bytes()).map_err(A::Error::custom)?;
            serde_json::to_writer(&mut *self.out, &key).map_err(A::Error::custom)?;
            self.out.write_all(b":").map_err(A::Error::custom)?;
            map.next_value_seed(Transcode {
                out: &mut *self.out,
                rules: self.rules,
                kind: self.rules.kind(self.kind, &key),
            })?;
            before = ",";
        }
        let end = if before == "{" { "{}" } else { "}" };
        self.out.write_all(end.as_bytes()).map_err(A::Error::custom)
    }
}
