//! The worker as its REST clients see it.

mod figures;
mod offsets;
mod secrets;

use std::time::Duration;

use crate::export::fill;
use crate::rig::worker::{Worker, properties};
use crate::rig::{kafka, wait_for};

fn lines(path: &std::path::Path) -> usize {
    std::fs::read(path).map_or(0, |text| text.iter().filter(|byte| **byte == b'\n').count())
}

#[test]
fn created_paused_resumed_restarted_and_deleted_over_rest() {
    let kafka = kafka::shared();
    let dir = tempfile::tempdir().expect("a folder");
    fill(kafka, "rest-life", 1, 1_000, "lz4");
    let worker = Worker::start(dir.path(), &kafka.bootstrap(), &[], &[]);
    let out = dir.path().join("out.txt");
    let config = serde_json::json!({"name": "life", "config": {
        "connector.class": "FileStreamSink", "topics": "rest-life", "file": out, "tasks.max": "1",
        "value.converter": "org.apache.kafka.connect.storage.StringConverter",
    }});
    assert_eq!(worker.call("POST", "/connectors", &config.to_string()).0, 201);
    wait_for("the lines", Duration::from_secs(20), || lines(&out) == 1_000);
    let state = |what: &str, task: &str| {
        wait_for(what, Duration::from_secs(20), || {
            let (_, status) = worker.get("/connectors/life/status");
            status["tasks"][0]["state"] == task && status["connector"]["state"] == task
        });
    };
    state("running", "RUNNING");
    assert_eq!(worker.call("PUT", "/connectors/life/pause", "").0, 202);
    state("paused", "PAUSED");
    kafka.produce("rest-life", 0, "lz4", false, "while paused\n");
    crate::rig::pause(Duration::from_millis(1_500));
    assert_eq!(lines(&out), 1_000, "a paused task delivers nothing");
    assert_eq!(worker.call("PUT", "/connectors/life/resume", "").0, 202);
    wait_for("the line", Duration::from_secs(20), || lines(&out) == 1_001);
    assert_eq!(worker.call("POST", "/connectors/life/restart?includeTasks=true", "").0, 202);
    state("running again", "RUNNING");
    kafka.produce("rest-life", 0, "lz4", false, "after\n");
    wait_for("the line after", Duration::from_secs(30), || lines(&out) >= 1_002);
    assert_eq!(worker.call("DELETE", "/connectors/life", "").0, 204);
    assert_eq!(worker.get("/connectors/life").0, 404);
    assert_eq!(lines(&out), 1_002, "committed before the restart: nothing comes twice");
}

#[test]
fn offsets_of_a_source_survive_a_restart_of_the_worker() {
    let kafka = kafka::shared();
    let dir = tempfile::tempdir().expect("a folder");
    kafka.create_topic("rest-datagen", 1);
    let source = |iterations: &str| {
        properties(
            dir.path(),
            "datagen.properties",
            &[
                ("name", "datagen"),
                ("connector.class", "millrace.DatagenSourceConnector"),
                ("kafka.topic", "rest-datagen"),
                ("quickstart", "events"),
                ("iterations", iterations),
                ("random.seed", "7"),
            ],
        )
    };
    let count = || kafka.consume("rest-datagen", "%o\n").len();
    let first = Worker::start(dir.path(), &kafka.bootstrap(), &[], &[&source("1000")]);
    wait_for("1000 events", Duration::from_secs(30), || count() == 1_000);
    // Its offsets are stored within the flush interval, and at a clean stop at the latest.
    first.process.terminate();
    let mut first = first;
    assert!(first.process.wait(Duration::from_secs(20)).success(), "{}", first.process.log());
    let _second = Worker::start(dir.path(), &kafka.bootstrap(), &[], &[&source("1500")]);
    wait_for("1500 events", Duration::from_secs(30), || count() >= 1_500);
    crate::rig::pause(Duration::from_millis(500));
    assert_eq!(count(), 1_500, "it goes on where it was");
}

