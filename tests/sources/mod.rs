//! Sources into the real Kafka: nothing acknowledged is lost, offsets are never ahead of the data.

mod file_stream;
mod http_ingest;
mod offsets;
mod topic_creation;

use std::time::Duration;

use crate::rig::kafka::Kafka;
use crate::rig::wait_for;

/// Waits until that many records are in a topic, which may not be there yet.
fn wait_for_records(kafka: &Kafka, topic: &str, count: usize) {
    wait_for(&format!("{count} records in {topic}"), Duration::from_secs(60), || {
        let mut kcat = kafka.kcat();
        kcat.args(["-C", "-t", topic, "-o", "beginning", "-e", "-q", "-f", "%o\n"]);
        let lines = kcat.output().expect("kcat").stdout;
        lines.iter().filter(|byte| **byte == b'\n').count() >= count
    });
}
