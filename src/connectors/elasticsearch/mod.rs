//! The Elasticsearch sink: `io.confluent.connect.elasticsearch.ElasticsearchSinkConnector`, for
//! Elasticsearch from 7 on and OpenSearch.
//!
//! Records become actions of bulk requests, written straight into the request's body. Several requests
//! are under way at once; an offset counts as durable only when every document before it has its
//! answer, so that a task that starts again repeats some documents, which their ids and versions make
//! the same documents.
//!
//! Where it differs from Confluent's: an overloaded cluster (429, 503) is waited for up to
//! `flush.timeout.ms` instead of ending the task; only the refused documents of a request are sent
//! again; a request that is too large is split; upserts and deletes of one id never overtake each
//! other; transforms may change topics without `flush.synchronously`. With a dead letter queue (or
//! `errors.log.enable`) each batch that was polled is seen through before the next, since only then can
//! a refused record still be reported. Not built in: Kerberos and Java
//! key stores (PEM files do).

mod answer;
mod bulk;
mod cluster;
mod config;
mod define;
mod delivery;
pub mod document;
mod flights;
mod mapping;
mod members;
mod payload;
pub mod resources;
mod task;
mod tls;

#[cfg(test)]
mod rig;
#[cfg(test)]
mod tests;

use millrace_api::connector::{ConnectorPlugin, NewTask, SameConfigForAll};

pub use task::ElasticsearchSinkTask;

/// What this folder gives.
pub const SINK: ConnectorPlugin = ConnectorPlugin {
    class: "io.confluent.connect.elasticsearch.ElasticsearchSinkConnector",
    task_class: "io.confluent.connect.elasticsearch.ElasticsearchSinkTask",
    also: &[],
    version: env!("CARGO_PKG_VERSION"),
    config_def: define::config_def,
    validate: config::validate,
    connector: || Box::new(SameConfigForAll::new(None)),
    task: NewTask::Sink(|| Box::new(ElasticsearchSinkTask::default())),
};
