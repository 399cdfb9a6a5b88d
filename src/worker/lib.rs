//! The data plane: tasks on cores, from fetched batch to committed offset.

mod bounds;
pub mod command;
mod control;
mod core;
mod dead_letters;
pub mod engine;
mod error_policy;
mod kafka_errors;
pub mod metrics;
mod outgoing;
mod plan;
mod reporter;
mod schema_registry;
mod sending;
pub mod settings;
mod settlement;
mod sink_assignment;
mod sink_batch;
mod sink_offsets;
mod sink_task;
pub mod source_offsets;
mod source_task;
mod task;
mod topic_creation;
mod transformation_chain;
pub mod trial;
mod workspace;
