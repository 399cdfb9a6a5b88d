//! The S3 sink: `io.confluent.connect.s3.S3SinkConnector`, and the keys of Aiven's beside it.
//!
//! Objects are named by where they begin, `topics/<topic>/<folder>/<topic>+<partition>+<offset>.json`,
//! and are in the bucket whole or not at all, so that with a partitioner and a rotation that depend on
//! the records only (no wall clock) every record is there exactly once. With `store.url=file:///folder`
//! the same layout is written below a local folder.
//!
//! Not built in: Avro and Parquet files, files of keys and headers, schema projection
//! (`schema.compatibility`), assumed roles, instance metadata as a source of credentials.

mod aiven;
mod client;
pub mod config;
mod credentials;
mod refusal;
mod sign;
mod task;
mod xml;

#[cfg(test)]
mod rig;
#[cfg(test)]
mod tests;

use millrace_api::connector::{ConnectorPlugin, NewTask, SameConfigForAll};

/// Confluent's keys.
const CONFLUENT: ConnectorPlugin = ConnectorPlugin {
    class: "io.confluent.connect.s3.S3SinkConnector",
    task_class: "io.confluent.connect.s3.S3SinkTask",
    also: &[],
    version: env!("CARGO_PKG_VERSION"),
    config_def: config::config_def,
    validate: config::validate,
    connector: || Box::new(SameConfigForAll::new(None)),
    task: NewTask::Sink(|| Box::new(task::S3SinkTask::new(config::parse))),
};

/// Aiven's keys.
const AIVEN: ConnectorPlugin = ConnectorPlugin {
    class: "io.aiven.kafka.connect.s3.AivenKafkaConnectS3SinkConnector",
    task_class: "io.aiven.kafka.connect.s3.S3SinkTask",
    also: &["io.aiven.kafka.connect.s3.S3SinkConnector"],
    config_def: aiven::config_def,
    validate: aiven::validate,
    task: NewTask::Sink(|| Box::new(task::S3SinkTask::new(aiven::parse))),
    ..CONFLUENT
};

/// What this folder gives.
pub const PLUGINS: [ConnectorPlugin; 2] = [CONFLUENT, AIVEN];
