//! Nodes → typed values by the rules of Go's yaml.v3, which reads build.yml in linuxkit.
//!
//! The type that is wanted decides what a scalar means: `yes` is true where a flag is wanted and `yes` where text is
//! wanted. Each function takes one [`Node`] and gives the value or an error that points at it.

use super::diagnostic::{Diagnostic, nearest};
use super::node::{Document, Node, Value};

/// One entry of a mapping: key, the key's place, value.
pub(crate) type Entry<'n> = (&'n str, &'n Node, &'n Node);

impl Document<'_> {
    /// Text: any scalar as written; `None` for null, which leaves what was there before.
    pub(crate) fn text_value(&self, node: &Node, what: &str) -> Result<Option<String>, Diagnostic> {
        match &node.value {
            Value::Scalar { text, is_plain: true } if is_null(text) => Ok(None),
            Value::Scalar { text, .. } => Ok(Some(text.clone())),
            _ => Err(self.wrong_type(node, what, "text")),
        }
    }

    /// A flag: `true`, `false`, and the older `yes`, `y`, `on`, `no`, `n`, `off`, also in quotes.
    pub(crate) fn flag_value(&self, node: &Node, what: &str) -> Result<Option<bool>, Diagnostic> {
        let Value::Scalar { text, is_plain } = &node.value else {
            return Err(self.wrong_type(node, what, "true or false"));
        };
        match (text.as_str(), is_plain) {
            (text, true) if is_null(text) => Ok(None),
            ("true" | "True" | "TRUE", true) => Ok(Some(true)),
            ("false" | "False" | "FALSE", true) => Ok(Some(false)),
            ("y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON", _) => Ok(Some(true)),
            ("n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF", _) => Ok(Some(false)),
            _ => Err(self.wrong_type(node, what, "true or false")),
        }
    }

    /// A whole number between `least` and `most`.
    pub(crate) fn number_value(
        &self,
        node: &Node,
        what: &str,
        least: i128,
        most: i128,
    ) -> Result<Option<i128>, Diagnostic> {
        let number = match &node.value {
            Value::Scalar { text, is_plain: true } if is_null(text) => return Ok(None),
            Value::Scalar { text, is_plain: true } => whole_number(text),
            _ => None,
        };
        match number {
            Some(number) if (least..=most).contains(&number) => Ok(Some(number)),
            Some(_) => Err(self.error(node, format!("{what} must be a number from {least} to {most}"))),
            None => Err(self.wrong_type(node, what, "a whole number")),
        }
    }

    /// The items of a list; `None` for null.
    pub(crate) fn list_value<'n>(&self, node: &'n Node, what: &str) -> Result<Option<&'n [Node]>, Diagnostic> {
        match &node.value {
            Value::List(items) => Ok(Some(items)),
            Value::Scalar { text, is_plain: true } if is_null(text) => Ok(None),
            _ => Err(self.wrong_type(node, what, "a list")),
        }
    }

    /// A list of texts with their nodes; items that are null are left out, as Go does.
    pub(crate) fn texts_value<'n>(
        &self,
        node: &'n Node,
        what: &str,
    ) -> Result<Option<Vec<(String, &'n Node)>>, Diagnostic> {
        let Some(items) = self.list_value(node, what)? else {
            return Ok(None);
        };
        let texts = items.iter().map(|item| {
            let text = self.text_value(item, &format!("an item of {what}"))?;
            Ok(text.map(|text| (text, item)))
        });
        texts.filter_map(Result::transpose).collect::<Result<_, _>>().map(Some)
    }

    /// The entries of a mapping with their keys as text; `None` for null.
    pub(crate) fn mapping_value<'n>(&self, node: &'n Node, what: &str) -> Result<Option<Vec<Entry<'n>>>, Diagnostic> {
        let entries = match &node.value {
            Value::Mapping(entries) => entries,
            Value::Scalar { text, is_plain: true } if is_null(text) => return Ok(None),
            _ => return Err(self.wrong_type(node, what, "a mapping")),
        };
        let entries = entries.iter().map(|(key, value)| match &key.value {
            Value::Scalar { text, .. } => Ok((text.as_str(), key, value)),
            _ => Err(self.error(key, "a field's name must be text")),
        });
        entries.collect::<Result<_, _>>().map(Some)
    }

    /// A mapping whose keys must all be in `known`; an unknown one is an error that names the nearest.
    pub(crate) fn fields_value<'n>(
        &self,
        node: &'n Node,
        what: &str,
        known: &[&str],
    ) -> Result<Option<Vec<(&'n str, &'n Node)>>, Diagnostic> {
        let Some(entries) = self.mapping_value(node, what)? else {
            return Ok(None);
        };
        for (key, place, _) in &entries {
            if !known.contains(key) {
                let help = match nearest(key, known.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("known are {}", known.join(", ")),
                };
                return Err(self.error(place, format!("{what} has no field `{key}`: {help}")));
            }
        }
        Ok(Some(entries.into_iter().map(|(key, _, value)| (key, value)).collect()))
    }

    fn wrong_type(&self, node: &Node, what: &str, wanted: &str) -> Diagnostic {
        self.error(node, format!("{what} must be {wanted}, not {}", node.kind()))
    }
}

