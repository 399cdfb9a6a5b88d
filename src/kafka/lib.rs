//! The Kafka wire client of the data path.
