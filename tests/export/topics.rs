//! Topics as Kafka has them: transactions, deleted records, empty partitions, large records.

use std::path::Path;

use super::{assert_each_once, connector, documents, event, fill};
use crate::rig::kafka::{Kafka, java};
use crate::rig::worker::run;
use crate::rig::{kafka, s3};

/// Exports `topic` into the bucket of its name; how many records were read.
fn export(topic: &str, more: &[(&str, &str)]) -> u64 {
    let (kafka, s3) = (kafka::shared(), s3::shared());
    let dir = tempfile::tempdir().expect("a folder");
    let connector = connector(dir.path(), topic, topic, &s3.url(), more);
    let policy = [("connector.client.config.override.policy", "All")];
    let worker = crate::rig::worker::worker_file(dir.path(), &kafka.bootstrap(), &policy);
    let report = dir.path().join("report.json");
    let output = run(&[
        "export",
        connector.to_str().expect("a path"),
        "--worker",
        worker.to_str().expect("a path"),
        "--report",
        report.to_str().expect("a path"),
    ]);
    assert!(output.status.success(), "{topic}: {}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(report).expect("a report")).expect("JSON");
    report["records_in"].as_u64().expect("a count")
}

/// One transaction of kcat's: it is committed at the end of the input.
fn transaction(kafka: &Kafka, topic: &str, lines: &str) {
    let mut command = kafka.kcat();
    command.args(["-P", "-t", topic, "-p", "0", "-X"]);
    command.arg(format!("transactional.id={topic}"));
    command.stdin(std::process::Stdio::piped()).stderr(std::process::Stdio::null());
    let mut child = command.spawn().expect("kcat");
    let mut input = child.stdin.take().expect("piped");
    std::io::Write::write_all(&mut input, lines.as_bytes()).expect("kcat reads");
    drop(input);
    assert!(child.wait().expect("kcat").success(), "kcat could not commit");
}

#[test]
fn a_topic_that_ends_with_a_transactions_marker_ends() {
    let (kafka, s3) = (kafka::shared(), s3::shared());
    for isolation in ["read_uncommitted", "read_committed"] {
        let topic = format!("transactions-{isolation}").replace('_', "-");
        let bucket = s3.bucket(&topic);
        kafka.create_topic(&topic, 1);
        let level = [("consumer.override.isolation.level", isolation)];
        transaction(kafka, &topic, &(0..700).map(event).collect::<String>());
        assert_eq!(export(&topic, &level), 700, "{isolation}");
        // Its committed offset is behind the marker: there is nothing left.
        assert_eq!(export(&topic, &level), 0, "{isolation}");
        transaction(kafka, &topic, &(700..1_000).map(event).collect::<String>());
        assert_eq!(export(&topic, &level), 300, "{isolation}");
        assert_each_once(&documents(&s3::objects(&bucket)), 1_000);
    }
}

fn delete_records_before(topic: &str, dir: &Path, offset: u64) {
    let file = dir.join("delete.json");
    let wanted = serde_json::json!({
        "partitions": [{"topic": topic, "partition": 0, "offset": offset}], "version": 1
    });
    std::fs::write(&file, wanted.to_string()).expect("a file");
    let output = java()
        .args(["org.apache.kafka.tools.DeleteRecordsCommand", "--bootstrap-server"])
        .arg(kafka::shared().bootstrap())
        .arg("--offset-json-file")
        .arg(&file)
        .output()
        .expect("java");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains(&format!("low_watermark: {offset}")), "{text}");
}

#[test]
fn records_that_kafka_deleted_are_passed_over() {
    let (kafka, s3) = (kafka::shared(), s3::shared());
    let dir = tempfile::tempdir().expect("a folder");
    let bucket = s3.bucket("deleted");
    fill(kafka, "deleted", 1, 1_000, "lz4");
    assert_eq!(export("deleted", &[]), 1_000);
    kafka.produce("deleted", 0, "lz4", false, &(1_000..2_000).map(event).collect::<String>());
    // The committed offset is out of range now.
    delete_records_before("deleted", dir.path(), 1_500);
    assert_eq!(export("deleted", &[]), 500);
    let mut ids: Vec<u64> = documents(&s3::objects(&bucket))
        .iter()
        .map(|document| document["id"].as_u64().expect("an id"))
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..1_000).chain(1_500..2_000).collect::<Vec<_>>());
    // All of them gone: an empty log whose start is its end.
    kafka.produce("deleted", 0, "lz4", false, &(2_000..2_100).map(event).collect::<String>());
    delete_records_before("deleted", dir.path(), 2_100);
    assert_eq!(export("deleted", &[]), 0);
}

#[test]
fn many_partitions_most_of_them_empty() {
    let (kafka, s3) = (kafka::shared(), s3::shared());
    let bucket = s3.bucket("partitions");
    kafka.create_topic("partitions", 60);
    assert_eq!(export("partitions", &[("tasks.max", "4")]), 0);
    assert_eq!(s3::keys(&bucket), Vec::<String>::new());
    for partition in 0..6 {
        let lines: String = (0..500).map(|at| event(at * 6 + partition)).collect();
        kafka.produce("partitions", partition as i32 * 10, "snappy", false, &lines);
    }
    assert_eq!(export("partitions", &[("tasks.max", "4")]), 3_000);
    assert_eq!(s3::keys(&bucket).len(), 6);
    assert_each_once(&documents(&s3::objects(&bucket)), 3_000);
}

#[test]
fn records_larger_than_a_fetch() {
    let (kafka, s3) = (kafka::shared(), s3::shared());
    let bucket = s3.bucket("large");
    let topic = "large";
    let output = java()
        .args(["org.apache.kafka.tools.TopicCommand", "--create", "--topic", topic])
        .args(["--bootstrap-server", &kafka.bootstrap(), "--partitions", "1"])
        .args(["--config", "max.message.bytes=20000000"])
        .output()
        .expect("java");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let dir = tempfile::tempdir().expect("a folder");
    let sizes: [u64; 5] = [10, 3_000_000, 20, 9_000_000, 30];
    for (id, size) in sizes.into_iter().enumerate() {
        let file = dir.path().join("value");
        // No run of one byte, so that it stays large compressed.
        let text: String =
            (0..size).map(|at: u64| char::from(b'a' + (at * at % 26) as u8)).collect();
        std::fs::write(&file, format!("{{\"id\":{id},\"text\":\"{text}\"}}")).expect("a file");
        let sent = kafka
            .kcat()
            .args(["-P", "-t", topic, "-p", "0", "-X", "message.max.bytes=20000000"])
            .arg(&file)
            .status()
            .expect("kcat");
        assert!(sent.success(), "kcat could not produce");
    }
    assert_eq!(export(topic, &[("transforms", ""), ("flush.size", "2")]), 5);
    let found: Vec<(u64, usize)> = documents(&s3::objects(&bucket))
        .iter()
        .map(|document| {
            let text = document["text"].as_str().expect("a text");
            (document["id"].as_u64().expect("an id"), text.len())
        })
        .collect();
    let expected: Vec<_> =
        sizes.into_iter().enumerate().map(|(id, size)| (id as u64, size as usize)).collect();
    assert_eq!(found, expected);
}
