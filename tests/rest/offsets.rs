//! A sink's offsets, which are its consumer group's, through REST.

use std::time::Duration;

use crate::rig::kafka::java;
use crate::rig::worker::Worker;
use crate::rig::{kafka, wait_for};

/// What Kafka's own tool says that the group has committed of the topic's partition 0.
fn committed(group: &str, topic: &str) -> Option<i64> {
    let output = java()
        .args(["org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", "--describe"])
        .args(["--bootstrap-server", &kafka::shared().bootstrap(), "--group", group])
        .output()
        .expect("java");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find(|line| line.starts_with(group) && line.contains(topic))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

#[test]
fn a_sink_reads_from_where_its_offsets_were_altered_to() {
    let kafka = kafka::shared();
    let dir = tempfile::tempdir().expect("a folder");
    let topic = "rest-sink-offsets";
    kafka.create_topic(topic, 1);
    let lines: String = (0..10).map(|at| format!("line {at}\n")).collect();
    kafka.produce(topic, 0, "none", false, &lines);
    let worker = Worker::start(dir.path(), &kafka.bootstrap(), &[], &[]);
    let out = dir.path().join("out.txt");
    let config = serde_json::json!({
        "connector.class": "FileStreamSink", "topics": topic, "file": out,
        "value.converter": "org.apache.kafka.connect.storage.StringConverter",
    });
    assert_eq!(worker.call("PUT", "/connectors/altered/config", &config.to_string()).0, 201);
    let written = || std::fs::read_to_string(&out).unwrap_or_default().lines().count();
    wait_for("ten lines", Duration::from_secs(20), || written() == 10);
    assert_eq!(worker.call("PUT", "/connectors/altered/stop", "").0, 204);
    let offsets = || worker.get("/connectors/altered/offsets").1["offsets"].clone();
    let at = |offset: i64| {
        serde_json::json!([{
            "partition": {"kafka_topic": topic, "kafka_partition": 0},
            "offset": {"kafka_offset": offset},
        }])
    };
    assert_eq!(offsets(), at(10));
    let body = serde_json::json!({"offsets": at(7)}).to_string();
    assert_eq!(worker.call("PATCH", "/connectors/altered/offsets", &body).0, 200);
    assert_eq!(committed("connect-altered", topic), Some(7));
    assert_eq!(worker.call("PUT", "/connectors/altered/resume", "").0, 202);
    wait_for("three lines again", Duration::from_secs(20), || written() == 13);
    let text = std::fs::read_to_string(&out).expect("the file");
    assert!(text.ends_with("line 7\nline 8\nline 9\n"), "{text}");
    let refused = worker.call("DELETE", "/connectors/altered/offsets", "");
    assert_eq!(refused.0, 400, "{refused:?}");
    assert_eq!(worker.call("PUT", "/connectors/altered/stop", "").0, 204);
    assert_eq!(worker.call("DELETE", "/connectors/altered/offsets", "").0, 200);
    assert_eq!(offsets(), serde_json::json!([]));
    assert_eq!(worker.call("PUT", "/connectors/altered/resume", "").0, 202);
    wait_for("everything again", Duration::from_secs(20), || written() == 23);
}

#[test]
fn offsets_of_a_group_that_somebody_reads_with_are_not_changed() {
    let kafka = kafka::shared();
    let dir = tempfile::tempdir().expect("a folder");
    let topic = "rest-busy-offsets";
    kafka.create_topic(topic, 1);
    let worker = Worker::start(dir.path(), &kafka.bootstrap(), &[], &[]);
    let config = serde_json::json!({"name": "busy", "initial_state": "STOPPED", "config": {
        "connector.class": "FileStreamSink", "topics": topic, "file": dir.path().join("out.txt"),
    }});
    assert_eq!(worker.call("POST", "/connectors", &config.to_string()).0, 201);
    let mut other = kafka.kcat();
    other.args(["-G", "connect-busy", topic]);
    let _other = crate::rig::process::Process::start(&mut other, &dir.path().join("kcat.log"));
    let body = serde_json::json!({"offsets": [{
        "partition": {"kafka_topic": topic, "kafka_partition": 0}, "offset": {"kafka_offset": 0},
    }]});
    wait_for("the other member", Duration::from_secs(30), || {
        let (status, answer) = worker.call("PATCH", "/connectors/busy/offsets", &body.to_string());
        status == 500 && answer["message"].as_str().is_some_and(|text| text.contains("zombie"))
    });
    let (status, answer) = worker.call("DELETE", "/connectors/busy/offsets", "");
    assert_eq!(status, 500);
    let message = answer["message"].as_str().expect("a message");
    assert!(message.starts_with("Failed to reset consumer group offsets"), "{message}");
}
