//! OpenSearch 2 that takes little at a time: overload, large requests, and its death in the middle of
//! the work. One server for all of it, one after the other.

use std::time::{Duration, Instant};

use super::{by_id, connector, exported, fill_keyed};
use crate::export::event;
use crate::rig::elasticsearch::{self, Search};
use crate::rig::worker::Worker;
use crate::rig::{kafka, pause, wait_for};

#[test]
fn a_small_opensearch_gets_everything() {
    let search = elasticsearch::opensearch();
    // Inferred mappings race between shards: 1 may come before 2.50, or after it.
    let plain = r#"{"index_patterns":["os-*"],"template":{"mappings":{"dynamic":false}}}"#;
    search.must("PUT", "/_index_template/os-plain", plain);
    data_stream(&search);
    overload(&search);
    large_requests(&search);
    killed_in_the_middle(&search);
}

/// Made by the connector itself: this server has the API.
fn data_stream(search: &Search) {
    let dir = tempfile::tempdir().expect("a folder");
    let template = r#"{"index_patterns":["metrics-os-*"],"data_stream":{}}"#;
    search.must("PUT", "/_index_template/os-stream", template);
    let pairs: Vec<_> = (0..20).map(|n| (format!("k{n}"), format!("{{\"n\":{n}}}"))).collect();
    fill_keyed("os-stream", &pairs);
    let more = [("data.stream.type", "METRICS"), ("data.stream.dataset", "os")];
    let connector = connector(dir.path(), "os-stream", "os-stream", search, &more);
    exported(dir.path(), &connector, &[]);
    let hits = search.hits("metrics-os-os-stream");
    assert_eq!(hits.len(), 20);
    assert!(hits.iter().all(|hit| hit["_source"]["@timestamp"].as_i64() > Some(1_600_000_000_000)));
}

/// Requests that the server's queue has no room for.
fn overload(search: &Search) {
    let (kafka, dir) = (kafka::shared(), tempfile::tempdir().expect("a folder"));
    search.must("PUT", "/os-overload", r#"{"settings":{"number_of_shards":4}}"#);
    kafka.create_topic("os-overload", 1);
    let lines: String = (0..30_000).map(event).collect();
    kafka.produce("os-overload", 0, "lz4", false, &lines);
    let more = [
        ("key.ignore", "true"),
        ("batch.size", "100"),
        ("max.in.flight.requests", "50"),
        ("retry.backoff.ms", "20"),
    ];
    let connector = connector(dir.path(), "os-overload", "os-overload", search, &more);
    exported(dir.path(), &connector, &[]);
    assert_eq!(search.count("os-overload"), 30_000);
    let stats = search.must("GET", "/_nodes/stats/thread_pool", "");
    let node = stats["nodes"].as_object().expect("nodes").values().next().expect("one");
    let rejected = node["thread_pool"]["write"]["rejected"].as_u64();
    assert!(rejected > Some(0), "the server was never overloaded: {node}");
}

/// Bulks over the server's limit of 1 MB.
fn large_requests(search: &Search) {
    let dir = tempfile::tempdir().expect("a folder");
    let value = |n: usize| format!("{{\"n\":{n},\"x\":\"{}\"}}", "x".repeat(20_000));
    let pairs: Vec<_> = (0..300).map(|n| (format!("k{n}"), value(n))).collect();
    fill_keyed("os-large", &pairs);
    let connector = connector(dir.path(), "os-large", "os-large", search, &[]);
    exported(dir.path(), &connector, &[]);
    assert_eq!(search.count("os-large"), 300);
}

/// The server dies by SIGKILL, stays away, and comes back: the task waits with flat memory and shows
/// why, then delivers everything.
fn killed_in_the_middle(search: &Search) {
    const RECORDS: u64 = 150_000;
    let (kafka, dir) = (kafka::shared(), tempfile::tempdir().expect("a folder"));
    kafka.create_topic("os-killed", 1);
    let lines: String = (0..RECORDS).map(event).collect();
    kafka.produce("os-killed", 0, "lz4", false, &lines);
    let more = [
        ("key.ignore", "true"),
        ("batch.size", "500"),
        ("max.retries", "100000"),
        ("retry.backoff.ms", "50"),
        ("read.timeout.ms", "60000"),
    ];
    let connector = connector(dir.path(), "os-killed", "os-killed", search, &more);
    let worker = Worker::start(dir.path(), &kafka.bootstrap(), &[], &[&connector]);
    wait_for("the first documents", Duration::from_secs(60), || search.count("os-killed") > 2_000);
    search.stop();
    let trouble = || worker.process.log().contains("Failed to execute bulk request");
    wait_for("the trouble to show", Duration::from_secs(60), trouble);
    let memory = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", worker.process.id()));
        let status = status.expect("the worker lives");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a size")
    };
    let (first, began, mut most) = (memory(), Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(5) {
        most = most.max(memory());
        pause(Duration::from_millis(100));
    }
    assert!(most < first + (16 << 10), "{first} KiB became {most} KiB");
    assert!(most < 200 << 10, "{most} KiB");
    let (_, status) = worker.get("/connectors/os-killed/status");
    assert_eq!(status["tasks"][0]["state"], "RUNNING", "{status}");
    search.start_again();
    wait_for("every document", Duration::from_secs(180), || search.count("os-killed") == RECORDS);
    assert_eq!(by_id(search, "os-killed").len(), 10_000, "the search's limit");
    let (_, status) = worker.get("/connectors/os-killed/status");
    assert_eq!(status["tasks"][0]["state"], "RUNNING", "{status}");
}
