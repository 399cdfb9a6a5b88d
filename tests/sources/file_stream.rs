//! FileStream source: the JVM worker and ours take turns over one file and one offset file.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::wait_for_records;
use crate::rig::connect::JvmWorker;
use crate::rig::kafka;
use crate::rig::wait_for;
use crate::rig::worker::{self, Worker, properties};

const STRING: &str = "org.apache.kafka.connect.storage.StringConverter";
const STORE: &str = "offset.storage.file.filename";

fn source(dir: &Path, name: &str, topic: &str, input: &Path) -> PathBuf {
    properties(
        dir,
        &format!("{name}.properties"),
        &[
            ("name", name),
            ("connector.class", "org.apache.kafka.connect.file.FileStreamSourceConnector"),
            ("tasks.max", "2"),
            ("topic", topic),
            ("file", input.to_str().expect("a path")),
            ("value.converter", STRING),
            ("topic.creation.default.partitions", "1"),
            ("topic.creation.default.replication.factor", "-1"),
        ],
    )
}

/// Lines of all three ends, a part beyond ASCII; `(text, end)`.
fn lines(from: usize, count: usize) -> Vec<(String, &'static str)> {
    let odd = ["", "plain", "tab\there", "ünïcödé ✓ 𝄞", "\\\"quoted\\\"", "{\"json\": 1}"];
    (from..from + count)
        .map(|at| (format!("{at} {}", odd[at % odd.len()]), ["\n", "\r\n", "\r"][at / 7 % 3]))
        .collect()
}

fn append(path: &Path, lines: &[(String, &str)]) {
    let text: String = lines.iter().map(|(text, end)| format!("{text}{end}")).collect();
    let mut file = OpenOptions::new().create(true).append(true).open(path).expect("the input");
    file.write_all(text.as_bytes()).expect("written");
}

/// What each side says to offsets that a user wants to set.
fn alterations(port: u16, name: &str) -> Vec<(u16, Value)> {
    let (path, stop) = (format!("/connectors/{name}/offsets"), format!("/connectors/{name}/stop"));
    assert_eq!(worker::call(port, "PUT", &stop, "").expect("an answer").0, 204);
    wait_for("the connector to be at rest", Duration::from_secs(20), || {
        let (_, status) = worker::get(port, &format!("/connectors/{name}/status")).expect("status");
        status["connector"]["state"] == "STOPPED" && status["tasks"] == serde_json::json!([])
    });
    let with = |partition: &str, offset: &str| {
        format!(r#"{{"offsets":[{{"partition":{partition},"offset":{offset}}}]}}"#)
    };
    let file = r#"{"filename":"elsewhere"}"#;
    let bodies = [
        with(file, r#"{"position":-1}"#),
        with(file, r#"{"position":"1"}"#),
        with(file, r#"{"pos":1}"#),
        with(r#"{"f":"x"}"#, r#"{"position":1}"#),
        with(file, r#"{"position":12}"#),
        with(file, "null"),
    ];
    let patch = |body: &String| worker::call(port, "PATCH", &path, body).expect("an answer");
    bodies.iter().map(patch).collect()
}

#[test]
fn the_jvm_and_we_take_turns_and_no_line_is_lost_or_sent_twice() {
    let kafka = kafka::shared();
    let dir = tempfile::tempdir().expect("a folder");
    let input = dir.path().join("in.txt");
    let (taken_turns, ours_alone) = ("turns-file-source", "our-file-source");
    let theirs = source(dir.path(), "turns", taken_turns, &input);
    let ours = source(dir.path(), "alone", ours_alone, &input);
    let settings = format!(
        "bootstrap.servers={}\nkey.converter={STRING}\nvalue.converter={STRING}\n\
         offset.flush.interval.ms=500\n",
        kafka.bootstrap()
    );
    let mut all = lines(0, 5_000);
    append(&input, &all);
    // A last line without an end waits for it.
    append(&input, &[("5000 pa".to_owned(), "")]);
    let mut jvm = JvmWorker::start(dir.path(), &settings, &[&theirs]);
    wait_for_records(kafka, taken_turns, 5_000);
    jvm.process.terminate();
    jvm.process.wait(Duration::from_secs(30));

    append(&input, &[("rtial".to_owned(), "\n")]);
    all.push(("5000 partial".to_owned(), "\n"));
    let more = lines(5_001, 5_000);
    append(&input, &more);
    all.extend(more);
    let store = dir.path().join("jvm.offsets");
    let more = [(STORE, store.to_str().expect("a path"))];
    let mut worker = Worker::start(dir.path(), &kafka.bootstrap(), &more, &[&theirs, &ours]);
    wait_for_records(kafka, taken_turns, 10_001);
    wait_for_records(kafka, ours_alone, 10_001);
    let (_, status) = worker.get("/connectors/turns/status");
    assert_eq!(status["tasks"].as_array().map(Vec::len), Some(1), "one file, one task: {status}");
    let we_said = alterations(worker.port, "alone");
    worker.process.terminate();
    worker.process.wait(Duration::from_secs(30));

    let more = lines(10_001, 5_000);
    append(&input, &more);
    all.extend(more);
    let jvm = JvmWorker::start(dir.path(), &settings, &[&theirs, &ours]);
    wait_for_records(kafka, taken_turns, 15_001);
    wait_for_records(kafka, ours_alone, 15_001);
    assert_eq!(we_said, alterations(jvm.port, "alone"));

    // The same records in all their parts, whoever sent them.
    let format = "%p|%K|%k|%h|%s\n";
    let records = kafka.consume(taken_turns, format);
    assert_eq!(records, kafka.consume(ours_alone, format));
    let expected: Vec<_> = all.iter().map(|(text, _)| format!("0|-1|||{text}")).collect();
    assert_eq!(records.len(), expected.len());
    let wrong = records.iter().zip(&expected).position(|(record, line)| record != line);
    assert_eq!(
        wrong,
        None,
        "first difference: {:?}",
        wrong.map(|at| (&records[at], &expected[at]))
    );
}
