//! HTTP ingest source: what was answered 200 is in Kafka, through SIGKILLs, rubbish from others and
//! a broker that is away.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::rig::kafka::{self, Kafka};
use crate::rig::worker::{Worker, properties};
use crate::rig::{free_port, pause, wait_for};

const LINES: &str = "Content-Type: application/x-ndjson\r\n";

fn connector(dir: &Path, name: &str, port: u16, more: &[(&str, &str)]) -> PathBuf {
    let listener = format!("127.0.0.1:{port}");
    let mut pairs = vec![
        ("name", name),
        ("connector.class", "millrace.HttpIngestSourceConnector"),
        ("listener", listener.as_str()),
        ("topic.creation.default.partitions", "3"),
        ("topic.creation.default.replication.factor", "-1"),
    ];
    pairs.extend_from_slice(more);
    properties(dir, &format!("{name}.properties"), &pairs)
}

/// A connection that is opened again when it broke.
struct Client {
    port: u16,
    stream: Option<BufReader<TcpStream>>,
}

impl Client {
    fn new(port: u16) -> Self {
        Self { port, stream: None }
    }

    /// The status; `None` when there was no answer.
    fn post(&mut self, topic: &str, body: &[u8]) -> Option<u16> {
        let length = body.len();
        let head = format!(
            "POST /topics/{topic} HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n{LINES}\r\n"
        );
        let answer = self.exchange(&[head.as_bytes(), body].concat());
        if answer.is_none() {
            self.stream = None;
        }
        answer
    }

    fn exchange(&mut self, request: &[u8]) -> Option<u16> {
        if self.stream.is_none() {
            let stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
            stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
            self.stream = Some(BufReader::new(stream));
        }
        let stream = self.stream.as_mut()?;
        stream.get_mut().write_all(request).ok()?;
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "))?;
        let mut body = vec![0; length.parse().ok()?];
        stream.read_exact(&mut body).ok()?;
        if head.contains("Connection: close") {
            self.stream = None;
        }
        Some(status)
    }
}

/// Sends records of its own until told to stop; gives those that were answered 200.
fn sender(
    port: u16,
    topic: &'static str,
    number: usize,
    stop: &Arc<AtomicBool>,
) -> JoinHandle<Vec<String>> {
    let stop = Arc::clone(stop);
    std::thread::spawn(move || {
        let (mut client, mut taken) = (Client::new(port), Vec::new());
        for batch in 0.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let ids: Vec<_> = (0..50).map(|at| format!("{number}-{batch}-{at}")).collect();
            let body: String = ids
                .iter()
                .map(|id| format!("{{\"id\":\"{id}\",\"text\":\"some more\"}}\n"))
                .collect();
            match client.post(topic, body.as_bytes()) {
                Some(200) => taken.extend(ids),
                Some(status) => assert!(matches!(status, 429 | 503), "{status}"),
                None => pause(Duration::from_millis(20)),
            }
        }
        taken
    })
}

/// The ids in a topic, each with the whole of its record.
fn ids(kafka: &Kafka, topic: &str) -> HashSet<String> {
    let records = kafka.consume(topic, "%s\n");
    let id = |record: &String| {
        let id = record.strip_prefix("{\"id\":\"").and_then(|rest| rest.split('"').next());
        let id = id.unwrap_or_else(|| panic!("{record}")).to_owned();
        assert_eq!(*record, format!("{{\"id\":\"{id}\",\"text\":\"some more\"}}"));
        id
    };
    records.iter().map(id).collect()
}

