//! `perf ingest`: what a record costs that comes by HTTP, in requests of so many records, until it is
//! in Kafka and answered.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::events;
use crate::life::ticks;
use crate::rig::kafka::Kafka;
use crate::rig::worker::{Worker, properties};
use crate::rig::{free_port, wait_for};

pub struct Options {
    pub records: u64,
    /// Records of a request.
    pub batch: u64,
    /// Connections that send one request after the other.
    pub clients: u64,
    pub runs: usize,
}

/// The topic, of which each run has its own.
const TOPIC: &str = "perf-ingest";

/// Posts `records` events over one connection; each answer is 200 or it ends the measurement.
fn client(port: u16, topic: &str, body: &str, requests: u64, answered: &AtomicU64) {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("the listener");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket");
    stream.set_nodelay(true).expect("a socket");
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    let mut writer = stream;
    let request = format!(
        "POST /topics/{topic} HTTP/1.1\r\nHost: perf\r\nContent-Type: application/x-ndjson\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    for _ in 0..requests {
        writer.write_all(request.as_bytes()).expect("sent");
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(reader.read_line(&mut head).expect("an answer") > 0, "it hung up");
        }
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let length = length.and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut answer = vec![0; length];
        reader.read_exact(&mut answer).expect("an answer");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}{}", String::from_utf8_lossy(&answer));
        answered.fetch_add(1, Ordering::Relaxed);
    }
}

/// CPU time of our process a record, in µs, and records a second.
fn measure(kafka: &Kafka, options: &Options, run: usize) -> (f64, f64) {
    let (dir, port) = (tempfile::tempdir().expect("a folder"), free_port());
    let (topic, listener) = (format!("{TOPIC}-{run}"), format!("127.0.0.1:{port}"));
    kafka.create_topic(&topic, 1);
    let connector = properties(
        dir.path(),
        "connector.properties",
        &[
            ("name", topic.as_str()),
            ("connector.class", "millrace.HttpIngestSourceConnector"),
            ("listener", listener.as_str()),
            ("producer.override.compression.type", "lz4"),
        ],
    );
    let worker =
        Worker::start(dir.path(), &kafka.bootstrap(), &[("millrace.cores", "1")], &[&connector]);
    wait_for("the listener", Duration::from_secs(20), || {
        TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    let body: String = (0..options.batch).map(|number| events::event(number) + "\n").collect();
    let answered = AtomicU64::new(0);
    let send = |requests: u64| {
        std::thread::scope(|scope| {
            for _ in 0..options.clients {
                scope.spawn(|| client(port, &topic, &body, requests, &answered));
            }
        });
    };
    // Connections, buffers, and the first of everything.
    send(50);
    let requests = (options.records / options.batch / options.clients).max(1);
    let (before, begun) = (ticks(worker.process.id()), Instant::now());
    let warm_up = answered.load(Ordering::SeqCst);
    send(requests);
    let (used, took) = (ticks(worker.process.id()) - before, begun.elapsed());
    let records = (answered.load(Ordering::SeqCst) - warm_up) * options.batch;
    (used as f64 * 1e4 / records as f64, records as f64 / took.as_secs_f64())
}

/// Runs it and prints the medians.
pub fn run(options: &Options) {
    let kafka = Kafka::start();
    let (mut costs, mut rates) = (Vec::new(), Vec::new());
    for run in 0..options.runs {
        let (cost, rate) = measure(&kafka, options, run);
        println!("run {run}: {cost:.3} µs CPU a record, {rate:.0} records/s");
        costs.push(cost);
        rates.push(rate);
    }
    let [cost, rate] = [costs, rates].map(|values| crate::table::median(&values));
    println!(
        "\n| records a request | connections | CPU µs a record | records/s |\n|---|---|---|---|\n\
         | {} | {} | {cost:.3} | {rate:.0} |",
        options.batch, options.clients
    );
}
