//! YAML text → [`Node`], a tree whose every node knows its place and its text as written.
//!
//! The one file that knows the YAML library (docs/design/yaml.md says why that one). It resolves anchors, merge keys and
//! block texts, and refuses duplicate keys; what a scalar *means* is for `reader` to say, by the type that is wanted.

use super::diagnostic::{Diagnostic, Position};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Spanned, options::NonFiniteFloatPolicy};
use std::fmt;
use std::path::Path;

/// How many values aliases may repeat in one file. A build.yml repeats a few dozen; a file made to fill the memory repeats
/// millions.
const MAX_REPLAYED_EVENTS: usize = 20_000;

/// A file that was parsed: what errors about its nodes need.
pub(crate) struct Document<'a> {
    pub(crate) path: &'a Path,
    pub(crate) text: &'a str,
    pub(crate) root: Node,
}

/// A value and where it is used (an alias's own place, not its anchor's).
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) position: Position,
    /// Characters to mark in an error.
    width: usize,
}

/// What stands there.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// A scalar: its text as written, escapes and folding done.
    Scalar {
        text: String,
        /// Whether it is written without quotes and not as a block, so that `true` and `1` have a meaning of their own.
        is_plain: bool,
    },
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, merge keys resolved, in order.
    Mapping(Vec<(Node, Node)>),
}

impl<'a> Document<'a> {
    /// Parses `text`, which was read from `path`. An empty text is null.
    pub(crate) fn parse(path: &'a Path, text: &'a str) -> Result<Self, Diagnostic> {
        let options = serde_saphyr::options! {
            // Scalars are read again from their text, by Go's rules; here they only must not fail.
            strict_booleans: true,
            non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
            with_snippet: false,
            alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MAX_REPLAYED_EVENTS },
        };
        match serde_saphyr::from_str_with_options::<Raw>(text, options) {
            Ok(raw) => Ok(Self {
                path,
                text,
                root: raw.into_node(text),
            }),
            Err(error) => Err(syntax_error(path, text, &error)),
        }
    }

    /// A problem with one node of this document.
    pub(crate) fn error(&self, node: &Node, message: impl Into<String>) -> Diagnostic {
        Diagnostic::at(self.path, self.text, node.position, node.width, message)
    }

    /// A problem that has no place of its own.
    pub(crate) fn error_of_file(&self, message: impl Into<String>) -> Diagnostic {
        Diagnostic::of_file(self.path, message)
    }
}

impl Node {
    /// What the node is, for an error about its type.
    pub(crate) fn kind(&self) -> String {
        match &self.value {
            Value::Scalar { text, is_plain: true } if super::reader::is_null(text) => "nothing".to_owned(),
            Value::Scalar { text, .. } => format!("`{text}`"),
            Value::List(_) => "a list".to_owned(),
            Value::Mapping(_) => "a mapping".to_owned(),
        }
    }
}

/// The library's error in our form: its message, at its place.
fn syntax_error(path: &Path, text: &str, error: &serde_saphyr::Error) -> Diagnostic {
    let error = error.without_snippet();
    if let serde_saphyr::Error::DuplicateMappingKey { key, .. } = error {
        let message = match key {
            Some(key) => format!("`{key}` appears twice; each field may appear once"),
            None => "a key appears twice; each field may appear once".to_owned(),
        };
        return place(path, text, error.location(), message);
    }
    if let serde_saphyr::Error::MultipleDocuments { .. } = error {
        let message = "a second document starts; the file may hold one only".to_owned();
        return place(path, text, error.location(), message);
    }
    // The library's own text ends in the place, which we show in front.
    let full = error.to_string();
    let message = full.split(" at line ").next().unwrap_or(&full);
    place(path, text, error.location(), format!("not valid YAML: {message}"))
}

fn place(path: &Path, text: &str, location: Option<serde_saphyr::Location>, message: String) -> Diagnostic {
    match location {
        Some(location) if location.line() > 0 => {
            let width = location.span().len().max(1);
            Diagnostic::at(path, text, position(location), width as usize, message)
        }
        _ => Diagnostic::of_file(path, message),
    }
}

fn position(location: serde_saphyr::Location) -> Position {
    let number = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    Position {
        line: number(location.line()),
        column: number(location.column()),
    }
}

/// A node as the library hands it over, before the text of scalars is taken from the source.
struct Raw(Spanned<Shape>);

enum Shape {
    /// A plain scalar that the library resolved to something else than text.
    Resolved,
    Text(String),
    List(Vec<Raw>),
    Mapping(Vec<(Raw, Raw)>),
}

impl Raw {
    fn into_node(self, source: &str) -> Node {
        let Spanned {
            value,
            referenced,
            defined,
        } = self.0;
        let written = written(source, defined);
        let width = match &value {
            Shape::Resolved | Shape::Text(_) => written.lines().next().unwrap_or_default().chars().count(),
            Shape::List(_) | Shape::Mapping(_) => 1,
        };
        let value = match value {
            Shape::Resolved => Value::Scalar {
                // Quotes are there when a tag (`!!int "5"`) has decided the type.
                text: written.trim().trim_matches(['"', '\'']).to_owned(),
                is_plain: true,
            },
            Shape::Text(text) => Value::Scalar {
                is_plain: !written.starts_with(['"', '\'']) && !is_block(source, defined),
                text,
            },
            Shape::List(items) => Value::List(items.into_iter().map(|item| item.into_node(source)).collect()),
            Shape::Mapping(entries) => Value::Mapping(
                entries
                    .into_iter()
                    .map(|(key, value)| (key.into_node(source), value.into_node(source)))
                    .collect(),
            ),
        };
        Node {
            value,
            position: position(referenced),
            width: width.max(1),
        }
    }
}

/// The source text of a node; empty when the library does not say where it is.
fn written(source: &str, location: serde_saphyr::Location) -> &str {
    let span = location.span();
    let bounds = span.byte_offset().zip(span.byte_len());
    bounds
        .and_then(|(start, length)| source.get(start as usize..(start + length) as usize))
        .unwrap_or_default()
}

/// Whether the text at `location` is a block (`|`, `>`): the library says where its content starts, so the header is looked
/// for on the line above.
fn is_block(source: &str, location: serde_saphyr::Location) -> bool {
    let start = location.span().byte_offset().unwrap_or_default() as usize;
    let before = source.get(..start).unwrap_or_default().trim_end_matches([' ', '\t']);
    let header = before.trim_end().lines().next_back().unwrap_or_default();
    let header = header.split(" #").next().unwrap_or_default().trim_end();
    before.ends_with('\n')
        && header
            .trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-'))
            .ends_with(['|', '>'])
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Spanned::deserialize(deserializer).map(Raw)
    }
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShapeVisitor)
    }
}

struct ShapeVisitor;

impl<'de> Visitor<'de> for ShapeVisitor {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }
    fn visit_unit<E>(self) -> Result<Shape, E> {
        Ok(Shape::Resolved)
    }
    fn visit_bool<E>(self, _: bool) -> Result<Shape, E> {
        Ok(Shape::Resolved)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Shape, E> {
        Ok(Shape::Resolved)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Shape, E> {
        Ok(Shape::Resolved)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Shape, E> {
        Ok(Shape::Resolved)
    }
    fn visit_str<E>(self, text: &str) -> Result<Shape, E> {
        Ok(Shape::Text(text.to_owned()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Shape, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Shape::List(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shape, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Shape::Mapping(entries))
    }
}

#[cfg(test)]
mod tests;
