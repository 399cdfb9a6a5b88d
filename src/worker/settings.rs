//! The keys of worker and connector that the data plane itself reads, and the clients' settings
//! derived from them as the JVM worker derives them.

use std::collections::BTreeMap;
use std::time::Duration;

use millrace_api::Config;
use millrace_api::config_def::split_list;
use millrace_api::error::ConnectError;

use crate::command::TaskId;

fn number(config: &Config, key: &str, default: i64) -> i64 {
    config.get(key).and_then(|text| text.trim().parse().ok()).unwrap_or(default)
}

fn flag(config: &Config, key: &str) -> bool {
    config.get(key).is_some_and(|text| text.trim().eq_ignore_ascii_case("true"))
}

/// `task.shutdown.graceful.timeout.ms`.
pub(crate) fn graceful_shutdown(worker: &Config) -> Duration {
    Duration::from_millis(number(worker, "task.shutdown.graceful.timeout.ms", 5000).max(0) as u64)
}

/// How long a task may hold its core without a pause; 0: for ever.
pub const MAX_BLOCK: &str = "millrace.task.max.block.ms";

/// The memory that a task may hold; 0: any.
pub const TASK_MEMORY: &str = "millrace.task.memory.bytes";

/// [`TASK_MEMORY`], if there is a bound.
pub(crate) fn task_memory(worker: &Config) -> Option<usize> {
    usize::try_from(number(worker, TASK_MEMORY, 0)).ok().filter(|bytes| *bytes > 0)
}

/// `offset.flush.interval.ms`.
pub(crate) fn flush_interval(worker: &Config) -> Duration {
    Duration::from_millis(number(worker, "offset.flush.interval.ms", 60_000).max(1) as u64)
}

/// `offset.flush.timeout.ms`.
pub(crate) fn flush_timeout(worker: &Config) -> Duration {
    Duration::from_millis(number(worker, "offset.flush.timeout.ms", 5000).max(1) as u64)
}

/// The error-handling keys of a connector (`errors.*`).
#[derive(Clone, Debug)]
pub(crate) struct ErrorSettings {
    pub tolerate_all: bool,
    /// `None` retries for ever.
    pub retry_timeout: Option<Duration>,
    /// `errors.retry.timeout` is not set: what waits for a schema registry waits until it is back.
    pub retry_unset: bool,
    pub retry_delay_max: Duration,
    pub log: bool,
    pub log_messages: bool,
    pub dead_letter_topic: Option<String>,
    pub dead_letter_replication: i16,
    pub dead_letter_context: bool,
}

impl ErrorSettings {
    pub(crate) fn of(connector: &Config) -> Self {
        let retry = number(connector, "errors.retry.timeout", 0);
        let topic = connector.get("errors.deadletterqueue.topic.name").map(|text| text.trim());
        Self {
            tolerate_all: connector
                .get("errors.tolerance")
                .is_some_and(|text| text.trim().eq_ignore_ascii_case("all")),
            retry_unset: !connector.contains_key("errors.retry.timeout"),
            retry_timeout: (retry >= 0).then(|| Duration::from_millis(retry as u64)),
            retry_delay_max: Duration::from_millis(
                number(connector, "errors.retry.delay.max.ms", 60_000).max(1) as u64,
            ),
            log: flag(connector, "errors.log.enable"),
            log_messages: flag(connector, "errors.log.include.messages"),
            dead_letter_topic: topic.filter(|text| !text.is_empty()).map(str::to_owned),
            dead_letter_replication: number(
                connector,
                "errors.deadletterqueue.topic.replication.factor",
                3,
            ) as i16,
            dead_letter_context: flag(connector, "errors.deadletterqueue.context.headers.enable"),
        }
    }

    pub(crate) fn has_reporter(&self) -> bool {
        self.log || self.dead_letter_topic.is_some()
    }
}

/// What a sink reads.
pub(crate) enum Subscription {
    Topics(Vec<String>),
    Pattern(String),
}

