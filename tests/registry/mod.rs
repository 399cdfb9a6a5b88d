//! Avro, JSON and Protobuf by a real schema registry and a real Kafka: written by our converters, read
//! by them, while schemas change, the registry goes away and comes back.

mod avro;
mod json_schema;
mod outages;
mod protobuf;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;

use crate::rig::worker::{Worker, binary, properties, worker_file};
use crate::rig::{kafka, wait_for};

pub const AVRO: &str = "io.confluent.connect.avro.AvroConverter";

/// Two fields, as datagen takes it.
pub const FIRST: &str = r#"{"type":"record","name":"Order","namespace":"shop","fields":[{"name":"id","type":{"type":"long","arg.properties":{"iteration":{"start":1}}}},{"name":"note","type":["null","string"],"default":null}]}"#;
/// One more.
pub const SECOND: &str = r#"{"type":"record","name":"Order","namespace":"shop","fields":[{"name":"id","type":{"type":"long","arg.properties":{"iteration":{"start":101}}}},{"name":"note","type":["null","string"],"default":null},{"name":"paid","type":"boolean"}]}"#;

/// The keys of the converter of that class for `side`.
fn converter(class: &str, side: &str, url: &str) -> [(String, String); 2] {
    [
        (format!("{side}.converter"), class.to_owned()),
        (format!("{side}.converter.schema.registry.url"), url.to_owned()),
    ]
}

fn connector(dir: &Path, name: &str, url: &str, pairs: &[(&str, &str)]) -> PathBuf {
    connector_with(AVRO, dir, name, url, pairs)
}

fn connector_with(
    class: &str,
    dir: &Path,
    name: &str,
    url: &str,
    pairs: &[(&str, &str)],
) -> PathBuf {
    let keys = converter(class, "value", url);
    let mut all = vec![("name", name), ("tasks.max", "1")];
    all.extend(keys.iter().map(|(key, value)| (key.as_str(), value.as_str())));
    all.extend_from_slice(pairs);
    properties(dir, &format!("{name}.properties"), &all)
}

fn count(topic: &str) -> usize {
    kafka::shared().consume(topic, "%o\n").len()
}

/// Writes `records` records of made-up data to the topic, as Avro; `more` are the source's keys.
pub fn produce(dir: &Path, url: &str, topic: &str, records: usize, more: &[(&str, &str)]) {
    produce_with(AVRO, dir, url, topic, records, more);
}

/// As [`produce`], by the converter of that class.
pub fn produce_with(
    class: &str,
    dir: &Path,
    url: &str,
    topic: &str,
    records: usize,
    more: &[(&str, &str)],
) {
    let kafka = kafka::shared();
    let before = count(topic);
    let iterations = records.to_string();
    let mut pairs = vec![
        ("connector.class", "millrace.DatagenSourceConnector"),
        ("kafka.topic", topic),
        ("format", "struct"),
        ("iterations", &iterations),
    ];
    pairs.extend_from_slice(more);
    let name = format!("source-{topic}-{before}");
    let source = connector_with(class, dir, &name, url, &pairs);
    let worker = Worker::start(dir, &kafka.bootstrap(), &[], &[&source]);
    wait_for(&format!("{records} records in {topic}"), Duration::from_secs(60), || {
        let (_, status) = worker.get(&format!("/connectors/{name}/status"));
        assert_ne!(status["tasks"][0]["state"], "FAILED", "{status}");
        count(topic) >= before + records
    });
    assert_eq!(count(topic), before + records);
}

/// Exports the topic as JSON lines.
pub fn export(dir: &Path, url: &str, topic: &str, more: &[(&str, &str)]) -> (Output, Vec<Value>) {
    export_with(AVRO, dir, url, topic, more)
}

/// As [`export`], by the converter of that class.
pub fn export_with(
    class: &str,
    dir: &Path,
    url: &str,
    topic: &str,
    more: &[(&str, &str)],
) -> (Output, Vec<Value>) {
    let file = dir.join(format!("{topic}.out"));
    let _ = std::fs::remove_file(&file);
    let mut pairs = vec![
        ("connector.class", "org.apache.kafka.connect.file.FileStreamSinkConnector"),
        ("topics", topic),
        ("file", file.to_str().expect("a path")),
    ];
    pairs.extend_from_slice(more);
    let name = format!("sink-{topic}-{}", more.len());
    let sink = connector_with(class, dir, &name, url, &pairs);
    let worker = worker_file(dir, &kafka::shared().bootstrap(), &[]);
    let output = Command::new(binary())
        .arg("export")
        .arg(&sink)
        .arg("--worker")
        .arg(worker)
        .output()
        .expect("our binary");
    let text = std::fs::read_to_string(&file).unwrap_or_default();
    (output, text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect())
}

/// As [`export`], which must succeed.
pub fn exported(dir: &Path, url: &str, topic: &str, more: &[(&str, &str)]) -> Vec<Value> {
    exported_with(AVRO, dir, url, topic, more)
}

/// As [`exported`], by the converter of that class.
pub fn exported_with(
    class: &str,
    dir: &Path,
    url: &str,
    topic: &str,
    more: &[(&str, &str)],
) -> Vec<Value> {
    let (output, lines) = export_with(class, dir, url, topic, more);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    lines
}
