//! The Kafka client's errors in the worker's words.

use millrace_api::error::{ConnectError, Stage};
use millrace_kafka::KafkaError;

pub(crate) fn produce_error(error: KafkaError) -> ConnectError {
    ConnectError::fatal("Kafka did not take records").at(Stage::KafkaProduce).caused_by(error)
}

pub(crate) fn consume_error(error: KafkaError) -> ConnectError {
    ConnectError::fatal("reading from Kafka failed").at(Stage::KafkaConsume).caused_by(error)
}

/// Settings that a client refuses, all at once.
pub(crate) fn client_refused(
    prefix: &str,
    problems: &[millrace_kafka::config::ConfigProblem],
) -> ConnectError {
    let all: Vec<String> = problems
        .iter()
        .map(|problem| {
            format!(
                "Invalid value {} for configuration {prefix}{}: {}",
                problem.value, problem.key, problem.why
            )
        })
        .collect();
    ConnectError {
        class: "org.apache.kafka.common.config.ConfigException",
        ..ConnectError::fatal(all.join("; "))
    }
}
