//! YAML with places: text → `Node`s that know line and column, nodes → values by Go's rules, and [`Diagnostic`]s that show
//! the line that is wrong. What the fields mean is for the rooms that own the files.

mod diagnostic;
pub(crate) mod fields;
mod node;
pub(crate) mod reader;

pub(crate) use diagnostic::nearest;
pub use diagnostic::{Diagnostic, Position};
pub(crate) use node::{Document, Node, Value};
