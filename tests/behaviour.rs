//! Behaviour by capability, against the real systems: one binary, so that they start once.
//!
//! - `bench`: the bench command measures, and its report and log can be read.
//! - `cluster`: three brokers of which one dies, members of a group that come and go, racks.
//! - `export`: the bulk job: everything is delivered, once, and goes on after a crash.
//! - `enrich`: records joined with tables, topics and files.
//! - `elasticsearch`: the sink against the real Elasticsearch 8 and OpenSearch 2.
//! - `registry`: Avro, JSON and Protobuf by a schema registry.
//! - `rest`: the worker as its REST clients see it.
//! - `parity`: the same topic, and the same requests, through the JVM worker and through ours.
//! - `faults`: wrong configuration, absent peers, full disks, bad records.
//! - `metrics`: what is counted, and what is logged.
//! - `tasks`: several tasks of one connector, paused and resumed.
//! - `oracle`: converters and transforms, record by record, beside the JVM's own classes.
//! - `runtime`: the engine where io_uring is forbidden.
//! - `sources`: files and requests into Kafka, through kills and restarts.
//! - `readme`: the commands that the README and the examples show.

#[path = "rig/mod.rs"]
mod rig;

#[path = "bench/mod.rs"]
mod bench;
#[path = "cluster/mod.rs"]
mod cluster;
#[path = "elasticsearch/mod.rs"]
mod elasticsearch;
#[path = "enrich/mod.rs"]
mod enrich;
#[path = "export/mod.rs"]
mod export;
#[path = "faults/mod.rs"]
mod faults;
#[path = "metrics/mod.rs"]
mod metrics;
#[path = "oracle/mod.rs"]
mod oracle;
#[path = "parity/mod.rs"]
mod parity;
#[path = "readme/mod.rs"]
mod readme;
#[path = "registry/mod.rs"]
mod registry;
#[path = "rest/mod.rs"]
mod rest;
#[path = "runtime/mod.rs"]
mod runtime;
#[path = "sources/mod.rs"]
mod sources;
#[path = "tasks/mod.rs"]
mod tasks;
