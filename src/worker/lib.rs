//! The data plane: tasks on cores, from fetched batch to committed offset.

pub mod command;
mod core;
pub mod engine;
