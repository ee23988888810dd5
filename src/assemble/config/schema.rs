//! The table of fields → a JSON schema, so that the two cannot drift apart.

use super::fields::ROOT;
use crate::yaml::fields::{Field, Kind};
use serde_json::{Map, Value, json};

/// The JSON schema of an image YAML, for editors and other tools.
pub fn schema() -> Value {
    let mut schema = structure(ROOT, &[]);
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("$schema".to_owned(), "http://json-schema.org/draft-07/schema#".into());
        schema.insert("title".to_owned(), "lkpkg image YAML".into());
    }
    schema
}

fn structure(fields: &[Field], required: &[&str]) -> Value {
    let mut properties = Map::new();
    add(fields, &mut properties);
    let mut schema = json!({"type": "object", "additionalProperties": false, "properties": properties});
    if !required.is_empty() {
        schema["required"] = required.into();
    }
    schema
}

fn add(fields: &[Field], properties: &mut Map<String, Value>) {
    for field in fields {
        match field.kind {
            Kind::Embedded(inner) => add(inner, properties),
            kind => {
                properties.insert(field.json.to_owned(), value(kind));
                // The spelling of linuxkit's own reader.
                properties.insert(field.yaml.to_owned(), value(kind));
            }
        }
    }
}

fn value(kind: Kind) -> Value {
    match kind {
        // Any scalar is text, as written.
        Kind::Text => json!({"type": ["string", "number", "boolean", "null"]}),
        Kind::Choice(known) => json!({"enum": known}),
        Kind::Flag => json!({"type": ["boolean", "null"]}),
        Kind::Number(least, most) => {
            let mut schema = json!({"type": ["integer", "null"]});
            // Bounds that JSON readers keep exactly.
            if let (Ok(least), Ok(most)) = (i32::try_from(least), u32::try_from(most)) {
                schema["minimum"] = least.into();
                schema["maximum"] = most.into();
            }
            schema
        }
        Kind::Id => json!({"type": ["string", "integer", "null"]}),
        Kind::List(item) => json!({"type": ["array", "null"], "items": value(*item)}),
        Kind::Map(item) => json!({"type": ["object", "null"], "additionalProperties": value(*item)}),
        Kind::Struct(fields) | Kind::Embedded(fields) => {
            let names = super::read::names(fields);
            let required: &[&str] = match (names.contains(&"name"), names.contains(&"capabilities")) {
                (true, true) => &["name", "image"],
                _ if names.contains(&"format") => &["name"],
                _ if names.contains(&"symlink") => &["path"],
                _ => &[],
            };
            structure(fields, required)
        }
    }
}
