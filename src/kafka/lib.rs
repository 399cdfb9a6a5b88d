//! The Kafka wire client of the data path.
//!
//! [`cluster::Cluster`] knows the brokers, [`consumer`] and `producer` move records through them,
//! [`admin`] makes topics. Everything runs on one core through `millrace_net::rt`: nothing here is
//! `Send`. What decides (parsing of fetch responses, fetch sessions, assignment, membership) does no
//! IO and is driven by what does.

pub mod acls;
pub mod admin;
pub mod backoff;
pub mod cluster;
pub mod compression;
pub mod config;
pub mod connection;
pub mod consumer;
pub mod error;
pub mod fetch;
pub mod group;
pub mod group_admin;
mod heard;
mod lent;
mod local;
pub mod metadata;
pub mod offsets;
mod openings;
pub mod partitioner;
pub mod partitions;
pub mod producer;
pub mod record_batch;
mod sasl;
#[cfg(test)]
mod test_rig;
pub mod topic_settings;
mod transport;
pub mod untrusted;
pub mod versions;
pub mod wire;

pub use cluster::Cluster;
pub use error::{ErrorKind, KafkaError};
