//! `config` of build.yml → the text of the label `org.mobyproject.config`, byte for byte as linuxkit writes it.
//!
//! linuxkit reads the field into Go structs and writes them with encoding/json. Here a table of fields ([`crate::yaml::fields`]) plays
//! the structs: which YAML key becomes which JSON key, in which order, and what is left out when empty.

use crate::yaml::fields::{Field, IMAGE_CONFIG, Kind};
use crate::yaml::{Diagnostic, Document, Node, Value, reader};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The label's text, or `None` when `config` is null.
pub(crate) fn label(document: &Document<'_>, node: &Node) -> Result<Option<String>, Diagnostic> {
    let mut json = String::new();
    let writer = Writer { document };
    let is_present = writer.structure(&mut json, IMAGE_CONFIG, Some(node), "config")?;
    Ok(is_present.then_some(json))
}

struct Writer<'a> {
    document: &'a Document<'a>,
}

impl Writer<'_> {
    /// Writes a struct as a JSON object; without a node (or with null) one of zero values. Says whether there was a node.
    fn structure(
        &self,
        json: &mut String,
        fields: &[Field],
        node: Option<&Node>,
        what: &str,
    ) -> Result<bool, Diagnostic> {
        let start = json.len();
        let is_present = self.members(json, fields, node, what)?;
        json.insert(start, '{');
        json.push('}');
        Ok(is_present)
    }

    /// The members of a struct, without the braces.
    fn members(
        &self,
        json: &mut String,
        fields: &[Field],
        node: Option<&Node>,
        what: &str,
    ) -> Result<bool, Diagnostic> {
        let known: Vec<&str> = fields.iter().map(|field| field.yaml).collect();
        let entries = match node {
            Some(node) => self.document.fields_value(node, &format!("`{what}`"), &known)?,
            None => None,
        };
        let start = json.len();
        for field in fields {
            let value = entries
                .iter()
                .flatten()
                .find(|(key, _)| *key == field.yaml)
                .map(|(_, value)| *value);
            let path = format!("{what}.{}", field.yaml);
            let mut member = String::new();
            let is_written = match field.kind {
                Kind::Embedded(fields) => {
                    self.members(&mut member, fields, value, &path)?;
                    true
                }
                _ => self.member(&mut member, field, value, &path)?,
            };
            if is_written {
                if json.len() > start {
                    json.push(',');
                }
                json.push_str(&member);
            }
        }
        Ok(entries.is_some())
    }

    /// `"key":value`; false when the field is to be left out.
    fn member(&self, json: &mut String, field: &Field, node: Option<&Node>, path: &str) -> Result<bool, Diagnostic> {
        let mut value = String::new();
        let is_present = match (field.kind, node) {
            // Go never omits a struct that is no pointer, `omitempty` or not.
            (Kind::Struct(fields), _) if !field.is_pointer => {
                self.structure(&mut value, fields, node, path)?;
                true
            }
            (kind, Some(node)) => self.value(&mut value, kind, node, path)?,
            (_, None) => false,
        };
        if !is_present {
            value.clear();
            value.push_str(if field.is_pointer { "null" } else { field.kind.zero() });
        }
        // Behind a pointer, empty is not absent.
        let is_empty = match field.is_pointer {
            true => !is_present,
            false => matches!(value.as_str(), "\"\"" | "0" | "false" | "null" | "[]" | "{}"),
        };
        if is_empty && field.omits_empty && !matches!((field.kind, field.is_pointer), (Kind::Struct(_), false)) {
            return Ok(false);
        }
        text(json, field.json);
        json.push(':');
        json.push_str(&value);
        Ok(true)
    }

    /// Writes a value; false when the node is null, and then nothing is written, save for a struct's zero.
    fn value(&self, json: &mut String, kind: Kind, node: &Node, path: &str) -> Result<bool, Diagnostic> {
        let what = format!("`{path}`");
        Ok(match kind {
            Kind::Text | Kind::Choice(_) => match self.document.text_value(node, &what)? {
                Some(value) => {
                    text(json, &value);
                    true
                }
                None => false,
            },
            Kind::Flag => match self.document.flag_value(node, &what)? {
                Some(value) => {
                    json.push_str(if value { "true" } else { "false" });
                    true
                }
                None => false,
            },
            Kind::Number(least, most) => match self.document.number_value(node, &what, least, most)? {
                Some(value) => write!(json, "{value}").is_ok(),
                None => false,
            },
            Kind::Id => self.id(json, node, &what)?,
            Kind::List(item) => self.list(json, item, node, path)?,
            Kind::Map(item) => self.map(json, item, node, path)?,
            Kind::Struct(fields) => self.structure(json, fields, Some(node), path)?,
            Kind::Embedded(fields) => self.members(json, fields, Some(node), path)?,
        })
    }

    /// A user or group: a number, or a name that is resolved when the image is assembled.
    fn id(&self, json: &mut String, node: &Node, what: &str) -> Result<bool, Diagnostic> {
        let wrong = || {
            let message = format!("{what} must be a number or a name, not {}", node.kind());
            self.document.error(node, message)
        };
        match &node.value {
            Value::Scalar { text, is_plain: true } if reader::is_null(text) => return Ok(false),
            Value::Scalar {
                text: plain,
                is_plain: true,
            } => match reader::whole_number(plain) {
                Some(number) => json.push_str(&number.to_string()),
                None if reader::is_flag_or_fraction(plain) => return Err(wrong()),
                None => text(json, plain),
            },
            Value::Scalar { text: name, .. } => text(json, name),
            Value::List(_) | Value::Mapping(_) => return Err(wrong()),
        }
        Ok(true)
    }

    /// Go leaves out items that are null, where an item cannot be null.
    fn list(&self, json: &mut String, item: &Kind, node: &Node, path: &str) -> Result<bool, Diagnostic> {
        let Some(nodes) = self.document.list_value(node, &format!("`{path}`"))? else {
            return Ok(false);
        };
        let mut items = Vec::with_capacity(nodes.len());
        for (index, node) in nodes.iter().enumerate() {
            let mut value = String::new();
            if self.value(&mut value, *item, node, &format!("{path}[{index}]"))? {
                items.push(value);
            } else if matches!(item, Kind::Id) {
                items.push("null".to_owned());
            }
        }
        json.push('[');
        json.push_str(&items.join(","));
        json.push(']');
        Ok(true)
    }

    /// Go writes the keys of a map sorted; a null value is the type's zero.
    fn map(&self, json: &mut String, item: &Kind, node: &Node, path: &str) -> Result<bool, Diagnostic> {
        let Some(nodes) = self.document.mapping_value(node, &format!("`{path}`"))? else {
            return Ok(false);
        };
        let mut entries = BTreeMap::new();
        for (key, _, node) in nodes {
            let mut value = String::new();
            if !self.value(&mut value, *item, node, &format!("{path}.{key}"))? && value.is_empty() {
                value.push_str(item.zero());
            }
            entries.insert(key, value);
        }
        json.push('{');
        for (index, (key, value)) in entries.into_iter().enumerate() {
            if index > 0 {
                json.push(',');
            }
            text(json, key);
            json.push(':');
            json.push_str(&value);
        }
        json.push('}');
        Ok(true)
    }
}

/// A JSON string as Go's encoding/json writes it, with its escapes for HTML.
fn text(json: &mut String, value: &str) {
    json.push('"');
    for c in value.chars() {
        match c {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            '\u{8}' => json.push_str("\\b"),
            '\u{c}' => json.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                json.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            _ => json.push(c),
        }
    }
    json.push('"');
}

#[cfg(test)]
mod tests;
