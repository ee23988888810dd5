//! Tests that need real servers, or run the program itself; one module a subject.

mod servers;
mod store;
