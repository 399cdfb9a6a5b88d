//! Registries that are away, and those that want to know who asks.

use std::time::Duration;

use super::{FIRST, connector, export, exported, produce};
use crate::rig::registry::{self, Registry};
use crate::rig::worker::Worker;
use crate::rig::{free_port, kafka, wait_for};

#[test]
fn the_registry_goes_and_comes_back() {
    let dir = tempfile::tempdir().expect("a folder");
    let kafka = kafka::shared();
    let registry = Registry::start();
    kafka.create_topic("avro-outage", 1);
    produce(dir.path(), &registry.url(), "avro-outage", 50, &[("schema.string", FIRST)]);
    registry.stop();
    let file = dir.path().join("outage.out");
    let pairs = [
        ("connector.class", "org.apache.kafka.connect.file.FileStreamSinkConnector"),
        ("topics", "avro-outage"),
        ("file", file.to_str().expect("a path")),
        ("consumer.override.auto.offset.reset", "earliest"),
        ("value.converter.max.retries", "0"),
        // No record is given up because the registry is away.
        ("errors.tolerance", "all"),
    ];
    let sink = connector(dir.path(), "outage", &registry.url(), &pairs);
    let all = [("connector.client.config.override.policy", "All")];
    let worker = Worker::start(dir.path(), &kafka.bootstrap(), &all, &[&sink]);
    wait_for("word of the registry", Duration::from_secs(60), || {
        worker.process.log().contains("the schema registry cannot be reached")
    });
    let (_, status) = worker.get("/connectors/outage/status");
    assert_eq!(status["tasks"][0]["state"], "RUNNING", "{status}");
    let lines = || std::fs::read_to_string(&file).unwrap_or_default().lines().count();
    assert_eq!(lines(), 0);
    registry.start_again();
    wait_for("50 lines", Duration::from_secs(60), || lines() == 50);
}

#[test]
fn a_limit_of_time_ends_the_task() {
    let dir = tempfile::tempdir().expect("a folder");
    let (kafka, registry) = (kafka::shared(), registry::shared());
    kafka.create_topic("avro-limit", 1);
    produce(dir.path(), &registry.url(), "avro-limit", 1, &[("schema.string", FIRST)]);
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let limit = [
        ("errors.retry.timeout", "0"),
        ("errors.tolerance", "all"),
        ("value.converter.max.retries", "0"),
    ];
    let (output, lines) = export(dir.path(), &nobody, "avro-limit", &limit);
    assert!(!output.status.success() && lines.is_empty());
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("errors.retry.timeout is over"), "{text}");
}

#[test]
fn the_next_url_answers_and_an_id_is_asked_for_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let (kafka, registry) = (kafka::shared(), registry::shared());
    kafka.create_topic("avro-gate", 1);
    // user:secret
    let gate = registry.gate("dXNlcjpzZWNyZXQ=");
    let urls = format!("http://127.0.0.1:{},{}", free_port(), gate.url());
    let user = [
        ("value.converter.basic.auth.credentials.source", "USER_INFO"),
        ("value.converter.basic.auth.user.info", "user:secret"),
    ];
    let mut source = user.to_vec();
    source.push(("schema.string", FIRST));
    produce(dir.path(), &urls, "avro-gate", 500, &source);
    let registered = gate.asked();
    assert_eq!(registered, ["/subjects/avro-gate-value/versions?normalize=false"]);
    assert_eq!(exported(dir.path(), &urls, "avro-gate", &user).len(), 500);
    let asked = gate.asked();
    let fetched = asked[1..].iter().filter(|path| !path.ends_with("/versions"));
    assert_eq!(fetched.count(), 1, "{asked:?}");
    // The wrong password is nobody's record's fault, and is not shown.
    let wrong = [
        ("value.converter.basic.auth.credentials.source", "USER_INFO"),
        ("value.converter.basic.auth.user.info", "user:wrong-one"),
        ("errors.tolerance", "all"),
    ];
    let (output, lines) = export(dir.path(), &urls, "avro-gate", &wrong);
    assert!(!output.status.success() && lines.is_empty());
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("answered 401") && !text.contains("wrong-one"), "{text}");
}