/// Whether a plain scalar is null.
pub(crate) fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// Whether a plain scalar means true, false or a number that is not whole, where nothing says which type is wanted.
pub(crate) fn is_flag_or_fraction(text: &str) -> bool {
    let is_number = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '.' | '+' | '-'));
    let is_special = matches!(
        text.trim_start_matches(['+', '-']).to_ascii_lowercase().as_str(),
        ".inf" | ".nan"
    );
    let lower = text.to_ascii_lowercase();
    matches!(lower.as_str(), "true" | "false") || is_special || (is_number && text.parse::<f64>().is_ok())
}

/// The number that a plain scalar is in Go: decimal, `0x`, `0o`, `0b`, octal after a leading zero, `_` between digits,
/// or a decimal fraction or power that is whole.
pub(crate) fn whole_number(text: &str) -> Option<i128> {
    let plain = text.replace('_', "");
    let (sign, digits) = match plain.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, plain.strip_prefix('+').unwrap_or(&plain)),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, rest) = match lower.as_str() {
        hex if hex.starts_with("0x") => (16, &hex[2..]),
        octal if octal.starts_with("0o") => (8, &octal[2..]),
        binary if binary.starts_with("0b") => (2, &binary[2..]),
        octal if octal.len() > 1 && octal.starts_with('0') && octal.bytes().all(|b| matches!(b, b'0'..=b'7')) => {
            (8, &octal[1..])
        }
        decimal => (10, decimal),
    };
    if !rest.starts_with(|c: char| c.is_digit(radix)) {
        return None;
    }
    if let Ok(number) = i128::from_str_radix(rest, radix) {
        return Some(sign * number);
    }
    let is_decimal = rest
        .bytes()
        .all(|b| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'+' | b'-'));
    let fraction = (radix == 10 && is_decimal)
        .then(|| rest.parse::<f64>().ok())
        .flatten()?;
    // Beyond 2^63 a float is not exact, and no field of a build.yml needs it.
    (fraction.fract() == 0.0 && fraction < 9e18).then_some(sign * fraction as i128)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn numbers_are_gos() {
        for (text, number) in [
            ("13", Some(13)),
            ("-1", Some(-1)),
            ("+1", Some(1)),
            ("0", Some(0)),
            ("0755", Some(493)),
            ("089", Some(89)),
            ("0o17", Some(15)),
            ("0x1F", Some(31)),
            ("0b101", Some(5)),
            ("1_000", Some(1000)),
            ("1e3", Some(1000)),
            ("2.0", Some(2)),
            ("2.5", None),
            ("x", None),
            ("0x", None),
            ("e3", None),
            ("--1", None),
            (".inf", None),
        ] {
            assert_eq!(whole_number(text), number, "{text}");
        }
    }

    #[test]
    fn flags_are_gos() {
        for (text, flag) in [
            ("true", Some(true)),
            ("yes", Some(true)),
            ("y", Some(true)),
            ("on", Some(true)),
            ("\"yes\"", Some(true)),
            ("TRUE", Some(true)),
            ("Yes", Some(true)),
            ("OFF", Some(false)),
            ("tRUE", None),
            ("yEs", None),
            ("no", Some(false)),
            ("off", Some(false)),
            ("False", Some(false)),
            ("\"true\"", None),
            ("1", None),
            ("[]", None),
        ] {
            let document = Document::parse(Path::new("f"), text).expect("is YAML");
            let read = document.flag_value(&document.root, "x").ok().flatten();
            assert_eq!(read, flag, "{text}");
        }
    }
}
