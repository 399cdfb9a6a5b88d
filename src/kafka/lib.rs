//! The Kafka wire client of the data path.

pub mod compression;
pub mod record_batch;
