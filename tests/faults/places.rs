//! A full disk, a folder that cannot be written.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::export::{assert_each_once, connector, documents, fill};
use crate::rig::worker::{Worker, properties};
use crate::rig::{kafka, s3, wait_for};

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

    fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        let done = Command::new("mount").args(["-o", &options]).arg(self.path()).status();
        assert!(done.expect("mount").success(), "mounting a tmpfs needs root");
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

/// A worker whose S3 sink writes objects of 1000 records to a folder of that disk.
fn to_folder(dir: &Path, disk: &SmallDisk, name: &str) -> Worker {
    let kafka = kafka::shared();
    fill(kafka, name, 1, 40_000, "lz4");
    let url = format!("file://{}/store", disk.path().display());
    let connector = connector(dir, name, name, &url, &[]);
    Worker::start(dir, &kafka.bootstrap(), &[], &[&connector])
}

#[test]
fn a_full_folder_is_waited_for_until_there_is_space() {
    let disk = SmallDisk::mount("size=1m");
    let dir = tempfile::tempdir().expect("a folder");
    let worker = to_folder(dir.path(), &disk, "full-folder");
    wait_for("trouble that names the cause", Duration::from_secs(60), || {
        worker.process.log().to_lowercase().contains("no space left")
    });
    let (_, status) = worker.get("/connectors/full-folder/status");
    assert_eq!(status["tasks"][0]["state"], "RUNNING", "{status}");
    let store = disk.path().join("store");
    let complete = || s3::keys(&store).iter().filter(|key| key.ends_with(".json")).count();
    assert!(complete() < 40, "everything found its place");
    disk.remount("size=64m");
    wait_for("all objects", Duration::from_secs(60), || complete() == 40);
    let objects = s3::objects(&store);
    assert_eq!(objects.len(), 40, "nothing unfinished is left");
    assert_each_once(&documents(&objects), 40_000);
}

#[test]
fn a_read_only_store_fails_the_task_with_the_cause() {
    let disk = SmallDisk::mount("size=1m,ro");
    let dir = tempfile::tempdir().expect("a folder");
    let worker = to_folder(dir.path(), &disk, "read-only-store");
    let mut trace = String::new();
    wait_for("the task to fail", Duration::from_secs(60), || {
        let (_, status) = worker.get("/connectors/read-only-store/status");
        trace = status["tasks"][0]["trace"].as_str().unwrap_or("").to_owned();
        status["tasks"][0]["state"] == "FAILED"
    });
    assert!(trace.contains("store") && trace.to_lowercase().contains("read-only"), "{trace}");
}
