//! Tests that need real servers, or run the program itself; one module a subject.

mod assemble;
mod attest;
mod bad_input;
mod build;
mod builder;
mod cli;
mod docker;
mod filesync;
mod gate;
mod house;
mod program;
mod registry;
mod same;
mod servers;
mod store;
