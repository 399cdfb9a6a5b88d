//! Kill -9 at random moments, and finish: each record once.

use std::process::Command;
use std::time::Duration;

use super::{assert_each_once, connector, documents, fill, worker};
use crate::rig::process::Process;
use crate::rig::worker::binary;
use crate::rig::{kafka, pause, s3};

#[test]
fn killed_ten_times_and_finished_the_objects_hold_each_record_once() {
    let (kafka, s3) = (kafka::shared(), s3::shared());
    let dir = tempfile::tempdir().expect("a folder");
    let bucket = s3.bucket("export-killed");
    let count = 300_000;
    fill(kafka, "export-killed", 2, count, "lz4");
    // Slow enough, in small objects, that kills land in the middle.
    let more = [("flush.size", "2000"), ("s3.compression.type", "gzip")];
    let connector = connector(dir.path(), "export-killed", "export-killed", &s3.url(), &more);
    let worker = worker(dir.path(), kafka);
    let start = |log: &str| {
        let mut command = Command::new(binary());
        command.arg("export").arg(&connector).arg("--worker").arg(&worker);
        Process::start(&mut command, &dir.path().join(log))
    };
    let mut landed = 0;
    let mut seed = std::process::id();
    for run in 0..10 {
        let mut process = start(&format!("killed-{run}.log"));
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        pause(Duration::from_millis(u64::from(30 + seed % 400)));
        landed += u32::from(process.exited().is_none());
        process.kill();
    }
    println!("{landed} of 10 kills met a running export (seed from process id)");
    assert!(landed >= 3, "the export is too quick for this test: give it more records");
    let mut last = start("finished.log");
    let status = last.wait(Duration::from_secs(120));
    assert!(status.success(), "{}", last.log());
    assert_each_once(&documents(&s3::objects(&bucket)), count);
}
