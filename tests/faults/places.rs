//! A full disk, a folder that cannot be written.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::export::fill;
use crate::rig::kafka;
use crate::rig::wait_for;
use crate::rig::worker::{Worker, properties};

/// A file system of one mebibyte, gone at the end.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(options: &str) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let done = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(dir.path())
            .status()
            .expect("mount");
        assert!(done.success(), "mounting a tmpfs needs root");
        Self(dir)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

fn failing_task(disk: &SmallDisk, name: &str) -> String {
    let kafka = kafka::shared();
    let dir = tempfile::tempdir().expect("a folder");
    fill(kafka, name, 1, 40_000, "lz4");
    let out = disk.path().join("out.txt");
    let connector = properties(
        dir.path(),
        "connector.properties",
        &[
            ("name", name),
            ("connector.class", "FileStreamSink"),
            ("topics", name),
            ("file", out.to_str().expect("a path")),
        ],
    );
    let worker = Worker::start(dir.path(), &kafka.bootstrap(), &[], &[&connector]);
    let mut trace = String::new();
    wait_for("the task to fail", Duration::from_secs(60), || {
        let (_, status) = worker.get(&format!("/connectors/{name}/status"));
        trace = status["tasks"][0]["trace"].as_str().unwrap_or("").to_owned();
        status["tasks"][0]["state"] == "FAILED"
    });
    assert_eq!(worker.get("/connectors").0, 200, "the worker lives");
    trace
}

#[test]
fn a_full_disk_fails_the_task_with_the_cause() {
    let disk = SmallDisk::mount("size=1m");
    let trace = failing_task(&disk, "full-disk");
    assert!(trace.contains("out.txt") && trace.contains("space"), "{trace}");
}

#[test]
fn a_read_only_folder_fails_the_task_with_the_cause() {
    let disk = SmallDisk::mount("size=1m,ro");
    let trace = failing_task(&disk, "read-only");
    assert!(trace.contains("out.txt") && trace.to_lowercase().contains("read-only"), "{trace}");
}
