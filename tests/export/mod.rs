//! The bulk job: everything is delivered, once, and a job that was killed goes on.

mod bounds;
mod crash;
mod s3;
mod stopping;
mod topics;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::rig::kafka::Kafka;
use crate::rig::worker::{properties, worker_file};

/// `count` JSON events of one topic, over its partitions.
pub fn fill(kafka: &Kafka, topic: &str, partitions: u32, count: u64, codec: &str) {
    kafka.create_topic(topic, partitions);
    for partition in 0..partitions {
        let lines: String = (0..count)
            .filter(|id| id % u64::from(partitions) == u64::from(partition))
            .map(event)
            .collect();
        kafka.produce(topic, partition as i32, codec, false, &lines);
    }
}

/// Event `id` as a line.
pub fn event(id: u64) -> String {
    format!(
        "{{\"id\":{id},\"ip\":\"10.0.0.{}\",\"ua\":\"agent {}\",\"ref\":\"r\",\"n\":{{\"a\":[1,2.50]}}}}\n",
        id % 256,
        id % 7
    )
}

/// What the three transforms of [`connector`] make of event `id`.
pub fn expected(id: u64) -> serde_json::Value {
    // As text: numbers keep theirs, `2.50` does not become `2.5`.
    let text = format!(
        "{{\"id\":{id},\"ip\":\"\",\"user_agent\":\"agent {}\",\"n\":{{\"a\":[1,2.50]}},\"source\":\"web\"}}",
        id % 7
    );
    serde_json::from_str(&text).expect("JSON")
}

/// An S3 connector with three transforms; `more` overrides.
pub fn connector(dir: &Path, name: &str, topic: &str, url: &str, more: &[(&str, &str)]) -> PathBuf {
    let mut pairs = BTreeMap::from([
        ("name", name),
        ("connector.class", "io.confluent.connect.s3.S3SinkConnector"),
        ("tasks.max", "1"),
        ("topics", topic),
        ("storage.class", "io.confluent.connect.s3.storage.S3Storage"),
        ("format.class", "io.confluent.connect.s3.format.json.JsonFormat"),
        ("store.url", url),
        ("s3.bucket.name", name),
        ("s3.region", "us-east-1"),
        ("aws.access.key.id", crate::rig::s3::ACCESS_KEY),
        ("aws.secret.access.key", crate::rig::s3::SECRET_KEY),
        ("flush.size", "1000"),
        ("transforms", "source,mask,shape"),
        ("transforms.source.type", "org.apache.kafka.connect.transforms.InsertField$Value"),
        ("transforms.source.static.field", "source"),
        ("transforms.source.static.value", "web"),
        ("transforms.mask.type", "org.apache.kafka.connect.transforms.MaskField$Value"),
        ("transforms.mask.fields", "ip"),
        ("transforms.shape.type", "org.apache.kafka.connect.transforms.ReplaceField$Value"),
        ("transforms.shape.renames", "ua:user_agent"),
        ("transforms.shape.exclude", "ref"),
    ]);
    pairs.extend(more.iter().copied());
    let pairs: Vec<_> = pairs.into_iter().collect();
    properties(dir, "connector.properties", &pairs)
}

/// A worker file for the shared broker.
pub fn worker(dir: &Path, kafka: &Kafka) -> PathBuf {
    worker_file(dir, &kafka.bootstrap(), &[])
}

/// Every line of every object, parsed; objects by key.
pub fn documents(objects: &[(String, Vec<u8>)]) -> Vec<serde_json::Value> {
    objects
        .iter()
        .flat_map(|(key, bytes)| {
            let text = if key.ends_with(".gz") { gunzip(bytes) } else { bytes.clone() };
            let text = String::from_utf8(text).expect("text");
            text.lines()
                .map(|line| serde_json::from_str(line).expect("a JSON line"))
                .collect::<Vec<_>>()
        })
        .collect()
}

fn gunzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::{Read, Write};
    use std::process::{Command, Stdio};
    let mut child = Command::new("gzip")
        .arg("-dc")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("gzip");
    let mut input = child.stdin.take().expect("piped");
    let bytes = bytes.to_vec();
    let writer = std::thread::spawn(move || input.write_all(&bytes));
    let mut text = Vec::new();
    child.stdout.take().expect("piped").read_to_end(&mut text).expect("gzip writes");
    writer.join().expect("no panic").expect("gzip reads");
    assert!(child.wait().expect("gzip").success(), "not gzip");
    text
}

/// Each id exactly once, each document as the transforms make it.
pub fn assert_each_once(documents: &[serde_json::Value], count: u64) {
    let mut seen = vec![0u32; count as usize];
    for document in documents {
        let id = document["id"].as_u64().expect("an id");
        assert_eq!(*document, expected(id));
        seen[id as usize] += 1;
    }
    let missing = seen.iter().filter(|times| **times == 0).count();
    let twice = seen.iter().filter(|times| **times > 1).count();
    assert_eq!((missing, twice), (0, 0), "missing and repeated, of {count}");
}
