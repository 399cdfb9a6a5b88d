//! The file sink: `org.apache.kafka.connect.file`.

mod config;
mod output;
mod task;
#[cfg(test)]
mod tests;

use millrace_api::connector::{ConnectorPlugin, NewTask, SameConfigForAll, no_cross_checks};

pub use task::FileStreamSinkTask;

/// `org.apache.kafka.connect.file.FileStreamSinkConnector`.
pub const SINK: ConnectorPlugin = ConnectorPlugin {
    class: "org.apache.kafka.connect.file.FileStreamSinkConnector",
    task_class: "org.apache.kafka.connect.file.FileStreamSinkTask",
    also: &["FileStreamSink"],
    version: env!("CARGO_PKG_VERSION"),
    config_def: config::sink_config_def,
    validate: no_cross_checks,
    connector: || Box::new(SameConfigForAll::new(None).with_alterable_offsets()),
    task: NewTask::Sink(|| Box::new(FileStreamSinkTask::default())),
};
