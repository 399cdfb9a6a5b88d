//! The null sink: takes everything and keeps nothing. For measuring what comes before a sink.

mod config;
mod latency;
mod task;
#[cfg(test)]
mod tests;

use millrace_api::connector::{ConnectorPlugin, NewTask, SameConfigForAll, no_cross_checks};

pub use task::NullSinkTask;

/// `millrace.NullSinkConnector`.
pub const SINK: ConnectorPlugin = ConnectorPlugin {
    class: "millrace.NullSinkConnector",
    task_class: "millrace.NullSinkTask",
    also: &["NullSink"],
    version: env!("CARGO_PKG_VERSION"),
    config_def: config::config_def,
    validate: no_cross_checks,
    connector: || Box::new(SameConfigForAll::new(None)),
    task: NewTask::Sink(|| Box::new(NullSinkTask::default())),
};
