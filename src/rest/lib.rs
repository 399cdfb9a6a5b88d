//! The REST sidecar: Kafka Connect's HTTP API.
