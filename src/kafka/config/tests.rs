//! Names, defaults, all mistakes at once, unknown keys.

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn defaults_are_java_s() {
    let parsed = ConsumerConfig::parse(&map(&[("bootstrap.servers", "a:1")])).unwrap();
    let config = parsed.config;
    assert_eq!(config.client.bootstrap_servers, [Server { host: "a".into(), port: 1 }]);
    assert_eq!(config.client.request_timeout, Duration::from_secs(30));
    assert_eq!(config.client.retry_backoff, Duration::from_millis(100));
    assert_eq!(config.fetch_max_bytes, 52_428_800);
    assert_eq!(config.max_partition_fetch_bytes, 1_048_576);
    assert_eq!(config.session_timeout, Duration::from_millis(45_000));
    assert_eq!(config.auto_offset_reset, OffsetReset::Latest);
    assert_eq!(
        config.partition_assignment_strategy,
        [AssignmentStrategy::Range, AssignmentStrategy::CooperativeSticky]
    );
    assert!(parsed.unknown.is_empty());
}

#[test]
fn servers_are_read_in_all_their_forms() {
    let list = " b1:9092, PLAINTEXT://b2:9093 ,[::1]:9094";
    let config = ClientConfig::parse(&map(&[("bootstrap.servers", list)])).unwrap().config;
    let servers: Vec<_> =
        config.bootstrap_servers.iter().map(|s| (s.host.as_str(), s.port)).collect();
    assert_eq!(servers, [("b1", 9092), ("b2", 9093), ("::1", 9094)]);
}

#[test]
fn every_mistake_is_told_at_once() {
    let problems = ConsumerConfig::parse(&map(&[
        ("bootstrap.servers", "nowhere"),
        ("security.protocol", "TLS"),
        ("fetch.min.bytes", "many"),
        ("auto.offset.reset", "middle"),
        ("check.crcs", "perhaps"),
        ("partition.assignment.strategy", "com.example.Mine"),
        ("heartbeat.interval.ms", "50000"),
        ("group.protocol", "consumer"),
    ]))
    .unwrap_err();
    let mut keys: Vec<_> = problems.iter().map(|problem| problem.key.as_str()).collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "auto.offset.reset",
            "bootstrap.servers",
            "check.crcs",
            "fetch.min.bytes",
            "group.protocol",
            "heartbeat.interval.ms",
            "partition.assignment.strategy",
            "security.protocol",
        ]
    );
    assert!(problems.iter().any(|problem| problem.to_string().contains("SASL_PLAINTEXT")));
}

#[test]
fn java_s_class_names_are_understood_and_unknown_keys_named() {
    let parsed = ConsumerConfig::parse(&map(&[
        ("bootstrap.servers", "a:1"),
        (
            "partition.assignment.strategy",
            "org.apache.kafka.clients.consumer.CooperativeStickyAssignor,range",
        ),
        ("isolation.level", "read_committed"),
        ("key.deserializer", "x"),
        ("ssl.keystore.type", "JKS"),
        ("fetch.min.byte", "1"),
    ]))
    .unwrap();
    assert_eq!(parsed.config.isolation_level, IsolationLevel::ReadCommitted);
    assert_eq!(
        parsed.config.partition_assignment_strategy,
        [AssignmentStrategy::CooperativeSticky, AssignmentStrategy::Range]
    );
    assert_eq!(parsed.unknown, ["fetch.min.byte"]);
}
