//! Confluent's transforms (`io.confluent.connect.transforms`), by name, keys and documented
//! behaviour; where the documentation is silent, the file says what was chosen.

pub mod drop;
pub mod extract_topic;
pub mod filter;
pub mod message_timestamp_router;
pub mod tombstone_handler;

#[cfg(test)]
mod tests;
