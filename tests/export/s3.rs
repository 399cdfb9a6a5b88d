//! Topics to S3, to their end.

use super::{assert_each_once, connector, documents, event, fill, worker};
use crate::rig::worker::run;
use crate::rig::{kafka, s3};

#[test]
fn every_record_once_with_names_that_tell_the_offset() {
    let (kafka, s3) = (kafka::shared(), s3::shared());
    let dir = tempfile::tempdir().expect("a folder");
    let bucket = s3.bucket("export-once");
    fill(kafka, "export-once", 3, 10_000, "lz4");
    let connector = connector(dir.path(), "export-once", "export-once", &s3.url(), &[]);
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
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let objects = s3::objects(&bucket);
    assert_each_once(&documents(&objects), 10_000);
    let first = "topics/export-once/partition=0/export-once+0+0000000000.json";
    assert!(objects.iter().any(|(key, _)| key == first), "{:?}", keys(&objects));
    let second = "topics/export-once/partition=0/export-once+0+0000001000.json";
    assert!(objects.iter().any(|(key, _)| key == second), "{:?}", keys(&objects));
    let report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(report).expect("a report")).expect("JSON");
    assert_eq!(report["records_in"], 10_000);
    assert_eq!(report["state"], "finished");
}

fn keys(objects: &[(String, Vec<u8>)]) -> Vec<&str> {
    objects.iter().map(|(key, _)| key.as_str()).collect()
}

#[test]
fn a_second_run_goes_on_where_the_first_ended() {
    let (kafka, s3) = (kafka::shared(), s3::shared());
    let dir = tempfile::tempdir().expect("a folder");
    let bucket = s3.bucket("export-again");
    fill(kafka, "export-again", 1, 2_500, "zstd");
    let connector = connector(dir.path(), "export-again", "export-again", &s3.url(), &[]);
    let worker = worker(dir.path(), kafka);
    let args = [
        "export",
        connector.to_str().expect("a path"),
        "--worker",
        worker.to_str().expect("a path"),
    ];
    assert!(run(&args).status.success());
    assert_eq!(documents(&s3::objects(&bucket)).len(), 2_500);
    let more: String = (2_500..3_000).map(event).collect();
    kafka.produce("export-again", 0, "gzip", false, &more);
    assert!(run(&args).status.success());
    assert_each_once(&documents(&s3::objects(&bucket)), 3_000);
}

#[test]
fn gzip_and_every_codec_of_the_topic() {
    let (kafka, s3) = (kafka::shared(), s3::shared());
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let dir = tempfile::tempdir().expect("a folder");
        let name = format!("export-{codec}");
        let bucket = s3.bucket(&name);
        fill(kafka, &name, 1, 1_500, codec);
        let more = [("s3.compression.type", "gzip"), ("s3.compression.level", "1")];
        let connector = connector(dir.path(), &name, &name, &s3.url(), &more);
        let worker = worker(dir.path(), kafka);
        let output = run(&[
            "export",
            connector.to_str().expect("a path"),
            "--worker",
            worker.to_str().expect("a path"),
        ]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let objects = s3::objects(&bucket);
        assert!(objects.iter().all(|(key, _)| key.ends_with(".json.gz")), "{:?}", keys(&objects));
        assert_each_once(&documents(&objects), 1_500);
    }
}
