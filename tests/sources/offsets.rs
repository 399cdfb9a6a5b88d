//! Source offsets are never ahead of the data: through SIGKILLs, several partitions in flight, and
//! records that the broker refuses.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::rig::worker::{Worker, properties};
use crate::rig::{kafka, pause, wait_for};

const STRING: &str = "org.apache.kafka.connect.storage.StringConverter";

fn source(dir: &Path, name: &str, input: &Path, more: &[(&str, &str)]) -> PathBuf {
    let mut pairs = vec![
        ("name", name),
        ("connector.class", "FileStreamSource"),
        ("topic", name),
        ("file", input.to_str().expect("a path")),
        ("value.converter", STRING),
        ("topic.creation.default.replication.factor", "-1"),
    ];
    pairs.extend_from_slice(more);
    properties(dir, &format!("{name}.properties"), &pairs)
}

#[test]
fn kills_lose_no_line_of_a_file_that_grows() {
    let kafka = kafka::shared();
    let dir = tempfile::tempdir().expect("a folder");
    let (name, input, total) = ("killed-file-source", dir.path().join("in.txt"), 300_000);
    let more = [("topic.creation.default.partitions", "3"), ("batch.size", "500")];
    let connector = source(dir.path(), name, &input, &more);
    let writer = std::thread::spawn(move || {
        let mut file = OpenOptions::new().create(true).append(true).open(input).expect("a file");
        for chunk in 0..100 {
            let from = chunk * total / 100;
            let lines: String =
                (from..from + total / 100).map(|at| format!("{at} some more text\n")).collect();
            file.write_all(lines.as_bytes()).expect("written");
            pause(Duration::from_millis(30));
        }
    });
    let worker = [("offset.flush.interval.ms", "50"), ("producer.linger.ms", "5")];
    for _ in 0..3 {
        let mut running = Worker::start(dir.path(), &kafka.bootstrap(), &worker, &[&connector]);
        pause(Duration::from_millis(800));
        running.process.kill();
    }
    writer.join().expect("the writer");
    let _running = Worker::start(dir.path(), &kafka.bootstrap(), &worker, &[&connector]);
    let seen = || {
        let mut seen = vec![0u32; total];
        for line in kafka.consume(name, "%s\n") {
            let number: usize =
                line.split(' ').next().expect("a number").parse().expect("a number");
            assert_eq!(line, format!("{number} some more text"));
            seen[number] += 1;
        }
        seen
    };
    wait_for("every line", Duration::from_secs(60), || seen().iter().all(|count| *count > 0));
    let again = seen().iter().filter(|count| **count > 1).count();
    assert!(again < total / 2, "{again} lines came again: offsets are hardly stored");
}

#[test]
fn a_record_that_the_broker_refuses_keeps_the_offset_before_it() {
    let kafka = kafka::shared();
    let dir = tempfile::tempdir().expect("a folder");
    let (name, input) = ("refused-file-source", dir.path().join("in.txt"));
    let line = |at: usize| format!("{at} {}\n", "x".repeat(if at == 150 { 5_000 } else { 20 }));
    let lines: Vec<String> = (0..300).map(line).collect();
    std::fs::write(&input, lines.concat()).expect("written");
    let more = [
        ("topic.creation.default.partitions", "2"),
        ("topic.creation.default.max.message.bytes", "2000"),
        ("batch.size", "10"),
    ];
    let connector = source(dir.path(), name, &input, &more);
    let worker = Worker::start(dir.path(), &kafka.bootstrap(), &[], &[&connector]);
    wait_for("the task to fail", Duration::from_secs(30), || {
        let (_, status) = worker.get(&format!("/connectors/{name}/status"));
        status["tasks"][0]["state"] == "FAILED"
    });
    let (_, status) = worker.get(&format!("/connectors/{name}/status"));
    let trace = status["tasks"][0]["trace"].as_str().expect("a trace").to_owned();
    assert!(trace.contains("Unrecoverable exception from producer send callback"), "{trace}");
    let (_, offsets) = worker.get(&format!("/connectors/{name}/offsets"));
    let before: usize = lines[..150].iter().map(String::len).sum();
    if let Some(position) = offsets["offsets"][0]["offset"]["position"].as_u64() {
        assert!(position <= before as u64, "{offsets} is beyond the refused line at {before}");
    }
}
