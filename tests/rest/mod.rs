//! The worker as its REST clients see it.

mod figures;

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
