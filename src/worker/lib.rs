//! The data plane: tasks on cores, from fetched batch to committed offset.

pub mod command;
mod control;
mod core;
pub mod engine;
mod error_policy;
mod plan;
mod reporter;
mod settings;
mod sink_offsets;
mod task;
mod transformation_chain;
