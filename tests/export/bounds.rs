//! `--from`, `--until` and `--report`; topics that are not there.

use std::time::{SystemTime, UNIX_EPOCH};

use super::{connector, documents, event, fill, worker};
use crate::rig::worker::run;
use crate::rig::{kafka, pause, s3};

/// The ids of all documents, sorted.
fn ids(bucket: &std::path::Path) -> Vec<u64> {
    let documents = documents(&s3::objects(bucket));
    let mut ids: Vec<u64> =
        documents.iter().map(|document| document["id"].as_u64().expect("an id")).collect();
    ids.sort_unstable();
    ids
}

/// An export of `topic` as a connector of that name, which is its bucket too; its report.
fn export(name: &str, topic: &str, args: &[&str]) -> serde_json::Value {
    let (kafka, s3) = (kafka::shared(), s3::shared());
    let dir = tempfile::tempdir().expect("a folder");
    let connector = connector(dir.path(), name, topic, &s3.url(), &[("tasks.max", "2")]);
    let worker = worker(dir.path(), kafka);
    let report = dir.path().join("report.json");
    let mut all = vec![
        "export",
        connector.to_str().expect("a path"),
        "--worker",
        worker.to_str().expect("a path"),
        "--report",
        report.to_str().expect("a path"),
    ];
    all.extend(args);
    let output = run(&all);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&std::fs::read(report).expect("a report")).expect("JSON")
}

#[test]
fn offsets_bound_what_is_delivered_and_the_report_says_so() {
    let (kafka, s3) = (kafka::shared(), s3::shared());
    fill(kafka, "bounds-offsets", 1, 5_000, "lz4");
    let bucket = s3.bucket("bounds-offsets");
    let bounds = ["--from", "offset:1500", "--until", "offset:3200"];
    let report = export("bounds-offsets", "bounds-offsets", &bounds);
    assert_eq!(ids(&bucket), (1_500..3_200).collect::<Vec<_>>());
    let names: Vec<_> = s3::objects(&bucket).into_iter().map(|(key, _)| key).collect();
    let name =
        |offset| format!("topics/bounds-offsets/partition=0/bounds-offsets+0+{offset:010}.json");
    assert_eq!(names, [name(1_500), name(2_500)]);
    assert_eq!(report["records_in"], 1_700, "{report}");
    assert_eq!(report["records_out"], 1_700, "{report}");
    assert_eq!(report["records_dropped"], 0, "{report}");
    assert_eq!(report["state"], "finished", "{report}");
    assert_eq!(report["error"], serde_json::Value::Null, "{report}");
    let partition = serde_json::json!(
        [{"topic": "bounds-offsets", "partition": 0, "offset": 3_200, "end": 3_200}]
    );
    assert_eq!(report["partitions"], partition, "{report}");
    assert!(report["cpu_seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{report}");

    // Without bounds it goes on where it was told to end.
    let report = export("bounds-offsets", "bounds-offsets", &[]);
    assert_eq!(report["records_in"], 1_800, "{report}");
    assert_eq!(ids(&bucket), (1_500..5_000).collect::<Vec<_>>());
    // From the start again: the objects of the first records come, the others are as they were.
    let report = export(
        "bounds-offsets",
        "bounds-offsets",
        &["--from", "earliest", "--until", "offset:1500"],
    );
    assert_eq!(report["records_in"], 1_500, "{report}");
    assert_eq!(ids(&bucket), (0..5_000).collect::<Vec<_>>());
}

#[test]
fn times_bound_what_is_delivered() {
    let (kafka, s3) = (kafka::shared(), s3::shared());
    fill(kafka, "bounds-times", 3, 3_000, "lz4");
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    pause(std::time::Duration::from_millis(20));
    let between = now();
    pause(std::time::Duration::from_millis(20));
    let later: String = (3_000..3_500).map(event).collect();
    kafka.produce("bounds-times", 1, "gzip", false, &later);
    let millis = between.as_millis().to_string();
    let (before, after) = (s3.bucket("bounds-before"), s3.bucket("bounds-after"));
    let report = export("bounds-before", "bounds-times", &["--until", &millis]);
    assert_eq!(report["records_in"], 3_000, "{report}");
    assert_eq!(ids(&before), (0..3_000).collect::<Vec<_>>());
    let report = export("bounds-after", "bounds-times", &["--from", &millis]);
    assert_eq!(report["records_in"], 500, "{report}");
    assert_eq!(ids(&after), (3_000..3_500).collect::<Vec<_>>());
    // Nothing is younger than the future.
    let none = s3.bucket("bounds-none");
    let report = export("bounds-none", "bounds-times", &["--from", "2100-01-01T00:00:00Z"]);
    assert_eq!((report["records_in"].as_u64(), ids(&none).len()), (Some(0), 0), "{report}");
}

#[test]
fn a_topic_that_does_not_exist_fails_the_job_and_is_not_made() {
    let (kafka, s3) = (kafka::shared(), s3::shared());
    let dir = tempfile::tempdir().expect("a folder");
    s3.bucket("no-topic");
    let connector = connector(dir.path(), "no-topic", "not-there", &s3.url(), &[]);
    let worker = worker(dir.path(), kafka);
    let report = dir.path().join("report.json");
    let output = run(&[
        "export",
        connector.to_str().expect("a path"),
        "--worker",
        worker.to_str().expect("a path"),
        "--report",
        report.to_str().expect("a path"),
    ]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("the topic not-there does not exist"), "{errors}");
    let report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(report).expect("a report")).expect("JSON");
    assert_eq!(report["state"], "failed", "{report}");
    assert!(report["error"].as_str().is_some_and(|error| error.contains("not-there")), "{report}");
    let listed = kafka.kcat().args(["-L"]).output().expect("kcat");
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(!listed.contains("\"not-there\""), "{listed}");
}

#[test]
fn a_broker_that_is_away_ends_the_job_with_its_address() {
    let dir = tempfile::tempdir().expect("a folder");
    let s3 = s3::shared();
    s3.bucket("no-broker");
    let port = crate::rig::free_port();
    let server = format!("127.0.0.1:{port}");
    let connector = connector(dir.path(), "no-broker", "t", &s3.url(), &[]);
    let worker = crate::rig::worker::worker_file(dir.path(), &server, &[]);
    let output = run(&[
        "export",
        connector.to_str().expect("a path"),
        "--worker",
        worker.to_str().expect("a path"),
    ]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains(&server), "{errors}");
}
