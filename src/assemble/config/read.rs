//! A parsed file → a JSON value with one spelling for each field, by the table of fields. All that is wrong is collected.

use super::fields::ROOT;
use crate::yaml::fields::{Field, Kind};
use crate::yaml::{Diagnostic, Document, Node, Value, nearest, reader};
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;

/// What was read: values, where each stands, and what is wrong.
#[derive(Debug)]
pub(super) struct Read<'n> {
    pub(super) json: Json,
    /// By path: `services[1].name`.
    pub(super) nodes: BTreeMap<String, &'n Node>,
    pub(super) problems: Vec<Diagnostic>,
}

/// Reads a whole image YAML.
pub(super) fn read<'n>(document: &'n Document<'_>) -> Read<'n> {
    read_fields(document, ROOT, "the image YAML")
}

/// Reads a mapping with these fields at the top of a document.
pub(super) fn read_fields<'n>(document: &'n Document<'_>, fields: &[Field], what: &'n str) -> Read<'n> {
    let mut reader = Reader {
        document,
        what,
        nodes: BTreeMap::new(),
        problems: Vec::new(),
    };
    let json = reader.structure(fields, &document.root, "").unwrap_or_default();
    Read {
        json: if json.is_null() { Json::Object(Map::new()) } else { json },
        nodes: reader.nodes,
        problems: reader.problems,
    }
}

struct Reader<'n, 'd> {
    document: &'n Document<'d>,
    what: &'n str,
    nodes: BTreeMap<String, &'n Node>,
    problems: Vec<Diagnostic>,
}

impl<'n> Reader<'n, '_> {
    fn structure(&mut self, fields: &[Field], node: &'n Node, path: &str) -> Option<Json> {
        let what = match path {
            "" => self.what.to_owned(),
            path => format!("`{path}`"),
        };
        let entries = self.document.mapping_value(node, &what);
        let entries = self.keep(entries)??;
        let mut all = Map::new();
        for (key, place, value) in entries {
            match find(fields, key) {
                Some(field) => {
                    let path = if path.is_empty() {
                        key.to_owned()
                    } else {
                        format!("{path}.{key}")
                    };
                    if let Some(value) = self.value(field.kind, value, &path) {
                        all.insert(field.json.to_owned(), value);
                    }
                }
                None => {
                    let help = help(fields, key);
                    let problem = self
                        .document
                        .error(place, format!("{what} has no field `{key}`: {help}"));
                    self.problems.push(problem);
                }
            }
        }
        Some(Json::Object(all))
    }

    fn value(&mut self, kind: Kind, node: &'n Node, path: &str) -> Option<Json> {
        self.nodes.insert(path.to_owned(), node);
        let what = format!("`{path}`");
        let document = self.document;
        match kind {
            Kind::Text => self.keep(document.text_value(node, &what))?.map(Json::from),
            Kind::Choice(known) => {
                let text = self.keep(document.text_value(node, &what))??;
                if known.contains(&text.as_str()) {
                    return Some(text.into());
                }
                let known = known
                    .iter()
                    .map(|one| format!("`{one}`"))
                    .collect::<Vec<_>>()
                    .join(" or ");
                let problem = document.error(node, format!("{what} must be {known}, not `{text}`"));
                self.problems.push(problem);
                None
            }
            Kind::Flag => self.keep(document.flag_value(node, &what))?.map(Json::from),
            Kind::Number(least, most) => {
                let number = self.keep(document.number_value(node, &what, least, most))??;
                let small = i64::try_from(number).map(Json::from);
                small.or_else(|_| u64::try_from(number).map(Json::from)).ok()
            }
            Kind::Id => self.id(node, &what),
            Kind::List(item) => {
                let items = self.keep(document.list_value(node, &what))??;
                let mut values = Vec::with_capacity(items.len());
                for (number, one) in items.iter().enumerate() {
                    // Items that are null are left out, as Go does.
                    values.extend(self.value(*item, one, &format!("{path}[{number}]")));
                }
                Some(Json::Array(values))
            }
            Kind::Map(item) => {
                let entries = self.keep(document.mapping_value(node, &what))??;
                let mut all = Map::new();
                for (key, _, one) in entries {
                    if let Some(value) = self.value(*item, one, &format!("{path}.{key}")) {
                        all.insert(key.to_owned(), value);
                    }
                }
                Some(Json::Object(all))
            }
            Kind::Struct(fields) | Kind::Embedded(fields) => self.structure(fields, node, path),
        }
    }

    /// A user or group: a number, or a name that is resolved later.
    fn id(&mut self, node: &Node, what: &str) -> Option<Json> {
        match &node.value {
            Value::Scalar { text, is_plain: true } if reader::is_null(text) => None,
            Value::Scalar { text, is_plain } => {
                let number = is_plain.then(|| reader::whole_number(text)).flatten();
                match number.map(u32::try_from) {
                    Some(Ok(number)) => Some(number.into()),
                    None if !(*is_plain && reader::is_flag_or_fraction(text)) => Some(text.as_str().into()),
                    _ => self.wrong_id(node, what),
                }
            }
            _ => self.wrong_id(node, what),
        }
    }

    fn wrong_id(&mut self, node: &Node, what: &str) -> Option<Json> {
        let message = format!("{what} must be a number or a name, not {}", node.kind());
        self.problems.push(self.document.error(node, message));
        None
    }

    fn keep<T>(&mut self, read: Result<T, Diagnostic>) -> Option<T> {
        read.map_err(|problem| self.problems.push(problem)).ok()
    }
}

/// The field of this name, also among embedded ones.
fn find<'f>(fields: &'f [Field], key: &str) -> Option<&'f Field> {
    fields.iter().find_map(|field| match field.kind {
        Kind::Embedded(inner) => find(inner, key),
        _ => Some(field).filter(|field| field.json == key || field.yaml == key),
    })
}

/// The names of all fields, also of embedded ones.
pub(super) fn names(fields: &[Field]) -> Vec<&'static str> {
    let names = fields.iter().flat_map(|field| match field.kind {
        Kind::Embedded(inner) => names(inner),
        _ => vec![field.json],
    });
    names.collect()
}

fn help(fields: &[Field], key: &str) -> String {
    let known = names(fields);
    match nearest(key, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known are {}", known.join(", ")),
    }
}
