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

/// Exit code 3, and what is wrong, for each of these connector files.
#[test]
fn a_connector_file_that_cannot_be_used_ends_the_worker() {
    let dir = tempfile::tempdir().expect("a folder");
    let port = crate::rig::free_port();
    let listener = format!("http://127.0.0.1:{port}");
    let more = [("listeners", listener.as_str()), ("colour", "blue")];
    let worker = crate::rig::worker::worker_file(dir.path(), "127.0.0.1:1", &more);
    let good = "name=good\nconnector.class=FileStreamSink\ntopics=t\n";
    for (name, text, needle) in [
        ("good.properties", good, ""),
        ("json.json", "{\"name\":", "json.json"),
        ("list.json", "[]", "list.json"),
        ("class.properties", "name=x\nconnector.class=no.such.Class\n", "no.such.Class"),
        ("no-class.properties", "name=x\ntopics=t\n", "contains no connector type"),
        (
            "no-topics.properties",
            "name=x\nconnector.class=FileStreamSink\n",
            "Must configure one of",
        ),
        (
            "value.properties",
            "name=x\nconnector.class=FileStreamSink\ntopics=t\ntasks.max=0\n",
            "at least 1",
        ),
        ("twice.properties", good, "Connector good already exists"),
        ("absent.properties", "", "absent.properties"),
    ] {
        if !text.is_empty() {
            std::fs::write(dir.path().join(name), text).expect("a connector file");
        }
        if needle.is_empty() {
            continue;
        }
        let path = |name: &str| dir.path().join(name).to_str().expect("a path").to_owned();
        let output = run(&[
            "connect-standalone",
            worker.to_str().expect("a path"),
            &path("good.properties"),
            &path(name),
        ]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{name}: {errors}");
        assert!(errors.contains(needle), "{name}: no {needle:?} in:\n{errors}");
        assert!(errors.contains("the key colour is not known and is ignored"), "{errors}");
    }
}

#[test]
fn a_secret_is_in_no_log_and_in_no_validation() {
    const SECRET: &str = "wJalrXUtnFEMI-K7MDENG-secret";
    let dir = tempfile::tempdir().expect("a folder");
    let config = |flush: &str| {
        serde_json::json!({
            "name": "s", "connector.class": "io.confluent.connect.s3.S3SinkConnector",
            "topics": "t", "s3.bucket.name": "bucket", "s3.region": "us-east-1", "flush.size": flush,
            "storage.class": "io.confluent.connect.s3.storage.S3Storage",
            "format.class": "io.confluent.connect.s3.format.json.JsonFormat",
            "store.url": "http://127.0.0.1:1", "aws.access.key.id": "key",
            "aws.secret.access.key": SECRET,
        })
    };
    let more = [("producer.sasl.jaas.config", SECRET)];
    let worker = crate::rig::worker::Worker::start(dir.path(), "127.0.0.1:1", &more, &[]);
    let validate = "/connector-plugins/S3SinkConnector/config/validate";
    for flush in ["1000", "many"] {
        let (status, answer) = worker.call("PUT", validate, &config(flush).to_string());
        assert_eq!(status, 200, "{answer}");
        assert!(!answer.to_string().contains(SECRET), "{answer}");
        assert!(answer.to_string().contains("[hidden]"), "{answer}");
        let (status, answer) =
            worker.call("PUT", "/connectors/s/config", &config(flush).to_string());
        assert_eq!(status, if flush == "many" { 400 } else { 201 }, "{answer}");
        if status == 400 {
            assert!(!answer.to_string().contains(SECRET), "{answer}");
        }
    }
    assert_eq!(worker.call("PUT", "/admin/loggers/root", r#"{"level":"TRACE"}"#).0, 200);
    assert_eq!(worker.call("POST", "/connectors/s/restart?includeTasks=true", "").0, 202);
    // Nothing listens there: the task says so in log and trace.
    crate::rig::wait_for("the task to fail", std::time::Duration::from_secs(20), || {
        worker.get("/connectors/s/status").1["tasks"][0]["state"] == "FAILED"
    });
    let log = worker.process.log();
    assert!(!log.contains(SECRET), "{log}");
    assert!(!worker.get("/connectors/s/status").1.to_string().contains(SECRET));
}
