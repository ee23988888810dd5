//! An image YAML as text again: what was merged, with every name resolved. The same description gives the same bytes.

use super::fields::ROOT;
use super::model::ImageYaml;
use crate::yaml::fields::{Field, Kind};
use serde_json::Value;
use std::fmt::Write as _;

/// The description as YAML that can be read again.
pub fn yaml(image: &ImageYaml) -> String {
    let mut text = String::new();
    // Nothing in it can fail to be written: its maps have texts as keys.
    let value = serde_json::to_value(image).unwrap_or_default();
    structure(&mut text, ROOT, &value, 0, false);
    text
}

/// The fields in the order of the table, those that say something; the first goes on where the line is.
fn structure(text: &mut String, fields: &[Field], value: &Value, depth: usize, goes_on: bool) {
    let mut goes_on = goes_on;
    for field in flat(fields) {
        let Some(value) = value.get(field.json).filter(|value| !is_empty(value, depth == 0)) else {
            continue;
        };
        begin(text, depth, &mut goes_on);
        let _ = write!(text, "{}:", scalar(field.json));
        of_kind(text, field.kind, value, depth);
    }
    if goes_on {
        text.push_str("{}\n");
    }
}

fn of_kind(text: &mut String, kind: Kind, value: &Value, depth: usize) {
    match (kind, value) {
        (Kind::Struct(fields), Value::Object(all)) if !all.is_empty() => {
            text.push('\n');
            structure(text, fields, value, depth + 1, false);
        }
        (Kind::List(item), Value::Array(items)) if !items.is_empty() => {
            text.push('\n');
            for one in items {
                let mut goes_on = false;
                begin(text, depth, &mut goes_on);
                text.push('-');
                match item {
                    Kind::Struct(fields) => {
                        text.push(' ');
                        structure(text, fields, one, depth + 1, true);
                    }
                    item => of_kind(text, *item, one, depth + 1),
                }
            }
        }
        (Kind::Map(item), Value::Object(all)) if !all.is_empty() => {
            text.push('\n');
            for (key, one) in all {
                let mut goes_on = false;
                begin(text, depth + 1, &mut goes_on);
                let _ = write!(text, "{}:", scalar(key));
                of_kind(text, *item, one, depth + 1);
            }
        }
        (_, Value::String(one)) => {
            let _ = writeln!(text, " {}", scalar(one));
        }
        (_, value) => {
            let _ = writeln!(text, " {value}");
        }
    }
}

fn begin(text: &mut String, depth: usize, goes_on: &mut bool) {
    if !std::mem::take(goes_on) {
        text.push_str(&"  ".repeat(depth));
    }
}

/// At the top, sections that are empty are left out; below, an empty list can mean something.
fn is_empty(value: &Value, is_top: bool) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => is_top && items.is_empty(),
        Value::Object(all) => is_top && all.is_empty(),
        _ => false,
    }
}

fn flat(fields: &[Field]) -> Vec<&Field> {
    let fields = fields.iter().flat_map(|field| match field.kind {
        Kind::Embedded(inner) => flat(inner),
        _ => vec![field],
    });
    fields.collect()
}

/// Text that every reader of YAML takes for this text: plain where it cannot be mistaken, else as JSON writes it.
fn scalar(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | ':' | '@' | '=' | '+');
    let first = text.chars().next().unwrap_or(' ');
    let is_word = (first.is_ascii_alphabetic() || first == '/')
        && text.chars().all(is_plain)
        && !text.ends_with(':')
        && !crate::yaml::reader::is_null(text)
        && !crate::yaml::reader::is_flag_or_fraction(text)
        && !matches!(
            text.to_ascii_lowercase().as_str(),
            "y" | "n" | "yes" | "no" | "on" | "off" | "true" | "false"
        );
    match is_word {
        true => text.to_owned(),
        false => Value::from(text).to_string(),
    }
}