impl Subscription {
    pub(crate) fn of(connector: &Config) -> Result<Self, ConnectError> {
        let mut topics = connector.get("topics").map(|text| split_list(text)).unwrap_or_default();
        topics.retain(|topic| !topic.is_empty());
        topics.sort();
        topics.dedup();
        if !topics.is_empty() {
            return Ok(Self::Topics(topics));
        }
        match connector.get("topics.regex").map(|text| text.trim()) {
            Some(pattern) if !pattern.is_empty() => Ok(Self::Pattern(pattern.to_owned())),
            _ => Err(ConnectError::fatal("Must configure one of topics or topics.regex")),
        }
    }
}

/// `config` with every key that starts with `prefix`, the prefix cut off, laid over `base`.
fn overlay(base: &mut BTreeMap<String, String>, config: &Config, prefix: &str) {
    for (key, value) in config {
        if let Some(key) = key.strip_prefix(prefix) {
            base.insert(key.to_owned(), value.clone());
        }
    }
}

fn bootstrap(worker: &Config) -> (String, String) {
    let servers = worker.get("bootstrap.servers").map_or("localhost:9092", String::as_str);
    ("bootstrap.servers".to_owned(), servers.to_owned())
}

/// A sink task's consumer: defaults, then the worker's `consumer.*`, then `consumer.override.*`.
pub fn consumer(worker: &Config, connector: &Config, id: &TaskId) -> BTreeMap<String, String> {
    let mut config = BTreeMap::from([
        bootstrap(worker),
        ("group.id".to_owned(), format!("connect-{}", id.connector)),
        ("client.id".to_owned(), format!("connector-consumer-{id}")),
        ("enable.auto.commit".to_owned(), "false".to_owned()),
        ("auto.offset.reset".to_owned(), "earliest".to_owned()),
    ]);
    overlay(&mut config, worker, "consumer.");
    overlay(&mut config, connector, "consumer.override.");
    config
}

/// A producer: Connect's defaults, then the worker's `producer.*`, then `producer.override.*`.
pub fn producer(
    worker: &Config,
    connector: &Config,
    client_id: String,
) -> BTreeMap<String, String> {
    let fixed = [
        ("max.block.ms", "9223372036854775807"),
        ("enable.idempotence", "false"),
        ("acks", "all"),
        ("max.in.flight.requests.per.connection", "1"),
        ("delivery.timeout.ms", "2147483647"),
    ];
    let mut config: BTreeMap<String, String> =
        fixed.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    config.extend([bootstrap(worker), ("client.id".to_owned(), client_id)]);
    overlay(&mut config, worker, "producer.");
    overlay(&mut config, connector, "producer.override.");
    config
}

/// An admin client: the worker's own client settings, then `admin.*`, then `admin.override.*`.
pub fn admin(worker: &Config, connector: &Config, client_id: String) -> BTreeMap<String, String> {
    let mut config = worker.clone();
    config.extend([bootstrap(worker), ("client.id".to_owned(), client_id)]);
    overlay(&mut config, worker, "admin.");
    overlay(&mut config, connector, "admin.override.");
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> Config {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_connectors_override_wins_over_the_workers_prefix_and_the_default() {
        let worker = config(&[
            ("bootstrap.servers", "k:1"),
            ("consumer.fetch.min.bytes", "7"),
            ("consumer.auto.offset.reset", "latest"),
            ("security.protocol", "SSL"),
        ]);
        let connector = config(&[("consumer.override.fetch.min.bytes", "9")]);
        let id = TaskId { connector: "c".into(), task: 3 };
        let made = consumer(&worker, &connector, &id);
        assert_eq!(made["fetch.min.bytes"], "9");
        assert_eq!(made["auto.offset.reset"], "latest");
        assert_eq!(made["group.id"], "connect-c");
        assert_eq!(made["client.id"], "connector-consumer-c-3");
        assert!(!made.contains_key("security.protocol"), "security is not inherited");
    }

    #[test]
    fn topics_are_deduplicated_and_one_of_both_keys_is_needed() {
        let Ok(Subscription::Topics(topics)) = Subscription::of(&config(&[("topics", "b, a,,b")]))
        else {
            panic!("topics expected")
        };
        assert_eq!(topics, ["a", "b"]);
        assert!(Subscription::of(&config(&[])).is_err());
    }
}
