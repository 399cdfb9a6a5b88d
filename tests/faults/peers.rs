//! A broker or a store that is away: retried, shown, nothing lost.

use std::time::Duration;

use crate::export::{assert_each_once, connector, documents, fill};
use crate::rig::kafka::Kafka;
use crate::rig::worker::{Worker, worker_file};
use crate::rig::{kafka, s3, wait_for};

#[test]
fn a_broker_killed_in_the_middle_loses_nothing() {
    let kafka = Kafka::start();
    let s3 = s3::shared();
    let dir = tempfile::tempdir().expect("a folder");
    let bucket = s3.bucket("broker-killed");
    fill(&kafka, "broker-killed", 1, 60_000, "lz4");
    let more = [("flush.size", "1000"), ("tasks.max", "1")];
    let connector = connector(dir.path(), "broker-killed", "broker-killed", &s3.url(), &more);
    let worker = Worker::start(dir.path(), &kafka.bootstrap(), &[], &[&connector]);
    wait_for("the first objects", Duration::from_secs(30), || !s3::objects(&bucket).is_empty());
    kafka.restart();
    wait_for("all objects", Duration::from_secs(90), || s3::objects(&bucket).len() >= 60);
    let (_, status) = worker.get("/connectors/broker-killed/status");
    assert_eq!(status["tasks"][0]["state"], "RUNNING", "{status}");
    assert_each_once(&documents(&s3::objects(&bucket)), 60_000);
}

#[test]
fn a_bucket_that_is_not_there_fails_the_task_with_the_remedy_and_the_worker_lives() {
    let (kafka, s3) = (kafka::shared(), s3::shared());
    let dir = tempfile::tempdir().expect("a folder");
    fill(kafka, "no-bucket", 1, 1_500, "lz4");
    let connector = connector(dir.path(), "no-bucket", "no-bucket", &s3.url(), &[]);
    let worker = Worker::start(dir.path(), &kafka.bootstrap(), &[], &[&connector]);
    let mut trace = String::new();
    wait_for("the task to fail", Duration::from_secs(60), || {
        let (_, status) = worker.get("/connectors/no-bucket/status");
        trace = status["tasks"][0]["trace"].as_str().unwrap_or("").to_owned();
        status["tasks"][0]["state"] == "FAILED"
    });
    assert!(trace.contains("no-bucket"), "{trace}");
    assert_eq!(worker.get("/connectors").0, 200);
    // The bucket comes, the task is restarted, everything arrives.
    let bucket = s3.bucket("no-bucket");
    assert_eq!(worker.call("POST", "/connectors/no-bucket/tasks/0/restart", "").0, 204);
    wait_for("the object", Duration::from_secs(30), || !s3::objects(&bucket).is_empty());
}

#[test]
fn a_broker_that_is_not_there_yet_is_waited_for() {
    let dir = tempfile::tempdir().expect("a folder");
    let port = crate::rig::free_port();
    let worker = worker_file(dir.path(), &format!("127.0.0.1:{port}"), &[]);
    let out = dir.path().join("out.txt");
    let connector = crate::rig::worker::properties(
        dir.path(),
        "connector.properties",
        &[
            ("name", "early"),
            ("connector.class", "FileStreamSink"),
            ("topics", "t"),
            ("file", out.to_str().expect("a path")),
        ],
    );
    let worker = {
        drop(worker);
        Worker::start(dir.path(), &format!("127.0.0.1:{port}"), &[], &[&connector])
    };
    wait_for("a status that says what is wrong", Duration::from_secs(20), || {
        worker.process.log().contains(&port.to_string())
    });
    let (_, status) = worker.get("/connectors/early/status");
    assert_eq!(status["tasks"][0]["state"], "RUNNING", "{status}");
}
