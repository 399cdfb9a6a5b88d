//! Kill -9 in the middle of the work, ten times, and finish: each record once.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::{assert_each_once, connector, documents, fill};
use crate::rig::process::Process;
use crate::rig::worker::{binary, worker_file};
use crate::rig::{kafka, pause, s3};

const RECORDS: u64 = 200_000;
const KILLS: usize = 10;

/// Objects that are complete: those on their way have other names.
fn count_files(folder: &Path) -> usize {
    s3::keys(folder).iter().filter(|key| key.ends_with(".json.gz")).count()
}

/// Runs the export of 200 objects, killing it each time after some more of them came; then to its
/// end.
fn kill_and_finish(dir: &Path, connector: &Path, bucket: &Path) -> serde_json::Value {
    // Offsets are committed often: runs go on from the middle, not from the start.
    let more = [("offset.flush.interval.ms", "20")];
    let worker = worker_file(dir, &kafka::shared().bootstrap(), &more);
    let report = dir.join("report.json");
    let start = |log: &str| {
        let mut command = Command::new(binary());
        command.arg("export").arg(connector).arg("--worker").arg(&worker);
        command.arg("--report").arg(&report);
        Process::start(&mut command, &dir.join(log))
    };
    for run in 0..KILLS {
        let before = count_files(bucket);
        let mut process = start(&format!("killed-{run}.log"));
        let began = Instant::now();
        // A job that repeats what was not committed writes the same names again: time goes on too.
        while count_files(bucket) < before + 5 + run && began.elapsed() < Duration::from_secs(20) {
            if process.exited().is_some() {
                panic!("run {run} ended before it was killed:\n{}", process.log());
            }
            pause(Duration::from_millis(1));
        }
        process.kill();
    }
    let found = count_files(bucket);
    assert!(found < RECORDS as usize / 1_000, "all {found} objects were there before the last run");
    let mut last = start("finished.log");
    let status = last.wait(Duration::from_secs(120));
    assert!(status.success(), "{}", last.log());
    serde_json::from_slice(&std::fs::read(report).expect("a report")).expect("JSON")
}

fn assert_went_on(report: &serde_json::Value) {
    assert_eq!(report["state"], "finished", "{report}");
    let records = report["records_in"].as_u64().expect("a count");
    assert!(
        (1..RECORDS).contains(&records),
        "the last run goes on from what its predecessors committed: {report}"
    );
}

const SMALL_OBJECTS: [(&str, &str); 2] = [("flush.size", "1000"), ("s3.compression.type", "gzip")];

#[test]
fn killed_ten_times_and_finished_s3_holds_each_record_once() {
    let (kafka, s3) = (kafka::shared(), s3::shared());
    let dir = tempfile::tempdir().expect("a folder");
    let bucket = s3.bucket("export-killed");
    fill(kafka, "export-killed", 2, RECORDS, "lz4");
    let connector =
        connector(dir.path(), "export-killed", "export-killed", &s3.url(), &SMALL_OBJECTS);
    assert_went_on(&kill_and_finish(dir.path(), &connector, &bucket));
    assert_each_once(&documents(&s3::objects(&bucket)), RECORDS);
}

#[test]
fn killed_ten_times_and_finished_a_local_folder_holds_each_record_once() {
    let kafka = kafka::shared();
    let dir = tempfile::tempdir().expect("a folder");
    let store = dir.path().join("store");
    std::fs::create_dir(&store).expect("a folder");
    fill(kafka, "export-killed-local", 2, RECORDS, "zstd");
    let url = format!("file://{}", store.display());
    let name = "export-killed-local";
    let connector = connector(dir.path(), name, name, &url, &SMALL_OBJECTS);
    assert_went_on(&kill_and_finish(dir.path(), &connector, &store));
    let objects = s3::objects(&store);
    let odd: Vec<_> = objects.iter().filter(|(key, _)| !key.ends_with(".json.gz")).collect();
    assert!(odd.is_empty(), "left over: {:?}", odd.iter().map(|(key, _)| key).collect::<Vec<_>>());
    assert!(!objects.iter().any(|(key, _)| key.contains(".incomplete")), "unfinished files");
    assert_each_once(&documents(&objects), RECORDS);
}
