//! Kill -9 of our worker in the middle of an export, ten times, and finish.

use std::process::Command;
use std::time::{Duration, Instant};

use super::{by_id, connector};
use crate::rig::process::Process;
use crate::rig::worker::{binary, worker_file};
use crate::rig::{elasticsearch, kafka, pause};

const RECORDS: u64 = 100_000;
const IDS: u64 = 5_000;
const KILLS: u64 = 10;

#[test]
fn killed_ten_times_and_finished_every_document_is_there_in_its_last_version() {
    let (kafka, es) = (kafka::shared(), elasticsearch::shared());
    let dir = tempfile::tempdir().expect("a folder");
    kafka.create_topic("es-killed", 1);
    let lines: String = (0..RECORDS).map(|n| format!("k{}\t{{\"n\":{n}}}\n", n % IDS)).collect();
    kafka.produce("es-killed", 0, "lz4", true, &lines);
    // Small requests, one at a time: a job long enough to be killed ten times.
    let more = [("batch.size", "50"), ("max.in.flight.requests", "1")];
    let connector = connector(dir.path(), "es-killed", "es-killed", es, &more);
    let often = [("offset.flush.interval.ms", "20")];
    let worker = worker_file(dir.path(), &kafka.bootstrap(), &often);
    let report = dir.path().join("report.json");
    let start = |log: &str| {
        let mut command = Command::new(binary());
        command.arg("export").arg(&connector).arg("--worker").arg(&worker);
        command.arg("--report").arg(&report);
        Process::start(&mut command, &dir.path().join(log))
    };
    // How far it got: documents carry the offset of their record.
    let reached = || {
        let _ = es.ask("POST", "/es-killed/_refresh", "");
        let query = "/es-killed/_search?size=1&sort=n:desc";
        let answer = es.ask("GET", query, "").map(|(_, answer)| answer);
        answer.and_then(|answer| answer["hits"]["hits"][0]["_source"]["n"].as_u64()).unwrap_or(0)
    };
    // Five hundred documents may be there before the first commit is.
    let committed = || {
        let topic = ["-C", "-e", "-q", "-o", "beginning", "-t", "__consumer_offsets", "-f", "%k\n"];
        let keys = kafka.kcat().args(topic).output().expect("kcat").stdout;
        String::from_utf8_lossy(&keys).contains("connect-es-killed")
    };
    for run in 0..KILLS {
        let (before, began) = (reached(), Instant::now());
        let mut process = start(&format!("killed-{run}.log"));
        let enough = || reached() >= before + 500 && (run + 1 < KILLS || committed());
        while !enough() && began.elapsed() < Duration::from_secs(20) {
            assert!(process.exited().is_none(), "run {run} ended:\n{}", process.log());
            pause(Duration::from_millis(5));
        }
        process.kill();
    }
    assert!(reached() < RECORDS - 1, "everything was there before the last run");
    let mut last = start("finished.log");
    let status = last.wait(Duration::from_secs(180));
    assert!(status.success(), "{}", last.log());
    let text = std::fs::read(&report).expect("a report");
    let report: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    let records = report["records_in"].as_u64().expect("a count");
    assert!((1..RECORDS).contains(&records), "the last run goes on from commits: {report}");
    let documents = by_id(es, "es-killed");
    assert_eq!(documents.len() as u64, IDS);
    for id in 0..IDS {
        let expected = RECORDS - IDS + id;
        let (version, source) = &documents[&format!("k{id}")];
        assert_eq!((*version as u64, source["n"].as_u64()), (expected, Some(expected)));
    }
}
