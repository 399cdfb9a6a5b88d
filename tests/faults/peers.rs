//! A broker or a store that is away: retried, shown, nothing lost.

use std::time::Duration;

use crate::export::{assert_each_once, connector, documents, event, fill};
use crate::rig::kafka::Kafka;
use crate::rig::s3::S3;
use crate::rig::worker::Worker;
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
    wait_for("the first objects", Duration::from_secs(30), || !s3::keys(&bucket).is_empty());
    kafka.restart();
    let at = s3::keys(&bucket).len();
    println!("{at} objects were there when the broker came back");
    // What comes after the crash comes too.
    let more: String = (60_000..62_000).map(event).collect();
    kafka.produce("broker-killed", 0, "lz4", false, &more);
    wait_for("all objects", Duration::from_secs(90), || s3::keys(&bucket).len() >= 62);
    let (_, status) = worker.get("/connectors/broker-killed/status");
    assert_eq!(status["tasks"][0]["state"], "RUNNING", "{status}");
    assert_each_once(&documents(&s3::objects(&bucket)), 62_000);
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
    for needle in ["no-bucket", "NoSuchBucket", "s3.bucket.name"] {
        assert!(trace.contains(needle), "no {needle:?} in:\n{trace}");
    }
    assert_eq!(worker.get("/connectors").0, 200);
    // The bucket comes, the task is restarted, everything arrives.
    let bucket = s3.bucket("no-bucket");
    assert_eq!(worker.call("POST", "/connectors/no-bucket/tasks/0/restart", "").0, 204);
    wait_for("the object", Duration::from_secs(30), || !s3::keys(&bucket).is_empty());
}

#[test]
fn a_broker_that_is_not_there_yet_is_waited_for_and_named() {
    let kafka = Kafka::start();
    let s3 = s3::shared();
    let dir = tempfile::tempdir().expect("a folder");
    let bucket = s3.bucket("early");
    fill(&kafka, "early", 2, 4_000, "snappy");
    kafka.stop();
    let connector = connector(dir.path(), "early", "early", &s3.url(), &[]);
    let worker = Worker::start(dir.path(), &kafka.bootstrap(), &[], &[&connector]);
    wait_for("a log that names the broker", Duration::from_secs(20), || {
        worker.process.log().contains(&kafka.bootstrap())
    });
    wait_for("a running task", Duration::from_secs(20), || {
        let (_, status) = worker.get("/connectors/early/status");
        status["tasks"][0]["state"] == "RUNNING"
    });
    kafka.start_again();
    wait_for("all objects", Duration::from_secs(90), || s3::keys(&bucket).len() == 4);
    assert_each_once(&documents(&s3::objects(&bucket)), 4_000);
    let (_, status) = worker.get("/connectors/early/status");
    assert_eq!(status["tasks"][0]["state"], "RUNNING", "{status}");
}

#[test]
fn a_store_that_is_away_is_waited_for_and_nothing_is_lost() {
    let kafka = kafka::shared();
    let s3 = S3::start();
    let dir = tempfile::tempdir().expect("a folder");
    let bucket = s3.bucket("store-away");
    fill(kafka, "store-away", 1, 30_000, "lz4");
    // Small objects, so that the store goes away in the middle.
    let more = [("flush.size", "100")];
    let connector = connector(dir.path(), "store-away", "store-away", &s3.url(), &more);
    let worker = Worker::start(dir.path(), &kafka.bootstrap(), &[], &[&connector]);
    wait_for("the first objects", Duration::from_secs(30), || s3::keys(&bucket).len() > 5);
    s3.stop();
    let at = s3::keys(&bucket).len();
    assert!(at < 300, "the store was away too late");
    wait_for("trouble that names the store", Duration::from_secs(30), || {
        worker.process.log().contains(s3.url().trim_start_matches("http://"))
    });
    let (_, status) = worker.get("/connectors/store-away/status");
    assert_eq!(status["tasks"][0]["state"], "RUNNING", "{status}");
    s3.start_again();
    wait_for("all objects", Duration::from_secs(90), || s3::keys(&bucket).len() == 300);
    assert_each_once(&documents(&s3::objects(&bucket)), 30_000);
}
