//! A job that is asked to stop, and one that meets a worker of the same connector.

use std::process::Command;
use std::time::Duration;

use super::{assert_each_once, connector, documents, fill, worker};
use crate::rig::process::Process;
use crate::rig::worker::{Worker, binary, run};
use crate::rig::{kafka, s3, wait_for};

/// Enough for the job to be under way when it is asked to stop.
const RECORDS: u64 = 600_000;
const PER_OBJECT: u64 = 3_000;

#[test]
fn a_job_that_is_stopped_says_so_and_the_next_one_goes_on() {
    let (kafka, s3) = (kafka::shared(), s3::shared());
    let dir = tempfile::tempdir().expect("a folder");
    let bucket = s3.bucket("export-stopped");
    fill(kafka, "export-stopped", 1, RECORDS, "lz4");
    let flush = PER_OBJECT.to_string();
    let more = [("flush.size", flush.as_str())];
    let connector = connector(dir.path(), "export-stopped", "export-stopped", &s3.url(), &more);
    let worker = worker(dir.path(), kafka);
    let report = dir.path().join("report.json");
    let start = |log: &str| {
        let mut command = Command::new(binary());
        command.arg("export").arg(&connector).arg("--worker").arg(&worker);
        command.arg("--report").arg(&report);
        Process::start(&mut command, &dir.path().join(log))
    };
    let read = || -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(&report).expect("a report")).expect("JSON")
    };
    let mut stopped = start("stopped.log");
    wait_for("the first objects", Duration::from_secs(20), || s3::keys(&bucket).len() > 5);
    stopped.terminate();
    let status = stopped.wait(Duration::from_secs(20));
    assert_eq!(status.code(), Some(130), "{}", stopped.log());
    assert!(stopped.log().contains("run the same command again"), "{}", stopped.log());
    let first = read();
    assert_eq!(first["state"], "interrupted", "{first}");
    let delivered = s3::keys(&bucket).len();
    assert!(
        (5..(RECORDS / PER_OBJECT) as usize).contains(&delivered),
        "{delivered} objects: stopped too late"
    );

    let mut last = start("finished.log");
    assert!(last.wait(Duration::from_secs(60)).success(), "{}", last.log());
    let second = read();
    // What was durable when the first one stopped is not read again; objects that were under way
    // then are.
    let left = RECORDS - delivered as u64 * PER_OBJECT;
    let again = second["records_in"].as_u64().expect("a count");
    assert!((left..RECORDS).contains(&again), "after {delivered} objects: {second}");
    assert_each_once(&documents(&s3::objects(&bucket)), RECORDS);
}

#[test]
fn a_job_beside_a_worker_of_the_same_connector_is_refused() {
    let (kafka, s3) = (kafka::shared(), s3::shared());
    let dir = tempfile::tempdir().expect("a folder");
    let bucket = s3.bucket("export-beside");
    fill(kafka, "export-beside", 1, 2_500, "lz4");
    let connector = connector(dir.path(), "export-beside", "export-beside", &s3.url(), &[]);
    let _running = Worker::start(dir.path(), &kafka.bootstrap(), &[], &[&connector]);
    wait_for("two objects", Duration::from_secs(30), || s3::keys(&bucket).len() == 2);
    let worker = worker(dir.path(), kafka);
    let output = run(&[
        "export",
        connector.to_str().expect("a path"),
        "--worker",
        worker.to_str().expect("a path"),
    ]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("is a worker running the connector export-beside"), "{errors}");
}
