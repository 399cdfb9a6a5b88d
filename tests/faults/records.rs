//! Records that cannot be converted, and batches that are damaged on their way.

use std::path::{Path, PathBuf};
use std::time::Duration;

use millrace_broker::{Broker, BrokerOptions, Fault, FaultAction};

use crate::export::{assert_each_once, connector, documents, event};
use crate::rig::worker::{Worker, properties, run, worker_file};
use crate::rig::{kafka, s3, wait_for};

const JSON: &str = "org.apache.kafka.connect.json.JsonConverter";

/// Ten records of which the fourth and the eighth are no JSON; all have a key and a header.
fn produce(topic: &str) {
    let kafka = kafka::shared();
    kafka.create_topic(topic, 1);
    for id in 0..10 {
        let value = if id % 4 == 3 { format!("{{\"id\":{id}") } else { format!("{{\"id\":{id}}}") };
        let mut command = kafka.kcat();
        command.args(["-P", "-t", topic, "-p", "0", "-H", "origin=here", "-K", "\t"]);
        let mut child = command.stdin(std::process::Stdio::piped()).spawn().expect("kcat");
        let mut input = child.stdin.take().expect("piped");
        std::io::Write::write_all(&mut input, format!("k{id}\t{value}\n").as_bytes())
            .expect("kcat reads");
        drop(input);
        assert!(child.wait().expect("kcat").success(), "kcat could not produce");
    }
}

fn file_sink(dir: &Path, name: &str, more: &[(&str, &str)]) -> (PathBuf, PathBuf) {
    let out = dir.join("out.txt");
    let mut pairs = vec![
        ("name", name),
        ("connector.class", "FileStreamSink"),
        ("topics", name),
        ("tasks.max", "1"),
        ("value.converter", JSON),
        ("value.converter.schemas.enable", "false"),
        ("file", out.to_str().expect("a path")),
    ];
    pairs.extend_from_slice(more);
    (properties(dir, "connector.properties", &pairs), out)
}