#[test]
fn what_was_answered_200_is_in_kafka_whatever_is_killed_and_whoever_talks_rubbish() {
    let kafka = kafka::shared();
    let dir = tempfile::tempdir().expect("a folder");
    let (topic, port) = ("http-ingest-killed", free_port());
    let more = [("tasks.max", "2"), ("header.timeout.ms", "500"), ("body.max.bytes", "100000")];
    let connector = connector(dir.path(), topic, port, &more);
    let stop = Arc::new(AtomicBool::new(false));
    let senders: Vec<_> = (0..4).map(|number| sender(port, topic, number, &stop)).collect();
    let mut rude = Client::new(port);
    let mut heard = HashSet::new();
    for round in 0..3 {
        let mut worker = Worker::start(dir.path(), &kafka.bootstrap(), &[], &[&connector]);
        wait_for("the listener", Duration::from_secs(20), || rude.post(topic, b"").is_some());
        // Left hanging: the slow one must not hold anybody up.
        let mut slow = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
        slow.write_all(b"POST / HT").expect("sent");
        for _ in 0..20 {
            heard.extend(rude.post(topic, b"{\"id\":1}\nrubbish\n"));
            heard.extend(rude.post(topic, &[b' '; 100_001]));
            heard.extend(rude.exchange(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"));
            rude.stream = None;
            pause(Duration::from_millis(30));
        }
        let mut text = String::new();
        slow.set_read_timeout(Some(Duration::from_secs(5))).expect("a limit");
        slow.read_to_string(&mut text).expect("an answer");
        assert!(text.starts_with("HTTP/1.1 408 "), "{text}");
        if round < 2 {
            worker.process.kill();
        } else {
            stop.store(true, Ordering::Relaxed);
            let taken: Vec<_> =
                senders.into_iter().map(|one| one.join().expect("a sender")).collect();
            worker.process.terminate();
            assert!(worker.process.wait(Duration::from_secs(20)).success());
            let there = ids(kafka, topic);
            for taken in taken {
                assert!(!taken.is_empty(), "nothing was taken");
                let lost: Vec<_> = taken.iter().filter(|id| !there.contains(*id)).collect();
                assert!(lost.is_empty(), "{} lost: {:?} …", lost.len(), lost.first());
            }
            break;
        }
    }
    assert_eq!(heard, HashSet::from([400, 413]));
}

/// Resident memory of a process, in bytes.
fn resident(pid: u32) -> usize {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).expect("a process");
    let pages: usize = text.split(' ').nth(1).expect("a number").parse().expect("a number");
    pages * 4096
}

#[test]
fn while_kafka_is_away_clients_are_told_and_memory_is_bounded() {
    let kafka = Kafka::start();
    let dir = tempfile::tempdir().expect("a folder");
    let (topic, port) = ("http-ingest-away", free_port());
    let more = [
        ("inflight.max.bytes", "8000000"),
        ("body.max.bytes", "1000000"),
        ("ack.timeout.ms", "2500"),
        ("producer.override.buffer.memory", "8000000"),
    ];
    let connector = connector(dir.path(), topic, port, &more);
    let worker = Worker::start(dir.path(), &kafka.bootstrap(), &[], &[&connector]);
    let stop = Arc::new(AtomicBool::new(false));
    let steady = sender(port, topic, 0, &stop);
    let mut probe = Client::new(port);
    wait_for("the listener", Duration::from_secs(20), || probe.post(topic, b"") == Some(200));
    let line = format!("{{\"id\":\"fat\",\"text\":\"{}\"}}\n", "x".repeat(2_000));
    let fat = line.repeat(450);
    assert_eq!(probe.post("http-ingest-fat", fat.as_bytes()), Some(200));
    let before = resident(worker.process.id());
    kafka.stop();
    let crowd: Vec<_> = (0..24)
        .map(|_| {
            let (fat, stop) = (fat.clone(), Arc::clone(&stop));
            std::thread::spawn(move || {
                let (mut client, mut statuses) = (Client::new(port), Vec::new());
                while !stop.load(Ordering::Relaxed) {
                    statuses.push(client.post("http-ingest-fat", fat.as_bytes()));
                    pause(Duration::from_millis(100));
                }
                statuses
            })
        })
        .collect();
    let mut most = 0;
    for _ in 0..30 {
        pause(Duration::from_millis(200));
        most = most.max(resident(worker.process.id()));
    }
    // Bodies in flight, the producer's memory, one poll's arena, and the buffers of 26 connections.
    assert!(most < before + (60 << 20), "from {} to {} MB", before >> 20, most >> 20);
    kafka.start_again();
    wait_for("a taken request", Duration::from_secs(60), || {
        probe.post(topic, b"") == Some(200) && {
            probe.post(topic, b"{\"id\":\"last\",\"text\":\"some more\"}") == Some(200)
        }
    });
    stop.store(true, Ordering::Relaxed);
    let statuses: HashSet<_> =
        crowd.into_iter().flat_map(|one| one.join().expect("a client")).collect();
    assert!(statuses.contains(&Some(429)) && statuses.contains(&Some(503)), "{statuses:?}");
    let taken = steady.join().expect("the sender");
    let there = ids(&kafka, topic);
    assert!(there.contains("last"));
    assert!(taken.iter().all(|id| there.contains(id)), "answered 200, and not in Kafka");
}