#[test]
fn offsets_of_a_source_are_shown_altered_and_reset() {
    let kafka = kafka::shared();
    let dir = tempfile::tempdir().expect("a folder");
    kafka.create_topic("rest-offsets", 1);
    let worker = Worker::start(dir.path(), &kafka.bootstrap(), &[], &[]);
    let config = serde_json::json!({
        "connector.class": "millrace.DatagenSourceConnector", "kafka.topic": "rest-offsets",
        "quickstart": "events", "iterations": "500", "seed": "7",
    });
    assert_eq!(worker.call("PUT", "/connectors/d/config", &config.to_string()).0, 201);
    let count = || kafka.consume("rest-offsets", "%o\n").len();
    wait_for("500 events", Duration::from_secs(30), || count() == 500);
    let refused = worker.call("DELETE", "/connectors/d/offsets", "");
    assert_eq!(refused.0, 400, "{refused:?}");
    assert!(refused.1["message"].as_str().is_some_and(|text| text.contains("STOPPED state")));
    assert_eq!(worker.call("PUT", "/connectors/d/stop", "").0, 204);
    let offsets = || worker.get("/connectors/d/offsets").1["offsets"].clone();
    wait_for("stored offsets", Duration::from_secs(10), || {
        offsets().as_array().is_some_and(|list| !list.is_empty())
    });
    let stored = offsets();
    for body in ["{}", r#"{"offsets":[]}"#, r#"{"offsets":null}"#] {
        assert_eq!(worker.call("PATCH", "/connectors/d/offsets", body).0, 400, "{body}");
    }
    for body in ["[]", "x", r#"{"offsets":7}"#, r#"{"offset":[]}"#] {
        assert_eq!(worker.call("PATCH", "/connectors/d/offsets", body).0, 500, "{body}");
    }
    assert_eq!(offsets(), stored, "refused requests change nothing");
    let reset = worker.call("DELETE", "/connectors/d/offsets", "");
    assert_eq!(reset.0, 200, "{reset:?}");
    assert_eq!(offsets(), serde_json::json!([]));
    let altered = serde_json::json!({"offsets": stored}).to_string();
    assert_eq!(worker.call("PATCH", "/connectors/d/offsets", &altered).0, 200);
    assert_eq!(offsets(), stored);
    // Altered back to the end: nothing more comes. Reset: everything comes again.
    assert_eq!(worker.call("DELETE", "/connectors/d/offsets", "").0, 200);
    assert_eq!(worker.call("PUT", "/connectors/d/resume", "").0, 202);
    wait_for("everything again", Duration::from_secs(30), || count() == 1_000);
}

#[test]
fn all_topics_of_a_sink_are_shown() {
    let kafka = kafka::shared();
    let dir = tempfile::tempdir().expect("a folder");
    for topic in ["rest-topics-a", "rest-topics-b", "rest-topics-idle"] {
        kafka.create_topic(topic, 2);
    }
    kafka.produce("rest-topics-a", 0, "none", false, "{}\n");
    kafka.produce("rest-topics-b", 1, "none", false, "{}\n");
    let worker = Worker::start(dir.path(), &kafka.bootstrap(), &[], &[]);
    let config = serde_json::json!({
        "connector.class": "FileStreamSink", "file": dir.path().join("out.txt"),
        "topics": "rest-topics-a,rest-topics-b,rest-topics-idle",
    });
    assert_eq!(worker.call("PUT", "/connectors/t/config", &config.to_string()).0, 201);
    let topics = || worker.get("/connectors/t/topics").1["t"]["topics"].clone();
    wait_for("both topics", Duration::from_secs(20), || {
        topics() == serde_json::json!(["rest-topics-a", "rest-topics-b"])
    });
    assert_eq!(worker.call("PUT", "/connectors/t/topics/reset", "").0, 202);
    assert_eq!(topics(), serde_json::json!([]));
    kafka.produce("rest-topics-b", 0, "none", false, "{}\n");
    wait_for("the topic in use", Duration::from_secs(20), || {
        topics() == serde_json::json!(["rest-topics-b"])
    });
}

#[test]
fn topics_of_a_source_are_shown_and_forgotten() {
    let kafka = kafka::shared();
    let dir = tempfile::tempdir().expect("a folder");
    kafka.create_topic("rest-source-topics", 1);
    let worker = Worker::start(dir.path(), &kafka.bootstrap(), &[], &[]);
    let config = serde_json::json!({
        "connector.class": "millrace.DatagenSourceConnector", "kafka.topic": "rest-source-topics",
        "quickstart": "events", "iterations": "10",
    });
    assert_eq!(worker.call("PUT", "/connectors/d/config", &config.to_string()).0, 201);
    let topics = || worker.get("/connectors/d/topics").1["d"]["topics"].clone();
    wait_for("the topic", Duration::from_secs(20), || {
        topics() == serde_json::json!(["rest-source-topics"])
    });
    assert_eq!(worker.call("PUT", "/connectors/d/topics/reset", "").0, 202);
    assert_eq!(topics(), serde_json::json!([]));
}
