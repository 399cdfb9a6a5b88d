//! Older brokers: every API that a worker uses falls back to what they speak, and a broker that is too
//! old is told as such.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use super::counter;
use crate::export::{assert_each_once, connector, documents, event};
use crate::rig::kafka::Kafka;
use crate::rig::worker::{Worker, properties, run, worker_file};
use crate::rig::{s3, wait_for};

/// All of a worker's APIs against the broker: a group of two tasks that reads by ids and by a pattern,
/// an idempotent producer, a topic made by the admin client, dead letters, a bulk job.
fn use_everything(kafka: &Kafka, name: &str) {
    let (s3, dir) = (s3::shared(), tempfile::tempdir().expect("a folder"));
    let bucket = s3.bucket(name);
    for partition in 0..2 {
        let mine = (0..4_000).filter(|id| id % 2 == partition);
        let lines: String = mine.map(event).collect();
        kafka.produce(name, partition as i32, "lz4", false, &lines);
    }
    kafka.produce(name, 0, "none", false, "no JSON\n");
    let more = [
        ("flush.size", "100"),
        ("tasks.max", "2"),
        ("errors.tolerance", "all"),
        ("errors.deadletterqueue.topic.name", &format!("{name}-dead")),
        ("errors.deadletterqueue.topic.replication.factor", "1"),
        ("consumer.override.isolation.level", "read_committed"),
    ];
    let sink = connector(dir.path(), name, name, &s3.url(), &more);
    let counted = format!("{name}-counted");
    let source = counter(dir.path(), &counted, 1_000, 2_000);
    let text = std::fs::read_to_string(&source).expect("a file");
    let created =
        "topic.creation.default.partitions=3\ntopic.creation.default.replication.factor=1\n";
    std::fs::write(&source, text + created).expect("a file");
    let quick = [("offset.flush.interval.ms", "200")];
    let mut worker = Worker::start(dir.path(), &kafka.bootstrap(), &quick, &[&sink, &source]);
    wait_for("40 objects", Duration::from_secs(90), || s3::keys(&bucket).len() == 40);
    assert_each_once(&documents(&s3::objects(&bucket)), 4_000);
    wait_for("the dead letter", Duration::from_secs(30), || {
        kafka.consume(&format!("{name}-dead"), "%s\n") == ["no JSON"]
    });
    wait_for("the counted records", Duration::from_secs(30), || {
        kafka.consume(&counted, "%s\n").len() == 1_000
    });
    assert!(kafka.consume(&counted, "%p\n").contains(&"2".to_owned()), "three partitions");
    for connector in [name, &format!("{counted}-source")] {
        let (_, status) = worker.get(&format!("/connectors/{connector}/status"));
        assert_ne!(status["tasks"][0]["state"], "FAILED", "{status}");
    }
    wait_for("the cluster's id", Duration::from_secs(20), || {
        worker.get("/").1["kafka_cluster_id"].is_string()
    });
    // Left and joined again: what was committed is where it goes on.
    worker.process.terminate();
    worker.process.wait(Duration::from_secs(30));
    let line: String = (4_000..4_100).map(event).collect();
    kafka.produce(name, 1, "zstd", false, &line);
    let again = dir.path().join("again");
    std::fs::create_dir(&again).expect("a folder");
    let worker = Worker::start(&again, &kafka.bootstrap(), &quick, &[&sink]);
    wait_for("one object more", Duration::from_secs(60), || s3::keys(&bucket).len() == 41);
    drop(worker);

    let bulk = s3.bucket(&format!("{name}-bulk"));
    let more = [("s3.bucket.name", format!("{name}-bulk")), ("errors.tolerance", "all".to_owned())];
    let more: Vec<_> = more.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let job = connector(dir.path(), &format!("{name}-bulk"), name, &s3.url(), &more);
    let file = worker_file(dir.path(), &kafka.bootstrap(), &[]);
    let output =
        run(&["export", job.to_str().expect("a path"), "--worker", file.to_str().expect("a path")]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_each_once(&documents(&s3::objects(&bulk)), 4_100);
}

#[test]
fn kafka_3_9() {
    use_everything(&Kafka::start_kraft("3.9.1"), "kafka-three-nine");
}

#[test]
fn kafka_2_8_with_zookeeper() {
    use_everything(&Kafka::start_with_zookeeper("2.8.2"), "kafka-two-eight");
}

#[test]
fn a_broker_that_is_too_old_is_told_so() {
    // A stand-in: releases before 2.3 do not start on a Java of today. It speaks ApiVersions 0 and
    // nothing else that serves.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut size = [0; 4];
            while stream.read_exact(&mut size).is_ok() {
                let mut request = vec![0; u32::from_be_bytes(size) as usize];
                stream.read_exact(&mut request).expect("a request");
                let asked_for_0 = request[2..4] == [0, 0];
                let mut answer = request[4..8].to_vec();
                // Error 35 to newer versions; then one API, ApiVersions itself.
                answer.extend(if asked_for_0 { [0, 0] } else { [0, 35] });
                answer.extend([0, 0, 0, 1, 0, 18, 0, 0, 0, 0]);
                let size = (answer.len() as u32).to_be_bytes();
                let _ = stream.write_all(&[&size[..], &answer].concat());
            }
        }
    });
    let dir = tempfile::tempdir().expect("a folder");
    let out = dir.path().join("out");
    let sink = properties(
        dir.path(),
        "sink.properties",
        &[
            ("name", "too-old"),
            ("connector.class", "org.apache.kafka.connect.file.FileStreamSinkConnector"),
            ("topics", "too-old"),
            ("file", out.to_str().expect("a path")),
        ],
    );
    let worker = Worker::start(dir.path(), &address.to_string(), &[], &[&sink]);
    wait_for("the task's failure", Duration::from_secs(60), || {
        worker.get("/connectors/too-old/status").1["tasks"][0]["state"] == "FAILED"
    });
    let status = worker.get("/connectors/too-old/status").1;
    let trace = status["tasks"][0]["trace"].as_str().expect("a trace");
    assert!(trace.contains("does not know the API Metadata; Kafka 2.3 or later"), "{trace}");
}