#[test]
fn tolerated_records_go_to_the_dead_letter_topic_as_they_came_with_what_happened() {
    let kafka = kafka::shared();
    let dir = tempfile::tempdir().expect("a folder");
    produce("dead");
    let more = [
        ("errors.tolerance", "all"),
        ("errors.deadletterqueue.topic.name", "dead-letters"),
        ("errors.deadletterqueue.topic.replication.factor", "1"),
        ("errors.deadletterqueue.context.headers.enable", "true"),
        ("errors.log.enable", "true"),
    ];
    let (connector, out) = file_sink(dir.path(), "dead", &more);
    let worker = Worker::start(dir.path(), &kafka.bootstrap(), &[], &[&connector]);
    let lines = || std::fs::read_to_string(&out).map_or(0, |text| text.lines().count());
    wait_for("the eight good records", Duration::from_secs(30), || lines() == 8);
    let letters = || -> Vec<serde_json::Value> {
        let output = kafka
            .kcat()
            .args(["-C", "-t", "dead-letters", "-o", "beginning", "-e", "-q", "-J"])
            .output()
            .expect("kcat");
        let text = String::from_utf8(output.stdout).expect("text");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    wait_for("two dead letters", Duration::from_secs(20), || letters().len() == 2);
    for (letter, offset) in letters().iter().zip([3, 7]) {
        assert_eq!(letter["payload"], format!("{{\"id\":{offset}"), "{letter}");
        assert_eq!(letter["key"], format!("k{offset}"), "{letter}");
        let headers = letter["headers"].as_array().expect("headers");
        let headers: Vec<(&str, &str)> = headers
            .chunks(2)
            .map(|pair| (pair[0].as_str().expect("a name"), pair[1].as_str().expect("a value")))
            .collect();
        let at = offset.to_string();
        let expected = [
            ("origin", "here"),
            ("__connect.errors.topic", "dead"),
            ("__connect.errors.partition", "0"),
            ("__connect.errors.offset", at.as_str()),
            ("__connect.errors.connector.name", "dead"),
            ("__connect.errors.task.id", "0"),
            ("__connect.errors.stage", "VALUE_CONVERTER"),
            ("__connect.errors.class.name", JSON),
            (
                "__connect.errors.exception.class.name",
                "org.apache.kafka.connect.errors.DataException",
            ),
        ];
        assert_eq!(headers[..9], expected, "{letter}");
        assert_eq!(headers[9].0, "__connect.errors.exception.message");
        assert!(!headers[9].1.is_empty(), "{letter}");
        assert_eq!(headers[10].0, "__connect.errors.exception.stacktrace");
        assert!(headers[10].1.starts_with(headers[8].1), "{letter}");
        assert_eq!(headers.len(), 11, "{letter}");
    }
    let (_, status) = worker.get("/connectors/dead/status");
    assert_eq!(status["tasks"][0]["state"], "RUNNING", "{status}");
    let log = worker.process.log();
    assert!(log.contains("Error encountered in task dead-0"), "{log}");
}

#[test]
fn a_bad_record_without_tolerance_fails_the_task_and_says_where_it_is() {
    let kafka = kafka::shared();
    let dir = tempfile::tempdir().expect("a folder");
    produce("intolerant");
    let (connector, out) = file_sink(dir.path(), "intolerant", &[]);
    let worker = Worker::start(dir.path(), &kafka.bootstrap(), &[], &[&connector]);
    let mut trace = String::new();
    wait_for("the task to fail", Duration::from_secs(30), || {
        let (_, status) = worker.get("/connectors/intolerant/status");
        trace = status["tasks"][0]["trace"].as_str().unwrap_or("").to_owned();
        status["tasks"][0]["state"] == "FAILED"
    });
    for needle in [
        "org.apache.kafka.connect.errors.ConnectException: Tolerance exceeded in error handler",
        "intolerant-0 at offset 3",
        "VALUE_CONVERTER",
        "errors.tolerance=all",
        "Caused by: org.apache.kafka.connect.errors.DataException",
    ] {
        assert!(trace.contains(needle), "no {needle:?} in:\n{trace}");
    }
    // The connector itself runs, and the other tasks of the worker would.
    let (_, status) = worker.get("/connectors/intolerant/status");
    assert_eq!(status["connector"]["state"], "RUNNING", "{status}");
    let written = std::fs::read_to_string(&out).unwrap_or_default();
    assert!(written.lines().count() <= 3, "{written}");
}

#[test]
fn a_batch_damaged_on_its_way_is_named_and_nothing_of_it_is_delivered() {
    let dir = tempfile::tempdir().expect("a folder");
    let listen = "127.0.0.1:0".parse().expect("an address");
    let broker = Broker::spawn_thread(BrokerOptions::new(listen, dir.path().join("broker")), None)
        .expect("the embedded broker");
    let bootstrap = broker.addr().to_string();
    let s3 = s3::shared();
    let bucket = s3.bucket("damaged");
    let produce = |ids: std::ops::Range<u64>| {
        let lines: String = ids.map(event).collect();
        let mut command = std::process::Command::new("kcat");
        command.args(["-b", &bootstrap, "-P", "-t", "damaged", "-p", "0", "-z", "lz4"]);
        let mut child = command.stdin(std::process::Stdio::piped()).spawn().expect("kcat");
        let mut input = child.stdin.take().expect("piped");
        std::io::Write::write_all(&mut input, lines.as_bytes()).expect("kcat reads");
        drop(input);
        assert!(child.wait().expect("kcat").success(), "kcat could not produce");
    };
    produce(0..1_000);
    let connector =
        connector(dir.path(), "damaged", "damaged", &s3.url(), &[("flush.size", "500")]);
    let worker = worker_file(dir.path(), &bootstrap, &[]);
    let args = [
        "export",
        connector.to_str().expect("a path"),
        "--worker",
        worker.to_str().expect("a path"),
    ];
    let output = run(&args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    produce(1_000..3_000);
    // Fetches of this partition, each with a flipped bit.
    broker.faults().inject(Fault {
        topic: Some("damaged".to_owned()),
        partition: Some(0),
        ..Fault::new(1, FaultAction::CorruptCrc, 1_000)
    });
    let output = run(&args);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    for needle in ["damaged-0", "offset ", "CRC", "org.apache.kafka.connect.errors"] {
        assert!(errors.contains(needle), "no {needle:?} in:\n{errors}");
    }
    broker.faults().clear();
    let output = run(&args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_each_once(&documents(&s3::objects(&bucket)), 3_000);
    broker.stop_blocking().expect("a clean stop");
}
