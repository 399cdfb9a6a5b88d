//! The file sink and the file source: `org.apache.kafka.connect.file`.

mod config;
mod input;
mod lines;
mod output;
mod source;
mod source_task;
#[cfg(test)]
mod source_tests;
mod task;
#[cfg(test)]
mod tests;

use millrace_api::connector::{ConnectorPlugin, NewTask, SameConfigForAll, no_cross_checks};

pub use source_task::FileStreamSourceTask;
pub use task::FileStreamSinkTask;

/// The list of this folder.
pub const PLUGINS: [ConnectorPlugin; 2] = [SINK, SOURCE];

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

/// `org.apache.kafka.connect.file.FileStreamSourceConnector`.
pub const SOURCE: ConnectorPlugin = ConnectorPlugin {
    class: "org.apache.kafka.connect.file.FileStreamSourceConnector",
    task_class: "org.apache.kafka.connect.file.FileStreamSourceTask",
    also: &["FileStreamSource"],
    version: env!("CARGO_PKG_VERSION"),
    config_def: config::source_config_def,
    validate: no_cross_checks,
    connector: || Box::new(source::FileStreamSourceConnector::default()),
    task: NewTask::Source(|| Box::new(FileStreamSourceTask::default())),
};
