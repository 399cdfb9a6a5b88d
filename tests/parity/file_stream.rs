//! FileStream sink: the same lines, byte for byte, for strings.

use std::path::Path;
use std::time::Duration;

use crate::rig::connect::JvmWorker;
use crate::rig::kafka;
use crate::rig::wait_for;
use crate::rig::worker::{properties, run, worker_file};

const STRING: &str = "org.apache.kafka.connect.storage.StringConverter";

fn lines() -> String {
    let odd = ["", " ", "tab\there", "ünïcödé ✓ 𝄞", "\\\"quoted\\\"", "{\"json\": 1}", "null"];
    (0..20_000).map(|at| format!("{at} {}\n", odd[at % odd.len()])).collect()
}

fn file_sink(dir: &Path, name: &str, topic: &str) -> (std::path::PathBuf, std::path::PathBuf) {
    let out = dir.join(format!("{name}.txt"));
    let file = properties(
        dir,
        &format!("{name}.properties"),
        &[
            ("name", name),
            ("connector.class", "org.apache.kafka.connect.file.FileStreamSinkConnector"),
            ("tasks.max", "1"),
            ("topics", topic),
            ("file", out.to_str().expect("a path")),
            ("value.converter", STRING),
        ],
    );
    (file, out)
}

#[test]
fn the_jvm_and_we_write_the_same_lines() {
    let kafka = kafka::shared();
    let dir = tempfile::tempdir().expect("a folder");
    let topic = "parity-file";
    kafka.create_topic(topic, 1);
    kafka.produce(topic, 0, "lz4", false, &lines());
    // One tombstone: the JVM prints the word null.
    kafka.produce(topic, 0, "none", true, "key\t\n");

    let (jvm_file, jvm_out) = file_sink(dir.path(), "jvm-file", topic);
    let worker = format!(
        "bootstrap.servers={}\nkey.converter={STRING}\nvalue.converter={STRING}\n\
         offset.flush.interval.ms=500\n",
        kafka.bootstrap()
    );
    let mut jvm = JvmWorker::start(dir.path(), &worker, &[&jvm_file]);
    let count = |path: &Path| {
        std::fs::read(path).map_or(0, |text| text.iter().filter(|byte| **byte == b'\n').count())
    };
    wait_for("the JVM's lines", Duration::from_secs(60), || count(&jvm_out) >= 20_001);
    jvm.process.kill();

    let (our_file, our_out) = file_sink(dir.path(), "our-file", topic);
    let worker = worker_file(dir.path(), &kafka.bootstrap(), &[]);
    let output = run(&[
        "export",
        our_file.to_str().expect("a path"),
        "--worker",
        worker.to_str().expect("a path"),
    ]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (theirs, ours) =
        (std::fs::read(&jvm_out).expect("lines"), std::fs::read(&our_out).expect("lines"));
    assert_eq!(theirs.len(), ours.len());
    assert!(theirs == ours, "the files differ");
    assert!(ours.ends_with(b"null\n"));
}
