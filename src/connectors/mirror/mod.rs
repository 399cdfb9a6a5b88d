//! MirrorMaker 2's source connector: topics of one Kafka cluster, mirrored into another, from the
//! same configuration and the same stored offsets as the JVM's; and its heartbeats (`heartbeat.rs`).
//!
//! 1. `source.rs` plans: it looks at the topics of both clusters (`upkeep.rs`), makes those that the
//!    target lacks and shares their partitions out. Now and then it looks again, has the tasks
//!    planned anew, and keeps settings and access rights of the mirrors alike.
//! 2. `task.rs` reads its partitions by the engine's own consumer. Decompressed batches move into the
//!    worker's arena as they are and records borrow from them; partition, timestamp and headers stay.
//! 3. When the target has acknowledged records, the worker tells their offsets, and `offset_syncs.rs`
//!    notes now and then which upstream offset is which in the mirror.
//!
//! `policy.rs` names topics, `filter.rs` chooses them, `clients.rs` says which keys reach which
//! client. Metrics of MirrorMaker's own (`record-count` and the like, by topic and partition) are not
//! there; those of source tasks are.

mod client_rows;
mod clients;
mod config;
mod filter;
mod heartbeat;
mod offset_syncs;
mod policy;
mod source;
mod task;
#[cfg(test)]
mod tests;
mod upkeep;
mod wanted_offsets;

use millrace_api::connector::{ConnectorPlugin, NewTask};

pub use heartbeat::{MirrorHeartbeatConnector, MirrorHeartbeatTask};
pub use source::MirrorSourceConnector;
pub use task::MirrorSourceTask;

/// All of them.
pub const PLUGINS: [ConnectorPlugin; 2] = [HEARTBEAT, SOURCE];

/// `org.apache.kafka.connect.mirror.MirrorHeartbeatConnector`.
pub const HEARTBEAT: ConnectorPlugin = ConnectorPlugin {
    class: "org.apache.kafka.connect.mirror.MirrorHeartbeatConnector",
    task_class: "org.apache.kafka.connect.mirror.MirrorHeartbeatTask",
    also: &[],
    version: env!("CARGO_PKG_VERSION"),
    config_def: config::heartbeat_config_def,
    validate: config::validate_heartbeat,
    connector: || Box::new(MirrorHeartbeatConnector::default()),
    task: NewTask::Source(|| Box::new(MirrorHeartbeatTask::default())),
};

/// `org.apache.kafka.connect.mirror.MirrorSourceConnector`.
pub const SOURCE: ConnectorPlugin = ConnectorPlugin {
    class: "org.apache.kafka.connect.mirror.MirrorSourceConnector",
    task_class: "org.apache.kafka.connect.mirror.MirrorSourceTask",
    also: &[],
    version: env!("CARGO_PKG_VERSION"),
    config_def: config::config_def,
    validate: config::validate,
    connector: || Box::new(MirrorSourceConnector::default()),
    task: NewTask::Source(|| Box::new(MirrorSourceTask::default())),
};
