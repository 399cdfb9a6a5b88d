//! Every error at once, with key, value and what would be right.

use crate::rig::worker::{properties, run};

#[test]
fn a_wrong_worker_file_names_every_key() {
    let dir = tempfile::tempdir().expect("a folder");
    let worker = properties(
        dir.path(),
        "worker.properties",
        &[
            ("bootstrap.servers", "127.0.0.1:1"),
            ("key.converter", "org.apache.kafka.connect.storage.StringConverter"),
            ("offset.flush.interval.ms", "soon"),
            ("topic.creation.enable", "perhaps"),
            ("listeners", "ftp://x:1"),
        ],
    );
    let output = run(&["connect-standalone", worker.to_str().expect("a path")]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    for needle in [
        "Missing required configuration \"value.converter\"",
        "Missing required configuration \"offset.storage.file.filename\"",
        "Invalid value soon for configuration offset.flush.interval.ms: Not a number of type LONG",
        "Invalid value perhaps for configuration topic.creation.enable",
        "listeners",
    ] {
        assert!(errors.contains(needle), "no {needle:?} in:\n{errors}");
    }
}

#[test]
fn a_wrong_connector_file_names_every_key() {
    let dir = tempfile::tempdir().expect("a folder");
    let worker = crate::rig::worker::worker_file(dir.path(), "127.0.0.1:1", &[]);
    let connector = properties(
        dir.path(),
        "connector.properties",
        &[
            ("name", "x"),
            ("connector.class", "io.confluent.connect.s3.S3SinkConnector"),
            ("topics", "t"),
            ("tasks.max", "0"),
            ("flush.size", "many"),
            ("transforms", "m"),
            ("transforms.m.type", "org.apache.kafka.connect.transforms.MaskField$Value"),
        ],
    );
    let output = run(&[
        "export",
        connector.to_str().expect("a path"),
        "--worker",
        worker.to_str().expect("a path"),
    ]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{errors}");
    for needle in ["tasks.max", "flush.size", "s3.bucket.name", "transforms.m.fields"] {
        assert!(errors.contains(needle), "no {needle:?} in:\n{errors}");
    }
}

#[test]
fn no_arguments_is_a_usage_error() {
    assert_eq!(run(&["connect-standalone"]).status.code(), Some(1));
}
